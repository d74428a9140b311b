// SPDX-License-Identifier: Apache-2.0
// How good the connection is: round trip to the portal, and what comes down the stream.
import { useEffect, useState } from 'react';
import type { StreamChannel } from './channel';

export interface Quality {
  roundTripMs: number | null;
  mbitPerS: number;
  updatesPerS: number;
}

export type Grade = 'good' | 'fair' | 'poor' | 'unknown';

export function gradeOf(quality: Quality): Grade {
  if (quality.roundTripMs === null) return 'unknown';
  if (quality.roundTripMs <= 60) return 'good';
  return quality.roundTripMs <= 200 ? 'fair' : 'poor';
}

const kSampleMs = 1000;
const kRoundTripEverySamples = 5;

export function useQuality(channel: StreamChannel | null): Quality {
  const [quality, setQuality] = useState<Quality>({
    roundTripMs: null,
    mbitPerS: 0,
    updatesPerS: 0,
  });
  useEffect(() => {
    if (!channel) return;
    let [bytes, messages] = [channel.counters.bytesIn, channel.counters.messagesIn];
    let last = performance.now();
    let samples = 0;
    const roundTrip = async () => {
      const sent = performance.now();
      try {
        await fetch('/healthz', { cache: 'no-store' });
        const took = performance.now() - sent;
        setQuality((q) => ({ ...q, roundTripMs: Math.round(took) }));
      } catch {
        setQuality((q) => ({ ...q, roundTripMs: null }));
      }
    };
    const sample = () => {
      if (document.hidden) return;
      const now = performance.now();
      const seconds = (now - last) / 1000;
      const { bytesIn, messagesIn } = channel.counters;
      const mbit = ((bytesIn - bytes) * 8) / 1e6 / seconds;
      const updates = (messagesIn - messages) / seconds;
      [bytes, messages, last] = [bytesIn, messagesIn, now];
      setQuality((q) => ({ ...q, mbitPerS: mbit, updatesPerS: Math.round(updates) }));
      if (samples++ % kRoundTripEverySamples === 0) void roundTrip();
    };
    const timer = window.setInterval(sample, kSampleMs);
    return () => window.clearInterval(timer);
  }, [channel]);
  return quality;
}
