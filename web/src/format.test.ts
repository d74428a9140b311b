// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest';
import {
  clock,
  elapsed,
  kGiB,
  kMiB,
  lengthOfTime,
  memory,
  memoryOf,
  percent,
  roughly,
} from './format';
import { wordsOf } from './i18n';

describe('Figures', () => {
  test.each([
    [0, '0 MiB'],
    [512 * kMiB, '512 MiB'],
    [kGiB - 1, '1023.9 MiB'],
    [kGiB, '1 GiB'],
    [1.5 * kGiB, '1.5 GiB'],
    [8 * kGiB - 1, '7.99 GiB'],
    [8.25 * kGiB, '8.25 GiB'],
    [8.5 * kGiB, '8.5 GiB'],
    [8.05 * kGiB, '8.05 GiB'],
    [Math.floor(3.3 * kGiB), '3.3 GiB'],
    [80 * kGiB, '80 GiB'],
  ])('say %d bytes as %s', (bytes, text) => {
    expect(memory(bytes)).toBe(text);
  });

  test('name the unit once when used and limit share it', () => {
    expect(memoryOf(3.2 * kGiB, 8 * kGiB)).toBe('3.2 / 8 GiB');
    expect(memoryOf(512 * kMiB, 8 * kGiB)).toBe('512 MiB / 8 GiB');
  });

  test('keep a part of a whole between 0 and 100', () => {
    expect(percent(5, 0)).toBe(0);
    expect(percent(-1, 10)).toBe(0);
    expect(percent(20, 10)).toBe(100);
  });

  test.each([
    [840, '0.8 s', '0.8 秒'],
    [12_900, '12 s', '12 秒'],
    [185_000, '3 min 05 s', '3 分 05 秒'],
    [7_800_000, '2 h 10 min', '2 小时 10 分'],
  ])('say %d ms passed', (ms, english, chinese) => {
    expect(elapsed(ms, 'en')).toBe(english);
    expect(elapsed(ms, 'zh-CN')).toBe(chinese);
  });

  test('say what is left to the minute', () => {
    expect(roughly(-5, 'en')).toBe('0 s');
    expect(roughly(85 * 60_000, 'en')).toBe('1 h 25 min');
    expect(roughly(2 * 3_600_000, 'en')).toBe('2 h');
    expect(roughly(76 * 3_600_000, 'en')).toBe('3 d 4 h');
  });

  test('name lengths of time in the largest whole unit', () => {
    const words = wordsOf('en');
    expect(lengthOfTime(900, words)).toBe('15 minutes');
    expect(lengthOfTime(3600, words)).toBe('1 hour');
    expect(lengthOfTime(90_000, words)).toBe('25 hours');
    expect(lengthOfTime(172_800, words)).toBe('2 days');
  });

  test('name the day only when it is another one', () => {
    const now = new Date(2026, 10, 22, 12, 0);
    expect(clock(new Date(2026, 10, 22, 18, 5).toISOString(), 'en', now)).toBe('18:05');
    expect(clock(new Date(2026, 10, 23, 18, 5).toISOString(), 'en', now)).toContain('Nov 23');
  });
});
