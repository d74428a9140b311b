// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fill, preferredLanguage, wordsOf } from '.';
import en from './en.json';
import zh from './zh-CN.json';

const english: Record<string, string> = en;
const chinese: Record<string, string> = zh;

const placeholders = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort();

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return /\.tsx?$/.test(entry.name) && !entry.name.includes('.test.') ? [path] : [];
  });
}

describe('Words', () => {
  test('have the same keys in both languages', () => {
    expect(Object.keys(chinese).sort()).toEqual(Object.keys(english).sort());
  });

  test('have the same placeholders in both languages', () => {
    for (const key of Object.keys(english)) {
      expect([key, ...placeholders(chinese[key] ?? '')]).toEqual([
        key,
        ...placeholders(english[key] ?? ''),
      ]);
    }
  });

  test('are never empty and never shout or beg', () => {
    for (const table of [english, chinese]) {
      for (const [key, text] of Object.entries(table)) {
        expect(text.trim(), key).not.toBe('');
        expect(text, key).not.toMatch(/!|!|please|oops|请您/i);
      }
    }
  });

  test('are Chinese where the English is a sentence', () => {
    const same = Object.keys(english).filter(
      (key) => chinese[key] === english[key] && /[a-z]{3,}/.test(english[key] ?? ''),
    );
    expect(same).toEqual(['account.version', 'template.pytorch.name']);
  });

  test('are all in use', () => {
    const code = sources(join(import.meta.dirname, '..'))
      .map((path) => readFileSync(path, 'utf8'))
      .join('\n');
    const exact = new Set([...code.matchAll(/'([a-z_]+(?:\.[\w:-]+)+)'/g)].map((m) => m[1]));
    const stems = [...code.matchAll(/`([a-z_]+\.(?:[a-z_]+\.)?)\$\{/g)].map((m) => m[1] ?? '');
    const unused = Object.keys(english).filter(
      (key) =>
        !exact.has(key) &&
        !exact.has(key.replace(/\.(one|other)$/, '')) &&
        !stems.some((s) => key.startsWith(s)),
    );
    expect(unused).toEqual([]);
  });

  test('fill in names and leave unknown ones', () => {
    expect(fill('{a} and {b}', { a: 1 })).toBe('1 and {b}');
  });

  test('count in the forms of the language', () => {
    const { tn } = wordsOf('en');
    expect(tn('time.hours', 1)).toBe('1 hour');
    expect(tn('time.hours', 2)).toBe('2 hours');
    expect(wordsOf('zh-CN').tn('time.hours', 1)).toBe('1 小时');
  });

  test('follow the browser, English when it asks for neither', () => {
    expect(preferredLanguage(['fr', 'zh-TW', 'en'])).toBe('zh-CN');
    expect(preferredLanguage(['en-GB', 'zh'])).toBe('en');
    expect(preferredLanguage(['fr'])).toBe('en');
  });
});
