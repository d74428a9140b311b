// SPDX-License-Identifier: Apache-2.0
// Where things are: the source, the build, the browser, the node packages of the web client.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
export const build = process.env.SLUICE_BUILD_DIR ?? join(root, 'build');
export const program = join(build, 'bin/sluice');

const packages = createRequire(join(root, 'web/package.json'));
export const { chromium } = packages('playwright-core');
export const axeSource = readFileSync(packages.resolve('axe-core/axe.min.js'), 'utf8');

export const browserProgram = ['chromium', 'chromium-browser', 'google-chrome']
  .flatMap((name) => (process.env.PATH ?? '').split(':').map((folder) => join(folder, name)))
  .find((path) => existsSync(path));

// A folder of the build for what a run leaves behind: failing pages, screenshots.
export function outFolder(name) {
  const path = join(build, name);
  mkdirSync(path, { recursive: true });
  return path;
}

const tables = Object.fromEntries(
  ['en', 'zh-CN'].map((language) => [
    language,
    JSON.parse(readFileSync(join(root, `web/src/i18n/${language}.json`), 'utf8')),
  ]),
);

export const keysOfWords = Object.keys(tables.en);

// The client's own words, so that a test names what it clicks as a person reads it.
export function wordsOf(language) {
  return (key, params = {}) => {
    const text = tables[language][key];
    if (text === undefined) throw new Error(`no word for ${key} in ${language}`);
    return text.replace(/\{(\w+)\}/g, (whole, name) =>
      name in params ? String(params[name]) : whole,
    );
  };
}
