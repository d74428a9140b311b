// SPDX-License-Identifier: Apache-2.0
// The rules of a pool as fields, and as words.
import { NumberInput, Radio, Select, Stack, Switch, Text } from '@mantine/core';
import type { PlacementPolicy, Pool, PoolPatch } from '../../api/types';
import { kGiB, kMiB, lengthOfTime, memory } from '../../format';
import { useWords, type Words } from '../../i18n';
import { sentence } from '../../i18n/sentences';
import { fieldSaid } from '../../parts/Say';

const policies: PlacementPolicy[] = ['tightest_card', 'best_fit', 'packing', 'fgd', 'sluice'];
const bypassRules: Pool['bypass_rule'][] = ['warn', 'throttle', 'end'];

export type RuleName = keyof PoolPatch;
export type Rules = Required<PoolPatch>;
// The rules that say at their field what is wrong with them.
export const boundNames: RuleName[] = ['floor_cards', 'ceiling_cards'];
export const ruleNames: RuleName[] = [
  'placement',
  'share_min_bytes',
  'share_step_bytes',
  'compute_overcommit_percent',
  'floor_cards',
  'ceiling_cards',
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

export function ruleWords(name: RuleName, value: unknown, words: Words): string {
  const { t, tn } = words;
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
      case 'floor_cards':
      case 'ceiling_cards':
        return value === 0 ? t('pools.no_bound') : tn('pools.cards', Number(value));
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

// How many cards there are for shares: what of them is bound, beside how they are used now.
function CardBounds(props: {
  pool: Pool;
  wish: Rules;
  set: (part: PoolPatch) => void;
  error: unknown;
}) {
  const words = useWords();
  const { t, tn } = words;
  const { pool, wish, set, error } = props;
  const { total, in_service: inService, with_shares: withShares, whole } = pool.cards;
  const fields = [
    ['floor_cards', t('pools.floor'), t('pools.floor_why')],
    ['ceiling_cards', t('pools.ceiling'), t('pools.ceiling_why')],
  ] as const;
  return (
    <div>
      <div className="field-pair">
        {fields.map(([name, label, why]) => (
          <NumberInput
            key={name}
            label={label}
            description={why}
            value={wish[name]}
            onChange={(n) => set({ [name]: Number(n) || 0 })}
            error={fieldSaid(error, `/${name}`, words)}
            min={0}
            max={total}
            allowDecimal={false}
          />
        ))}
      </div>
      <Text size="sm" c="dimmed" mt={4}>
        {[
          tn('pools.cards_now', inService),
          tn('pools.cards_with_shares', withShares),
          tn('pools.cards_whole', whole),
          ...(total > inService ? [tn('pools.cards_out', total - inService)] : []),
        ].join(' · ')}
      </Text>
    </div>
  );
}

export function PoolFields(props: {
  pool: Pool;
  wish: Rules;
  set: (part: PoolPatch) => void;
  // Of the last attempt; what it says of one field stands there.
  error: unknown;
}) {
  const { pool, wish, set, error } = props;
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
      <CardBounds pool={pool} wish={wish} set={set} error={error} />
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
