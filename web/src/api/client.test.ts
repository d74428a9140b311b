// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError, call, listAll, newKey, setCsrfToken, setSignedOutHandler } from './client';

const fetched = vi.fn<typeof fetch>();

beforeEach(() => {
  vi.stubGlobal('fetch', fetched);
  setCsrfToken('secret');
});
afterEach(() => {
  fetched.mockReset();
  vi.unstubAllGlobals();
  setSignedOutHandler(() => {});
});

const answer = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(body === undefined ? null : JSON.stringify(body), { status, headers });
const sentHeaders = () => fetched.mock.calls[0]?.[1]?.headers as Headers;

describe('Client', () => {
  test('sends the CSRF token, version and key with a change only', async () => {
    fetched.mockImplementation(async () => answer({}));
    await call('/v1/x', { method: 'PATCH', body: { a: 1 }, version: 7, idempotencyKey: 'k' });
    expect(sentHeaders().get('X-CSRF-Token')).toBe('secret');
    expect(sentHeaders().get('If-Match')).toBe('"7"');
    expect(sentHeaders().get('Idempotency-Key')).toBe('k');
    expect(sentHeaders().get('Content-Type')).toBe('application/json');
    fetched.mockClear();
    await call('/v1/x');
    expect(sentHeaders().get('X-CSRF-Token')).toBeNull();
  });

  test('turns a problem document into an error with its fields', async () => {
    fetched.mockResolvedValue(
      answer(
        {
          code: 'invalid_field',
          status: 422,
          detail: 'no',
          errors: [{ pointer: '/name', code: 'x', detail: 'too long' }],
        },
        422,
      ),
    );
    const error = await call('/v1/x').catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ApiError);
    expect((error as ApiError).code).toBe('invalid_field');
    expect((error as ApiError).field('/name')).toBe('too long');
    expect((error as ApiError).field('/other')).toBeUndefined();
  });

  test('survives an error that is no problem document', async () => {
    fetched.mockResolvedValue(
      new Response('<html>', { status: 502, headers: { 'Retry-After': '9' } }),
    );
    const error = (await call('/v1/x').catch((e: unknown) => e)) as ApiError;
    expect(error.code).toBe('internal');
    expect(error.problem.retry_after_s).toBe(9);
  });

  test('says unreachable when there is no answer', async () => {
    fetched.mockRejectedValue(new TypeError('network'));
    const error = (await call('/v1/x').catch((e: unknown) => e)) as ApiError;
    expect(error.code).toBe('unreachable');
  });

  test('tells when nobody is signed in any longer', async () => {
    const signedOut = vi.fn();
    setSignedOutHandler(signedOut);
    fetched.mockResolvedValue(answer({ code: 'unauthenticated' }, 401));
    await call('/v1/x').catch(() => {});
    expect(signedOut).toHaveBeenCalledOnce();
  });

  test('follows the cursor to the end of a list', async () => {
    fetched
      .mockResolvedValueOnce(answer({ items: [1, 2], next_cursor: 'c/2', resource_version: 1 }))
      .mockResolvedValueOnce(answer({ items: [3], next_cursor: null, resource_version: 1 }));
    expect(await listAll('/v1/x?owner=all')).toEqual([1, 2, 3]);
    expect(fetched.mock.calls[1]?.[0]).toBe('/v1/x?owner=all&limit=200&cursor=c%2F2');
  });

  test('gives up on a list that never ends', async () => {
    fetched.mockImplementation(async () =>
      answer({ items: [1], next_cursor: 'again', resource_version: 1 }),
    );
    expect(await listAll('/v1/x')).toHaveLength(100);
  });

  test('makes keys that differ and fit a header', () => {
    expect(newKey()).toMatch(/^[0-9a-f]{32}$/);
    expect(newKey()).not.toBe(newKey());
  });
});
