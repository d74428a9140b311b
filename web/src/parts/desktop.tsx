// SPDX-License-Identifier: Apache-2.0
// What a desktop's state means to its user: its word, its picture, its main act.
import { Text } from '@mantine/core';
import type { ComponentType, ReactNode } from 'react';
import type { Desktop, DesktopState, Gpu, StartRange } from '../api/types';
import { clock, fullTime, lengthOfTime, until } from '../format';
import { useWords, type Words } from '../i18n';
import { sentence } from '../i18n/sentences';
import {
  IconAlertTriangle,
  IconCheck,
  IconClock,
  IconHourglass,
  IconPlayerStop,
  IconRefreshDot,
} from './icons';
import { useNow } from './now';

export type MainAct = 'open' | 'watch' | 'leave_queue' | 'start' | 'retry' | 'none';
type Tone = 'good' | 'warn' | 'trouble' | 'quiet' | 'plain';

interface Look {
  tone: Tone;
  icon: ComponentType<{ size?: number }>;
  act: MainAct;
  // The desktop's program tree is there to be opened.
  live: boolean;
  // Shows the reason as a line of its own.
  says: boolean;
}

export const looks: Record<DesktopState, Look> = {
  queued: { tone: 'warn', icon: IconHourglass, act: 'leave_queue', live: false, says: true },
  reserved: { tone: 'plain', icon: IconRefreshDot, act: 'watch', live: false, says: true },
  provisioning: { tone: 'plain', icon: IconRefreshDot, act: 'watch', live: false, says: true },
  starting: { tone: 'plain', icon: IconRefreshDot, act: 'watch', live: false, says: true },
  ready: { tone: 'good', icon: IconCheck, act: 'open', live: true, says: false },
  connected: { tone: 'good', icon: IconCheck, act: 'open', live: true, says: false },
  idle_warned: { tone: 'warn', icon: IconClock, act: 'open', live: true, says: true },
  suspending: { tone: 'plain', icon: IconRefreshDot, act: 'none', live: false, says: true },
  suspended: { tone: 'quiet', icon: IconPlayerStop, act: 'start', live: false, says: true },
  stopping: { tone: 'plain', icon: IconRefreshDot, act: 'none', live: false, says: true },
  stopped: { tone: 'quiet', icon: IconPlayerStop, act: 'start', live: false, says: true },
  failed: { tone: 'trouble', icon: IconAlertTriangle, act: 'retry', live: false, says: true },
  deleting: { tone: 'plain', icon: IconRefreshDot, act: 'none', live: false, says: true },
};

export const isLive = (desktop: Desktop): boolean => looks[desktop.state].live;

export function StateWord({ state }: { state: DesktopState }) {
  const { t } = useWords();
  const { icon: Icon, tone } = looks[state];
  return (
    <span className={`state ${tone}`}>
      <Icon size={16} />
      {t(`state.${state}`)}
    </span>
  );
}

// A card's model, with the word for a simulated one where the name does not say it.
export function modelWords(model: string, simulated: boolean, { t }: Words): string {
  const said = model.toLowerCase().includes(t('simulated.word'));
  return simulated && !said ? `${model} · ${t('simulated.word')}` : model;
}

// One card of a machine: its model and which of them it is.
export function cardWords(card: Pick<Gpu, 'model' | 'simulated' | 'index'>, words: Words): string {
  const model = modelWords(card.model, card.simulated, words);
  return words.t('share.card', { model, index: card.index });
}

// The same by its machine, as in "atlas 0"; its id where the card is no more.
export function cardName(id: string, gpus: Pick<Gpu, 'id' | 'node' | 'index'>[]): string {
  const card = gpus.find((gpu) => gpu.id === id);
  if (!card) return id;
  return card.node ? `${card.node} ${card.index}` : String(card.index);
}

// One sentence: why it is as it is, with its figures.
export function ReasonLine({ desktop }: { desktop: Desktop }) {
  const words = useWords();
  const look = looks[desktop.state];
  // "Stopped." says no more than the state's word does.
  if (!look.says || desktop.reason === '' || desktop.reason === 'Stopped.') return null;
  const Icon = look.icon;
  return (
    <div className={`reason ${look.tone}`} role={look.tone === 'trouble' ? 'alert' : undefined}>
      <Icon size={16} />
      <span>{sentence(desktop.queue?.reason || desktop.reason, words)}</span>
    </div>
  );
}

// "stops 18:00 (20 min) · kept alive by the GPU, 62 %".
export function StopsLine({ desktop }: { desktop: Desktop }) {
  const { t, language } = useWords();
  const now = useNow(15_000);
  const parts: ReactNode[] = [];
  if (desktop.stops_at) {
    parts.push(
      <span key="at" title={fullTime(desktop.stops_at, language)}>
        {t(desktop.stops_because === 'idle' ? 'stops.at_idle' : 'stops.at', {
          time: clock(desktop.stops_at, language),
          left: until(desktop.stops_at, language, now),
        })}
      </span>,
    );
  } else {
    parts.push(<span key="never">{t('stops.never')}</span>);
  }
  const used = desktop.usage?.utilization_percent ?? 0;
  if (desktop.idle.gpu_keeps_alive && desktop.idle.stop_after_s > 0 && used > 0) {
    parts.push(<span key="gpu"> · {t('stops.gpu', { percent: used })}</span>);
  }
  return (
    <Text size="sm" c="dimmed">
      {parts}
    </Text>
  );
}

// "about 8–15 min", "from 8 min on"; null where nothing is known.
export function rangeWords(range: StartRange, words: Words, now: number): string | null {
  if (!range?.earliest_at) return null;
  const minutes = (time: string) =>
    Math.max(1, Math.round((new Date(time).getTime() - now) / 60_000));
  const from = minutes(range.earliest_at);
  if (!range.latest_at) {
    return words.t('start.from', { from: lengthOfTime(from * 60, words) });
  }
  const to = minutes(range.latest_at);
  if (to <= from) return words.t('start.about', { time: lengthOfTime(to * 60, words) });
  return to < 60
    ? words.t('start.minutes', { from, to })
    : words.t('start.range', {
        from: lengthOfTime(from * 60, words),
        to: lengthOfTime(to * 60, words),
      });
}

export function QueueLine({ desktop }: { desktop: Desktop }) {
  const words = useWords();
  const { t, language } = words;
  const now = useNow(15_000);
  const { queue } = desktop;
  if (!queue) return null;
  return (
    <div className="line">
      <strong>{t('queue.position', { n: queue.position, of: queue.waiting })}</strong>
      <span className="quiet">
        {queue.over_quota
          ? t('queue.over_quota')
          : (rangeWords(queue.start, words, now) ??
            (queue.next_likely_at
              ? t('queue.likely', {
                  time: clock(queue.next_likely_at, language),
                  left: until(queue.next_likely_at, language, now),
                })
              : t(queue.position > 1 ? 'queue.after' : 'queue.unknown')))}
      </span>
    </div>
  );
}
