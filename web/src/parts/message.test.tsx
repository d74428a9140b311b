// SPDX-License-Identifier: Apache-2.0
// @vitest-environment jsdom
import { fireEvent, screen } from '@testing-library/react';
import { afterEach, describe, expect, test } from 'vitest';
import { wordsOf, type Words } from '../i18n';
import { leaveBrowser, playPortal, showPage } from '../pageTesting';
import { inMyZone, MessageLine, messageWords, NoticeBanner } from './Message';

afterEach(leaveBrowser);

const en = wordsOf('en') as Words;
const zh = wordsOf('zh-CN') as Words;
const notice =
  'It moves to another GPU: at 14:05 UTC it is restarted there, with its home as it is. Save your work.';
const local = (h: number, m: number) =>
  new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(
    new Date(Date.UTC(2026, 10, 23, h, m)),
  );
const now = new Date(Date.UTC(2026, 10, 23, 12));

describe('Message', () => {
  test("is called the operator's only when it is", () => {
    expect(messageWords({ message: 'Back at six', message_from: 'operator' }, en)).toBe(
      'Message from the operator: Back at six',
    );
    expect(messageWords({ message: notice, message_from: 'system' }, en)).not.toMatch(/operator/);
  });

  test('says its time by the reader’s clock', () => {
    expect(inMyZone('It stops at 14:05 UTC and', en, now)).toBe(`It stops at ${local(14, 5)} and`);
    expect(inMyZone('at 14:05 sharp', en, now)).toBe('at 14:05 sharp');
  });

  test.each([
    notice,
    'Its share of the GPU is needed for somebody who comes before it. It stops at 14:05 UTC and waits in the queue again; its home is kept. Save your work.',
    'It gave its share of the GPU to somebody who comes before it. It starts again by itself when there is room; its home is as it was.',
    '"python3" holds 2 GiB of the GPU in a way that this desktop\'s share does not see. It was asked to end.',
  ])('of the system is said in Chinese: %s', (message) => {
    const said = messageWords({ message, message_from: 'system' }, zh);
    expect(said).toMatch(/[\u4e00-\u9fff]/);
    expect(said.replace('python3', '')).not.toMatch(/[a-z]{3,}/);
  });

  test('is nothing where there is none', () => {
    playPortal(() => ({ body: {} }));
    showPage(<MessageLine desktop={{ message: '', message_from: '' }} />);
    expect(screen.queryByRole('status')).toBeNull();
  });

  test('over the screen is closed until there is another', () => {
    playPortal(() => ({ body: {} }));
    showPage(<NoticeBanner desktop={{ message: notice, message_from: 'system' }} />);
    expect(screen.getByRole('alert').textContent).toContain('It moves to another GPU');
    fireEvent.click(screen.getByRole('button', { name: 'Close' }));
    expect(screen.queryByRole('alert')).toBeNull();
  });

  test('over the screen is not the operator’s, which comes by another way', () => {
    playPortal(() => ({ body: {} }));
    showPage(<NoticeBanner desktop={{ message: 'Hello', message_from: 'operator' }} />);
    expect(screen.queryByRole('alert')).toBeNull();
  });
});
