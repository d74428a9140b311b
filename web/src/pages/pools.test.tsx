// SPDX-License-Identifier: Apache-2.0
// @vitest-environment jsdom
// The page of pools: rules, and cards made whole.
import { fireEvent, screen, waitFor } from '@testing-library/react';
import { afterEach, describe, expect, test } from 'vitest';
import { keys } from '../api/queries';
import type { ConsolidationPlan, ConsolidationState, Pool, PoolTrial } from '../api/types';
import { kGiB } from '../format';
import { wordsOf } from '../i18n';
import { leaveBrowser, playPortal, showPage, type Portal, type Sent } from '../pageTesting';
import { aGpu, aShare, list } from '../testing';
import { backWords } from './admin/MakeWhole';
import { afterMoves } from './admin/Moves';
import { changesOf, rulesOf, ruleWords } from './admin/PoolFields';
import Pools from './admin/Pools';

afterEach(leaveBrowser);

const trial: PoolTrial = {
  effects: [
    {
      effect: 'over_guaranteed',
      detail: '140% of Fast 24 0 are guaranteed',
      claim_id: 'clm_1',
      desktop_id: 'dsk_1',
      name: 'Training',
      owner: 'lina',
    },
  ],
  placement_in_force: 'tightest_card',
  placement_note: '',
  placement_made_at: null,
  largest_free_before_bytes: 9 * kGiB,
  largest_free_after_bytes: 14 * kGiB,
};

const pool: Pool = {
  id: 'shared',
  resource_version: 4,
  name: 'Shared cards',
  placement: 'tightest_card',
  placement_in_force: 'tightest_card',
  placement_note: '',
  placement_made_at: null,
  share_min_bytes: 512 << 20,
  share_step_bytes: 256 << 20,
  compute_overcommit_percent: 100,
  floor_cards: 0,
  ceiling_cards: 0,
  cards: { total: 4, in_service: 4, with_shares: 2, whole: 1, left_to_shares: 3 },
  bypass_rule: 'warn',
  bypass_slack_bytes: kGiB,
  strict_priority: false,
  preempt: 'never',
  notice_s: 300,
  last_change: {
    at: '2026-11-22T12:00:00Z',
    by: 'ada',
    former: { compute_overcommit_percent: 150, strict_priority: true },
  },
};

describe('Pools', () => {
  const portal: Portal = (path, init) => {
    if (path.endsWith('/consolidation')) return { body: { moves: [], can_undo: false } };
    if (init.method === 'PATCH') return { body: pool };
    return { body: path.startsWith('/v1/pools') ? list([pool]) : list([]) };
  };

  test('send what differs and nothing else', () => {
    const wish = { ...rulesOf(pool), bypass_rule: 'end' as const };
    expect(changesOf(pool, wish)).toEqual({ bypass_rule: 'end' });
    expect(changesOf(pool, rulesOf(pool))).toEqual({});
  });

  test('are tried out before they are saved', async () => {
    const sent = playPortal((path, init) =>
      path.endsWith('/dry-run') ? { body: trial } : portal(path, init),
    );
    showPage(<Pools />);
    fireEvent.click(await screen.findByRole('switch', { name: /^Strict priority/ }));
    fireEvent.click(screen.getByText('Try out'));
    await screen.findByText('is on a card that guarantees more');
    expect(screen.getByText('140% of Fast 24 0 are guaranteed')).toBeTruthy();
    expect(screen.getByText(/would be 14 GiB instead of 9 GiB/)).toBeTruthy();
    expect(sent.some((s) => s.init.method === 'PATCH')).toBe(false);
  });

  test('undo their last change with the values before it', async () => {
    const sent = playPortal(portal);
    showPage(<Pools />);
    await screen.findByText(/Before it: guarantees up to 150 %, strict priority on/);
    fireEvent.click(screen.getByText('Undo the change'));
    await waitFor(() => expect(sent.some((s) => s.init.method === 'PATCH')).toBe(true));
    const patch = sent.find((s) => s.init.method === 'PATCH');
    expect(JSON.parse(String(patch?.init.body))).toEqual(pool.last_change?.former);
    expect((patch?.init.headers as Headers).get('If-Match')).toBe('"4"');
  });

  test('bound how many cards carry shares, and say at the field what is wrong with it', async () => {
    const said = '3 cards are left to shares, so as many must be allowed to carry them.';
    const sent = playPortal((path, init) =>
      path.endsWith('/dry-run')
        ? {
            status: 422,
            body: { code: 'invalid_field', errors: [{ pointer: '/ceiling_cards', detail: said }] },
          }
        : portal(path, init),
    );
    showPage(<Pools />);
    expect((await screen.findByText(/^4 cards in service/)).textContent).toBe(
      '4 cards in service · 2 carry shares · 1 is given out whole',
    );
    fireEvent.change(screen.getByLabelText(/^Floor: /), { target: { value: '3' } });
    fireEvent.change(screen.getByLabelText(/^Ceiling: /), { target: { value: '2' } });
    fireEvent.click(screen.getByText('Try out'));
    await screen.findByText(said);
    expect(screen.getAllByText(said)).toHaveLength(1);
    const [trial] = sent.filter((s) => s.path.endsWith('/dry-run'));
    expect(JSON.parse(String(trial?.init.body))).toEqual({ floor_cards: 3, ceiling_cards: 2 });
    const words = { ...wordsOf('en'), chosen: null, choose: () => {} };
    expect(ruleWords('floor_cards', 0, words)).toBe('left to shares at least: no bound');
    expect(ruleWords('ceiling_cards', 1, words)).toBe('with shares at most: 1 card');
  });

  test('keep what is being changed when somebody else saves, and send only that', async () => {
    let now = pool;
    const sent = playPortal((path, init) =>
      path.startsWith('/v1/pools?') ? { body: list([now]) } : portal(path, init),
    );
    const client = showPage(<Pools />);
    fireEvent.click(await screen.findByRole('radio', { name: 'End' }));
    now = {
      ...pool,
      resource_version: 5,
      strict_priority: true,
      last_change: { at: '2026-11-23T12:00:00Z', by: 'kim', former: { strict_priority: false } },
    };
    await client.invalidateQueries({ queryKey: keys.pools });
    await screen.findByText(/kim has saved other changes meanwhile/);
    const strict = screen.getByRole('switch', { name: /^Strict priority/ });
    expect((strict as HTMLInputElement).checked).toBe(true);
    fireEvent.click(screen.getByText('Save'));
    await waitFor(() => expect(sent.some((s) => s.init.method === 'PATCH')).toBe(true));
    const patch = sent.find((s) => s.init.method === 'PATCH');
    expect(JSON.parse(String(patch?.init.body))).toEqual({ bypass_rule: 'end' });
    expect((patch?.init.headers as Headers).get('If-Match')).toBe('"5"');
  });
});

const cards = [
  aGpu({ id: 'gpu_0', index: 0, shares: [aShare('dsk_1', 'Training', 4)], held_bytes: 4 * kGiB }),
  aGpu({ id: 'gpu_1', index: 1, shares: [aShare('dsk_2', 'Big', 12)], held_bytes: 12 * kGiB }),
];
const move = {
  desktop_id: 'dsk_1',
  name: 'Training',
  owner: 'lina',
  memory_bytes: 4 * kGiB,
  from_gpu_ids: ['gpu_0'],
  to_gpu_ids: ['gpu_1'],
};
const plan: ConsolidationPlan = {
  moves: [move],
  freed_gpu_ids: ['gpu_0'],
  people: 1,
  memory_bytes: 4 * kGiB,
  withdrawn: 0,
  stay: 0,
  at: null,
};

describe('Making cards whole', () => {
  const nothing: ConsolidationPlan = { ...plan, moves: [], freed_gpu_ids: [], people: 0 };
  // A portal with `shown` as the plan and `state` as how the last one stands.
  function play(shown: ConsolidationPlan, state: ConsolidationState) {
    return playPortal((path, init) => {
      if (path.endsWith('/undo-consolidation')) {
        return { body: { ...nothing, withdrawn: 1 } };
      }
      if (path.endsWith('/consolidation')) {
        if (init.method !== 'POST') return { body: state };
        const { apply } = JSON.parse(String(init.body)) as { apply: boolean };
        return { body: apply ? { ...shown, at: '2026-11-23T12:05:00Z' } : shown };
      }
      if (path.startsWith('/v1/pools')) return { body: list([pool]) };
      return { body: path.startsWith('/v1/gpus') ? list(cards) : list([]) };
    });
  }
  const bodies = (sent: Sent[]) =>
    sent
      .filter((s) => s.init.method === 'POST' && s.path.endsWith('/consolidation'))
      .map((s) => JSON.parse(String(s.init.body)) as unknown);
  const idle: ConsolidationState = { moves: [], can_undo: false };

  test('says who would move where, for what gain, and does nothing before it is confirmed', async () => {
    const sent = play(plan, idle);
    showPage(<Pools />);
    fireEvent.change(await screen.findByLabelText('People disturbed, at most'), {
      target: { value: '3' },
    });
    fireEvent.click(screen.getByText('Show the plan'));
    await screen.findByText('1 card becomes whole');
    expect(screen.getByText(/^1 person is disturbed · 1 desktop with 4 GiB/)).toBeTruthy();
    const row = document.querySelector('[data-move="Training"]');
    expect(row?.textContent).toContain('atlas 0');
    expect(row?.textContent).toContain('atlas 1');
    fireEvent.click(screen.getByText('Move 1 desktop…'));
    await screen.findByText(/^1 person is told now; the restart comes 5 minutes later/);
    expect(bodies(sent)).toEqual([{ people_max: 3, apply: false }]);
    fireEvent.click(screen.getByText('Tell them and move'));
    await waitFor(() => expect(bodies(sent)).toContainEqual({ people_max: 3, apply: true }));
  });

  test('says that there is nothing to gain', async () => {
    play(nothing, idle);
    showPage(<Pools />);
    fireEvent.click(await screen.findByText('Show the plan'));
    await screen.findByText(/^Nothing to gain: no card becomes whole with 1 person disturbed/);
    expect(screen.queryByText(/^Move /)).toBeNull();
  });

  test('what is announced is called off at once; what is done only after a question', async () => {
    const coming = { ...move, done: false, back: false, at: '2100-01-01T00:00:00Z' };
    let sent = play(plan, { moves: [coming], can_undo: true });
    showPage(<Pools />);
    await screen.findByText(/^told, moves /);
    fireEvent.click(screen.getByText('Take it back'));
    const undone = () => sent.some((s) => s.path.endsWith('/undo-consolidation'));
    await waitFor(() => expect(undone()).toBe(true));
    leaveBrowser();

    sent = play(plan, { moves: [{ ...coming, done: true, at: null }], can_undo: true });
    showPage(<Pools />);
    await screen.findByText('moved');
    fireEvent.click(screen.getByText('Take it back…'));
    await screen.findByText(/restarted where they were 5 minutes later/);
    expect(undone()).toBe(false);
    fireEvent.click(screen.getByText('Take it back', { selector: 'button *' }));
    await waitFor(() => expect(undone()).toBe(true));
  });

  test('shows a way back without offering to take that back', async () => {
    const back = { ...move, done: false, back: true, at: '2100-01-01T00:00:00Z' };
    play(plan, { moves: [back], can_undo: false });
    showPage(<Pools />);
    await screen.findByText(/^told, moves back /);
    expect(screen.queryByText(/^Take it back/)).toBeNull();
  });

  test('draws the cards as they would be', () => {
    const [from, to] = cards.map((card) => afterMoves(card, [move]));
    expect(from?.shares).toEqual([]);
    expect(from?.held_bytes).toBe(0);
    expect(to?.shares.map((share) => share.name)).toEqual(['Big', 'Training']);
    expect(to?.held_bytes).toBe(16 * kGiB);
  });

  test('says what came of taking back', () => {
    const words = wordsOf('en');
    expect(backWords({ ...plan, withdrawn: 2, stay: 1 }, words)).toBe(
      '2 moves are called off · 1 desktop moves back · 1 stays: its former card has no room any more',
    );
  });
});
