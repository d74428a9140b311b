// SPDX-License-Identifier: Apache-2.0
// My share in the bar: used of limit; on click the last minutes as a chart.
import { Button, Popover, Text } from '@mantine/core';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Desktop, Usage } from '../api/types';
import { kGiB, memory, memoryOf, percent } from '../format';
import { useWords } from '../i18n';
import { chartColors } from '../parts/chartColors';
import { modelWords } from '../parts/desktop';
import { closedBy } from './panels';

const kKeepS = 300;

const hourMinute = (seconds: number): string => {
  const d = new Date(seconds * 1000);
  return `${d.getHours()}:${String(d.getMinutes()).padStart(2, '0')}`;
};

type Samples = [times: number[], gib: number[], busy: number[]];

// The samples of the last five minutes; they come by events, about one a second while they change.
function useSamples(usage: Usage | null) {
  const samples = useRef<Samples>([[], [], []]);
  useEffect(() => {
    if (!usage) return;
    const [times, gib, busy] = samples.current;
    times.push(Date.now() / 1000);
    gib.push(usage.used_bytes / kGiB);
    busy.push(usage.compute_percent);
    while ((times[0] ?? 0) < Date.now() / 1000 - kKeepS) {
      times.shift();
      gib.shift();
      busy.shift();
    }
  }, [usage]);
  return samples;
}

function Chart({ samples, limitBytes }: { samples: { current: Samples }; limitBytes: number }) {
  const { t } = useWords();
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const { color, axis } = chartColors(host);
    const plot = new uPlot(
      {
        width: 300,
        height: 140,
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { range: () => [Date.now() / 1000 - kKeepS, Date.now() / 1000] },
          y: { range: [0, Math.max(limitBytes / kGiB, 0.001)] },
          percent: { range: [0, 100] },
        },
        axes: [
          { ...axis, size: 28, space: 80, values: (_, times) => times.map(hourMinute) },
          { ...axis, size: 40, space: 30 },
          { ...axis, scale: 'percent', side: 1, size: 40, space: 30, grid: { show: false } },
        ],
        series: [
          {},
          {
            label: 'GiB',
            stroke: color('--sluice-busy'),
            width: 2,
            fill: color('--mantine-color-cyan-light'),
          },
          {
            label: '%',
            scale: 'percent',
            stroke: color('--sluice-moving'),
            width: 1,
            dash: [4, 3],
          },
        ],
      },
      samples.current,
      host,
    );
    const timer = window.setInterval(() => plot.setData(samples.current), 1000);
    return () => {
      window.clearInterval(timer);
      plot.destroy();
    };
  }, [samples, limitBytes]);
  return <div ref={box} className="chart" role="img" aria-label={t('meter.chart')} />;
}

export function Meter({ desktop }: { desktop: Desktop }) {
  const words = useWords();
  const { t, tn } = words;
  const { usage } = desktop;
  const samples = useSamples(usage);
  const limit = usage?.limit_bytes || desktop.gpu.memory_bytes;
  const used = usage?.used_bytes ?? 0;
  const share = percent(used, limit);
  const held = desktop.allocation?.[0];
  return (
    <Popover clickOutsideEvents={closedBy} position="bottom" withArrow>
      <Popover.Target>
        <Button
          variant="subtle"
          color="gray"
          size="compact-sm"
          title={t('meter.label', { used: memoryOf(used, limit) })}
          data-used={used}
          data-limit={limit}
        >
          <span className="with-icon">
            GPU
            <span className={share > 90 ? 'meter full' : 'meter'}>
              <i style={{ width: `${share}%` }} />
            </span>
            {memoryOf(used, limit)}
          </span>
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        <Text size="sm" fw={600}>
          {held && modelWords(held.gpu_model, held.simulated, words)}
        </Text>
        <Chart samples={samples} limitBytes={limit} />
        <dl className="facts">
          <dt>{t('meter.used')}</dt>
          <dd>{memoryOf(used, limit)}</dd>
          <dt>{t('meter.peak')}</dt>
          <dd>{memory(usage?.peak_bytes ?? 0)}</dd>
          <dt>{t('compute.title')}</dt>
          <dd>{usage?.compute_percent ?? 0} %</dd>
          <dt>{t('meter.guaranteed')}</dt>
          <dd>
            {usage && usage.guarantee_percent > 0
              ? `${usage.guarantee_percent} %`
              : t('compute.best_effort')}
          </dd>
          {usage && usage.cap_percent > 0 && (
            <>
              <dt>{t('meter.cap')}</dt>
              <dd>{usage.cap_percent} %</dd>
            </>
          )}
          <dt>{t('meter.waiting')}</dt>
          <dd>{t('meter.waited', { percent: usage?.waiting_percent ?? 0 })}</dd>
          <dt>{t('meter.processes')}</dt>
          <dd>{tn('meter.process_count', usage?.processes ?? 0)}</dd>
        </dl>
      </Popover.Dropdown>
    </Popover>
  );
}
