// SPDX-License-Identifier: Apache-2.0
// @vitest-environment jsdom
import { fireEvent, screen, waitFor } from '@testing-library/react';
import { afterEach, describe, expect, test } from 'vitest';
import type { Explanation, Offer } from '../api/types';
import { kGiB } from '../format';
import { wordsOf } from '../i18n';
import { alternativeWords, Explained } from '../parts/Explained';
import { aDesktop } from '../testing';
import { leaveBrowser, playPortal, showPage, type Portal } from '../pageTesting';
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
