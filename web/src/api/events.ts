// SPDX-License-Identifier: Apache-2.0
// One EventSource for the whole client. The browser resumes it by Last-Event-ID; when it gave up,
// or the portal says `reset`, everything shown is listed again.
import { useQueryClient, type QueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { dropDesktop, keys, storeDesktop } from './queries';
import type * as T from './types';

export type Link = 'connecting' | 'live' | 'lost';

const retryFirstMs = 1000;
const retryLongestMs = 15_000;

// Which lists an event outdates while they are under way.
const outdates: Record<string, readonly string[]> = {
  desktop: ['desktops', 'desktop'],
  gpu: ['gpus'],
  user: ['users'],
  deleted: ['desktops', 'desktop', 'gpus', 'users'],
};

// Lists that have no events of their own: the audit log names what was done with them.
const toldByAudit: [string, readonly string[]][] = [
  ['pool.', ['pools', 'consolidation']],
  ['team.', ['teams', 'reservations']],
  ['reservation.', ['reservations']],
];
// What the portal works out from desktops and cards.
const workedOut = ['offers', 'pools', 'reservations', 'consolidation', 'teams'];

// An answer that is under way may have been written before this event and would bring the old state
// back: it is dropped and asked for again. Exported for its test.
export async function askAgain(client: QueryClient, kind: string): Promise<void> {
  const late = (outdates[kind] ?? []).filter((key) => client.isFetching({ queryKey: [key] }) > 0);
  await Promise.all(late.map((key) => client.cancelQueries({ queryKey: [key] })));
  await Promise.all(late.map((key) => client.invalidateQueries({ queryKey: [key] })));
}

// Writes what one event says into the cache. Exported for its test.
export function apply(client: QueryClient, kind: string, data: unknown, me: string): void {
  switch (kind) {
    case 'desktop':
      return storeDesktop(client, data as T.Desktop, me);
    case 'usage': {
      const { desktop_id, usage } = data as { desktop_id: string; usage: T.Usage | null };
      const patch = (d: T.Desktop) => (d.id === desktop_id ? { ...d, usage } : d);
      client.setQueryData<T.Desktop>(keys.desktop(desktop_id), (d) => d && patch(d));
      for (const owner of ['mine', 'all'] as const) {
        client.setQueryData<T.Desktop[]>(keys.desktops(owner), (items) => items?.map(patch));
      }
      return;
    }
    case 'gpu': {
      const gpu = data as T.Gpu;
      client.setQueryData<T.Gpu[]>(keys.gpus, (items) => {
        if (!items) return items;
        const known = items.some((g) => g.id === gpu.id);
        return known ? items.map((g) => (g.id === gpu.id ? gpu : g)) : [...items, gpu];
      });
      return;
    }
    case 'user': {
      const user = data as T.User;
      client.setQueryData<T.User[]>(keys.users, (items) => {
        if (!items) return items;
        const known = items.some((u) => u.id === user.id);
        return known ? items.map((u) => (u.id === user.id ? user : u)) : [...items, user];
      });
      if (user.id === me) void client.invalidateQueries({ queryKey: keys.me });
      return;
    }
    case 'queue':
      void client.invalidateQueries({ queryKey: keys.queue });
      return;
    case 'audit': {
      const { action = '' } = data as { action?: string };
      const told = toldByAudit.find(([about]) => action.startsWith(about));
      for (const key of ['audit', ...(told?.[1] ?? [])]) {
        void client.invalidateQueries({ queryKey: [key] });
      }
      return;
    }
    case 'deleted': {
      const gone = data as { kind: string; id: string };
      if (gone.kind === 'desktop') return dropDesktop(client, gone.id);
      if (gone.kind === 'user') {
        client.setQueryData<T.User[]>(keys.users, (items) =>
          items?.filter((u) => u.id !== gone.id),
        );
      }
      if (gone.kind === 'gpu') void client.invalidateQueries({ queryKey: keys.gpus });
      return;
    }
    case 'reset':
      return relist(client);
  }
}

function relist(client: QueryClient): void {
  const listed = ['desktops', 'desktop', 'gpus', 'queue', 'users', 'audit'];
  for (const key of [...listed, ...workedOut]) {
    void client.invalidateQueries({ queryKey: [key] });
  }
}

const kinds = ['desktop', 'gpu', 'usage', 'queue', 'user', 'audit', 'deleted', 'reset'];

// Keeps the cache true while somebody is signed in. `me` is their id.
export function useEvents(me: string | null, role: T.Role | undefined): Link {
  const client = useQueryClient();
  const [link, setLink] = useState<Link>('connecting');
  useEffect(() => {
    if (me === null) return;
    let source: EventSource | null = null;
    let timer: number | undefined;
    let waitMs = retryFirstMs;
    let workedOutTimer: number | undefined;
    const topics = ['desktops', 'gpus', 'queue'];
    if (role === 'operator' || role === 'admin') topics.push('audit');
    if (role === 'admin') topics.push('users');

    // At most every two seconds.
    const workOutAgain = () => {
      workedOutTimer ??= window.setTimeout(() => {
        workedOutTimer = undefined;
        for (const key of workedOut) void client.invalidateQueries({ queryKey: [key] });
      }, 2000);
    };
    const open = () => {
      source = new EventSource(`/v1/events?topics=${topics.join(',')}`);
      let fresh = true;
      source.onopen = () => {
        waitMs = retryFirstMs;
        setLink('live');
        // A resumed stream brings what was missed; a new one does not.
        if (fresh) relist(client);
        fresh = false;
      };
      source.onerror = () => {
        setLink('lost');
        // The portal ends the stream of who is signed out or disabled: ask at once, not at the
        // browser's next try.
        void client.invalidateQueries({ queryKey: keys.me });
        if (source?.readyState !== EventSource.CLOSED) return;
        timer = window.setTimeout(open, waitMs);
        waitMs = Math.min(waitMs * 2, retryLongestMs);
      };
      for (const kind of kinds) {
        source.addEventListener(kind, (event: MessageEvent<string>) => {
          apply(client, kind, JSON.parse(event.data), me);
          void askAgain(client, kind);
          if (kind === 'desktop' || kind === 'gpu' || kind === 'deleted') workOutAgain();
        });
      }
    };
    open();
    return () => {
      window.clearTimeout(timer);
      window.clearTimeout(workedOutTimer);
      source?.close();
    };
  }, [client, me, role]);
  return link;
}
