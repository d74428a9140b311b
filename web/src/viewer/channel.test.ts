// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { StreamChannel, StreamClosed, type Notice } from './channel';

// A WebSocket whose other end is the test.
class Pipe {
  static readonly OPEN = 1;
  static last: Pipe;
  readyState = 0;
  binaryType = '';
  protocol = 'sluice.stream.v1';
  sent: (string | ArrayBuffer)[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string | ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  constructor(
    readonly url: string,
    readonly asked: string,
  ) {
    Pipe.last = this;
  }
  send(data: string | ArrayBuffer) {
    this.sent.push(data);
  }
  close() {
    this.end(1000);
  }
  opened() {
    this.readyState = 1;
    this.onopen?.();
  }
  text(message: unknown) {
    this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) });
  }
  bytes(...values: number[]) {
    this.onmessage?.({ data: new Uint8Array(values).buffer });
  }
  end(code: number) {
    this.readyState = 3;
    this.onclose?.({ code, reason: '', wasClean: true });
  }
}

let notices: Notice[];
const open = () =>
  StreamChannel.open({
    url: 'ws://x/v1/stream',
    ticket: 't1',
    takeOver: true,
    onNotice: (notice) => notices.push(notice),
    signal: new AbortController().signal,
  });

beforeEach(() => {
  notices = [];
  vi.stubGlobal('WebSocket', Pipe);
});
afterEach(() => vi.unstubAllGlobals());

describe('Channel', () => {
  test('shows the ticket first and is open once the portal is ready', async () => {
    const opening = open();
    Pipe.last.opened();
    expect(Pipe.last.asked).toBe('sluice.stream.v1');
    expect(Pipe.last.sent).toEqual(['{"ticket":"t1","take_over":true}']);
    Pipe.last.text({ type: 'ready', mode: 'control', desktop_id: 'd' });
    expect((await opening).readyState).toBe(1);
  });

  test('rejects with what the portal refused', async () => {
    const opening = open();
    Pipe.last.opened();
    Pipe.last.text({ type: 'refused', code: 'already_open', detail: 'elsewhere' });
    Pipe.last.end(1008);
    await expect(opening).rejects.toEqual({ code: 'already_open', detail: 'elsewhere' });
  });

  test('rejects with the close code when it ends before it began', async () => {
    const opening = open();
    Pipe.last.end(4003);
    await expect(opening).rejects.toEqual(new StreamClosed(4003));
  });

  test('keeps bytes that come before anybody listens, in order', async () => {
    const opening = open();
    Pipe.last.opened();
    Pipe.last.text({ type: 'ready' });
    Pipe.last.bytes(1, 2);
    const channel = await opening;
    Pipe.last.bytes(3);
    const got: number[] = [];
    channel.onmessage = ({ data }) => got.push(...new Uint8Array(data));
    await Promise.resolve();
    Pipe.last.bytes(4);
    expect(got).toEqual([1, 2, 3, 4]);
    expect(channel.counters).toEqual({ bytesIn: 4, messagesIn: 3 });
  });

  test('closes rather than keep bytes without end', async () => {
    const opening = open();
    Pipe.last.opened();
    Pipe.last.text({ type: 'ready' });
    const channel = await opening;
    Pipe.last.onmessage?.({ data: new ArrayBuffer(2 << 20) });
    expect(channel.readyState).toBe(3);
  });

  test('passes notices on and ignores what it does not know', async () => {
    const opening = open();
    Pipe.last.opened();
    Pipe.last.text({ type: 'ready' });
    const channel = await opening;
    const bytes = vi.fn();
    channel.onmessage = bytes;
    Pipe.last.text({ type: 'banner', text: 'Oscar looks', by: 'Oscar' });
    Pipe.last.text({ type: 'stopping', at: '2026-11-22T18:00:00Z', reason: 'run_for' });
    Pipe.last.text({ type: 'from the future' });
    Pipe.last.text('not json');
    Pipe.last.text('[1]');
    expect(notices).toEqual([
      { type: 'banner', text: 'Oscar looks', by: 'Oscar' },
      { type: 'stopping', at: '2026-11-22T18:00:00Z', reason: 'run_for' },
    ]);
    expect(bytes).not.toHaveBeenCalled();
  });

  test('has every property that noVNC asks of a channel', async () => {
    const opening = open();
    Pipe.last.opened();
    Pipe.last.text({ type: 'ready' });
    const channel = await opening;
    const names = [
      ...Object.keys(channel),
      ...Object.getOwnPropertyNames(Object.getPrototypeOf(channel)),
    ];
    for (const name of [
      'send',
      'close',
      'binaryType',
      'onerror',
      'onmessage',
      'onopen',
      'protocol',
      'readyState',
    ]) {
      expect(names).toContain(name);
    }
  });
});
