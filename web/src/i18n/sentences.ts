// SPDX-License-Identifier: Apache-2.0
// The portal writes its reasons in English. Those with a fixed form are said here in the reader's
// language; one that is new is shown as it came rather than lost.
import type { Words } from '.';

// `key` names the sentence; the groups fill {1}, {2}, ….
const forms: { form: RegExp; key: string }[] = [];

export function sentence(text: string, words: Words): string {
  if (words.language === 'en' || text === '') return text;
  for (const { form, key } of forms) {
    const match = form.exec(text);
    if (!match) continue;
    const params = Object.fromEntries(match.slice(1).map((part, i) => [String(i + 1), part]));
    return words.maybe(`reason.${key}`, params) ?? text;
  }
  return text;
}
