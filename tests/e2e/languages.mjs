// SPDX-License-Identifier: Apache-2.0
// Every page in both languages and both themes: no key instead of a word, nothing serious for axe,
// a picture of each in screenshots/. Sign-in and a new desktop by the keyboard alone.
import { join } from 'node:path';
import { ownPassword } from './harness/person.mjs';
import { axeSource, keysOfWords, outFolder } from './harness/places.mjs';
import { check, same, scenario } from './harness/scenario.mjs';
import { until } from './harness/until.mjs';

const pictures = outFolder('screenshots');
const keys = new Set(keysOfWords);
const themes = ['light', 'dark'];

// Presses Tab until the thing has the focus; it must be reachable that way.
async function tabTo(page, thing, what) {
  for (let presses = 0; presses < 80; presses++) {
    if (await thing.evaluate((node) => node === document.activeElement).catch(() => false)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not lead to ${what}`);
}

async function findings(page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axeSource);
  const found = await page.evaluate(() =>
    window.axe.run(document, { resultTypes: ['violations'] }).then((result) =>
      result.violations.map((v) => ({
        impact: v.impact,
        id: v.id,
        where: v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)}: ${n.failureSummary}`),
      })),
    ),
  );
  return found.filter((v) => v.impact === 'serious' || v.impact === 'critical');
}

await scenario('languages', { simulate: '1x24GiB,1x80GiB' }, async (stage) => {
  const { server, newPerson, step } = stage;
  const trouble = [];

  // Looks at the page as it stands, in both themes.
  const look = async (person, name) => {
    const { page, language } = person;
    const tail = language === 'en' ? '' : '-zh';
    const text = await page.evaluate(() => document.body.innerText);
    const raw = text.split(/[\s"“”()·,:;]+/).filter((word) => keys.has(word));
    if (raw.length > 0) trouble.push(`${name}${tail}: keys instead of words: ${raw.join(' ')}`);
    const lang = await page.evaluate(() => document.documentElement.lang);
    if (lang !== language) trouble.push(`${name}${tail}: the page says it is ${lang}`);
    for (const theme of themes) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
      await page.screenshot({ path: join(pictures, `${name}-${theme}${tail}.png`) });
      if (language !== 'en') continue;
      for (const found of await findings(page)) {
        trouble.push(
          `${name} ${theme}: ${found.impact} ${found.id}\n  ${found.where.join('\n  ')}`,
        );
      }
    }
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
  };

  // From the first sign-in to the open desktop without a mouse.
  const byKeyboard = async (person, account) => {
    const { page, t } = person;
    await page.goto('/');
    await person.heading('sign_in.title').waitFor();
    await look(person, 'sign-in');
    await tabTo(page, person.field('sign_in.name'), 'the name');
    await page.keyboard.type(account.name);
    await page.keyboard.press('Tab');
    await page.keyboard.type(account.password);
    await page.keyboard.press('Enter');
    await person.heading('password.first_title').waitFor();
    await look(person, 'first-password');
    for (const [key, text] of [
      ['password.one_time', account.password],
      ['password.new', ownPassword],
      ['password.again', ownPassword],
    ]) {
      await tabTo(page, person.field(key), key);
      await page.keyboard.type(text);
    }
    await page.keyboard.press('Enter');
    await person.text('desktops.empty').waitFor();
    await look(person, 'my-desktops-empty');
    const newDesktop = page.getByRole('link', { name: t('desktops.new'), exact: true });
    await tabTo(page, newDesktop, 'New desktop');
    await page.keyboard.press('Enter');
    await person.heading('desktops.new').waitFor();
    const slider = page.getByRole('slider', { name: t('new.share') });
    await slider.waitFor();
    await tabTo(page, page.locator('[role="radio"][aria-checked="true"]'), 'the templates');
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowUp');
    await tabTo(page, slider, 'the slider');
    const before = Number(await slider.getAttribute('aria-valuenow'));
    await page.keyboard.press('ArrowRight');
    check(Number(await slider.getAttribute('aria-valuenow')) > before, 'the slider did not move');
    await person.text('offer.now').first().waitFor();
    await look(person, 'new-desktop');
    await tabTo(page, person.button('new.go'), 'Start desktop');
    await page.keyboard.press('Enter');
    const screen = await person.screen();
    await screen.showsTerminal();
    await look(person, 'desktop');
    for (const key of ['Control', 'Alt', 'Shift']) await page.keyboard.down(key);
    for (const key of ['Shift', 'Alt', 'Control']) await page.keyboard.up(key);
    await until('the keyboard back with the page', () =>
      page.evaluate(() => document.activeElement?.classList.contains('viewer-handle')),
    );
    return screen;
  };

  // The rest of the pages, with the mouse.
  const pages = async (person) => {
    const { page, t } = person;
    await page.goto('/');
    const [desktop] = await server.desktops();
    await person.card(desktop.name).waitFor();
    await look(person, 'my-desktops');
    await person.menu(desktop.name, 'act.delete');
    await person.field('delete.type', { name: desktop.name }).waitFor();
    await look(person, 'delete-desktop');
    await person.button('act.cancel').click();
    await page.goto(`/desktops/${desktop.id}`);
    await page.getByRole('heading', { name: t('launch.stages') }).waitFor();
    await look(person, 'desktop-details');
    for (const [key, name] of [
      ['nav.gpus', 'gpus'],
      ['nav.live', 'live'],
      ['nav.users', 'users'],
      ['nav.audit', 'audit'],
    ]) {
      await person.goTo(key);
      await page
        .locator(name === 'gpus' ? '[data-gpu]' : 'tbody tr')
        .first()
        .waitFor();
      await look(person, name);
    }
    await person.goTo('nav.pools');
    await person.field('pools.overcommit').fill('150');
    await person.button('pools.try').click();
    await person.heading('pools.trial').waitFor();
    await look(person, 'pools');
    await person.button('whole.ask').click();
    await page.getByText(t('whole.none_why')).waitFor();
    await page.getByText(t('whole.none_why')).scrollIntoViewIfNeeded();
    await look(person, 'make-whole');
    await person.goTo('nav.reservations');
    await page.locator('tbody tr').first().waitFor();
    await look(person, 'reservations');
    await person.button('reserve.add').click();
    await person.field('reserve.count').fill('3');
    await page.getByRole('dialog').getByRole('region').waitFor();
    await look(person, 'reserve');
    await person.button('act.cancel').click();
    await person.goTo('nav.planner');
    await person.heading('plan.history').waitFor();
    await page.getByRole('switch', { name: person.t('plan.synthetic') }).click();
    await person.button('plan.go').click();
    await until('the answer', () => page.locator('.planned[aria-busy="false"]').isVisible());
    await look(person, 'planner');
    await person.goTo('nav.users');
    await person.button('users.add').click();
    await person.field('users.display_name').waitFor();
    await look(person, 'add-user');
    await person.button('act.cancel').click();
    await page.goto('/account');
    await person.heading('nav.account').waitFor();
    await person.text('token.title').first().waitFor();
    await look(person, 'account');
    await page.goto('/no-such-page');
    await person.heading('say.no_page').waitFor();
    await look(person, 'not-found');
  };

  const en = await newPerson();
  const zh = await newPerson({ language: 'zh-CN' });

  await step('a team with a reservation', async () => {
    const { id } = await server.call(
      'POST',
      '/v1/teams',
      { name: 'Course' },
      { 'Idempotency-Key': 'team' },
    );
    const at = (hours) => new Date(Date.now() + hours * 3_600_000).toISOString();
    const wish = { team_id: id, count: 1, memory_bytes: 2 ** 30 };
    for (const [name, from] of [
      ['1', 0],
      ['2', 24],
    ]) {
      await server.call(
        'POST',
        '/v1/reservations',
        { ...wish, name, starts_at: at(from), ends_at: at(from + 2) },
        { 'Idempotency-Key': name },
      );
    }
  });

  await step('English, by the keyboard alone, to an open desktop', async () => {
    await byKeyboard(en, server.admin);
    await en.page.close();
    en.page = await en.newTab();
  });

  await step('English, every other page', () => pages(en));

  await step('Chinese, by the keyboard alone, to an open desktop', async () => {
    await byKeyboard(zh, await server.addUser('lin', 'admin'));
  });

  await step('Chinese, every other page', async () => {
    await zh.page.close();
    zh.page = await zh.newTab();
    const [mine] = (await server.desktops()).filter((d) => d.owner.name === 'admin');
    await server.call('DELETE', `/v1/desktops/${mine.id}?keep_home=false`, undefined, {
      'If-Match': `"${mine.resource_version}"`,
    });
    await until('the English desktop to go', async () => (await server.desktops()).length === 1);
    await pages(zh);
  });

  await step('the language is switched by a click and stays', async () => {
    await en.page.goto('/');
    await en.page.getByRole('button', { name: '中文' }).click();
    await en.page.getByRole('heading', { name: zh.t('nav.desktops') }).waitFor();
    await en.page.reload();
    await en.page.getByRole('heading', { name: zh.t('nav.desktops') }).waitFor();
  });

  await step('nothing was found on the way', async () => {
    same(trouble, [], 'findings');
  });
});
