// SPDX-License-Identifier: Apache-2.0
// What a desktop's user is told beside its state, by an operator or by Sluice itself.
import { CloseButton, Text } from '@mantine/core';
import { useState } from 'react';
import type { Desktop } from '../api/types';
import { useWords, type Words } from '../i18n';
import { sentence } from '../i18n/sentences';
import { IconAlertTriangle, IconMessageCircle } from './icons';

type Told = Pick<Desktop, 'message' | 'message_from'>;

// "14:05 UTC" as the reader's clock shows it. `now` decides about the day, and so about summer time.
export function inMyZone(text: string, { language }: Pick<Words, 'language'>, now = new Date()) {
  return text.replace(/\b(\d\d):(\d\d) UTC\b/g, (_, h: string, min: string) => {
    const time = new Date(now);
    time.setUTCHours(Number(h), Number(min), 0, 0);
    return new Intl.DateTimeFormat(language, {
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    }).format(time);
  });
}

// An operator's words stay as they were written.
export function messageWords({ message, message_from }: Told, words: Words): string {
  return message_from === 'system'
    ? inMyZone(sentence(message, words), words)
    : words.t('desktop.message', { text: message });
}

export function MessageLine({ desktop }: { desktop: Told }) {
  const words = useWords();
  if (desktop.message === '') return null;
  const system = desktop.message_from === 'system';
  const Icon = system ? IconAlertTriangle : IconMessageCircle;
  return (
    <div className={`reason ${system ? 'warn' : 'plain'}`} role="status">
      <Icon size={16} />
      <span>{messageWords(desktop, words)}</span>
    </div>
  );
}

// The same over the desktop's screen, where an operator's message comes by another way: it is
// there until somebody closes it or it no longer holds.
export function NoticeBanner({ desktop }: { desktop: Told }) {
  const words = useWords();
  const [closed, setClosed] = useState('');
  const { message } = desktop;
  if (desktop.message_from !== 'system' || message === '' || closed === message) return null;
  return (
    <div className="warn" role="alert">
      <IconAlertTriangle size={18} />
      <Text size="sm">{messageWords(desktop, words)}</Text>
      <CloseButton aria-label={words.t('act.close')} onClick={() => setClosed(message)} />
    </div>
  );
}
