// SPDX-License-Identifier: Apache-2.0
// Words. Keys live in code, sentences in en.json and zh-CN.json. A key with a number has the two
// forms "key.one" and "key.other".
import {
  createContext,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useState,
  type ReactNode,
} from 'react';
import en from './en.json';
import zh from './zh-CN.json';

export type Language = 'en' | 'zh-CN';
export type Key = keyof typeof en;
type CountedKey = Key extends infer K ? (K extends `${infer Stem}.one` ? Stem : never) : never;
export type Params = Record<string, string | number>;

const tables: Record<Language, Record<string, string>> = { en, 'zh-CN': zh };
const storageKey = 'sluice.language';

export function fill(sentence: string, params?: Params): string {
  if (!params) return sentence;
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) =>
    name in params ? String(params[name]) : whole,
  );
}

// The language the browser asks for: the first of its list that we have.
export function preferredLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const lower = tag.toLowerCase();
    if (lower.startsWith('zh')) return 'zh-CN';
    if (lower.startsWith('en')) return 'en';
  }
  return 'en';
}

function storedLanguage(): Language | null {
  const stored = window.localStorage.getItem(storageKey);
  return stored === 'en' || stored === 'zh-CN' ? stored : null;
}

export interface Words {
  language: Language;
  // null: follow the browser.
  chosen: Language | null;
  choose: (language: Language | null) => void;
  t: (key: Key, params?: Params) => string;
  // The sentence for n things; {n} is filled in.
  tn: (key: CountedKey, n: number, params?: Params) => string;
  // The sentence if the table has the key, else null. For codes that come from the server.
  maybe: (key: string, params?: Params) => string | null;
}

const WordsContext = createContext<Words | null>(null);

export function wordsOf(language: Language): Omit<Words, 'chosen' | 'choose'> {
  const table = tables[language];
  const plural = new Intl.PluralRules(language);
  const maybe = (key: string, params?: Params) =>
    key in table ? fill(table[key] ?? '', params) : null;
  return {
    language,
    maybe,
    t: (key, params) => fill(table[key] ?? key, params),
    tn: (key, n, params) => {
      const form = plural.select(n) === 'one' ? 'one' : 'other';
      return fill(table[`${key}.${form}`] ?? key, { n, ...params });
    },
  };
}

export function WordsProvider({ children }: { children: ReactNode }) {
  const [chosen, setChosen] = useState<Language | null>(storedLanguage);
  const language = chosen ?? preferredLanguage(navigator.languages);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const choose = useCallback((next: Language | null) => {
    if (next === null) window.localStorage.removeItem(storageKey);
    else window.localStorage.setItem(storageKey, next);
    setChosen(next);
  }, []);
  const words = useMemo(
    () => ({ ...wordsOf(language), chosen, choose }),
    [language, chosen, choose],
  );
  return <WordsContext.Provider value={words}>{children}</WordsContext.Provider>;
}

export function useWords(): Words {
  const words = useContext(WordsContext);
  if (!words) throw new Error('useWords outside WordsProvider');
  return words;
}
