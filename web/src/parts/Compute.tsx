// SPDX-License-Identifier: Apache-2.0
// How much of a card's time a share is guaranteed, and whether it may take more.
import { Button, Checkbox, NumberInput, Slider } from '@mantine/core';
import { percent } from '../format';
import { useWords, type Words } from '../i18n';

export interface ComputeWish {
  // null: as large a part as the share is of the card's memory.
  guarantee: number | null;
  // 0: no cap.
  cap: number;
}

// The guarantee in percent that a share of `memoryBytes` gets of a card when none is named.
export const guaranteeByMemory = (memoryBytes: number, cardBytes: number): number =>
  cardBytes > 0 ? Math.floor(percent(memoryBytes, cardBytes)) : 0;

export function computeWords(wish: ComputeWish, byMemory: number, words: Words): string {
  const guarantee = wish.guarantee ?? byMemory;
  const said =
    guarantee === 0
      ? words.t('compute.best_effort')
      : // What others were promised of the card's time may leave less than the memory's part.
        words.t(wish.guarantee === null ? 'compute.up_to' : 'compute.guaranteed', {
          percent: guarantee,
        });
  return wish.cap > 0 ? `${said}, ${words.t('compute.capped', { percent: wish.cap })}` : said;
}

export function ComputeFields(props: {
  wish: ComputeWish;
  byMemory: number;
  error: string | undefined;
  set: (wish: ComputeWish) => void;
}) {
  const words = useWords();
  const { t } = words;
  const { wish, byMemory, set } = props;
  const guarantee = wish.guarantee ?? byMemory;
  const setGuarantee = (value: number) =>
    set({ guarantee: value, cap: wish.cap > 0 ? Math.max(wish.cap, value) : 0 });
  return (
    <div>
      <div className="line">
        <label>{t('compute.title')}</label>
        <strong>{computeWords({ ...wish, cap: 0 }, byMemory, words)}</strong>
      </div>
      <div className="share-input">
        <div>
          <Slider
            thumbLabel={t('compute.title')}
            value={guarantee}
            onChange={setGuarantee}
            min={0}
            max={100}
            step={1}
            label={null}
            thumbProps={{ 'aria-valuetext': `${guarantee} %` }}
          />
          <div className="line quiet">
            <span>{t('compute.what_is_left')}</span>
            <span>100 %</span>
          </div>
        </div>
        <NumberInput
          aria-label={t('compute.exact')}
          value={guarantee}
          onChange={(value) => value !== '' && setGuarantee(Number(value))}
          min={0}
          max={100}
          allowDecimal={false}
          clampBehavior="strict"
          suffix=" %"
        />
      </div>
      <div className="line quiet">
        <span>{t(wish.guarantee === null ? 'compute.by_memory' : 'compute.lent')}</span>
        {wish.guarantee !== null && (
          <Button
            variant="subtle"
            size="compact-sm"
            onClick={() => set({ ...wish, guarantee: null })}
          >
            {t('compute.like_memory', { percent: byMemory })}
          </Button>
        )}
      </div>
      <div className="two">
        <Checkbox
          mt="sm"
          label={t('compute.cap')}
          checked={wish.cap > 0}
          onChange={(e) =>
            set({ ...wish, cap: e.currentTarget.checked ? Math.max(guarantee, 10) : 0 })
          }
        />
        {wish.cap > 0 && (
          <NumberInput
            aria-label={t('compute.cap_exact')}
            value={wish.cap}
            onChange={(value) => Number(value) > 0 && set({ ...wish, cap: Number(value) })}
            min={Math.max(1, guarantee)}
            max={100}
            allowDecimal={false}
            clampBehavior="blur"
            suffix=" %"
            error={props.error}
          />
        )}
      </div>
    </div>
  );
}
