// SPDX-License-Identifier: Apache-2.0
// The way to a desktop's launch page for whoever has just asked for it to run. A desktop may be
// ready before that page is there, so the page is told since when it was ready before: at any other
// time it opens by itself.
import { useCallback } from 'react';
import { useNavigate } from 'react-router';

export interface LaunchState {
  readyBefore: string | null;
}

export function useToLaunch(): (id: string, readyBefore: string | null) => void {
  const navigate = useNavigate();
  return useCallback(
    (id, readyBefore) => {
      const state: LaunchState = { readyBefore };
      void navigate(`/desktops/${id}`, { state });
    },
    [navigate],
  );
}
