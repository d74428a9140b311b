// SPDX-License-Identifier: Apache-2.0
// @vitest-environment jsdom
import { fireEvent, screen, waitFor } from '@testing-library/react';
import { afterEach, describe, expect, test } from 'vitest';
import type { Explanation, Offer, Pool } from '../api/types';
import { kGiB } from '../format';
import { wordsOf } from '../i18n';
import { alternativeWords, Explained } from '../parts/Explained';
import { aDesktop } from '../testing';
import { leaveBrowser, playPortal, showPage, type Portal } from '../pageTesting';
import Pools, { changesOf, rulesOf } from './admin/Pools';
import { otherModel } from './NewDesktop';

afterEach(leaveBrowser);

const why: Explanation = {
  answer: 'waits',
  reason: 'needs 8 GiB on one card; largest free: 6 GiB',
  summary: '2 cards: 1 too little memory (largest free 6 GiB), 1 cordoned',
  cards: [
    {
      gpu_id: 'a',
      node: 'atlas',
      index: 0,
      model: 'Fast 24',
      simulated: true,
      fits: false,
      words: 'too little memory (6 GiB free)',
    },
  ],
  alternatives: [
    {
      words: '6 GiB',
      keeps_place: true,
      gpu: {
        memory_bytes: 6 * kGiB,
        model: null,
        guarantee_percent: 0,
        cap_percent: 0,
        priority: 0,
      },
    },
  ],
};
const queued = aDesktop({ state: 'queued', reason: why.reason });

describe('A desktop that waits', () => {
  test('says what all cards and each of them say', async () => {
    playPortal(() => ({ body: why }));
    showPage(<Explained desktop={queued} />);
    await screen.findByText(why.summary);
    fireEvent.click(screen.getByText('Card by card'));
    expect(screen.getByText('Fast 24 · simulated · atlas 0')).toBeTruthy();
    expect(screen.getByText('Too little memory (6 GiB free)')).toBeTruthy();
  });

  test('takes an alternative with one click, again on the newest version', async () => {
    let version = 12;
    const portal: Portal = (path, init) => {
      if (path.endsWith('/explanation')) return { body: why };
      if (init.method === 'GET') return { body: { ...queued, resource_version: version } };
      const match = (init.headers as Headers).get('If-Match');
      if (match !== `"${version}"`) return { status: 412, body: { code: 'stale_version' } };
      version = 13;
      return { body: { ...queued, resource_version: 13 } };
    };
    const sent = playPortal(portal);
    showPage(<Explained desktop={queued} />);
    fireEvent.click(await screen.findByText('Take 6 GiB'));
    await waitFor(() => expect(version).toBe(13));
    const asks = sent.filter((s) => s.path.endsWith('/ask'));
    expect(asks.map((s) => (s.init.headers as Headers).get('If-Match'))).toEqual(['"10"', '"12"']);
    expect(JSON.parse(String(asks[1]?.init.body))).toEqual({
      memory_bytes: 6 * kGiB,
      model: null,
      guarantee_percent: 0,
      cap_percent: 0,
    });
  });

  test('changes nothing when it has started meanwhile', async () => {
    const portal: Portal = (path, init) => {
      if (path.endsWith('/explanation')) return { body: why };
      if (init.method === 'GET') return { body: aDesktop({ resource_version: 20 }) };
      return { status: 412, body: { code: 'stale_version' } };
    };
    const sent = playPortal(portal);
    showPage(<Explained desktop={queued} />);
    fireEvent.click(await screen.findByText('Take 6 GiB'));
    await waitFor(() => expect(sent.some((s) => s.path === '/v1/desktops/dsk_1')).toBe(true));
    expect(sent.filter((s) => s.path.endsWith('/ask')).length).toBe(1);
  });

  test('names what is other than asked', () => {
    const words = wordsOf('en');
    const asked = queued.gpu;
    const other = { ...asked, model: 'L4', guarantee_percent: 30, priority: 0 };
    expect(alternativeWords(other, asked, words)).toBe('30 % of the GPU time guaranteed · on L4');
  });
});

describe('New desktop', () => {
  test('proposes another model where the chosen one never starts', () => {
    const offer = (gpu_model: string, word: Offer['answer']) =>
      ({ gpu_model, answer: word }) as Offer;
    const offers = [offer('A10', 'never'), offer('L4', 'starts now')];
    expect(otherModel(offers, 'A10')?.gpu_model).toBe('L4');
    expect(otherModel(offers, 'L4')).toBeUndefined();
    expect(otherModel(offers, '')).toBeUndefined();
  });
});

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
  const page = { items: [pool], next_cursor: null, resource_version: 4 };

  test('send what differs and nothing else', () => {
    const wish = { ...rulesOf(pool), bypass_rule: 'end' as const };
    expect(changesOf(pool, wish)).toEqual({ bypass_rule: 'end' });
    expect(changesOf(pool, rulesOf(pool))).toEqual({});
  });

  test('are tried out before they are saved', async () => {
    const portal: Portal = (path) => {
      if (path.endsWith('/dry-run')) {
        return {
          body: {
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
          },
        };
      }
      return { body: path.startsWith('/v1/pools') ? page : { items: [], next_cursor: null } };
    };
    const sent = playPortal(portal);
    showPage(<Pools />);
    fireEvent.click(await screen.findByRole('switch', { name: /^Strict priority/ }));
    fireEvent.click(screen.getByText('Try out'));
    await screen.findByText('is on a card that guarantees more');
    expect(screen.getByText('140% of Fast 24 0 are guaranteed')).toBeTruthy();
    expect(screen.getByText(/would be 14 GiB instead of 9 GiB/)).toBeTruthy();
    expect(sent.some((s) => s.init.method === 'PATCH')).toBe(false);
  });

  test('undo their last change with the values before it', async () => {
    const portal: Portal = (path, init) =>
      init.method === 'PATCH'
        ? { body: pool }
        : { body: path.startsWith('/v1/pools') ? page : { items: [], next_cursor: null } };
    const sent = playPortal(portal);
    showPage(<Pools />);
    await screen.findByText(/Before it: guarantees up to 150 %, strict priority on/);
    fireEvent.click(screen.getByText('Undo the change'));
    await waitFor(() => expect(sent.some((s) => s.init.method === 'PATCH')).toBe(true));
    const patch = sent.find((s) => s.init.method === 'PATCH');
    expect(JSON.parse(String(patch?.init.body))).toEqual(pool.last_change?.former);
    expect((patch?.init.headers as Headers).get('If-Match')).toBe('"4"');
  });
});
