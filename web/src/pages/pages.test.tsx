// SPDX-License-Identifier: Apache-2.0
// Pages in a browser's document, with the portal played by a table of answers.
import { fireEvent, screen, waitFor } from '@testing-library/react';
import { Route, Routes } from 'react-router';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { kGiB } from '../format';
import type { Words } from '../i18n';
import { DeleteDesktop } from '../parts/DeleteDesktop';
import { rangeWords } from '../parts/desktop';
import { DesktopCard } from '../parts/DesktopCard';
import { toStep } from '../parts/Memory';
import { sizesFor } from '../parts/ResizeShare';
import { leaveBrowser, playPortal, showPage, type Sent } from '../pageTesting';
import { aDesktop, aGpu } from '../testing';
import Launch from './Launch';
import { bestAnswer, likelyCard } from './NewDesktop';
import { freeName } from './names';
import { SignIn } from './SignIn';

// The viewer draws, which this document cannot.
vi.mock('../viewer/Viewer', () => ({ default: () => null }));

type Answer = { status?: number; body?: unknown };
let answers: Record<string, Answer>;
let sent: Sent[];

beforeEach(() => {
  answers = {};
  sent = playPortal((path, init) => {
    const known = answers[`${init.method} ${path.split('?')[0]}`];
    return known
      ? { ...known, body: known.body ?? {} }
      : { status: 404, body: { code: 'not_found' } };
  });
});
afterEach(leaveBrowser);

describe('Desktop card', () => {
  test.each([
    ['ready', 'Open'],
    ['queued', 'Leave queue'],
    ['starting', 'Show progress'],
    ['stopped', 'Start'],
    ['failed', 'Retry'],
  ] as const)('in state %s offers %s', (state, label) => {
    showPage(<DesktopCard desktop={aDesktop({ state })} gpus={[]} />);
    expect(screen.getByText(label, { selector: 'a, button, a *, button *' })).toBeTruthy();
  });

  test('says why it waits, with its place', () => {
    const queue = {
      position: 2,
      waiting: 3,
      reason: 'needs 8 GiB on one card; largest free: 3 GiB',
      summary: '1 card: 1 too little memory (largest free 3 GiB)',
      over_quota: false,
      next_likely_at: null,
      start: null,
    };
    showPage(
      <DesktopCard
        desktop={aDesktop({ state: 'queued', queue, reason: queue.reason })}
        gpus={[]}
      />,
    );
    expect(screen.getByText('Needs 8 GiB on one card; largest free: 3 GiB')).toBeTruthy();
    expect(screen.getByText('Place 2 of 3 in the queue')).toBeTruthy();
  });

  test('says used, limit and that a card is simulated', () => {
    const share = {
      gpu_id: 'gpu_0',
      gpu_model: 'Fast 24',
      simulated: true,
      node: 'atlas',
      memory_bytes: 8 * kGiB,
      guarantee_percent: 0,
      cap_percent: 0,
    };
    const usage = {
      used_bytes: 2 * kGiB,
      limit_bytes: 8 * kGiB,
      peak_bytes: 0,
      utilization_percent: 7,
      overhead_bytes: 0,
      guarantee_percent: 33,
      cap_percent: 0,
      compute_percent: 21,
      waiting_percent: 0,
      processes: 1,
    };
    showPage(
      <DesktopCard
        desktop={aDesktop({ allocation: [share], usage })}
        gpus={[aGpu({ simulated: true })]}
      />,
    );
    expect(screen.getByText('2 / 8 GiB used · GPU time 21 %')).toBeTruthy();
    expect(screen.getByText('Fast 24 · simulated')).toBeTruthy();
  });

  test('starts with a version and the wish', async () => {
    answers['PATCH /v1/desktops/dsk_1'] = { body: aDesktop({ state: 'queued' }) };
    showPage(<DesktopCard desktop={aDesktop({ state: 'stopped' })} gpus={[]} />);
    fireEvent.click(screen.getByText('Start'));
    await waitFor(() => expect(sent.some((s) => s.init.method === 'PATCH')).toBe(true));
    const patch = sent.find((s) => s.init.method === 'PATCH');
    expect(patch?.init.body).toBe('{"desired_state":"running"}');
    expect((patch?.init.headers as Headers).get('If-Match')).toBe('"10"');
  });
});

describe('Deleting', () => {
  test('waits for the typed name and keeps the home unless told', async () => {
    answers['DELETE /v1/desktops/dsk_1'] = { status: 202, body: aDesktop({ state: 'deleting' }) };
    showPage(<DeleteDesktop desktop={aDesktop()} onClose={() => {}} />);
    const go = screen.getByRole('button', {
      name: 'Delete desktop, keep home',
    }) as HTMLButtonElement;
    expect(go.disabled).toBe(true);
    fireEvent.change(screen.getByLabelText('Type Training to confirm'), {
      target: { value: 'Training' },
    });
    expect(go.disabled).toBe(false);
    fireEvent.click(go);
    await waitFor(() =>
      expect(sent.map((s) => s.path)).toContain('/v1/desktops/dsk_1?keep_home=true'),
    );
  });

  test('says again on the newest version when the page was old', async () => {
    let version = 0;
    vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
      sent.push({ path, init });
      if (init.method === 'GET')
        return new Response(JSON.stringify(aDesktop({ resource_version: 12 })));
      version = Number((init.headers as Headers).get('If-Match')?.replaceAll('"', ''));
      return version === 12
        ? new Response(JSON.stringify(aDesktop({ state: 'deleting', resource_version: 13 })), {
            status: 202,
          })
        : new Response('{"code":"stale_version"}', { status: 412 });
    });
    const closed = vi.fn();
    showPage(<DeleteDesktop desktop={aDesktop()} onClose={closed} />);
    fireEvent.change(screen.getByLabelText('Type Training to confirm'), {
      target: { value: 'Training' },
    });
    fireEvent.click(screen.getByRole('button', { name: 'Delete desktop, keep home' }));
    await waitFor(() => expect(closed).toHaveBeenCalled());
    expect(version).toBe(12);
  });
});

describe('Launch page', () => {
  const pages = (
    <Routes>
      <Route path="/desktops/:id" element={<Launch />} />
      <Route path="/desktops/:id/view" element={<p>the viewer</p>} />
    </Routes>
  );

  test('opens the desktop when it becomes ready', async () => {
    answers['GET /v1/desktops/dsk_1'] = {
      body: aDesktop({ state: 'starting', reason: 'Starting the display.' }),
    };
    const client = showPage(pages, '/desktops/dsk_1');
    await screen.findByText('Starting the display.');
    client.setQueryData(['desktop', 'dsk_1'], aDesktop({ resource_version: 11 }));
    await screen.findByText('the viewer');
  });

  test('opens a desktop that was asked for and is ready before the page', async () => {
    answers['GET /v1/desktops/dsk_1'] = { body: aDesktop({ ready_at: '2026-11-22T12:00:02Z' }) };
    showPage(pages, '/desktops/dsk_1', { readyBefore: null });
    await screen.findByText('the viewer');
  });

  test('waits for the new start of a desktop that is still the old one', async () => {
    const old = aDesktop({ ready_at: '2026-11-22T12:00:02Z' });
    answers['GET /v1/desktops/dsk_1'] = { body: old };
    showPage(pages, '/desktops/dsk_1', { readyBefore: old.ready_at });
    await screen.findByText('Ready');
    expect(screen.queryByText('the viewer')).toBeNull();
  });

  test('does not open a desktop that was ready before', async () => {
    answers['GET /v1/desktops/dsk_1'] = { body: aDesktop() };
    showPage(pages, '/desktops/dsk_1');
    await screen.findByText('Ready');
    expect(screen.queryByText('the viewer')).toBeNull();
  });

  test('shows the four stages and what failed', async () => {
    const done = {
      started_at: '2026-11-22T12:00:00Z',
      ended_at: '2026-11-22T12:00:01Z',
      usual_ms: 500,
    };
    const open = { started_at: '2026-11-22T12:00:01Z', ended_at: null, usual_ms: 500 };
    answers['GET /v1/desktops/dsk_1'] = {
      body: aDesktop({
        state: 'failed',
        desired_state: 'stopped',
        reason: 'The display did not answer within 60 s.',
        stages: [
          { stage: 'place', ...done },
          { stage: 'prepare_home', ...open },
        ],
      }),
    };
    showPage(pages, '/desktops/dsk_1');
    await screen.findByText('Retry');
    expect(screen.getByText('Copy diagnostics')).toBeTruthy();
    for (const stage of ['Place on a GPU', 'Prepare home', 'Start display', 'First frame']) {
      expect(screen.getByText(stage, { exact: false })).toBeTruthy();
    }
  });

  test('says that a desktop is gone', async () => {
    showPage(pages, '/desktops/dsk_9');
    await screen.findByText('This desktop does not exist any longer.');
  });
});

describe('Sign-in', () => {
  test('says how long a lockout lasts', async () => {
    answers['POST /v1/sessions'] = {
      status: 429,
      body: { code: 'locked_out', retry_after_s: 90, detail: '' },
    };
    showPage(<SignIn />);
    fireEvent.change(screen.getByLabelText('Name'), { target: { value: 'lina' } });
    fireEvent.change(screen.getByLabelText('Password'), { target: { value: 'wrong' } });
    fireEvent.click(screen.getByRole('button', { name: 'Sign in' }));
    await screen.findByText('Too many failed sign-ins. Next try in 1 min 30 s.');
  });
});

describe('New desktop', () => {
  const offer = (part: object) => ({
    gpu_model: 'A',
    simulated: false,
    cards: 1,
    fits_now: 1,
    largest_now_bytes: 8 * kGiB,
    largest_ever_bytes: 24 * kGiB,
    answer: 'starts now' as const,
    detail: '',
    start: null,
    ...part,
  });

  test('draws the share on the card with the least left over', () => {
    const roomy = aGpu({ id: 'roomy' });
    const tight = aGpu({ id: 'tight', free_bytes: 9 * kGiB });
    const silent = aGpu({ id: 'silent', free_bytes: 8 * kGiB, stale: true });
    const closed = aGpu({ id: 'closed', free_bytes: 8 * kGiB, mode: 'cordoned' });
    expect(likelyCard([roomy, tight, silent, closed], 8 * kGiB, '')?.id).toBe('tight');
    expect(likelyCard([tight], 10 * kGiB, '')).toBeUndefined();
    expect(likelyCard([tight], kGiB, 'other model')).toBeUndefined();
  });

  test('promises the best answer of the models asked for', () => {
    const offers = [offer({ answer: 'never' }), offer({ gpu_model: 'B', answer: 'waits' })];
    expect(bestAnswer(offers, '')?.answer).toBe('waits');
    expect(bestAnswer(offers, 'A')?.answer).toBe('never');
  });

  test('says when something that waits is likely to start', () => {
    const words = {
      t: (key: string, parts?: Record<string, unknown>) => `${key} ${JSON.stringify(parts)}`,
      tn: (key: string, n: number) => `${n} ${key}`,
    } as unknown as Words;
    const now = new Date('2026-11-23T12:00:00Z').getTime();
    const at = (minutes: number) => new Date(now + minutes * 60_000).toISOString();
    const range = (from: number | null, to: number | null) =>
      rangeWords(
        {
          earliest_at: from === null ? null : at(from),
          likely_at: null,
          latest_at: to === null ? null : at(to),
        },
        words,
        now,
      );
    expect(rangeWords(null, words, now)).toBeNull();
    expect(range(null, null)).toBeNull();
    expect(range(8, 15)).toBe('start.minutes {"from":8,"to":15}');
    expect(range(-3, 15)).toBe('start.minutes {"from":1,"to":15}');
    expect(range(8, null)).toContain('start.from');
    expect(range(8, 8)).toContain('start.about');
    expect(range(30, 150)).toContain('start.range');
  });

  test('cuts a share to whole steps within the limits', () => {
    const range = { min: kGiB, max: 24 * kGiB, step: kGiB };
    expect(toStep(3.7 * kGiB, range)).toBe(3 * kGiB);
    expect(toStep(1, range)).toBe(kGiB);
    expect(toStep(99 * kGiB, { ...range, max: 23.5 * kGiB })).toBe(23 * kGiB);
  });

  test('offers a running share what its card has, down to what is in use', () => {
    const card = aGpu({ id: 'a', free_bytes: 4 * kGiB });
    const other = aGpu({ id: 'b', memory_bytes: 80 * kGiB });
    const running = aDesktop({
      allocation: [
        {
          gpu_id: 'a',
          gpu_model: card.model,
          simulated: false,
          node: card.node,
          memory_bytes: 8 * kGiB,
          guarantee_percent: 0,
          cap_percent: 0,
        },
      ],
      usage: {
        limit_bytes: 8 * kGiB,
        used_bytes: 2.5 * kGiB,
        peak_bytes: 3 * kGiB,
        overhead_bytes: 0,
        utilization_percent: 0,
        guarantee_percent: 0,
        cap_percent: 0,
        compute_percent: 0,
        waiting_percent: 0,
        processes: 1,
      },
    });
    expect(sizesFor(running, [card, other], kGiB, kGiB)).toEqual({
      min: 3 * kGiB,
      max: running.gpu.memory_bytes + 4 * kGiB,
      step: kGiB,
    });
    const stopped = aDesktop({ allocation: null });
    expect(sizesFor(stopped, [card, other], kGiB, kGiB).max).toBe(80 * kGiB);
  });

  test('proposes a name that is free', () => {
    expect(freeName('PyTorch', [])).toBe('PyTorch');
    expect(freeName('PyTorch', ['pytorch', 'PyTorch 2'])).toBe('PyTorch 3');
  });
});
