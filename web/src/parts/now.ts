// SPDX-License-Identifier: Apache-2.0
import { useEffect, useState } from 'react';

// The time, renewed every `everyMs` while the component is shown.
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), everyMs);
    return () => window.clearInterval(timer);
  }, [everyMs]);
  return now;
}
