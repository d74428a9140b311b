// SPDX-License-Identifier: Apache-2.0
// One card as a bar, cut to shares in proportion to memory: fill is what is used, outline the
// limit, hatch a simulated card, the small tick the compute guarantee.
import { Tooltip } from '@mantine/core';
import type { Gpu, GpuShare } from '../api/types';
import { fullTime, memory, memoryOf, percent } from '../format';
import { useWords, type Words } from '../i18n';
import { cardWords } from './desktop';

export type SegmentKind = 'mine' | 'planned' | 'idle' | 'busy' | 'vm' | 'moving' | 'other';

export interface Segment {
  id: string;
  kind: SegmentKind;
  memoryBytes: number;
  usedBytes: number | null;
  guaranteePercent: number;
  label: string;
  // The lines of the hover; the first is the name.
  lines: string[];
}

export function ShareBar(props: {
  totalBytes: number;
  segments: Segment[];
  simulated: boolean;
  stale?: boolean;
  tall?: boolean;
  // Said to those who cannot see the bar.
  label: string;
}) {
  const classes = ['share-bar'];
  if (props.simulated) classes.push('simulated');
  if (props.stale) classes.push('stale');
  if (props.tall) classes.push('tall');
  return (
    <div className={classes.join(' ')} role="group" aria-label={props.label}>
      {props.segments.map((s) => (
        <Tooltip
          key={s.id}
          label={s.lines.map((line) => (
            <div key={line}>{line}</div>
          ))}
        >
          <button
            type="button"
            className={`share-seg ${s.kind}`}
            style={{ width: `${percent(s.memoryBytes, props.totalBytes)}%` }}
            aria-label={s.lines.join(', ')}
          >
            <i style={{ width: `${percent(s.usedBytes ?? 0, s.memoryBytes)}%` }} />
            {s.guaranteePercent > 0 && s.guaranteePercent < 100 && (
              <b style={{ left: `${s.guaranteePercent}%` }} />
            )}
            {props.tall && (
              <span>
                <em>{s.label}</em>
              </span>
            )}
          </button>
        </Tooltip>
      ))}
    </div>
  );
}

function linesOf(share: GpuShare, words: Words): string[] {
  const { t, language } = words;
  const name = share.name || share.run_command || t('share.someone');
  const lines = [share.owner ? `${name} · ${share.owner}` : name];
  lines.push(
    share.used_bytes === null
      ? t('share.limit', { limit: memory(share.memory_bytes) })
      : t('share.used', { used: memoryOf(share.used_bytes, share.memory_bytes) }),
  );
  if (share.guarantee_percent > 0) {
    lines.push(t('share.guarantee', { percent: share.guarantee_percent }));
  }
  if (share.cap_percent > 0) lines.push(t('share.cap', { percent: share.cap_percent }));
  if (share.used_bytes !== null) {
    lines.push(t('share.compute', { percent: share.compute_percent }));
    if (share.waiting_percent > 0) {
      lines.push(t('share.waiting', { percent: share.waiting_percent }));
    }
  }
  if (share.since) lines.push(t('share.since', { time: fullTime(share.since, language) }));
  lines.push(share.busy ? t('share.busy') : t('share.idle'));
  return lines;
}

// A real or simulated card with the shares it carries. With `mine`, that desktop's share stands
// out and the others are quiet; `planned` adds the share that a form asks for.
export function CardBar(props: {
  gpu: Gpu;
  mine?: string;
  mineUsedBytes?: number;
  planned?: { memoryBytes: number; label: string };
  tall?: boolean;
}) {
  const words = useWords();
  const { gpu, mine, planned } = props;
  const quiet = mine !== undefined || planned !== undefined;
  const segments: Segment[] = gpu.shares.map((share) => {
    const isMine = mine !== undefined && share.desktop_id === mine;
    const used = isMine ? (props.mineUsedBytes ?? share.used_bytes) : share.used_bytes;
    return {
      id: share.claim_id,
      kind: isMine ? 'mine' : quiet ? 'other' : share.busy ? 'busy' : 'idle',
      memoryBytes: share.memory_bytes,
      usedBytes: quiet && !isMine ? 0 : used,
      guaranteePercent: share.guarantee_percent,
      label: share.name || share.run_command || words.t('share.someone'),
      lines: linesOf({ ...share, used_bytes: used }, words),
    };
  });
  if (planned) {
    segments.push({
      id: 'planned',
      kind: 'planned',
      memoryBytes: planned.memoryBytes,
      usedBytes: 0,
      guaranteePercent: 0,
      label: planned.label,
      lines: [planned.label, memory(planned.memoryBytes)],
    });
  }
  return (
    <ShareBar
      totalBytes={gpu.memory_bytes}
      segments={segments}
      simulated={gpu.simulated}
      stale={gpu.stale}
      tall={props.tall}
      label={words.t('share.bar', {
        card: cardWords(gpu, words),
        held: memoryOf(gpu.held_bytes, gpu.memory_bytes),
      })}
    />
  );
}

export function Legend() {
  const { t } = useWords();
  return (
    <div className="legend">
      <span>
        <i />
        {t('legend.free')}
      </span>
      <span>
        <i className="idle" />
        {t('legend.idle')}
      </span>
      <span>
        <i className="busy" />
        {t('legend.busy')}
      </span>
      <span>
        <i className="simulated" />
        {t('legend.simulated')}
      </span>
    </div>
  );
}
