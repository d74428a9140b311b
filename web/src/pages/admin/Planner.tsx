// SPDX-License-Identifier: Apache-2.0
// What if: the history of this installation played on another fleet, by other rules, beside today's.
import {
  Alert,
  Badge,
  Button,
  Group,
  NumberInput,
  Select,
  Stack,
  Switch,
  Text,
  TextInput,
} from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { call } from '../../api/client';
import type { Plan, PlanRun } from '../../api/types';
import { elapsed, fullTime, kGiB, lengthOfTime } from '../../format';
import { useWords, type Words } from '../../i18n';
import { sentence } from '../../i18n/sentences';
import { IconAlertTriangle } from '../../parts/icons';
import { useNow } from '../../parts/now';
import { PlanChart } from '../../parts/PlanChart';
import { Rows } from '../../parts/Rows';
import { ErrorLine, PageHead } from '../../parts/Say';

const policies = ['tightest_card', 'best_fit', 'packing', 'fgd', 'sluice'] as const;
const rules = ['never', 'borrowed', 'lower_priority'] as const;
const idleLimits = [900, 1800, 3600, 2 * 3600, 8 * 3600];

export interface WhatIf {
  fleet: string;
  shareGib: number;
  idleS: string;
  policy: string;
  overcommit: number;
  preempt: string;
  growth: number;
  price: number;
  synthetic: boolean;
}
const asItIs: WhatIf = {
  fleet: '',
  shareGib: 0,
  idleS: '',
  policy: '',
  overcommit: 0,
  preempt: '',
  growth: 100,
  price: 0,
  synthetic: false,
};

// What differs from "as it is", as the planner's query.
export function planQuery(what: WhatIf): string {
  const query = new URLSearchParams();
  if (what.fleet.trim() !== '') query.set('fleet', what.fleet.replace(/\s/g, ''));
  if (what.shareGib > 0) query.set('share_bytes', String(Math.round(what.shareGib * kGiB)));
  if (what.idleS !== '') query.set('idle_s', what.idleS);
  if (what.policy !== '') query.set('policy', what.policy);
  if (what.overcommit > 0) query.set('overcommit_pct', String(what.overcommit));
  if (what.preempt !== '') query.set('preempt', what.preempt);
  if (what.growth !== 100) query.set('growth_pct', String(what.growth));
  if (what.price > 0) query.set('price', String(what.price));
  if (what.synthetic) query.set('synthetic', 'true');
  return query.toString();
}

function Form(props: { what: WhatIf; set: (part: Partial<WhatIf>) => void; busy: boolean }) {
  const { what, set, busy } = props;
  const words = useWords();
  const { t } = words;
  return (
    <section className="panel section" aria-label={t('plan.what_if')}>
      <h2>{t('plan.what_if')}</h2>
      <div className="field-grid">
        <TextInput
          label={t('plan.fleet')}
          description={t('plan.fleet_why')}
          placeholder="4x24GiB,2x80GiB@1.20"
          value={what.fleet}
          onChange={(e) => set({ fleet: e.currentTarget.value })}
          maxLength={500}
        />
        <NumberInput
          label={t('plan.share')}
          description={t('plan.as_asked_0')}
          value={what.shareGib}
          onChange={(value) => set({ shareGib: Number(value) || 0 })}
          min={0}
          max={1024}
          decimalScale={2}
          suffix=" GiB"
        />
        <Select
          label={t('plan.idle')}
          description={t('plan.idle_why')}
          data={[
            { value: '', label: t('plan.as_it_is') },
            ...idleLimits.map((s) => ({ value: String(s), label: lengthOfTime(s, words) })),
          ]}
          value={what.idleS}
          onChange={(value) => set({ idleS: value ?? '' })}
          allowDeselect={false}
        />
        <Select
          label={t('pools.policy')}
          description={t('plan.policy_why')}
          data={[
            { value: '', label: t('plan.as_it_is') },
            ...policies.map((value) => ({ value, label: t(`pools.policy.${value}`) })),
          ]}
          value={what.policy}
          onChange={(value) => set({ policy: value ?? '' })}
          allowDeselect={false}
        />
        <NumberInput
          label={t('pools.overcommit')}
          description={t('plan.overcommit_why')}
          value={what.overcommit}
          onChange={(value) => set({ overcommit: Number(value) || 0 })}
          onBlur={() => set({ overcommit: what.overcommit && Math.max(what.overcommit, 100) })}
          min={0}
          max={1000}
          step={10}
          allowDecimal={false}
          suffix=" %"
        />
        <Select
          label={t('pools.preempt')}
          description={t('plan.preempt_why')}
          data={[
            { value: '', label: t('plan.as_it_is') },
            ...rules.map((value) => ({ value, label: t(`pools.preempt.${value}`) })),
          ]}
          value={what.preempt}
          onChange={(value) => set({ preempt: value ?? '' })}
          allowDeselect={false}
        />
        <NumberInput
          label={t('plan.growth')}
          description={t('plan.growth_why')}
          value={what.growth}
          onChange={(value) => set({ growth: Number(value) || 100 })}
          min={1}
          max={1000}
          step={10}
          allowDecimal={false}
          suffix=" %"
        />
        <NumberInput
          label={t('plan.price')}
          description={t('plan.price_why')}
          value={what.price}
          onChange={(value) => set({ price: Number(value) || 0 })}
          min={0}
          max={1_000_000}
          decimalScale={4}
        />
      </div>
      <Switch
        label={t('plan.synthetic')}
        description={t('plan.synthetic_why')}
        checked={what.synthetic}
        onChange={(e) => set({ synthetic: e.currentTarget.checked })}
      />
      <Group justify="flex-end">
        <Button variant="default" onClick={() => set(asItIs)}>
          {t('plan.reset')}
        </Button>
        <Button type="submit" loading={busy}>
          {t('plan.go')}
        </Button>
      </Group>
    </section>
  );
}

function Progress({ since }: { since: number }) {
  const { t, language } = useWords();
  const now = useNow(200);
  return (
    <Text size="sm" c="dimmed" role="status">
      {t('plan.playing', { time: elapsed(now - since, language) })}
    </Text>
  );
}

function History({ plan }: { plan: Plan }) {
  const words = useWords();
  const { t, tn, language } = words;
  const { history, load } = plan;
  const shown = (n: number) => n.toFixed(1).replace(/\.0$/, '');
  return (
    <section className="panel section" aria-label={t('plan.history')}>
      <h2>{t('plan.history')}</h2>
      <Text size="sm">
        {tn('plan.claims', history.claims)}
        {history.from && history.until && (
          <>
            {' · '}
            {t('plan.span', {
              days: shown(history.days),
              from: fullTime(history.from, language),
              until: fullTime(history.until, language),
            })}
          </>
        )}
      </Text>
      {!history.enough && (
        <Alert color="yellow" icon={<IconAlertTriangle size={18} />} title={t('plan.too_little')}>
          {[
            history.days_missing > 0 && t('plan.days_missing', { n: shown(history.days_missing) }),
            history.claims_missing > 0 && tn('plan.claims_missing', history.claims_missing),
          ]
            .filter(Boolean)
            .join(' · ')}
          {history.claims > 0 && !load.synthetic && <div>{t('plan.may_draw')}</div>}
        </Alert>
      )}
      {plan.today && (
        <Group gap="xs">
          {load.synthetic && <Badge color="orange">{t('plan.synthetic_badge')}</Badge>}
          <Text size="sm">{t('plan.played', { n: load.claims })}</Text>
          {load.any_card > 0 && (
            <Text size="sm" c="dimmed">
              {t('plan.any_card', { n: load.any_card })}
            </Text>
          )}
          {load.in_parts > 0 && (
            <Text size="sm" c="dimmed">
              {t('plan.in_parts', { n: load.in_parts })}
            </Text>
          )}
          {load.reservations > 0 && (
            <Text size="sm" c="dimmed">
              {t('plan.reservations', { n: load.reservations })}
            </Text>
          )}
          {load.ended_by_idle > 0 && (
            <Text size="sm" c="dimmed">
              {t('plan.ended_by_idle', { n: load.ended_by_idle })}
            </Text>
          )}
        </Group>
      )}
    </section>
  );
}

type Row = [label: string, of: (run: PlanRun) => string];

function rowsOf({ t, language }: Words): Row[] {
  const wait = (seconds: number) => elapsed(seconds * 1000, language);
  const one = (n: number) => n.toFixed(1);
  return [
    [t('plan.fleet'), (run) => `${run.fleet.text} (${run.fleet.cards})`],
    [t('pools.policy'), (run) => t(`pools.policy.${run.rules.policy}`)],
    [t('pools.overcommit'), (run) => `${run.rules.overcommit_pct} %`],
    [t('pools.preempt'), (run) => t(`pools.preempt.${run.rules.preempt}`)],
    [t('plan.gave_way'), (run) => String(run.gave_way)],
    [t('plan.wait_mean'), (run) => wait(run.wait_s.mean)],
    [t('plan.wait_p50'), (run) => wait(run.wait_s.p50)],
    [t('plan.wait_p95'), (run) => wait(run.wait_s.p95)],
    [t('plan.wait_p99'), (run) => wait(run.wait_s.p99)],
    [t('plan.wait_max'), (run) => wait(run.wait_s.max)],
    [t('plan.waited'), (run) => `${run.wait_s.waited} / ${run.wait_s.claims}`],
    [t('plan.longest_queue'), (run) => String(run.longest_queue)],
    [t('plan.refused'), (run) => String(run.refused)],
    [t('plan.utilisation'), (run) => `${one(run.utilisation_pct)} %`],
    [t('plan.offered'), (run) => `${one(run.offered_pct)} %`],
    [t('plan.held'), (run) => one(run.gpu_hours_held)],
    [t('plan.lost'), (run) => one(run.gpu_hours_lost)],
    [t('plan.cost'), (run) => (run.cost ? run.cost.total.toFixed(2) : '–')],
    [t('plan.cost_useful'), (run) => (run.cost ? run.cost.per_useful_gpu_hour.toFixed(2) : '–')],
  ];
}

function Figures({ today, planned }: { today: PlanRun; planned: PlanRun }) {
  const words = useWords();
  const { t } = words;
  return (
    <Rows label={t('plan.answer')} head={[t('plan.figure'), t('plan.today'), t('plan.planned')]}>
      {rowsOf(words).map(([label, of]) => {
        const [a, b] = [of(today), of(planned)];
        return (
          <tr key={label} tabIndex={0}>
            <td>{label}</td>
            <td>{a}</td>
            <td>{a === b ? <span className="quiet">{b}</span> : <strong>{b}</strong>}</td>
          </tr>
        );
      })}
    </Rows>
  );
}

function Notes({ run, side }: { run: PlanRun; side: string }) {
  const words = useWords();
  const { t } = words;
  if (!run.cut_short && run.refused_why.length === 0) return null;
  return (
    <Alert color="yellow" icon={<IconAlertTriangle size={18} />} title={side}>
      {run.cut_short && <div>{t('plan.cut_short')}</div>}
      {run.refused_why.map((why) => (
        <div key={why.reason}>
          {t('plan.refused_n', { n: why.claims, reason: sentence(why.reason, words) })}
        </div>
      ))}
    </Alert>
  );
}

function Answer({ today, planned }: { today: PlanRun; planned: PlanRun }) {
  const words = useWords();
  const { t, language } = words;
  const sizes = [
    ...new Set([...today.wait_by_size_s, ...planned.wait_by_size_s].map((w) => w.size ?? '')),
  ];
  const p95 = (run: PlanRun, size: string) => {
    const found = run.wait_by_size_s.find((w) => (w.size ?? '') === size);
    return found ? elapsed(found.p95 * 1000, language) : '–';
  };
  return (
    <>
      <Notes run={today} side={t('plan.today')} />
      <Notes run={planned} side={t('plan.planned')} />
      <Figures today={today} planned={planned} />
      <section className="panel section" aria-label={t('plan.charts')}>
        <h2>{t('plan.charts')}</h2>
        <PlanChart today={today} planned={planned} figure="held_pct" label={t('plan.chart_held')} />
        <PlanChart
          today={today}
          planned={planned}
          figure="waiting"
          label={t('plan.chart_waiting')}
        />
      </section>
      {sizes.length > 0 && (
        <Rows
          label={t('plan.by_size')}
          head={[t('plan.by_size'), t('plan.today'), t('plan.planned')]}
        >
          {sizes.map((size) => (
            <tr key={size} tabIndex={0}>
              <td>{size}</td>
              <td>{p95(today, size)}</td>
              <td>{p95(planned, size)}</td>
            </tr>
          ))}
        </Rows>
      )}
    </>
  );
}

export default function Planner() {
  const { t } = useWords();
  const [what, setWhat] = useState(asItIs);
  const [asked, setAsked] = useState(() => ({ query: '', since: Date.now() }));
  const plan = useQuery({
    queryKey: ['plan', asked.query],
    queryFn: ({ signal }) =>
      call<Plan>(asked.query === '' ? '/v1/plan' : `/v1/plan?${asked.query}`, { signal }),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    retry: false,
    refetchOnWindowFocus: false,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const query = planQuery(what);
    setAsked({ query, since: Date.now() });
    if (query === asked.query) void plan.refetch();
  };
  const again = () => {
    setAsked({ ...asked, since: Date.now() });
    void plan.refetch();
  };
  return (
    <>
      <PageHead title={t('nav.planner')} />
      <Stack gap="md">
        <Text size="sm" c="dimmed">
          {t('plan.what_it_is')}
        </Text>
        <form onSubmit={submit}>
          <Form
            what={what}
            set={(part) => setWhat((old) => ({ ...old, ...part }))}
            busy={plan.isFetching}
          />
        </form>
        {plan.isFetching && <Progress since={asked.since} />}
        {plan.isError && <ErrorLine error={plan.error} retry={again} />}
        {plan.data && !plan.isError && (
          <div
            className={plan.isFetching ? 'planned stale' : 'planned'}
            aria-busy={plan.isFetching}
          >
            <History plan={plan.data} />
            {plan.data.today && plan.data.planned && (
              <Answer today={plan.data.today} planned={plan.data.planned} />
            )}
          </div>
        )}
      </Stack>
    </>
  );
}
