// SPDX-License-Identifier: Apache-2.0
// The true stages of a launch, each with elapsed and usual time; the current one is live.
import { Text } from '@mantine/core';
import type { Desktop, Stage } from '../api/types';
import { elapsed } from '../format';
import { useWords } from '../i18n';
import { IconAlertTriangle, IconCheck } from './icons';
import { useNow } from './now';

const order: Stage['stage'][] = ['place', 'prepare_home', 'start_display', 'first_frame'];

type Phase = 'done' | 'live' | 'waiting' | 'failed';

function phaseOf(stage: Stage | undefined, failed: boolean): Phase {
  if (!stage?.started_at) return 'waiting';
  if (stage.ended_at) return 'done';
  return failed ? 'failed' : 'live';
}

export function Stages({ desktop, skewMs }: { desktop: Desktop; skewMs: number }) {
  const { t, language } = useWords();
  const now = useNow(100) + skewMs;
  const failed = desktop.state === 'failed';
  return (
    <ol className="stages">
      {order.map((name) => {
        const stage = desktop.stages.find((s) => s.stage === name);
        const phase = phaseOf(stage, failed);
        const start = stage?.started_at ? Date.parse(stage.started_at) : now;
        const end = stage?.ended_at ? Date.parse(stage.ended_at) : now;
        const usual = stage?.usual_ms ?? null;
        // Waiting in the queue is no slowness of the placing.
        const queued = name === 'place' && desktop.state === 'queued';
        const slow =
          phase === 'live' && usual !== null && !queued && end - start > Math.max(2 * usual, 2000);
        return (
          <li
            key={name}
            className={phase === 'waiting' ? 'waiting-stage' : undefined}
            aria-current={phase === 'live' ? 'step' : undefined}
          >
            <span
              className={`state ${phase === 'done' ? 'good' : phase === 'failed' ? 'trouble' : ''}`}
            >
              {phase === 'done' && <IconCheck size={18} aria-hidden />}
              {phase === 'failed' && <IconAlertTriangle size={18} aria-hidden />}
              {(phase === 'live' || phase === 'waiting') && (
                <i className={phase === 'live' ? 'dot live' : 'dot'} />
              )}
            </span>
            <span>
              {t(`stage.${name}`)} <span className="visually-hidden">{t(`phase.${phase}`)}</span>
            </span>
            <span className="nowrap">
              {stage?.started_at &&
                (phase === 'done' || phase === 'live') &&
                elapsed(end - start, language)}
              {usual !== null && !queued && (
                <span className="quiet">
                  {phase === 'done' || phase === 'live' ? ' · ' : ''}
                  {t('stage.usual', { time: elapsed(usual, language) })}
                </span>
              )}
            </span>
            {slow && (
              <Text size="sm" className="note" c="var(--sluice-warn-text)">
                {t('stage.slow', { time: elapsed(usual ?? 0, language) })}
              </Text>
            )}
          </li>
        );
      })}
    </ol>
  );
}
