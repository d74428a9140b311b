// SPDX-License-Identifier: Apache-2.0
// Cards kept for a team: what is wished, and what the team could have of it as things stand, worked
// out by the portal before anything is made.
import { Loader, NumberInput, Radio, Select, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { ApiError, call, newKey } from '../../api/client';
import { keys, useGpus, usePools } from '../../api/queries';
import type { Reservation, ReservationCreate, ReservationTrial, Team } from '../../api/types';
import { clock, kGiB, memory } from '../../format';
import { useWords } from '../../i18n';
import { cardName } from '../../parts/desktop';
import { Failure, FormDialog } from '../../parts/FormDialog';
import { IconAlertTriangle, IconCheck } from '../../parts/icons';
import { Rows } from '../../parts/Rows';
import { fieldSaid } from '../../parts/Say';

export interface Wish {
  name: string;
  teamId: string;
  count: number;
  // 0: the whole card.
  memoryGib: number;
  model: string;
  poolId: string;
  // As the browser's own field has them: the reader's time, "2026-11-23T14:00".
  from: string;
  until: string;
}

const localTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;

// A time as the browser's own field for it wants it.
export function localText(time: Date): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day}T${two(time.getHours())}:${two(time.getMinutes())}`;
}

// Four hours from the next full one on.
export function firstWish(teams: Team[], now: Date): Wish {
  const from = new Date(now);
  from.setHours(from.getHours() + 1, 0, 0, 0);
  const until = new Date(from);
  until.setHours(until.getHours() + 4);
  return {
    name: '',
    teamId: teams.length === 1 ? (teams[0]?.id ?? '') : '',
    count: 1,
    memoryGib: 0,
    model: '',
    poolId: '',
    from: localText(from),
    until: localText(until),
  };
}

export type TimeFault = 'needed' | 'reserve.ends_first' | 'reserve.ends_past' | null;

export function timeFault({ from, until }: Wish, now: Date): TimeFault {
  if (!localTime.test(from) || !localTime.test(until)) return 'needed';
  if (new Date(until) <= new Date(from)) return 'reserve.ends_first';
  return new Date(until) <= now ? 'reserve.ends_past' : null;
}

// Requires: timeFault() is null.
export function bodyOf(wish: Wish): ReservationCreate {
  return {
    name: wish.name.trim(),
    team_id: wish.teamId,
    pool_id: wish.poolId || null,
    model: wish.model || null,
    count: wish.count,
    memory_bytes: Math.round(wish.memoryGib * kGiB),
    starts_at: new Date(wish.from).toISOString(),
    ends_at: new Date(wish.until).toISOString(),
  };
}

function Holders({ list }: { list: ReservationTrial['holders'] }) {
  const { t, language } = useWords();
  const gpus = useGpus();
  return (
    <Rows
      label={t('reserve.holders')}
      head={[t('pools.name'), t('pools.whose'), t('explain.card'), t('reserve.ends')]}
    >
      {list.map((one) => (
        <tr key={`${one.claim_id} ${one.gpu_id}`} tabIndex={0}>
          <td>{one.name}</td>
          <td>{one.owner}</td>
          <td>
            {cardName(one.gpu_id, gpus.data ?? [])} · {memory(one.memory_bytes)}
          </td>
          <td className="nowrap">
            {one.ends_at ? clock(one.ends_at, language) : t('reserve.no_end')}
          </td>
        </tr>
      ))}
    </Rows>
  );
}

// `late`: what is asked has changed since `body`.
function Trial({ body, late }: { body: ReservationCreate; late: boolean }) {
  const { t, tn } = useWords();
  const trial = useQuery({
    queryKey: ['reservations', 'trial', body],
    queryFn: ({ signal }) =>
      call<ReservationTrial>('/v1/reservation-trials', { method: 'POST', body, signal }),
    placeholderData: keepPreviousData,
    retry: false,
  });
  const { count } = body;
  const all = trial.data && trial.data.room >= count;
  const Icon = all ? IconCheck : IconAlertTriangle;
  const busy = late || trial.isPlaceholderData;
  return (
    <section
      aria-label={t('reserve.trial')}
      aria-live="polite"
      aria-busy={busy}
      className="explained"
    >
      <h3>{t('reserve.trial')}</h3>
      {trial.isPending && (
        <Text size="sm" c="dimmed">
          {t('say.loading')}
        </Text>
      )}
      <Failure error={trial.error} />
      {trial.data && !trial.isError && (
        <>
          <div className={`reason ${all ? 'good' : 'warn'}`}>
            {busy ? <Loader size={16} color="gray" aria-hidden /> : <Icon size={16} />}
            <span>
              {all
                ? tn('reserve.trial_all', count)
                : trial.data.cards < count
                  ? tn('reserve.trial_few', trial.data.cards, { room: trial.data.room })
                  : t('reserve.trial_some', { room: trial.data.room, count })}
            </span>
          </div>
          {!all && trial.data.holders.length > 0 && (
            <>
              <Text size="sm">{t('reserve.holders_why')}</Text>
              <Holders list={trial.data.holders} />
            </>
          )}
        </>
      )}
    </section>
  );
}

type Set = (part: Partial<Wish>) => void;

// One of the options, or any.
function Choice(props: {
  label: string;
  options: [value: string, label: string][];
  value: string;
  set: (value: string) => void;
}) {
  const { t } = useWords();
  return (
    <Select
      label={props.label}
      data={[['', t('reserve.any')], ...props.options].map(([value = '', label = '']) => ({
        value,
        label,
      }))}
      value={props.value}
      onChange={(value) => props.set(value ?? '')}
      allowDeselect={false}
    />
  );
}

function CardFields({ wish, set, error }: { wish: Wish; set: Set; error: ApiError | null }) {
  const words = useWords();
  const { t } = words;
  const gpus = useGpus();
  const pools = usePools();
  const models = [...new Set((gpus.data ?? []).map((gpu) => gpu.model))].sort();
  const largest = Math.max(kGiB, ...(gpus.data ?? []).map((gpu) => gpu.memory_bytes)) / kGiB;
  return (
    <>
      <div className="field-pair">
        <NumberInput
          label={t('reserve.count')}
          value={wish.count}
          onChange={(n) => set({ count: Math.max(1, Number(n) || 1) })}
          error={fieldSaid(error, '/count', words)}
          min={1}
          max={100_000}
          allowDecimal={false}
        />
        {models.length > 1 && (
          <Choice
            label={t('reserve.model')}
            options={models.map((model) => [model, model])}
            value={wish.model}
            set={(model) => set({ model })}
          />
        )}
        {pools.data && pools.data.length > 1 && (
          <Choice
            label={t('reserve.pool')}
            options={pools.data.map((pool) => [pool.id, pool.name])}
            value={wish.poolId}
            set={(poolId) => set({ poolId })}
          />
        )}
      </div>
      <div className="field-pair">
        <Radio.Group
          label={t('reserve.of_each')}
          value={wish.memoryGib > 0 ? 'part' : 'whole'}
          onChange={(what) => set({ memoryGib: what === 'whole' ? 0 : Math.min(8, largest) })}
        >
          <Stack gap="xs" mt="xs">
            <Radio value="whole" label={t('reserve.of_each.whole')} />
            <Radio value="part" label={t('reserve.of_each.part')} />
          </Stack>
        </Radio.Group>
        {wish.memoryGib > 0 && (
          <NumberInput
            label={t('reserve.memory')}
            value={wish.memoryGib}
            onChange={(gib) => Number(gib) > 0 && set({ memoryGib: Number(gib) })}
            error={fieldSaid(error, '/memory_bytes', words)}
            min={0.5}
            max={largest}
            decimalScale={2}
            clampBehavior="blur"
            suffix=" GiB"
          />
        )}
      </div>
    </>
  );
}

function TimeFields(props: { wish: Wish; set: Set; fault: TimeFault; error: ApiError | null }) {
  const words = useWords();
  const { t } = words;
  const { wish, set, fault, error } = props;
  const said = fault && t(fault === 'needed' ? 'say.needed' : fault);
  const common = { type: 'datetime-local', max: '9999-12-31T23:59', required: true };
  return (
    <div>
      <div className="field-pair">
        <TextInput
          {...common}
          label={t('reserve.from')}
          value={wish.from}
          onChange={(e) => set({ from: e.currentTarget.value })}
          error={fieldSaid(error, '/starts_at', words)}
          withAsterisk={false}
        />
        <TextInput
          {...common}
          label={t('reserve.until')}
          value={wish.until}
          onChange={(e) => set({ until: e.currentTarget.value })}
          error={said ?? fieldSaid(error, '/ends_at', words)}
          withAsterisk={false}
        />
      </div>
      <Text size="xs" c="dimmed" mt={4}>
        {t('reserve.zone', { zone: Intl.DateTimeFormat().resolvedOptions().timeZone })}
      </Text>
    </div>
  );
}

const pointers = ['/name', '/team_id', '/count', '/memory_bytes', '/starts_at', '/ends_at'];

export function ReservationForm(props: {
  teams: Team[];
  onClose: () => void;
  onMade: (made: Reservation) => void;
}) {
  const words = useWords();
  const { t } = words;
  const client = useQueryClient();
  const [key] = useState(newKey);
  const [wish, setWish] = useState(() => firstWish(props.teams, new Date()));
  const set: Set = (part) => setWish((old) => ({ ...old, ...part }));
  const make = useMutation({
    mutationFn: () =>
      call<Reservation>('/v1/reservations', {
        method: 'POST',
        body: bodyOf(wish),
        idempotencyKey: key,
      }),
    onSuccess: (made) => {
      void client.invalidateQueries({ queryKey: keys.reservations });
      props.onMade(made);
      props.onClose();
    },
  });
  const error = make.error instanceof ApiError ? make.error : null;
  const fault = timeFault(wish, new Date());
  const team = props.teams.find(({ id }) => id === wish.teamId);
  // What it is for does not change what the team could have.
  const asked = fault === null && team ? JSON.stringify({ ...bodyOf(wish), name: '-' }) : '';
  const [settled] = useDebouncedValue(asked, 300);
  return (
    <FormDialog
      title={t('reserve.title')}
      go={t('reserve.go')}
      onGo={() => make.mutate()}
      onClose={props.onClose}
      wide
      ready={fault === null && team !== undefined && wish.name.trim() !== ''}
      busy={make.isPending}
      error={pointers.some((pointer) => error?.field(pointer)) ? null : make.error}
    >
      <div className="field-pair">
        <TextInput
          label={t('reserve.name')}
          placeholder={t('reserve.name_like')}
          value={wish.name}
          onChange={(e) => set({ name: e.currentTarget.value })}
          error={fieldSaid(error, '/name', words)}
          maxLength={64}
          data-autofocus
        />
        <Select
          label={t('teams.name')}
          data={props.teams.map(({ id, name }) => ({ value: id, label: name }))}
          value={wish.teamId || null}
          onChange={(teamId) => set({ teamId: teamId ?? '' })}
          error={fieldSaid(error, '/team_id', words)}
          placeholder={t('reserve.choose_team')}
        />
      </div>
      <CardFields wish={wish} set={set} error={error} />
      <TimeFields wish={wish} set={set} fault={fault} error={error} />
      {asked !== '' && settled !== '' && (
        <Trial body={JSON.parse(settled) as ReservationCreate} late={settled !== asked} />
      )}
    </FormDialog>
  );
}
