// SPDX-License-Identifier: Apache-2.0
// Clipboard text both ways. The browser's own clipboard is used where it allows that; the panel
// in the bar always works.
import type RFB from '@novnc/novnc';
import { useCallback, useEffect, useRef, useState } from 'react';

// A guest may send anything; what is longer is cut.
export const kClipboardCharsMax = 1 << 20;

const kPassAfterMs = 100;

export type Access = 'granted' | 'prompt' | 'denied';

async function readAccess(): Promise<Access> {
  if (!window.isSecureContext || !navigator.clipboard?.readText) return 'denied';
  try {
    const status = await navigator.permissions.query({
      name: 'clipboard-read' as PermissionName,
    });
    return status.state;
  } catch {
    // Browsers without this permission ask at each paste: only on a button then.
    return 'prompt';
  }
}

export interface DesktopClipboard {
  // The latest text of the desktop.
  fromDesktop: string;
  access: Access;
  send: (text: string) => void;
  // Reads the browser's clipboard and sends it; asks for leave where that is needed.
  sendLocal: () => Promise<void>;
}

export function useDesktopClipboard(rfb: RFB | null, viewOnly: boolean): DesktopClipboard {
  const [fromDesktop, setFromDesktop] = useState('');
  const [access, setAccess] = useState<Access>('prompt');
  const lastSent = useRef<string | null>(null);

  useEffect(() => {
    void readAccess().then(setAccess);
  }, []);

  const send = useCallback(
    (text: string) => {
      if (!rfb || viewOnly) return;
      lastSent.current = text;
      rfb.clipboardPasteFrom(text.slice(0, kClipboardCharsMax));
    },
    [rfb, viewOnly],
  );

  const sendLocal = useCallback(async () => {
    try {
      const text = await navigator.clipboard.readText();
      setAccess('granted');
      if (text !== '' && text !== lastSent.current) send(text);
    } catch {
      setAccess(await readAccess());
    }
  }, [send]);

  useEffect(() => {
    if (!rfb || viewOnly) return;
    // A guest may change its clipboard without end: only the latest of a while is passed on.
    let latest = '';
    let timer: number | undefined;
    const pass = () => {
      timer = undefined;
      setFromDesktop(latest);
      lastSent.current = latest;
      if (window.isSecureContext && document.hasFocus()) {
        navigator.clipboard?.writeText(latest).catch(() => {});
      }
    };
    const take = (event: Event) => {
      const { text } = (event as CustomEvent<{ text: string }>).detail;
      latest = String(text).slice(0, kClipboardCharsMax);
      timer ??= window.setTimeout(pass, kPassAfterMs);
    };
    rfb.addEventListener('clipboard', take);
    return () => {
      window.clearTimeout(timer);
      rfb.removeEventListener('clipboard', take);
    };
  }, [rfb, viewOnly]);

  // Coming back to the window brings along what was copied elsewhere.
  useEffect(() => {
    if (!rfb || viewOnly || access !== 'granted') return;
    const bring = () => {
      if (document.hasFocus()) void sendLocal();
    };
    bring();
    window.addEventListener('focus', bring);
    return () => window.removeEventListener('focus', bring);
  }, [rfb, viewOnly, access, sendLocal]);

  return { fromDesktop, access, send, sendLocal };
}
