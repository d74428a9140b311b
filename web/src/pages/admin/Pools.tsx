// SPDX-License-Identifier: Apache-2.0
// The rules of each pool of cards: tried out before they are changed, and undone with one click.
import { Alert, Anchor, Button, Group, Stack, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Fragment, useState, type FormEvent } from 'react';
import { Link } from 'react-router';
import { ApiError, call } from '../../api/client';
import { keys, useGpus, usePools } from '../../api/queries';
import type { Pool, PoolPatch, PoolTrial } from '../../api/types';
import { fullTime, memory } from '../../format';
import { useWords } from '../../i18n';
import { sentence } from '../../i18n/sentences';
import { IconInfoCircle } from '../../parts/icons';
import { Failure } from '../../parts/FormDialog';
import { Rows } from '../../parts/Rows';
import { ErrorLine, PageHead, Waiting } from '../../parts/Say';
import { MakeWhole } from './MakeWhole';
import { boundNames, changesOf, PoolFields, ruleNames, rulesOf, ruleWords } from './PoolFields';

function LastChange({ pool, onUndo, busy }: { pool: Pool; onUndo: () => void; busy: boolean }) {
  const words = useWords();
  const { t, language } = words;
  const last = pool.last_change;
  const former = ruleNames.filter((name) => last?.former[name] !== undefined);
  if (!last || former.length === 0) return null;
  return (
    <Alert color="gray" icon={<IconInfoCircle size={18} />}>
      <Group justify="space-between">
        <Text size="sm">
          {t('pools.last_change', {
            by: last.by,
            time: fullTime(last.at, language),
            former: former.map((name) => ruleWords(name, last.former[name], words)).join(', '),
          })}
        </Text>
        <Button variant="default" size="xs" onClick={onUndo} loading={busy}>
          {t('pools.undo_last')}
        </Button>
      </Group>
    </Alert>
  );
}

function Trial({ trial }: { trial: PoolTrial }) {
  const words = useWords();
  const { t } = words;
  const before = memory(trial.largest_free_before_bytes);
  const after = memory(trial.largest_free_after_bytes);
  return (
    <section aria-label={t('pools.trial')} aria-live="polite" className="explained">
      <h3>{t('pools.trial')}</h3>
      <Text size="sm">
        {before === after
          ? t('pools.trial_same', { after })
          : t('pools.trial_room', { before, after })}
      </Text>
      {trial.placement_note !== '' && (
        <Text size="sm" c="dimmed">
          {sentence(trial.placement_note, words)}
        </Text>
      )}
      {trial.effects.length === 0 ? (
        <Text size="sm">{t('pools.trial_none')}</Text>
      ) : (
        <Rows
          label={t('pools.trial')}
          head={[t('pools.name'), t('pools.whose'), t('pools.effect'), t('pools.detail')]}
        >
          {trial.effects.map((one) => (
            <tr key={`${one.effect} ${one.claim_id} ${one.desktop_id}`} tabIndex={0}>
              <td>
                {one.desktop_id ? (
                  <Anchor size="sm" component={Link} to={`/desktops/${one.desktop_id}`}>
                    {one.name}
                  </Anchor>
                ) : (
                  <span className="mono">{one.name}</span>
                )}
              </td>
              <td>{one.owner}</td>
              <td>{t(`pools.effect.${one.effect}`)}</td>
              <td className="quiet">{sentence(one.detail, words)}</td>
            </tr>
          ))}
        </Rows>
      )}
    </section>
  );
}

function PoolForm({ pool, shares }: { pool: Pool; shares: number }) {
  const { t, tn } = useWords();
  const client = useQueryClient();
  // Only what somebody has changed here, so that it goes on top of what others save meanwhile.
  const [mine, setMine] = useState<PoolPatch>({});
  const [since, setSince] = useState(pool.resource_version);
  const wish = { ...rulesOf(pool), ...mine };
  const changes = changesOf(pool, wish);
  const changed = Object.keys(changes).length > 0;
  const overtaken = changed && since !== pool.resource_version;
  const trial = useMutation({
    mutationFn: ({ body }: { body: PoolPatch; version: number }) =>
      call<PoolTrial>(`/v1/pools/${pool.id}/dry-run`, { method: 'POST', body }),
  });
  const tried = trial.data && trial.variables.version === pool.resource_version;
  const patch = (body: PoolPatch) =>
    call<Pool>(`/v1/pools/${pool.id}`, { method: 'PATCH', body, version: pool.resource_version });
  const kept = (saved: Pool) => {
    notifications.show({ message: t('pools.saved', { name: saved.name }) });
    client.setQueryData<Pool[]>(keys.pools, (pools) =>
      pools?.map((one) => (one.id === saved.id ? saved : one)),
    );
  };
  const onSettled = () => client.invalidateQueries({ queryKey: keys.pools });
  const save = useMutation({
    mutationFn: patch,
    onSuccess: (saved) => {
      kept(saved);
      setMine({});
    },
    onSettled,
  });
  const undo = useMutation({ mutationFn: patch, onSuccess: kept, onSettled });
  const set = (part: PoolPatch) => {
    if (!changed) setSince(pool.resource_version);
    setMine((old) => ({ ...old, ...part }));
    trial.reset();
    save.reset();
  };
  const error = save.error ?? undo.error ?? trial.error;
  const inField =
    error instanceof ApiError && boundNames.some((name) => error.field(`/${name}`) !== undefined);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (changed) save.mutate(changes);
  };
  return (
    <form onSubmit={submit}>
      <section className="panel section" aria-label={pool.name}>
        <h2>{pool.name}</h2>
        <Stack gap="md">
          <LastChange
            pool={pool}
            busy={undo.isPending}
            onUndo={() => undo.mutate(pool.last_change?.former ?? {})}
          />
          <PoolFields pool={pool} wish={wish} set={set} error={error} />
          {overtaken && (
            <Alert color="yellow" role="status" icon={<IconInfoCircle size={18} />}>
              {t('pools.overtaken', { by: pool.last_change?.by ?? '' })}
            </Alert>
          )}
          <Failure error={inField ? null : error} />
          {tried && changed && <Trial trial={trial.data} />}
          <Group justify="space-between">
            <Group>
              <Button variant="default" onClick={() => setMine({})} disabled={!changed}>
                {t('act.undo')}
              </Button>
              <Button
                variant="default"
                onClick={() => trial.mutate({ body: changes, version: pool.resource_version })}
                loading={trial.isPending}
                disabled={!changed}
              >
                {t('pools.try')}
              </Button>
              <Button type="submit" loading={save.isPending} disabled={!changed}>
                {t('act.save')}
              </Button>
            </Group>
            <Text size="sm" c="dimmed" aria-live="polite">
              {changed ? tn('pools.holds_for', shares) : ''}
            </Text>
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
          <Fragment key={pool.id}>
            <PoolForm pool={pool} shares={shares} />
            <MakeWhole pool={pool} gpus={gpus.data ?? []} />
          </Fragment>
        ))}
      </div>
    </>
  );
}
