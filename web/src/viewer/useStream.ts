// SPDX-License-Identifier: Apache-2.0
// The connection to one desktop: connects, reconnects after a cut with the last frame kept in
// view, and knows the ends after which it must not (taken over, stopped, signed out).
import RFB from '@novnc/novnc';
import { useCallback, useEffect, useRef, useState, type RefObject } from 'react';
import { ApiError } from '../api/client';
import { desktopActions } from '../api/queries';
import { closeCodes, StreamChannel, StreamClosed, streamUrl, type Notice } from './channel';

export type Phase =
  | { name: 'connecting' }
  | { name: 'open' }
  | { name: 'reconnecting'; retryAt: number; attempt: number }
  // Open in another tab or window; with `mine` it was ours until then.
  | { name: 'elsewhere'; mine: boolean }
  | { name: 'stopped' }
  | { name: 'signed_out' }
  | { name: 'kicked' }
  | { name: 'refused'; error: unknown };

const kRetryMs = [500, 1000, 2000, 4000, 8000, 15_000];

// Releases what noVNC holds pressed: it does so when the window loses focus, and a hidden tab is
// not always told.
export function releaseKeys(): void {
  window.dispatchEvent(new Event('blur'));
}

function phaseOfClose(code: number): Phase | null {
  switch (code) {
    case closeCodes.takenOver:
      return { name: 'elsewhere', mine: true };
    case closeCodes.desktopStopped:
      return { name: 'stopped' };
    case closeCodes.signedOut:
      return { name: 'signed_out' };
    case closeCodes.kicked:
      return { name: 'kicked' };
    default:
      return null;
  }
}

function phaseOfFailure(error: unknown): Phase | null {
  if (error instanceof StreamClosed) return phaseOfClose(error.code);
  if (error instanceof ApiError) {
    if (error.status === 0 || error.status >= 500 || error.code === 'rate_limited') return null;
    if (error.code === 'unauthenticated') return { name: 'signed_out' };
    if (error.code === 'state_conflict') return { name: 'stopped' };
    return { name: 'refused', error };
  }
  const code = (error as { code?: unknown }).code;
  if (code === 'already_open') return { name: 'elsewhere', mine: false };
  return { name: 'refused', error };
}

export interface Stream {
  phase: Phase;
  rfb: RFB | null;
  channel: StreamChannel | null;
  connect: (takeOver: boolean) => void;
  retryNow: () => void;
}

export function useStream(options: {
  id: string;
  mode: 'control' | 'view';
  reason?: string;
  enabled: boolean;
  target: RefObject<HTMLDivElement | null>;
  frozen: RefObject<HTMLDivElement | null>;
  onNotice: (notice: Notice) => void;
}): Stream {
  const { id, mode, reason, enabled, target, frozen } = options;
  const [phase, setPhase] = useState<Phase>({ name: 'connecting' });
  const [live, setLive] = useState<{ rfb: RFB; channel: StreamChannel } | null>(null);
  const onNotice = useRef(options.onNotice);
  useEffect(() => {
    onNotice.current = options.onNotice;
  });
  // The way in for buttons, set by the effect below.
  const begin = useRef<(takeOver: boolean, attempt: number) => void>(() => {});

  useEffect(() => {
    if (!enabled) return;
    const abort = new AbortController();
    let rfb: RFB | null = null;
    let timer: number | undefined;

    const freeze = (canvas: HTMLCanvasElement | null) => {
      if (canvas) frozen.current?.replaceChildren(canvas);
    };
    const later = (attempt: number) => {
      const wait = kRetryMs[Math.min(attempt, kRetryMs.length - 1)] ?? 15_000;
      setPhase({ name: 'reconnecting', retryAt: Date.now() + wait, attempt });
      timer = window.setTimeout(() => void start(true, attempt + 1), wait);
    };
    const attach = (channel: StreamChannel, attempt: number) => {
      const box = target.current;
      if (!box) return channel.close();
      rfb = new RFB(box, channel, { shared: true });
      const mine = rfb;
      let closeCode = 0;
      const inner = channel.onclose;
      channel.onclose = (event) => {
        closeCode = event.code;
        inner?.(event);
      };
      const canvas = box.querySelector('canvas');
      let connected = false;
      mine.viewOnly = mode === 'view';
      mine.background = 'transparent';
      mine.addEventListener('connect', () => {
        connected = true;
        frozen.current?.replaceChildren();
        setLive({ rfb: mine, channel });
        setPhase({ name: 'open' });
        mine.focus({ preventScroll: true });
      });
      mine.addEventListener('disconnect', () => {
        if (abort.signal.aborted) return;
        if (connected) freeze(canvas);
        setLive(null);
        const end = phaseOfClose(closeCode);
        if (end) setPhase(end);
        else later(connected ? 0 : attempt);
      });
    };
    // After a cut the portal may still hold our old connection, so a reconnect takes over.
    const start = async (takeOver: boolean, attempt: number) => {
      window.clearTimeout(timer);
      if (attempt === 0) setPhase({ name: 'connecting' });
      try {
        const ticket = await desktopActions.ticket(id, mode, reason);
        const channel = await StreamChannel.open({
          url: streamUrl(ticket.url),
          ticket: ticket.ticket,
          takeOver,
          onNotice: (notice) => onNotice.current(notice),
          signal: abort.signal,
        });
        if (abort.signal.aborted) channel.close();
        else attach(channel, attempt);
      } catch (error) {
        if (abort.signal.aborted) return;
        const end = phaseOfFailure(error);
        if (end) setPhase(end);
        else later(attempt);
      }
    };
    begin.current = (takeOver, attempt) => void start(takeOver, attempt);
    void start(false, 0);
    return () => {
      abort.abort();
      window.clearTimeout(timer);
      rfb?.disconnect();
      setLive(null);
    };
  }, [id, mode, reason, enabled, target, frozen]);

  useEffect(() => {
    const hide = () => {
      if (document.hidden) releaseKeys();
    };
    document.addEventListener('visibilitychange', hide);
    window.addEventListener('pagehide', releaseKeys);
    return () => {
      document.removeEventListener('visibilitychange', hide);
      window.removeEventListener('pagehide', releaseKeys);
    };
  }, []);

  const connect = useCallback((takeOver: boolean) => begin.current(takeOver, 0), []);
  const retryNow = useCallback(() => begin.current(true, 1), []);
  return { phase, rfb: live?.rfb ?? null, channel: live?.channel ?? null, connect, retryNow };
}
