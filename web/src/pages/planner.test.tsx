// SPDX-License-Identifier: Apache-2.0
// @vitest-environment jsdom
import { fireEvent, screen, waitFor } from '@testing-library/react';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Plan, PlanRun } from '../api/types';
import { kGiB } from '../format';
import { leaveBrowser, playPortal, showPage } from '../pageTesting';
import Planner, { planQuery } from './admin/Planner';

// It draws, which this document cannot.
vi.mock('../parts/PlanChart', () => ({ PlanChart: () => null }));

afterEach(leaveBrowser);

const wait = { claims: 60, waited: 7, mean: 12, p50: 0, p95: 90, p99: 300, max: 400 };
const run: PlanRun = {
  fleet: { text: '2x24GiB', machines: 1, cards: 2, memory_bytes: 48 * kGiB },
  rules: { policy: 'tightest_card', overcommit_pct: 100, preempt: 'never' },
  claims: 60,
  starts: 60,
  starts_again: 0,
  gave_way: 0,
  refused: 0,
  refused_why: [],
  cut_short: false,
  wait_s: wait,
  wait_by_size_s: [{ ...wait, size: '8 GiB' }],
  longest_queue: 3,
  gpu_hours_held: 100,
  gpu_hours_lost: 2,
  utilisation_pct: 61.5,
  offered_pct: 70,
  hours: 340,
  cost: null,
  points: [],
};
const plan: Plan = {
  history: {
    claims: 60,
    never_held: 0,
    from: '2026-11-01T00:00:00Z',
    until: '2026-11-15T00:00:00Z',
    days: 14,
    days_needed: 14,
    days_missing: 0,
    claims_needed: 50,
    claims_missing: 0,
    enough: true,
    why: '',
    wait_s: wait,
  },
  load: {
    text: '',
    synthetic: false,
    claims: 60,
    any_card: 0,
    ended_by_idle: 0,
    in_parts: 2,
    reservations: 1,
  },
  today: run,
  planned: {
    ...run,
    wait_s: { ...wait, p95: 5 },
    rules: { ...run.rules, overcommit_pct: 150 },
  },
};

describe('Planner', () => {
  test('asks only for what is other than it is', () => {
    const as = {
      fleet: ' 4x24GiB, 2x80GiB@1.20 ',
      shareGib: 0.5,
      idleS: '900',
      policy: 'fgd',
      overcommit: 150,
      preempt: 'borrowed',
      growth: 150,
      price: 1.25,
      synthetic: true,
    };
    expect(Object.fromEntries(new URLSearchParams(planQuery(as)))).toEqual({
      fleet: '4x24GiB,2x80GiB@1.20',
      share_bytes: String(kGiB / 2),
      idle_s: '900',
      policy: 'fgd',
      overcommit_pct: '150',
      preempt: 'borrowed',
      growth_pct: '150',
      price: '1.25',
      synthetic: 'true',
    });
    const nothing = { fleet: '', shareGib: 0, idleS: '', policy: '', growth: 100, price: 0 };
    const rules = { overcommit: 0, preempt: '' };
    expect(planQuery({ ...nothing, ...rules, synthetic: false })).toBe('');
  });

  test('shows the figures of both side by side', async () => {
    playPortal(() => ({ body: plan }));
    showPage(<Planner />);
    const row = (await screen.findByText('Wait, 95 of 100 within')).closest('tr');
    expect([...(row?.querySelectorAll('td') ?? [])].map((c) => c.textContent).slice(1)).toEqual([
      '1 min 30 s',
      '5.0 s',
    ]);
    expect(screen.getByText('60 claims are played.')).toBeTruthy();
    expect(screen.getByText('2 ask for several parts; each starts with all of them')).toBeTruthy();
    expect(screen.getByText('Reservations that were in force and are played: 1')).toBeTruthy();
    expect(screen.getByText('150 %')).toBeTruthy();
    expect(screen.queryByText('synthetic load')).toBeNull();
  });

  test('says how much history is missing and labels a load that is drawn', async () => {
    const history = { ...plan.history, enough: false, days_missing: 11.5, claims_missing: 1 };
    const sent = playPortal((path) => {
      const drawn = path.includes('synthetic=true');
      const load = { ...plan.load, synthetic: drawn };
      return {
        body: { history, load, today: drawn ? run : null, planned: drawn ? run : null },
      };
    });
    showPage(<Planner />);
    await screen.findByText('Too little history');
    expect(screen.getByText(/11.5 days missing · 1 claim missing/)).toBeTruthy();
    fireEvent.click(screen.getByRole('switch', { name: /^Synthetic load/ }));
    fireEvent.click(screen.getByText('Play'));
    await screen.findByText('synthetic load');
    expect(sent.at(-1)?.path).toBe('/v1/plan?synthetic=true');
  });

  test('says why a question cannot be played, and tries again', async () => {
    let busy = true;
    playPortal(() =>
      busy
        ? { status: 503, body: { code: 'unavailable', detail: 'The planner works.', title: '' } }
        : { body: plan },
    );
    showPage(<Planner />);
    await screen.findByText('The planner works.');
    busy = false;
    fireEvent.click(screen.getByText('Retry'));
    await waitFor(() => expect(screen.queryByText('The planner works.')).toBeNull());
    await screen.findByText('Longest queue');
  });
});
