// SPDX-License-Identifier: Apache-2.0
// One scenario: a server, a browser, steps with names. Ends with 0 when every step passed.
import { join } from 'node:path';
import { Person } from './person.mjs';
import { browserProgram, chromium, outFolder } from './places.mjs';
import { Server } from './server.mjs';

const deadlineMs = 150_000;

// options: { simulate }. `play` gets { server, newPerson, step }; newPerson({ language, theme,
// name }) opens a browser profile of its own.
export async function scenario(name, options, play) {
  const began = Date.now();
  const at = () => `${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s`;
  const people = [];
  let server;
  let browser;
  let now = 'start';

  const step = async (title, act) => {
    now = title;
    await act();
    console.log(`${at()}  ok  ${title}`);
  };
  const newPerson = async (wish = {}) => {
    const person = await Person.open(browser, server, wish);
    people.push(person);
    return person;
  };
  const end = async () => {
    await browser?.close().catch(() => {});
    await server?.end();
  };
  const stopped = (why) => {
    console.error(`${name}: ${why} at "${now}"\n${server?.log ?? ''}`);
    void end().finally(() => process.exit(1));
  };
  const timer = setTimeout(() => stopped(`not done after ${deadlineMs / 1000} s`), deadlineMs);
  process.once('SIGINT', () => stopped('interrupted'));
  process.once('SIGTERM', () => stopped('terminated'));

  let failed = false;
  try {
    if (!browserProgram) throw new Error('no chromium: apt-get install chromium');
    server = await Server.start(options.simulate);
    browser = await chromium.launch({
      executablePath: browserProgram,
      chromiumSandbox: false,
      args: ['--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb'],
    });
    await play({ server, newPerson, step, browser });
  } catch (error) {
    failed = true;
    console.error(`${at()}  FAILED  ${now}\n${error instanceof Error ? error.stack : error}`);
    for (const [index, person] of people.entries()) {
      const path = join(outFolder('e2e'), `${name}-${index}.png`);
      const taken = await person.page.screenshot({ path, timeout: 5000 }).then(
        () => path,
        (why) => `none (${String(why.message).split('\n')[0]})`,
      );
      console.error(`screenshot: ${taken}; address: ${person.page.url()}`);
      if (person.faults.length > 0) console.error(`said in the page:\n${person.faults.join('\n')}`);
    }
    console.error(`---- what sluice up said\n${server?.log ?? '(it did not start)'}`);
  }
  clearTimeout(timer);
  await end();
  console.log(`${at()}  ${failed ? 'FAILED' : 'passed'}: ${name}`);
  process.exit(failed ? 1 : 0);
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

export function same(actual, expected, what) {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== e) throw new Error(`${what}: ${a}, not ${e}`);
}
