// SPDX-License-Identifier: Apache-2.0
// Keyboard layouts by their XKB names, and what a browser's language suggests.
import type { Language } from '../i18n';

const layouts: { xkb: string; en: string; zh: string; tags: string[] }[] = [
  { xkb: 'us', en: 'English (US)', zh: '英语（美国）', tags: ['en'] },
  { xkb: 'gb', en: 'English (UK)', zh: '英语（英国）', tags: ['en-gb', 'en-ie'] },
  { xkb: 'cn', en: 'Chinese', zh: '中文', tags: ['zh'] },
  { xkb: 'de', en: 'German', zh: '德语', tags: ['de'] },
  { xkb: 'ch', en: 'German (Switzerland)', zh: '德语（瑞士）', tags: ['de-ch', 'fr-ch'] },
  { xkb: 'fr', en: 'French', zh: '法语', tags: ['fr'] },
  { xkb: 'es', en: 'Spanish', zh: '西班牙语', tags: ['es'] },
  { xkb: 'it', en: 'Italian', zh: '意大利语', tags: ['it'] },
  { xkb: 'pt', en: 'Portuguese', zh: '葡萄牙语', tags: ['pt'] },
  { xkb: 'br', en: 'Portuguese (Brazil)', zh: '葡萄牙语（巴西）', tags: ['pt-br'] },
  { xkb: 'se', en: 'Swedish', zh: '瑞典语', tags: ['sv'] },
  { xkb: 'no', en: 'Norwegian', zh: '挪威语', tags: ['nb', 'nn', 'no'] },
  { xkb: 'dk', en: 'Danish', zh: '丹麦语', tags: ['da'] },
  { xkb: 'fi', en: 'Finnish', zh: '芬兰语', tags: ['fi'] },
  { xkb: 'pl', en: 'Polish', zh: '波兰语', tags: ['pl'] },
  { xkb: 'ru', en: 'Russian', zh: '俄语', tags: ['ru'] },
  { xkb: 'tr', en: 'Turkish', zh: '土耳其语', tags: ['tr'] },
  { xkb: 'jp', en: 'Japanese', zh: '日语', tags: ['ja'] },
  { xkb: 'kr', en: 'Korean', zh: '韩语', tags: ['ko'] },
];

export function layoutOptions(language: Language): { value: string; label: string }[] {
  return layouts.map((l) => ({ value: l.xkb, label: language === 'en' ? l.en : l.zh }));
}

export function layoutOfBrowser(tag: string): string {
  const lower = tag.toLowerCase();
  const exact = layouts.find((l) => l.tags.includes(lower));
  const byLanguage = layouts.find((l) => l.tags.includes(lower.split('-')[0] ?? ''));
  return (exact ?? byLanguage)?.xkb ?? 'us';
}
