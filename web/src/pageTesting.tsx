// SPDX-License-Identifier: Apache-2.0
// For tests of pages: a document's browser, with the portal played by a function.
import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { cleanup, configure, render } from '@testing-library/react';
import type { ReactNode } from 'react';
import { MemoryRouter } from 'react-router';
import { vi } from 'vitest';
import { WordsProvider } from './i18n';
import { theme } from './theme';

// A loaded machine is slow, not wrong.
configure({ asyncUtilTimeout: 20_000 });

export interface Sent {
  path: string;
  init: RequestInit;
}
export type Portal = (path: string, init: RequestInit) => { status?: number; body: unknown };

// What the pages send from now on, until leaveBrowser().
export function playPortal(portal: Portal): Sent[] {
  const sent: Sent[] = [];
  const nothing = () => {};
  vi.stubGlobal('matchMedia', () => ({
    matches: false,
    addEventListener: nothing,
    removeEventListener: nothing,
    addListener: nothing,
    removeListener: nothing,
  }));
  vi.stubGlobal(
    'ResizeObserver',
    class {
      observe = nothing;
      unobserve = nothing;
      disconnect = nothing;
    },
  );
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
    sent.push({ path, init });
    const { status = 200, body } = portal(path, init);
    return new Response(JSON.stringify(body), { status });
  });
  return sent;
}

export function leaveBrowser() {
  cleanup();
  vi.unstubAllGlobals();
}

export function showPage(page: ReactNode, at = '/', state: unknown = null): QueryClient {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <MantineProvider theme={theme} withCssVariables={false} env="test">
      <WordsProvider>
        <QueryClientProvider client={client}>
          <MemoryRouter initialEntries={[{ pathname: at, state }]}>{page}</MemoryRouter>
        </QueryClientProvider>
      </WordsProvider>
    </MantineProvider>,
  );
  return client;
}
