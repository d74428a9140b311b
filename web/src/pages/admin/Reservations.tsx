// SPDX-License-Identifier: Apache-2.0
// What is kept for teams: now, later, and what is over since yesterday.
import { Button, Group, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Link } from 'react-router';
import { call, newKey } from '../../api/client';
import { keys, useReservations, useTeams } from '../../api/queries';
import type { Reservation, ReservationCreate } from '../../api/types';
import { fullTime, memory, relative } from '../../format';
import { useWords, type Words } from '../../i18n';
import { IconAlertTriangle, IconCheck, IconPlus } from '../../parts/icons';
import { useNow } from '../../parts/now';
import { Rows } from '../../parts/Rows';
import { ErrorLine, PageHead, useSayError, Waiting } from '../../parts/Say';
import { useSayDone } from '../../parts/undo';
import { ReservationForm } from './ReservationForm';

export type Phase = 'now' | 'coming' | 'over';
const phases: Phase[] = ['now', 'coming', 'over'];

export function phaseOf({ starts_at, ends_at }: Reservation, now: number): Phase {
  if (Date.parse(ends_at) <= now) return 'over';
  return Date.parse(starts_at) <= now ? 'now' : 'coming';
}

// "2 whole cards", "8 GiB on each of 2 cards · NVIDIA L4".
export function cardsWords(one: Reservation, { tn }: Pick<Words, 'tn'>): string {
  const cards =
    one.memory_bytes === 0
      ? tn('reserve.whole', one.count)
      : tn('reserve.part', one.count, { memory: memory(one.memory_bytes) });
  return [cards, one.model].filter(Boolean).join(' · ');
}

// "23 Nov, 14:00 – 18:00".
function spanWords(one: Reservation, { language }: Words): string {
  return new Intl.DateTimeFormat(language, {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatRange(new Date(one.starts_at), new Date(one.ends_at));
}

// The same once more, after it was given back.
function againOf(one: Reservation): ReservationCreate {
  const { name, team_id, pool_id, model, count, memory_bytes, starts_at, ends_at } = one;
  return { name, team_id, pool_id, model, count, memory_bytes, starts_at, ends_at };
}

function useGiveBack() {
  const { t } = useWords();
  const client = useQueryClient();
  const sayError = useSayError();
  const sayDone = useSayDone();
  const refresh = () => client.invalidateQueries({ queryKey: keys.reservations });
  const make = (one: Reservation) =>
    call<Reservation>('/v1/reservations', {
      method: 'POST',
      body: againOf(one),
      idempotencyKey: newKey(),
    }).finally(refresh);
  const remove = (one: Reservation) =>
    call<void>(`/v1/reservations/${one.id}`, {
      method: 'DELETE',
      version: one.resource_version,
    }).finally(refresh);
  const giveBack = useMutation({
    mutationFn: remove,
    onSuccess: (_, one) => sayDone(t('reserve.given_back', { name: one.name }), () => make(one)),
    onError: sayError,
  });
  // What is over holds nothing any more, so there is nothing to take back.
  const forget = useMutation({ mutationFn: remove, onError: sayError });
  const sayMade = (one: Reservation) =>
    sayDone(t('reserve.made', { name: one.name, team: one.team }), () => remove(one));
  return { giveBack, forget, sayMade };
}

function Room({ one }: { one: Reservation }) {
  const { t } = useWords();
  const all = one.room >= one.count;
  const Icon = all ? IconCheck : IconAlertTriangle;
  return (
    <span className={`state ${all ? 'good' : 'warn'}`} title={all ? undefined : t('reserve.less')}>
      <Icon size={16} />
      {t('reserve.room', { room: one.room, count: one.count })}
    </span>
  );
}

function Phased(props: {
  phase: Phase;
  list: Reservation[];
  now: number;
  acts: ReturnType<typeof useGiveBack>;
}) {
  const words = useWords();
  const { t, language } = words;
  const { phase, list, now, acts } = props;
  if (list.length === 0) return null;
  const over = phase === 'over';
  const act = over ? acts.forget : acts.giveBack;
  return (
    <section aria-label={t(`reserve.phase.${phase}`)} className="reserved">
      <h2>{t(`reserve.phase.${phase}`)}</h2>
      {over && (
        <Text size="sm" c="dimmed" mb="xs">
          {t('reserve.over_why')}
        </Text>
      )}
      <Rows
        label={t(`reserve.phase.${phase}`)}
        head={[
          t('reserve.name'),
          t('reserve.cards'),
          t('reserve.when'),
          ...(over ? [] : [t('reserve.could')]),
          '',
        ]}
      >
        {list.map((one) => (
          <tr key={one.id} tabIndex={0} data-reservation={one.name}>
            <td>
              <strong>{one.name}</strong>
              <Text size="xs" c="dimmed">
                {one.team}
              </Text>
            </td>
            <td>{cardsWords(one, words)}</td>
            <td title={`${fullTime(one.starts_at, language)} – ${fullTime(one.ends_at, language)}`}>
              {spanWords(one, words)}
              {!over && (
                <Text size="xs" c="dimmed">
                  {t(phase === 'now' ? 'reserve.ends_in' : 'reserve.starts_in', {
                    when: relative(phase === 'now' ? one.ends_at : one.starts_at, language, now),
                  })}
                </Text>
              )}
            </td>
            {!over && (
              <td>
                <Room one={one} />
              </td>
            )}
            <td>
              <Group justify="flex-end">
                <Button
                  size="compact-sm"
                  variant="default"
                  loading={act.isPending && act.variables.id === one.id}
                  onClick={() => act.mutate(one)}
                >
                  {t(over ? 'reserve.forget' : 'reserve.give_back')}
                </Button>
              </Group>
            </td>
          </tr>
        ))}
      </Rows>
    </section>
  );
}

export default function Reservations() {
  const { t } = useWords();
  const reservations = useReservations();
  const teams = useTeams();
  const now = useNow(10_000);
  const acts = useGiveBack();
  const [adding, setAdding] = useState(false);
  const list = [...(reservations.data ?? [])].sort(
    (a, b) => a.starts_at.localeCompare(b.starts_at) || a.id.localeCompare(b.id),
  );
  const noTeam = teams.data?.length === 0;
  const failed = reservations.error ?? teams.error;
  const retry = () => void Promise.all([reservations.refetch(), teams.refetch()]);
  return (
    <>
      <PageHead title={t('nav.reservations')}>
        <Button
          leftSection={<IconPlus size={16} />}
          disabled={!teams.data || noTeam}
          onClick={() => setAdding(true)}
        >
          {t('reserve.add')}
        </Button>
      </PageHead>
      <Text size="sm" c="dimmed" mb="md" className="prose">
        {t('reserve.why')}
      </Text>
      {(reservations.isPending || teams.isPending) && !failed && <Waiting />}
      {failed && <ErrorLine error={failed} retry={retry} />}
      {reservations.data?.length === 0 && !noTeam && <p className="quiet">{t('reserve.none')}</p>}
      {noTeam && (
        <Group>
          <Text size="sm">{t('reserve.no_team')}</Text>
          <Button size="compact-sm" variant="default" component={Link} to="/users">
            {t('reserve.to_teams')}
          </Button>
        </Group>
      )}
      {phases.map((phase) => (
        <Phased
          key={phase}
          phase={phase}
          list={list.filter((one) => phaseOf(one, now) === phase)}
          now={now}
          acts={acts}
        />
      ))}
      {adding && teams.data && (
        <ReservationForm
          teams={teams.data}
          onClose={() => setAdding(false)}
          onMade={acts.sayMade}
        />
      )}
    </>
  );
}
