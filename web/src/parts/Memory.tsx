// SPDX-License-Identifier: Apache-2.0
// How much of one card's memory a share has: a slider and the exact figure, in whole steps.
import { NumberInput, Slider } from '@mantine/core';
import { kGiB, memory } from '../format';
import { useWords } from '../i18n';

export interface MemoryRange {
  min: number;
  max: number;
  step: number;
}

// What may be asked for: whole steps within the limits.
export function toStep(bytes: number, { min, max, step }: MemoryRange): number {
  const whole = (value: number) => Math.floor(value / step) * step;
  return Math.max(min, Math.min(whole(bytes), whole(max)));
}

export function MemoryFields(props: {
  bytes: number;
  range: MemoryRange;
  set: (bytes: number) => void;
}) {
  const { t } = useWords();
  const { bytes, range, set } = props;
  return (
    <>
      <div className="line">
        <label>{t('new.share')}</label>
        <strong>{t('share.of_one', { limit: memory(bytes) })}</strong>
      </div>
      <div className="share-input">
        <div>
          <Slider
            thumbLabel={t('new.share')}
            value={bytes}
            onChange={set}
            min={range.min}
            max={range.max}
            step={range.step}
            label={null}
            thumbProps={{ 'aria-valuetext': memory(bytes) }}
          />
          <div className="line quiet">
            <span>{memory(range.min)}</span>
            <span>{memory(range.max)}</span>
          </div>
        </div>
        <NumberInput
          aria-label={t('new.share_exact')}
          value={bytes / kGiB}
          onChange={(gib) => Number(gib) > 0 && set(Number(gib) * kGiB)}
          onBlur={() => set(toStep(bytes, range))}
          min={range.min / kGiB}
          max={range.max / kGiB}
          step={1}
          decimalScale={2}
          clampBehavior="blur"
          suffix=" GiB"
        />
      </div>
    </>
  );
}
