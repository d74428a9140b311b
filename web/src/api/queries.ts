// SPDX-License-Identifier: Apache-2.0
// What the pages read and do. Lists are read once and then kept true by events (events.ts).
import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { QueryClient } from '@tanstack/react-query';
import { ApiError, call, listAll, newKey, setCsrfToken } from './client';
import type * as T from './types';

export type Owner = 'mine' | 'all';

export const keys = {
  me: ['me'] as const,
  templates: ['templates'] as const,
  offers: (bytes: number) => ['offers', bytes] as const,
  desktops: (owner: Owner) => ['desktops', owner] as const,
  desktop: (id: string) => ['desktop', id] as const,
  gpus: ['gpus'] as const,
  queue: ['queue'] as const,
  pools: ['pools'] as const,
  users: ['users'] as const,
  teams: ['teams'] as const,
  reservations: ['reservations'] as const,
  consolidation: (pool: string) => ['consolidation', pool] as const,
  tokens: ['tokens'] as const,
  audit: ['audit'] as const,
};

export const meQuery = queryOptions({
  queryKey: keys.me,
  queryFn: async ({ signal }): Promise<T.Me | null> => {
    try {
      const me = await call<T.Me>('/v1/me', { signal });
      setCsrfToken(me.csrf_token);
      return me;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  },
  staleTime: 60_000,
});

export function useMe(): T.Me | null {
  return useQuery(meQuery).data ?? null;
}

export function useTemplates() {
  return useQuery({
    queryKey: keys.templates,
    queryFn: ({ signal }) => listAll<T.Template>('/v1/templates', signal),
    staleTime: 60_000,
  });
}

export function useOffers(memoryBytes: number, enabled = true) {
  return useQuery({
    queryKey: keys.offers(memoryBytes),
    queryFn: ({ signal }) =>
      call<T.OfferList>(`/v1/offers?memory_bytes=${memoryBytes}`, { signal }),
    placeholderData: (previous) => previous,
    refetchInterval: 15_000,
    enabled,
  });
}

export function useDesktops(owner: Owner) {
  return useQuery({
    queryKey: keys.desktops(owner),
    queryFn: ({ signal }) =>
      listAll<T.Desktop>(owner === 'all' ? '/v1/desktops?owner=all' : '/v1/desktops', signal),
  });
}

export function useDesktop(id: string) {
  return useQuery({
    queryKey: keys.desktop(id),
    queryFn: ({ signal }) => call<T.Desktop>(`/v1/desktops/${id}`, { signal }),
  });
}

// Why the desktop has no share. Asked again when its place changes, and every few seconds: what
// would start now is soon taken by somebody else.
export function useExplanation(desktop: T.Desktop, enabled: boolean) {
  const { id, gpu, queue } = desktop;
  return useQuery({
    queryKey: ['explanation', id, gpu.memory_bytes, gpu.model, queue?.position, queue?.summary],
    queryFn: ({ signal }) => call<T.Explanation>(`/v1/desktops/${id}/explanation`, { signal }),
    placeholderData: (previous) => previous,
    refetchInterval: 10_000,
    enabled,
  });
}

export function useGpus() {
  return useQuery({
    queryKey: keys.gpus,
    queryFn: ({ signal }) => listAll<T.Gpu>('/v1/gpus', signal),
  });
}

export function useQueue() {
  return useQuery({
    queryKey: keys.queue,
    queryFn: ({ signal }) => listAll<T.QueueItem>('/v1/queue', signal),
  });
}

export function useUsers() {
  return useQuery({
    queryKey: keys.users,
    queryFn: ({ signal }) => listAll<T.User>('/v1/users', signal),
  });
}

export function usePools() {
  return useQuery({
    queryKey: keys.pools,
    queryFn: ({ signal }) => listAll<T.Pool>('/v1/pools', signal),
    // A policy that is not in force yet is being worked out.
    refetchInterval: (query) =>
      query.state.data?.some((p) => p.placement !== p.placement_in_force) ? 3000 : false,
  });
}

export function useTeams() {
  return useQuery({
    queryKey: keys.teams,
    queryFn: ({ signal }) => listAll<T.Team>('/v1/teams', signal),
  });
}

export function useReservations() {
  return useQuery({
    queryKey: keys.reservations,
    queryFn: ({ signal }) => listAll<T.Reservation>('/v1/reservations', signal),
  });
}

// How the pool's last consolidation stands.
export function useConsolidation(pool: string) {
  return useQuery({
    queryKey: keys.consolidation(pool),
    queryFn: ({ signal }) =>
      call<T.ConsolidationState>(`/v1/pools/${pool}/consolidation`, { signal }),
  });
}

export function useTokens() {
  return useQuery({
    queryKey: keys.tokens,
    queryFn: ({ signal }) => listAll<T.Token>('/v1/me/tokens', signal),
  });
}

// Ids of deleted desktops, never used again. The answer to a DELETE may be read after the event that
// says the desktop is gone, and must not bring it back.
const goneDesktops = new WeakMap<QueryClient, Set<string>>();

// Puts a newer desktop into every list and page that shows it. An older one is dropped: answers
// and events may cross.
export function storeDesktop(client: QueryClient, desktop: T.Desktop, me: string | undefined) {
  if (goneDesktops.get(client)?.has(desktop.id)) return;
  const newer = (old: T.Desktop | undefined) =>
    old && old.resource_version > desktop.resource_version ? old : desktop;
  client.setQueryData<T.Desktop>(keys.desktop(desktop.id), newer);
  const upsert = (items: T.Desktop[] | undefined) => {
    if (!items) return items;
    const at = items.findIndex((d) => d.id === desktop.id);
    if (at < 0) return [...items, desktop];
    return items.map((d, i) => (i === at ? newer(d) : d));
  };
  client.setQueryData<T.Desktop[]>(keys.desktops('all'), upsert);
  if (desktop.owner.id === me) client.setQueryData<T.Desktop[]>(keys.desktops('mine'), upsert);
}

export function dropDesktop(client: QueryClient, id: string) {
  const gone = goneDesktops.get(client) ?? new Set();
  goneDesktops.set(client, gone.add(id));
  for (const owner of ['mine', 'all'] as const) {
    client.setQueryData<T.Desktop[]>(keys.desktops(owner), (items) =>
      items?.filter((d) => d.id !== id),
    );
  }
  client.setQueryData(keys.desktop(id), undefined);
  void client.invalidateQueries({ queryKey: keys.desktop(id) });
}

// A wish that holds whatever happened meanwhile ("stop", "delete"): said again on the newest
// version when the one on the page was old.
async function insist(desktop: T.Desktop, send: (version: number) => Promise<T.Desktop>) {
  try {
    return await send(desktop.resource_version);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== 'stale_version') throw error;
    const fresh = await call<T.Desktop>(`/v1/desktops/${desktop.id}`);
    return await send(fresh.resource_version);
  }
}

// The desktop is no longer as the page showed it when something was asked of it.
export class TooLate extends Error {
  constructor(readonly desktop: T.Desktop) {
    super('too late');
    this.name = 'TooLate';
  }
}

// Another share for a desktop that has none. Its row changes with every word about the queue; asked
// again on the newest version as long as it waits with the same wish.
async function ask(desktop: T.Desktop, gpu: T.ShareAsked, key: string): Promise<T.Desktop> {
  const { memory_bytes, model, guarantee_percent, cap_percent } = gpu;
  const body = { memory_bytes, model, guarantee_percent, cap_percent };
  let now = desktop;
  for (let tries = 0; ; tries++) {
    try {
      return await call<T.Desktop>(`/v1/desktops/${desktop.id}/ask`, {
        method: 'POST',
        body,
        version: now.resource_version,
        idempotencyKey: `${key}-${tries}`,
      });
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'stale_version' || tries > 3) throw error;
    }
    now = await call<T.Desktop>(`/v1/desktops/${desktop.id}`);
    const same = now.state === desktop.state && now.gpu.memory_bytes === desktop.gpu.memory_bytes;
    if (!same || now.gpu.model !== desktop.gpu.model) throw new TooLate(now);
  }
}

export const desktopActions = {
  ask,
  create: (body: T.DesktopCreate, key: string) =>
    call<T.Desktop>('/v1/desktops', { method: 'POST', body, idempotencyKey: key }),
  patch: (desktop: T.Desktop, body: T.DesktopPatch) =>
    insist(desktop, (version) =>
      call<T.Desktop>(`/v1/desktops/${desktop.id}`, { method: 'PATCH', body, version }),
    ),
  remove: (desktop: T.Desktop, keepHome: boolean) =>
    insist(desktop, (version) =>
      call<T.Desktop>(`/v1/desktops/${desktop.id}?keep_home=${keepHome}`, {
        method: 'DELETE',
        version,
      }),
    ),
  resize: (desktop: T.Desktop, body: T.ShareChange) =>
    call<T.Desktop>(`/v1/desktops/${desktop.id}/resize`, { method: 'POST', body }),
  restart: (desktop: T.Desktop) =>
    call<T.Desktop>(`/v1/desktops/${desktop.id}/restart`, { method: 'POST' }),
  extend: (desktop: T.Desktop, minutes: number) =>
    call<T.Desktop>(`/v1/desktops/${desktop.id}/extensions`, {
      method: 'POST',
      body: { minutes },
      idempotencyKey: newKey(),
    }),
  keepAlive: (desktop: T.Desktop) =>
    call<T.Desktop>(`/v1/desktops/${desktop.id}/keep-alive`, { method: 'POST' }),
  message: (desktop: T.Desktop, text: string) =>
    call<T.Desktop>(`/v1/desktops/${desktop.id}/messages`, { method: 'POST', body: { text } }),
  stopFor: (desktop: T.Desktop, reason: string) =>
    call<T.Desktop>(`/v1/desktops/${desktop.id}/stop`, { method: 'POST', body: { reason } }),
  ticket: (id: string, mode: 'control' | 'view', reason?: string) =>
    call<T.Ticket>(`/v1/desktops/${id}/tickets`, { method: 'POST', body: { mode, reason } }),
};

// Runs an action on a desktop and stores what the portal answered.
export function useDesktopAction<A extends unknown[]>(action: (...args: A) => Promise<T.Desktop>) {
  const client = useQueryClient();
  const me = useMe();
  return useMutation({
    mutationFn: (args: A) => action(...args),
    onSuccess: (desktop) => {
      if (desktop?.id) storeDesktop(client, desktop, me?.user.id);
      void client.invalidateQueries({ queryKey: ['offers'] });
    },
  });
}
