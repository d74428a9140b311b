// SPDX-License-Identifier: Apache-2.0
// The one way to the portal: JSON over fetch with the session cookie. Every failure is an ApiError.
import type { Page, Problem } from './types';

export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
    this.name = 'ApiError';
  }
  get code(): string {
    return this.problem.code;
  }
  get status(): number {
    return this.problem.status;
  }
  // The detail for one field of the request body, by JSON pointer.
  field(pointer: string): string | undefined {
    return this.problem.errors?.find((e) => e.pointer === pointer)?.detail;
  }
}

export interface CallOptions {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  body?: unknown;
  // The version the change is meant for; sent as If-Match.
  version?: number;
  // Creating calls carry a key, so that a repeated click makes one thing.
  idempotencyKey?: string;
  signal?: AbortSignal;
}

let csrfToken = '';
let onSignedOut: () => void = () => {};

export function setCsrfToken(token: string): void {
  csrfToken = token;
}

// Called when the portal says that nobody is signed in (any longer).
export function setSignedOutHandler(handler: () => void): void {
  onSignedOut = handler;
}

// 128 random bits as hex. crypto.randomUUID is missing on plain http, getRandomValues is not.
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}

async function toProblem(response: Response): Promise<Problem> {
  const fallback: Problem = {
    title: response.statusText,
    status: response.status,
    detail: '',
    code: response.status >= 500 ? 'internal' : 'bad_request',
    request_id: response.headers.get('X-Request-Id') ?? undefined,
  };
  const retryAfter = Number(response.headers.get('Retry-After'));
  if (retryAfter > 0) fallback.retry_after_s = retryAfter;
  try {
    return { ...fallback, ...((await response.json()) as Partial<Problem>) };
  } catch {
    return fallback;
  }
}

function headersOf(options: CallOptions): Headers {
  const headers = new Headers({ Accept: 'application/json' });
  if (options.body !== undefined) headers.set('Content-Type', 'application/json');
  if (options.version !== undefined) headers.set('If-Match', `"${options.version}"`);
  if (options.idempotencyKey) headers.set('Idempotency-Key', options.idempotencyKey);
  if (options.method && options.method !== 'GET' && csrfToken) {
    headers.set('X-CSRF-Token', csrfToken);
  }
  return headers;
}

export async function callRaw(path: string, options: CallOptions = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: options.method ?? 'GET',
      headers: headersOf(options),
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: options.signal,
    });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new ApiError({ title: '', status: 0, detail: '', code: 'unreachable' });
  }
  if (response.ok) return response;
  const problem = await toProblem(response);
  if (problem.code === 'unauthenticated') onSignedOut();
  throw new ApiError(problem);
}

export async function call<T>(path: string, options: CallOptions = {}): Promise<T> {
  const response = await callRaw(path, options);
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

// Every item of a list, page after page. The page count is bounded: a list that never ends is a
// fault of the server, not a reason to hang.
export async function listAll<T>(path: string, signal?: AbortSignal): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < 100; page++) {
    const separator: string = path.includes('?') ? '&' : '?';
    const from: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const answer: Page<T> = await call(`${path}${separator}limit=200${from}`, { signal });
    items.push(...answer.items);
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  return items;
}
