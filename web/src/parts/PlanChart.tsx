// SPDX-License-Identifier: Apache-2.0
// Two runs of the planner over time, in one picture: as it is dashed, as planned full. The figures
// behind it stand in the table beside, so the picture alone needs no reading out.
import { useComputedColorScheme } from '@mantine/core';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { PlanRun } from '../api/types';
import { useWords } from '../i18n';
import { chartColors } from './chartColors';

type Figure = 'waiting' | 'held_pct';
const kHeight = 180;
const kWholeSteps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

// Both runs on one time line; the hours of one that the other has not are gaps there.
function together(today: PlanRun, planned: PlanRun, figure: Figure): uPlot.AlignedData {
  const of = (run: PlanRun): uPlot.AlignedData => [
    run.points.map((p) => p.hours),
    run.points.map((p) => p[figure]),
  ];
  return uPlot.join([of(today), of(planned)]);
}

export function PlanChart(props: {
  today: PlanRun;
  planned: PlanRun;
  figure: Figure;
  label: string;
}) {
  const { today, planned, figure, label } = props;
  const { t } = useWords();
  const scheme = useComputedColorScheme('light');
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const { color, line, axis: plain } = chartColors(host);
    const axis = { ...plain, ticks: line };
    const plot = new uPlot(
      {
        width: host.clientWidth,
        height: kHeight,
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { time: false },
          y: { range: (_, __, most) => [0, figure === 'held_pct' ? 100 : Math.max(1, most)] },
        },
        axes: [
          { ...axis, size: 30, values: (_, hours) => hours.map((h) => `${h} h`) },
          {
            ...axis,
            size: 56,
            incrs: figure === 'waiting' ? kWholeSteps : [10, 20, 25, 50],
            values: (_, all) => all.map((v) => (figure === 'held_pct' ? `${v} %` : String(v))),
          },
        ],
        series: [
          {},
          { stroke: color('--sluice-quiet'), width: 1.5, dash: [5, 4], spanGaps: true },
          { stroke: color('--sluice-accent'), width: 2, spanGaps: true },
        ],
      },
      together(today, planned, figure),
      host,
    );
    const resize = new ResizeObserver(() =>
      plot.setSize({ width: host.clientWidth, height: kHeight }),
    );
    resize.observe(host);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [today, planned, figure, scheme]);
  return (
    <figure className="plan-chart">
      <figcaption>
        <strong>{label}</strong>{' '}
        <span className="quiet">
          <i className="key dashed" /> {t('plan.today')} <i className="key" /> {t('plan.planned')}
        </span>
      </figcaption>
      <div ref={box} role="img" aria-label={label} />
    </figure>
  );
}
