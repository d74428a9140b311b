// SPDX-License-Identifier: Apache-2.0
// The rules of each pool of cards. A change holds at once, also for shares that are in use.
import { Alert, Button, Group, NumberInput, Radio, Stack, Switch, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { call } from '../../api/client';
import { keys, useGpus, usePools } from '../../api/queries';
import type { Pool } from '../../api/types';
import { kGiB, memory } from '../../format';
import { useWords } from '../../i18n';
import { ErrorLine, explain, PageHead, Waiting } from '../../parts/Say';

const rules: Pool['bypass_rule'][] = ['warn', 'throttle', 'end'];

function PoolForm({ pool, shares }: { pool: Pool; shares: number }) {
  const words = useWords();
  const { t, tn } = words;
  const client = useQueryClient();
  const [rule, setRule] = useState(pool.bypass_rule);
  const [slackGib, setSlackGib] = useState(pool.bypass_slack_bytes / kGiB);
  const [strict, setStrict] = useState(pool.strict_priority);
  const slackBytes = Math.round(slackGib * kGiB);
  const changed =
    rule !== pool.bypass_rule ||
    slackBytes !== pool.bypass_slack_bytes ||
    strict !== pool.strict_priority;
  const undo = () => {
    setRule(pool.bypass_rule);
    setSlackGib(pool.bypass_slack_bytes / kGiB);
    setStrict(pool.strict_priority);
  };
  const save = useMutation({
    mutationFn: () =>
      call<Pool>(`/v1/pools/${pool.id}`, {
        method: 'PATCH',
        body: { bypass_rule: rule, bypass_slack_bytes: slackBytes, strict_priority: strict },
        version: pool.resource_version,
      }),
    onSuccess: () => notifications.show({ message: t('pools.saved', { name: pool.name }) }),
    onSettled: () => client.invalidateQueries({ queryKey: keys.pools }),
  });
  const failure = save.error ? explain(save.error, words) : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (changed) save.mutate();
  };
  return (
    <form onSubmit={submit}>
      <section className="panel section" aria-label={pool.name}>
        <h2>{pool.name}</h2>
        <Stack gap="md">
          <Text size="sm" c="dimmed">
            {t('pools.sizes', {
              least: memory(pool.share_min_bytes),
              step: memory(pool.share_step_bytes),
            })}
          </Text>
          <Radio.Group
            label={t('pools.bypass')}
            description={t('pools.bypass_why')}
            value={rule}
            onChange={(value) => setRule(value as Pool['bypass_rule'])}
          >
            <Stack gap="xs" mt="xs">
              {rules.map((one) => (
                <Radio
                  key={one}
                  value={one}
                  label={t(`pools.bypass.${one}`)}
                  description={t(`pools.bypass_why.${one}`)}
                />
              ))}
            </Stack>
          </Radio.Group>
          <NumberInput
            label={t('pools.slack')}
            description={t('pools.slack_why')}
            value={slackGib}
            onChange={(value) => setSlackGib(Number(value) || 0)}
            min={0}
            max={1_000_000}
            decimalScale={2}
            suffix=" GiB"
          />
          <Switch
            label={t('pools.strict')}
            description={t('pools.strict_why')}
            checked={strict}
            onChange={(e) => setStrict(e.currentTarget.checked)}
          />
          {failure && (
            <Alert color="red" role="alert" title={failure.title}>
              {failure.detail}
            </Alert>
          )}
          <Group justify="space-between">
            <Text size="sm" c="dimmed" aria-live="polite">
              {changed ? tn('pools.holds_for', shares) : ''}
            </Text>
            <Group>
              <Button variant="default" onClick={undo} disabled={!changed}>
                {t('act.undo')}
              </Button>
              <Button type="submit" loading={save.isPending} disabled={!changed}>
                {t('act.save')}
              </Button>
            </Group>
          </Group>
        </Stack>
      </section>
    </form>
  );
}

export default function Pools() {
  const { t } = useWords();
  const pools = usePools();
  const gpus = useGpus();
  const shares = (gpus.data ?? []).reduce((sum, gpu) => sum + gpu.shares.length, 0);
  return (
    <>
      <PageHead title={t('nav.pools')} />
      {pools.isPending && <Waiting />}
      {pools.isError && <ErrorLine error={pools.error} retry={() => void pools.refetch()} />}
      <div className="gpu-cards">
        {pools.data?.map((pool) => (
          <PoolForm key={`${pool.id} ${pool.resource_version}`} pool={pool} shares={shares} />
        ))}
      </div>
    </>
  );
}
