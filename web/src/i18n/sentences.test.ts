// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inChinese, sentence } from './sentences';

describe('Sentence', () => {
  test('has a Chinese form for every reason in the table of desktop states', () => {
    const source = readFileSync(join(import.meta.dirname, '../../../model/desktop.cc'), 'utf8');
    const table = source.slice(source.indexOf('kAsked ='), source.indexOf('\n};'));
    const reasons = [...table.matchAll(/"([A-Z][^"]+\.)"/g)].map((m) => m[1] ?? '');
    expect(reasons.length).toBeGreaterThan(20);
    expect(reasons.filter((reason) => inChinese(reason) === null)).toEqual([]);
  });

  test.each([
    ['needs 8 GiB on one card; largest free: 3 GiB', '需要单卡 8 GiB；当前最大空闲 3 GiB。'],
    ['needs 8 GiB on one NVIDIA L4 card; it is full', '需要 NVIDIA L4 单卡 8 GiB；显卡已满。'],
    [
      'needs 2 GiB on one card; 3 GiB are free, but kept for the first in the queue',
      '需要单卡 2 GiB；空闲 3 GiB，但保留给队首。',
    ],
    [
      'needs 8 GiB on one card; it is full; 2 desktops give way to it at 14:05 UTC',
      '需要单卡 8 GiB；显卡已满；2 个桌面将于 14:05 UTC 为其让位。',
    ],
    [
      'Stopped because nobody used it for 1 h 30 min. The home is kept.',
      '因 1 小时 30 分 无人使用而停止。主目录已保留。',
    ],
    [
      'The share stays as it is: its programs use 5 GiB now; 4 GiB would be too little.',
      '份额保持不变：程序正在使用 5 GiB，4 GiB 不够。',
    ],
    [
      'The share stays as it is: the card has 12 GiB for this share.',
      '份额保持不变：该卡可给此份额 12 GiB。',
    ],
    [
      'The share stays as it is: the card has 40% of its compute for this share.',
      '份额保持不变：该卡可给此份额的算力为 40%。',
    ],
    [
      '24 cards: 11 too little memory (largest free 6 GiB), 9 another model, 3 cordoned, 1 held for passthrough',
      '24 张卡：11 张显存不足（最大空闲 6 GiB），9 张型号不同，3 张已停止分配，1 张留作直通',
    ],
    ['too little compute (30% free)', '算力不足（空闲 30%）'],
    ['1 machine: 1 too little CPU (most free 1 core)', '1 台机器：1 台CPU 不足（最大空闲 1 core）'],
    [
      'sluice goes by what has been asked for here: 12 of the 50 claims that it needs have run. Until then tightest_card is in force.',
      'sluice 依据本机的历史请求：所需的 50 个中已有 12 个运行过。在此之前使用 tightest_card。',
    ],
    [
      'needs 8 GiB on one card; 24 GiB are free, but reserved for another team',
      '需要单卡 8 GiB；空闲 24 GiB，但已为其他团队预留。',
    ],
    [
      'needs 8 GiB on one card; it is full; 2 cards are kept whole (ceiling 3)',
      '需要单卡 8 GiB；显卡已满；2 张卡保持整卡（上限 3）。',
    ],
    ['kept for shares (floor 3)', '为份额保留（下限 3）'],
  ])('translates %s', (text, said) => {
    expect(inChinese(text)).toBe(said);
  });

  test('shows what it does not know as it came', () => {
    const text = 'something new happened';
    expect(sentence(text, { language: 'zh-CN' })).toBe('Something new happened');
    expect(sentence('', { language: 'zh-CN' })).toBe('');
  });
});
