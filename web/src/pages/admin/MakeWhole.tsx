// SPDX-License-Identifier: Apache-2.0
// Cards made whole: which desktops would go to other cards, for what gain and at what cost; how the
// moves stand that were set going, and the way back.
import { Button, Group, NumberInput, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../../api/client';
import { keys, useConsolidation } from '../../api/queries';
import type { ConsolidationPlan, ConsolidationState, Gpu, Pool } from '../../api/types';
import { clock, fullTime, lengthOfTime, memory, relative } from '../../format';
import { useWords, type Words } from '../../i18n';
import { FormDialog } from '../../parts/FormDialog';
import { IconCheck, IconClock, IconRefreshDot } from '../../parts/icons';
import { useNow } from '../../parts/now';
import { ErrorLine, useSayError, Waiting } from '../../parts/Say';
import { useSayDone } from '../../parts/undo';
import { BeforeAfter, MovesTable, namesOf } from './Moves';

type Standing = ConsolidationState['moves'][number];

function useConsolidate(pool: Pool) {
  const words = useWords();
  const { t, tn, language } = words;
  const client = useQueryClient();
  const sayError = useSayError();
  const sayDone = useSayDone();
  const path = `/v1/pools/${pool.id}`;
  const refresh = () => client.invalidateQueries({ queryKey: keys.consolidation(pool.id) });
  const undo = useMutation({
    mutationFn: () => call<ConsolidationPlan>(`${path}/undo-consolidation`, { method: 'POST' }),
    onSuccess: (back) => notifications.show({ message: backWords(back, words) }),
    onError: sayError,
    onSettled: refresh,
  });
  const apply = useMutation({
    mutationFn: (people: number) =>
      call<ConsolidationPlan>(`${path}/consolidation`, {
        method: 'POST',
        body: { people_max: people, apply: true },
      }),
    onSuccess: (made) => {
      if (made.moves.length === 0 || !made.at) {
        notifications.show({ message: t('whole.late') });
        return;
      }
      const said = tn('whole.applied', made.moves.length, { time: clock(made.at, language) });
      sayDone(said, () => undo.mutateAsync().catch(() => {}));
    },
    onError: sayError,
    onSettled: refresh,
  });
  return { apply, undo };
}

// What came of taking back: called off, on the way back, and what has to stay.
export function backWords(back: ConsolidationPlan, { tn }: Pick<Words, 'tn'>): string {
  const parts: string[] = [];
  if (back.withdrawn > 0) parts.push(tn('whole.withdrawn', back.withdrawn));
  if (back.moves.length > 0) parts.push(tn('whole.moves_back', back.moves.length));
  if (back.stay > 0) parts.push(tn('whole.stay', back.stay));
  return parts.join(' · ');
}

type Acts = ReturnType<typeof useConsolidate>;

function Status({ move }: { move: Standing }) {
  const { t, language } = useWords();
  const now = useNow(5_000);
  if (move.done || !move.at) {
    return (
      <span className="state good">
        <IconCheck size={16} />
        {t('whole.moved')}
      </span>
    );
  }
  if (Date.parse(move.at) <= now) {
    return (
      <span className="state">
        <IconRefreshDot size={16} />
        {t('whole.moving')}
      </span>
    );
  }
  return (
    <span className="state warn" title={fullTime(move.at, language)}>
      <IconClock size={16} />
      {t(move.back ? 'whole.back_at' : 'whole.at', {
        time: clock(move.at, language),
        when: relative(move.at, language, now),
      })}
    </span>
  );
}

function Underway(props: { state: ConsolidationState; gpus: Gpu[]; pool: Pool; acts: Acts }) {
  const words = useWords();
  const { t } = words;
  const { state, gpus, pool, acts } = props;
  const [asking, setAsking] = useState(false);
  const { moves } = state;
  if (moves.length === 0) return null;
  const done = moves.filter((move) => move.done).length;
  const coming = moves.length - done;
  const title = t(coming > 0 ? 'whole.underway' : 'whole.done');
  return (
    <section aria-label={title} aria-live="polite" className="explained">
      <Group justify="space-between">
        <h3>{title}</h3>
        {state.can_undo && (
          <Button
            variant="default"
            size="xs"
            loading={acts.undo.isPending}
            onClick={() => (done > 0 ? setAsking(true) : acts.undo.mutate())}
          >
            {t(done > 0 ? 'whole.take_back_ask' : 'whole.take_back')}
          </Button>
        )}
      </Group>
      {done > 0 && coming > 0 && (
        <Text size="sm">{t('whole.progress', { done, of: moves.length })}</Text>
      )}
      <MovesTable
        label={title}
        moves={moves}
        gpus={gpus}
        status={(move) => <Status move={move} />}
      />
      {asking && (
        <FormDialog
          title={t('whole.take_back')}
          go={t('whole.take_back')}
          danger
          busy={acts.undo.isPending}
          onClose={() => setAsking(false)}
          onGo={() => acts.undo.mutate(undefined, { onSettled: () => setAsking(false) })}
        >
          <Text size="sm">
            {t('whole.take_back_why', { notice: lengthOfTime(pool.notice_s, words) })}
          </Text>
        </FormDialog>
      )}
    </section>
  );
}

function Planned(props: {
  people: number;
  pool: Pool;
  gpus: Gpu[];
  acts: Acts;
  onDone: () => void;
}) {
  const words = useWords();
  const { t, tn } = words;
  const { people, pool, gpus, acts } = props;
  const [asking, setAsking] = useState(false);
  // Reading only, so it is asked again whenever desktops or cards change.
  const plan = useQuery({
    queryKey: [...keys.consolidation(pool.id), 'plan', people],
    queryFn: ({ signal }) =>
      call<ConsolidationPlan>(`/v1/pools/${pool.id}/consolidation`, {
        method: 'POST',
        body: { people_max: people, apply: false },
        signal,
      }),
  });
  if (plan.isPending) return <Waiting />;
  if (plan.isError) return <ErrorLine error={plan.error} retry={() => void plan.refetch()} />;
  const { moves, freed_gpu_ids: freed } = plan.data;
  const notice = lengthOfTime(pool.notice_s, words);
  if (moves.length === 0) {
    return (
      <div role="status">
        <Text size="sm">{tn('whole.none', people)}</Text>
        <Text size="sm" c="dimmed">
          {t('whole.none_why')}
        </Text>
      </div>
    );
  }
  const costs = [
    tn('whole.people', plan.data.people),
    tn('whole.moves', moves.length, { memory: memory(plan.data.memory_bytes) }),
    t('whole.told', { notice }),
  ];
  return (
    <section aria-label={t('whole.plan')} aria-live="polite" className="explained">
      <dl className="gain-cost">
        <dt>{t('whole.gain')}</dt>
        <dd>
          <strong>{tn('whole.cards', freed.length)}</strong>: {namesOf(freed, gpus)}
        </dd>
        <dt>{t('whole.cost')}</dt>
        <dd>{costs.join(' · ')}</dd>
      </dl>
      <BeforeAfter moves={moves} gpus={gpus} />
      <MovesTable label={t('whole.plan')} moves={moves} gpus={gpus} />
      <Group>
        <Button onClick={() => setAsking(true)}>{tn('whole.apply', moves.length)}</Button>
      </Group>
      {asking && (
        <FormDialog
          title={tn('whole.apply_title', moves.length)}
          go={t('whole.apply_go')}
          danger
          busy={acts.apply.isPending}
          onClose={() => setAsking(false)}
          onGo={() =>
            acts.apply.mutate(people, {
              onSuccess: props.onDone,
              onError: () => setAsking(false),
            })
          }
        >
          <Text size="sm">{tn('whole.apply_told', plan.data.people, { notice })}</Text>
          <Text size="sm">{t('whole.apply_lost')}</Text>
        </FormDialog>
      )}
    </section>
  );
}

export function MakeWhole({ pool, gpus }: { pool: Pool; gpus: Gpu[] }) {
  const words = useWords();
  const { t } = words;
  const state = useConsolidation(pool.id);
  const acts = useConsolidate(pool);
  const [people, setPeople] = useState(1);
  // For how many the plan is shown; null: not asked for.
  const [asked, setAsked] = useState<number | null>(null);
  return (
    <section className="panel section" aria-label={t('whole.title')}>
      <h2>{t('whole.title')}</h2>
      <Text size="sm" c="dimmed" className="prose">
        {t('whole.why')}
      </Text>
      {state.isError && <ErrorLine error={state.error} retry={() => void state.refetch()} />}
      {state.data && <Underway state={state.data} gpus={gpus} pool={pool} acts={acts} />}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setAsked(people);
        }}
      >
        <Group align="end">
          <NumberInput
            label={t('whole.people_max')}
            value={people}
            onChange={(n) => setPeople(Math.max(1, Number(n) || 1))}
            min={1}
            max={10_000}
            allowDecimal={false}
            w={220}
          />
          <Button type="submit" variant="default">
            {t('whole.ask')}
          </Button>
        </Group>
      </form>
      {asked !== null && (
        <Planned people={asked} pool={pool} gpus={gpus} acts={acts} onDone={() => setAsked(null)} />
      )}
    </section>
  );
}
