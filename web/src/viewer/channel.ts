// SPDX-License-Identifier: Apache-2.0
// The stream's WebSocket with the shape noVNC wants. The first message shows the ticket, the
// portal's answer says whether the stream is ours; then binary messages are RFB and text messages
// are the portal's notices.
import type { RfbChannel } from '@novnc/novnc';

export type Notice =
  | { type: 'banner'; text: string; by: string }
  | { type: 'message'; text: string; by: string }
  | { type: 'stopping'; at: string; reason: string };

export interface Refusal {
  code: string;
  detail: string;
}

export const closeCodes = {
  takenOver: 4001,
  desktopStopped: 4002,
  signedOut: 4003,
  kicked: 4004,
} as const;

const kOpenTimeoutMs = 15_000;
// RFB that came before noVNC listens. The X server says little before it is answered.
const kEarlyBytesMax = 1 << 20;

export interface Counters {
  bytesIn: number;
  messagesIn: number;
}

export class StreamChannel implements RfbChannel {
  binaryType = 'arraybuffer';
  onopen: (() => void) | null = null;
  onclose: RfbChannel['onclose'] = null;
  onerror: RfbChannel['onerror'] = null;
  readonly counters: Counters = { bytesIn: 0, messagesIn: 0 };

  private early: ArrayBuffer[] = [];
  private earlyBytes = 0;
  private listener: RfbChannel['onmessage'] = null;

  private constructor(
    private readonly socket: WebSocket,
    private readonly onNotice: (notice: Notice) => void,
  ) {}

  get protocol(): string {
    return this.socket.protocol;
  }
  get readyState(): number {
    return this.socket.readyState;
  }
  get onmessage(): RfbChannel['onmessage'] {
    return this.listener;
  }
  set onmessage(listener: RfbChannel['onmessage']) {
    this.listener = listener;
    const waiting = this.early;
    this.early = [];
    this.earlyBytes = 0;
    // After noVNC's constructor has finished.
    queueMicrotask(() => waiting.forEach((data) => this.listener?.({ data })));
  }
  send(data: ArrayBufferView<ArrayBuffer> | ArrayBuffer): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }
  close(): void {
    this.socket.close();
  }

  // Resolves when the portal said "ready". Rejects with a Refusal, or with the close code.
  static open(options: {
    url: string;
    ticket: string;
    takeOver: boolean;
    onNotice: (notice: Notice) => void;
    signal: AbortSignal;
  }): Promise<StreamChannel> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(options.url, 'sluice.stream.v1');
      socket.binaryType = 'arraybuffer';
      const channel = new StreamChannel(socket, options.onNotice);
      let refusal: Refusal | null = null;
      let settled = false;
      const timer = window.setTimeout(() => socket.close(), kOpenTimeoutMs);
      options.signal.addEventListener('abort', () => socket.close());
      socket.onopen = () =>
        socket.send(JSON.stringify({ ticket: options.ticket, take_over: options.takeOver }));
      socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
        if (typeof event.data !== 'string') return channel.takeBinary(event.data);
        const answer = parse(event.data);
        if (answer?.['type'] === 'ready') {
          settled = true;
          window.clearTimeout(timer);
          resolve(channel);
        } else if (answer?.['type'] === 'refused') {
          refusal = { code: String(answer['code']), detail: String(answer['detail'] ?? '') };
        } else if (answer) {
          channel.takeNotice(answer);
        }
      };
      socket.onclose = (event) => {
        window.clearTimeout(timer);
        if (!settled) reject(refusal ?? new StreamClosed(event.code));
        channel.onclose?.({ code: event.code, reason: event.reason, wasClean: event.wasClean });
      };
      socket.onerror = (event) => channel.onerror?.(event);
    });
  }

  private takeBinary(data: ArrayBuffer): void {
    this.counters.bytesIn += data.byteLength;
    this.counters.messagesIn += 1;
    if (this.listener) {
      this.listener({ data });
      return;
    }
    this.earlyBytes += data.byteLength;
    if (this.earlyBytes > kEarlyBytesMax) this.socket.close();
    else this.early.push(data);
  }

  private takeNotice(message: Record<string, unknown>): void {
    const text = (name: string) => String(message[name] ?? '');
    switch (message['type']) {
      case 'banner':
      case 'message':
        this.onNotice({ type: message['type'], text: text('text'), by: text('by') });
        return;
      case 'stopping':
        this.onNotice({ type: 'stopping', at: text('at'), reason: text('reason') });
        return;
    }
  }
}

export class StreamClosed extends Error {
  constructor(readonly code: number) {
    super(`the stream closed with ${code}`);
  }
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

export function streamUrl(path: string): string {
  const url = new URL(path, window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}
