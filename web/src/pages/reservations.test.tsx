// SPDX-License-Identifier: Apache-2.0
// @vitest-environment jsdom
import { fireEvent, screen, waitFor } from '@testing-library/react';
import { afterEach, describe, expect, test } from 'vitest';
import { Notifications } from '@mantine/notifications';
import type { Reservation, ReservationTrial, Team } from '../api/types';
import { kGiB } from '../format';
import { wordsOf } from '../i18n';
import { leaveBrowser, playPortal, showPage, type Sent } from '../pageTesting';
import { aGpu, list } from '../testing';
import { bodyOf, firstWish, localText, timeFault } from './admin/ReservationForm';
import Reservations, { cardsWords, phaseOf } from './admin/Reservations';

afterEach(leaveBrowser);

const team: Team = {
  id: 'tem_1',
  resource_version: 2,
  name: 'course',
  memory_guaranteed_bytes: 0,
  memory_max_bytes: 0,
  memory_held_bytes: 0,
  members: 3,
  created_at: '2026-11-01T00:00:00Z',
};

const hours = (n: number) => new Date(Date.now() + n * 3_600_000).toISOString();

function aReservation(part: Partial<Reservation> = {}): Reservation {
  return {
    id: 'rsv_1',
    resource_version: 7,
    name: 'Deep learning',
    team_id: 'tem_1',
    team: 'course',
    pool_id: null,
    model: null,
    count: 2,
    memory_bytes: 0,
    room: 1,
    starts_at: hours(-1),
    ends_at: hours(2),
    created_at: hours(-2),
    ...part,
  };
}

const trial: ReservationTrial = {
  room: 1,
  cards: 2,
  holders: [
    {
      claim_id: 'clm_1',
      desktop_id: 'dsk_1',
      name: 'Training',
      owner: 'lina',
      gpu_id: 'gpu_0',
      memory_bytes: 8 * kGiB,
      ends_at: null,
    },
  ],
};

function play(reservations: Reservation[], teams: Team[] = [team], said = trial): Sent[] {
  return playPortal((path, init) => {
    if (path === '/v1/reservation-trials') return { body: said };
    if (init.method === 'DELETE') return { body: '' };
    if (init.method === 'POST') return { status: 201, body: aReservation() };
    if (path.startsWith('/v1/reservations')) return { body: list(reservations) };
    if (path.startsWith('/v1/teams')) return { body: list(teams) };
    return { body: path.startsWith('/v1/gpus') ? list([aGpu()]) : list([]) };
  });
}

const show = () =>
  showPage(
    <>
      <Notifications />
      <Reservations />
    </>,
  );

const sentTo = (sent: Sent[], method: string, path: string) =>
  sent.filter((s) => s.init.method === method && s.path === path);
const bodiesTo = (sent: Sent[], path: string) =>
  sentTo(sent, 'POST', path).map((s) => JSON.parse(String(s.init.body)) as Record<string, unknown>);

describe('Reservations', () => {
  test('stand under now, coming and over, with what the team could have', async () => {
    play([
      aReservation({ id: 'a', name: 'Running' }),
      aReservation({ id: 'b', name: 'Later', room: 2, starts_at: hours(3), ends_at: hours(4) }),
      aReservation({ id: 'c', name: 'Past', starts_at: hours(-4), ends_at: hours(-3) }),
    ]);
    show();
    const inside = async (title: string) =>
      (await screen.findByRole('region', { name: title })).textContent;
    expect(await inside('Now')).toMatch(/Running.*course.*2 whole cards.*ends in.*1 of 2/);
    expect(await inside('Coming')).toMatch(/Later.*starts in.*2 of 2/);
    expect(await inside('Over')).toMatch(/Past/);
    expect(await inside('Over')).not.toMatch(/of 2/);
  });

  test('change their place with the time', () => {
    const one = aReservation({
      starts_at: '2026-11-23T10:00:00Z',
      ends_at: '2026-11-23T12:00:00Z',
    });
    const at = (time: string) => phaseOf(one, Date.parse(`2026-11-23T${time}Z`));
    expect([at('09:59:59'), at('10:00:00'), at('11:59:59'), at('12:00:00')]).toEqual([
      'coming',
      'now',
      'now',
      'over',
    ]);
  });

  test('say how much of how many cards', () => {
    const words = wordsOf('en');
    expect(cardsWords(aReservation({ count: 1 }), words)).toBe('1 whole card');
    expect(cardsWords(aReservation({ memory_bytes: 8 * kGiB, model: 'L4' }), words)).toBe(
      '8 GiB on each of 2 cards · L4',
    );
  });

  test('are given back at once, and made again by Undo', async () => {
    const one = aReservation();
    const sent = play([one]);
    show();
    fireEvent.click(await screen.findByText('Give back'));
    await waitFor(() => expect(sentTo(sent, 'DELETE', '/v1/reservations/rsv_1')).toHaveLength(1));
    const [removal] = sentTo(sent, 'DELETE', '/v1/reservations/rsv_1');
    expect((removal?.init.headers as Headers).get('If-Match')).toBe('"7"');
    fireEvent.click(await screen.findByText('Undo'));
    await waitFor(() => expect(bodiesTo(sent, '/v1/reservations')).toHaveLength(1));
    expect(bodiesTo(sent, '/v1/reservations')[0]).toEqual({
      name: 'Deep learning',
      team_id: 'tem_1',
      pool_id: null,
      model: null,
      count: 2,
      memory_bytes: 0,
      starts_at: one.starts_at,
      ends_at: one.ends_at,
    });
  });

  test('need a team first', async () => {
    play([], []);
    show();
    await screen.findByText(/there is none yet/);
    const add = screen.getByText('Reserve cards').closest('button');
    expect(add?.disabled).toBe(true);
  });

  test('say that there are none, and why the list cannot be read', async () => {
    play([]);
    show();
    await screen.findByText(/^Nothing is reserved/);
    leaveBrowser();
    playPortal(() => ({ status: 503, body: { code: 'unavailable', detail: 'No store.' } }));
    show();
    await screen.findByText('No store.');
    expect(screen.getByText('Retry')).toBeTruthy();
  });

  test('are tried while they are written: who is in the way, before anything is made', async () => {
    const sent = play([]);
    show();
    await screen.findByText(/^Nothing is reserved/);
    fireEvent.click(screen.getByText('Reserve cards'));
    fireEvent.change(await screen.findByLabelText('How many cards'), { target: { value: '2' } });
    await screen.findByText('The team could have 1 of 2.');
    expect(screen.getByText('Training').closest('tr')?.textContent).toContain('no end set');
    expect(bodiesTo(sent, '/v1/reservation-trials').at(-1)).toMatchObject({
      team_id: 'tem_1',
      count: 2,
      memory_bytes: 0,
    });
    expect(bodiesTo(sent, '/v1/reservations')).toEqual([]);
    fireEvent.change(screen.getByLabelText('What for'), { target: { value: 'Course' } });
    fireEvent.click(screen.getByText('Reserve'));
    await screen.findByText('Deep learning is reserved for course');
    expect(bodiesTo(sent, '/v1/reservations')[0]).toMatchObject({ name: 'Course', count: 2 });
  });
});

describe('Wish for a reservation', () => {
  const now = new Date(2026, 10, 23, 13, 20);
  const wish = firstWish([team], now);

  test('begins with the next full hour, in the reader’s time', () => {
    expect([wish.from, wish.until]).toEqual(['2026-11-23T14:00', '2026-11-23T18:00']);
    expect(bodyOf(wish).starts_at).toBe(new Date(2026, 10, 23, 14).toISOString());
    expect(localText(new Date(2026, 0, 2, 3, 4))).toBe('2026-01-02T03:04');
  });

  test('says what is wrong with its times', () => {
    expect(timeFault(wish, now)).toBeNull();
    expect(timeFault({ ...wish, from: '' }, now)).toBe('needed');
    expect(timeFault({ ...wish, until: '12026-01-01T00:00' }, now)).toBe('needed');
    expect(timeFault({ ...wish, until: wish.from }, now)).toBe('reserve.ends_first');
    const over = { ...wish, from: '2026-11-23T10:00', until: '2026-11-23T13:20' };
    expect(timeFault(over, now)).toBe('reserve.ends_past');
  });
});
