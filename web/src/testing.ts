// SPDX-License-Identifier: Apache-2.0
// Things as the portal sends them, for tests.
import type { Desktop, Gpu, GpuShare, Page } from './api/types';
import { kGiB } from './format';

export function aDesktop(part: Partial<Desktop> = {}): Desktop {
  return {
    id: 'dsk_1',
    resource_version: 10,
    name: 'Training',
    owner: { id: 'usr_1', name: 'lina' },
    template_id: 'pytorch',
    kind: 'container',
    gpu: { memory_bytes: 8 * kGiB, model: null, guarantee_percent: 0, cap_percent: 0 },
    allocation: null,
    desired_state: 'running',
    state: 'ready',
    reason: 'Ready.',
    state_since: '2026-11-22T12:00:00Z',
    created_at: '2026-11-22T11:00:00Z',
    ready_at: null,
    stops_at: null,
    stops_because: '',
    idle: { stop_after_s: 0, gpu_keeps_alive: true },
    run_for_s: 0,
    keyboard_layout: 'us',
    queue: null,
    stages: [],
    usage: null,
    viewers: 0,
    viewers_admin: [],
    message: '',
    message_from: '',
    limits_in_force: '',
    home_kept: true,
    ...part,
  };
}

export function aGpu(part: Partial<Gpu> = {}): Gpu {
  return {
    id: 'gpu_0',
    resource_version: 1,
    node: 'atlas',
    index: 0,
    vendor: 'nvidia',
    model: 'NVIDIA L4',
    simulated: false,
    memory_bytes: 24 * kGiB,
    held_bytes: 0,
    free_bytes: 24 * kGiB,
    used_bytes: 0,
    utilization_percent: 0,
    temperature_c: 40,
    mode: 'shared',
    health: 'healthy',
    health_reason: '',
    stale: false,
    last_seen_at: null,
    driver_version: '550',
    shares: [],
    ...part,
  };
}

export function aShare(desktop: string, name: string, gib: number): GpuShare {
  return {
    claim_id: `clm ${desktop}`,
    desktop_id: desktop,
    run_command: null,
    owner: 'lina',
    name,
    memory_bytes: gib * kGiB,
    used_bytes: null,
    guarantee_percent: 0,
    cap_percent: 0,
    compute_percent: 0,
    waiting_percent: 0,
    since: null,
    busy: false,
  };
}

// The one page of a list.
export function list<T>(items: T[]): Page<T> {
  return { items, next_cursor: null, resource_version: 1 };
}
