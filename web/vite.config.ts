// SPDX-License-Identifier: Apache-2.0
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';
import { precompress } from './precompress.ts';

// The portal that `npm run dev` talks to.
const portal = process.env['SLUICE_PORTAL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react(), precompress()],
  build: {
    target: 'es2023',
    // Inlined files would be data: URLs, which the portal's CSP allows for pictures only.
    assetsInlineLimit: 0,
    // The polyfill is an inline script in spirit; every browser we serve has modulepreload.
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { '/v1': { target: portal, ws: true } } },
  test: { environment: 'jsdom', testTimeout: 60_000, include: ['src/**/*.test.{ts,tsx}'] },
});
