// SPDX-License-Identifier: Apache-2.0
// The rules of each pool of cards: tried out before they are changed, and undone with one click.
import {
  Alert,
  Anchor,
  Button,
  Group,
  NumberInput,
  Radio,
  Select,
  Stack,
  Switch,
  Text,
} from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Link } from 'react-router';
import { call } from '../../api/client';
import { keys, useGpus, usePools } from '../../api/queries';
import type { PlacementPolicy, Pool, PoolPatch, PoolTrial } from '../../api/types';
import { fullTime, kGiB, lengthOfTime, memory } from '../../format';
import { useWords, type Words } from '../../i18n';
import { sentence } from '../../i18n/sentences';
import { IconInfoCircle } from '../../parts/icons';
import { Rows } from '../../parts/Rows';
import { ErrorLine, explain, PageHead, Waiting } from '../../parts/Say';

const kMiB = 1 << 20;
const policies: PlacementPolicy[] = ['tightest_card', 'best_fit', 'packing', 'fgd', 'sluice'];
const bypassRules: Pool['bypass_rule'][] = ['warn', 'throttle', 'end'];

type RuleName = keyof PoolPatch;
type Rules = Required<PoolPatch>;
const ruleNames: RuleName[] = [
  'placement',
  'share_min_bytes',
  'share_step_bytes',
  'compute_overcommit_percent',
  'bypass_rule',
  'bypass_slack_bytes',
  'strict_priority',
  'preempt',
  'notice_s',
];
const preemptRules: Pool['preempt'][] = ['never', 'borrowed', 'lower_priority'];

export function rulesOf(pool: Pool): Rules {
  return Object.fromEntries(ruleNames.map((name) => [name, pool[name]])) as Rules;
}

// What of the form differs from the pool.
export function changesOf(pool: Pool, wished: Rules): PoolPatch {
  return Object.fromEntries(
    ruleNames.filter((name) => wished[name] !== pool[name]).map((name) => [name, wished[name]]),
  );
}

function ruleWords(name: RuleName, value: unknown, words: Words): string {
  const { t } = words;
  const said = () => {
    switch (name) {
      case 'placement':
        return t(`pools.policy.${value as PlacementPolicy}`);
      case 'bypass_rule':
        return t(`pools.bypass.${value as Pool['bypass_rule']}`);
      case 'strict_priority':
        return t(value ? 'pools.on' : 'pools.off');
      case 'preempt':
        return t(`pools.preempt.${value as Pool['preempt']}`);
      case 'notice_s':
        return lengthOfTime(Number(value), words);
      case 'compute_overcommit_percent':
        return String(value);
      default:
        return memory(Number(value));
    }
  };
  return t(`pools.rule.${name}`, { value: said() });
}

// In GiB or MiB, with the bytes left as they are until somebody types.
function SizeInput(props: {
  label: string;
  why?: string;
  unit: 'GiB' | 'MiB';
  bytes: number;
  min: number;
  set: (bytes: number) => void;
}) {
  const unit = props.unit === 'GiB' ? kGiB : kMiB;
  return (
    <NumberInput
      label={props.label}
      description={props.why}
      value={props.bytes / unit}
      onChange={(value) => props.set(Math.round((Number(value) || 0) * unit))}
      min={props.min / unit}
      max={1_000_000}
      decimalScale={2}
      step={props.unit === 'GiB' ? 1 : 64}
      suffix={` ${props.unit}`}
    />
  );
}

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

function Fields({ pool, wish, set }: { pool: Pool; wish: Rules; set: (part: PoolPatch) => void }) {
  const words = useWords();
  const { t } = words;
  return (
    <>
      <Select
        label={t('pools.policy')}
        description={t('pools.policy_why')}
        data={policies.map((value) => ({ value, label: t(`pools.policy.${value}`) }))}
        value={wish.placement}
        onChange={(value) => value && set({ placement: value as PlacementPolicy })}
        allowDeselect={false}
      />
      <Text size="sm" c="dimmed">
        {t(`pools.policy_why.${wish.placement}`)}
        {wish.placement === pool.placement && pool.placement_note !== '' && (
          <>
            {' '}
            {t('pools.in_force', { policy: t(`pools.policy.${pool.placement_in_force}`) })}
            {' · '}
            {sentence(pool.placement_note, words)}
          </>
        )}
      </Text>
      <div className="field-grid">
        <SizeInput
          label={t('pools.share_min')}
          why={t('pools.share_min_why')}
          unit="MiB"
          bytes={wish.share_min_bytes}
          min={400 * kMiB}
          set={(bytes) => set({ share_min_bytes: bytes })}
        />
        <SizeInput
          label={t('pools.share_step')}
          unit="MiB"
          bytes={wish.share_step_bytes}
          min={kMiB}
          set={(bytes) => set({ share_step_bytes: bytes })}
        />
        <NumberInput
          label={t('pools.overcommit')}
          description={t('pools.overcommit_why')}
          value={wish.compute_overcommit_percent}
          onChange={(value) => set({ compute_overcommit_percent: Number(value) || 100 })}
          min={100}
          max={1000}
          step={10}
          allowDecimal={false}
          suffix=" %"
        />
      </div>
      <Radio.Group
        label={t('pools.bypass')}
        description={t('pools.bypass_why')}
        value={wish.bypass_rule}
        onChange={(value) => set({ bypass_rule: value as Pool['bypass_rule'] })}
      >
        <Stack gap="xs" mt="xs">
          {bypassRules.map((one) => (
            <Radio
              key={one}
              value={one}
              label={t(`pools.bypass.${one}`)}
              description={t(`pools.bypass_why.${one}`)}
            />
          ))}
        </Stack>
      </Radio.Group>
      <SizeInput
        label={t('pools.slack')}
        why={t('pools.slack_why')}
        unit="GiB"
        bytes={wish.bypass_slack_bytes}
        min={0}
        set={(bytes) => set({ bypass_slack_bytes: bytes })}
      />
      <Switch
        label={t('pools.strict')}
        description={t('pools.strict_why')}
        checked={wish.strict_priority}
        onChange={(e) => set({ strict_priority: e.currentTarget.checked })}
      />
      <Radio.Group
        label={t('pools.preempt')}
        description={t('pools.preempt_why')}
        value={wish.preempt}
        onChange={(value) => set({ preempt: value as Pool['preempt'] })}
      >
        <Stack gap="xs" mt="xs">
          {preemptRules.map((one) => (
            <Radio key={one} value={one} label={t(`pools.preempt.${one}`)} />
          ))}
        </Stack>
      </Radio.Group>
      <NumberInput
        label={t('pools.notice')}
        description={t('pools.notice_why')}
        value={wish.notice_s}
        onChange={(value) => set({ notice_s: Number(value) || 10 })}
        min={10}
        max={86_400}
        step={60}
        allowDecimal={false}
        suffix=" s"
      />
    </>
  );
}

function Failure({ error }: { error: unknown }): ReactNode {
  const words = useWords();
  if (!error) return null;
  const { title, detail } = explain(error, words);
  return (
    <Alert color="red" role="alert" title={title}>
      {detail}
    </Alert>
  );
}

function PoolForm({ pool, shares }: { pool: Pool; shares: number }) {
  const { t, tn } = useWords();
  const client = useQueryClient();
  const [wish, setWish] = useState(() => rulesOf(pool));
  const changes = changesOf(pool, wish);
  const changed = Object.keys(changes).length > 0;
  const trial = useMutation({
    mutationFn: (body: PoolPatch) =>
      call<PoolTrial>(`/v1/pools/${pool.id}/dry-run`, { method: 'POST', body }),
  });
  const save = useMutation({
    mutationFn: (body: PoolPatch) =>
      call<Pool>(`/v1/pools/${pool.id}`, {
        method: 'PATCH',
        body,
        version: pool.resource_version,
      }),
    onSuccess: () => notifications.show({ message: t('pools.saved', { name: pool.name }) }),
    onSettled: () => client.invalidateQueries({ queryKey: keys.pools }),
  });
  const set = (part: PoolPatch) => {
    setWish((old) => ({ ...old, ...part }));
    trial.reset();
  };
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
            busy={save.isPending}
            onUndo={() => save.mutate(pool.last_change?.former ?? {})}
          />
          <Fields pool={pool} wish={wish} set={set} />
          <Failure error={save.error ?? trial.error} />
          {trial.data && changed && <Trial trial={trial.data} />}
          <Group justify="space-between">
            <Group>
              <Button variant="default" onClick={() => set(rulesOf(pool))} disabled={!changed}>
                {t('act.undo')}
              </Button>
              <Button
                variant="default"
                onClick={() => trial.mutate(changes)}
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
          <PoolForm key={`${pool.id} ${pool.resource_version}`} pool={pool} shares={shares} />
        ))}
      </div>
    </>
  );
}
