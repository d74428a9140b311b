// SPDX-License-Identifier: Apache-2.0
import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { aDesktop, aGpu } from '../testing';
import { apply, askAgain } from './events';
import { keys } from './queries';
import type { Desktop, Gpu } from './types';

let client: QueryClient;
beforeEach(() => {
  client = new QueryClient();
  client.setQueryData(keys.desktops('mine'), [aDesktop()]);
  client.setQueryData(keys.desktops('all'), [aDesktop()]);
  client.setQueryData(keys.desktop('dsk_1'), aDesktop());
});
const mine = () => client.getQueryData<Desktop[]>(keys.desktops('mine')) ?? [];
const all = () => client.getQueryData<Desktop[]>(keys.desktops('all')) ?? [];
const one = () => client.getQueryData<Desktop>(keys.desktop('dsk_1'));

describe('Event', () => {
  test('renews a desktop wherever it is shown', () => {
    apply(client, 'desktop', aDesktop({ resource_version: 11, state: 'stopped' }), 'usr_1');
    expect([mine()[0]?.state, all()[0]?.state, one()?.state]).toEqual([
      'stopped',
      'stopped',
      'stopped',
    ]);
  });

  test('does not bring back an older state', () => {
    apply(client, 'desktop', aDesktop({ resource_version: 9, state: 'starting' }), 'usr_1');
    expect(one()?.state).toBe('ready');
  });

  test.each([true, false])(
    'is not undone by a list that was written before it (read before: %s)',
    async (readBefore) => {
      if (!readBefore) client.removeQueries({ queryKey: keys.desktops('mine') });
      const answers: ((desktops: Desktop[]) => void)[] = [];
      const observer = new QueryObserver(client, {
        queryKey: keys.desktops('mine'),
        queryFn: ({ signal }) =>
          new Promise<Desktop[]>((resolve, reject) => {
            answers.push(resolve);
            signal.addEventListener('abort', () => reject(new Error('aborted')));
          }),
      });
      const unsubscribe = observer.subscribe(() => undefined);
      await vi.waitFor(() => expect(answers).toHaveLength(1));
      const stopped = aDesktop({ resource_version: 11, state: 'stopped' });
      apply(client, 'desktop', stopped, 'usr_1');
      const asked = askAgain(client, 'desktop');
      answers[0]?.([aDesktop({ resource_version: 10, state: 'stopping' })]);
      await vi.waitFor(() => expect(answers).toHaveLength(2));
      answers[1]?.([stopped]);
      await asked;
      expect(mine()[0]?.state).toBe('stopped');
      unsubscribe();
    },
  );

  test("adds somebody else's desktop to the list of all only", () => {
    apply(
      client,
      'desktop',
      aDesktop({ id: 'dsk_2', owner: { id: 'usr_2', name: 'wei' } }),
      'usr_1',
    );
    expect(mine()).toHaveLength(1);
    expect(all()).toHaveLength(2);
  });

  test('does not make up a list that nobody has read', () => {
    client.removeQueries({ queryKey: keys.desktops('all') });
    apply(client, 'desktop', aDesktop({ id: 'dsk_2' }), 'usr_1');
    expect(client.getQueryData(keys.desktops('all'))).toBeUndefined();
  });

  test('of usage changes the figures and nothing else', () => {
    const usage = {
      used_bytes: 5,
      limit_bytes: 9,
      peak_bytes: 7,
      utilization_percent: 3,
      overhead_bytes: 0,
      guarantee_percent: 33,
      cap_percent: 0,
      compute_percent: 21,
      waiting_percent: 0,
      processes: 1,
    };
    apply(client, 'usage', { desktop_id: 'dsk_1', usage }, 'usr_1');
    expect(one()).toEqual(aDesktop({ usage }));
    expect(mine()[0]?.usage).toEqual(usage);
  });

  test('removes what was deleted', () => {
    apply(client, 'deleted', { kind: 'desktop', id: 'dsk_1' }, 'usr_1');
    expect(mine()).toEqual([]);
    expect(all()).toEqual([]);
  });

  test('of deletion outlasts an answer that was on its way', () => {
    apply(client, 'deleted', { kind: 'desktop', id: 'dsk_1' }, 'usr_1');
    apply(client, 'desktop', aDesktop({ resource_version: 12, state: 'deleting' }), 'usr_1');
    expect(mine()).toEqual([]);
  });

  test('renews a card and adds a new one', () => {
    client.setQueryData(keys.gpus, [aGpu()]);
    apply(client, 'gpu', aGpu({ stale: true }), 'usr_1');
    apply(client, 'gpu', aGpu({ id: 'gpu_1', index: 1 }), 'usr_1');
    const gpus = client.getQueryData<Gpu[]>(keys.gpus) ?? [];
    expect(gpus.map((g) => [g.id, g.stale])).toEqual([
      ['gpu_0', true],
      ['gpu_1', false],
    ]);
  });

  test.each([
    ['pool.update', ['pools', 'consolidation']],
    ['pool.consolidate', ['pools', 'consolidation']],
    ['reservation.create', ['reservations']],
    ['team.delete', ['teams', 'reservations']],
    ['desktop.ask', []],
  ])('of the audit log about %s renews what has no events of its own', (action, renewed) => {
    const all = ['pools', 'consolidation', 'reservations', 'teams'];
    for (const key of all) client.setQueryData([key], []);
    apply(client, 'audit', { action }, 'usr_1');
    const stale = all.filter((key) => client.getQueryState([key])?.isInvalidated);
    expect(stale.sort()).toEqual([...renewed].sort());
  });

  test('reset lists again', () => {
    apply(client, 'reset', { resource_version: 50 }, 'usr_1');
    expect(client.getQueryState(keys.desktops('mine'))?.isInvalidated).toBe(true);
    expect(client.getQueryState(keys.desktop('dsk_1'))?.isInvalidated).toBe(true);
  });
});
