// SPDX-License-Identifier: Apache-2.0
// Figures as people read them. Memory is GiB or MiB, never MB; times are in the reader's zone.
import type { Language, Words } from './i18n';

export const kMiB = 1024 * 1024;
export const kGiB = 1024 * kMiB;

// "8 GiB", "1.5 GiB", "8.25 GiB", "512 MiB", "0 MiB". As many digits after the point as it needs,
// at most two (MiB: one), cut, never rounded up to more than there is: as ToText in base/units.cc.
export function memory(bytes: number): string {
  const [unit, name, parts] = bytes >= kGiB ? [kGiB, 'GiB', 100] : [kMiB, 'MiB', 10];
  const whole = Math.floor(bytes / unit);
  const rest = Math.floor(bytes) - whole * unit;
  const fraction = Math.floor(((rest + 1) * parts - 1) / unit);
  return `${(whole * parts + fraction) / parts} ${name}`;
}

// "3.2 / 8 GiB" when both have one unit, else "512 MiB / 8 GiB".
export function memoryOf(used: number, limit: number): string {
  const [u, l] = [memory(used), memory(limit)];
  const [value, unit] = u.split(' ');
  return unit === l.split(' ')[1] ? `${value} / ${l}` : `${u} / ${l}`;
}

export function percent(part: number, whole: number): number {
  if (whole <= 0) return 0;
  return Math.min(100, Math.max(0, (part / whole) * 100));
}

const units: Record<Language, { s: string; min: string; h: string; d: string }> = {
  en: { s: 's', min: 'min', h: 'h', d: 'd' },
  'zh-CN': { s: '秒', min: '分', h: '小时', d: '天' },
};

// "0.8 s", "12 s", "3 min 05 s", "2 h 10 min".
export function elapsed(ms: number, language: Language): string {
  const { s, min } = units[language];
  const seconds = Math.max(0, ms) / 1000;
  if (seconds > 0 && seconds < 0.05) return `< 0.1 ${s}`;
  if (seconds < 10) return `${seconds.toFixed(1)} ${s}`;
  if (seconds < 60) return `${Math.floor(seconds)} ${s}`;
  if (seconds >= 3600) return roughly(ms, language);
  const rest = String(Math.floor(seconds % 60)).padStart(2, '0');
  return `${Math.floor(seconds / 60)} ${min} ${rest} ${s}`;
}

// What is left until a time, to the minute: "40 s", "20 min", "1 h 25 min", "3 d 4 h".
export function roughly(ms: number, language: Language): string {
  const { s, min, h, d } = units[language];
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} ${s}`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} ${min}`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24)
    return minutes % 60 === 0 ? `${hours} ${h}` : `${hours} ${h} ${minutes % 60} ${min}`;
  return hours % 24 === 0
    ? `${hours / 24} ${d}`
    : `${Math.floor(hours / 24)} ${d} ${hours % 24} ${h}`;
}

export const until = (time: string, language: Language, now: number = Date.now()): string =>
  roughly(Date.parse(time) - now, language);

// A length of time in words: "30 minutes", "8 hours", "2 days".
export function lengthOfTime(seconds: number, words: Pick<Words, 'tn'>): string {
  if (seconds % 86_400 === 0 && seconds >= 86_400) return words.tn('time.days', seconds / 86_400);
  if (seconds % 3600 === 0 && seconds >= 3600) return words.tn('time.hours', seconds / 3600);
  return words.tn('time.minutes', Math.max(1, Math.round(seconds / 60)));
}

// "18:00" today, "23 Nov 18:00" on another day.
export function clock(time: string, language: Language, now: Date = new Date()): string {
  const date = new Date(time);
  const hours: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hour12: false };
  const sameDay = date.toDateString() === now.toDateString();
  return new Intl.DateTimeFormat(
    language,
    sameDay ? hours : { ...hours, day: 'numeric', month: 'short' },
  ).format(date);
}

export function fullTime(time: string, language: Language): string {
  return new Intl.DateTimeFormat(language, {
    dateStyle: 'medium',
    timeStyle: 'short',
    hourCycle: 'h23',
  }).format(new Date(time));
}

// "2026-11-22 18:36:08": sorts and reads the same everywhere; for logs.
export function stamp(time: string): string {
  const d = new Date(time);
  const two = (n: number) => String(n).padStart(2, '0');
  const day = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  return `${day} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

// "in 20 min", "3 min ago"; Intl has the words of every language.
export function relative(time: string, language: Language, now: number = Date.now()): string {
  const seconds = Math.round((new Date(time).getTime() - now) / 1000);
  const format = new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' });
  const size = Math.abs(seconds);
  if (size < 60) return format.format(seconds, 'second');
  if (size < 3600) return format.format(Math.trunc(seconds / 60), 'minute');
  if (size < 86_400) return format.format(Math.trunc(seconds / 3600), 'hour');
  return format.format(Math.trunc(seconds / 86_400), 'day');
}
