// SPDX-License-Identifier: Apache-2.0
// Looking after it: users, the map of cards, live desktops, the audit log.
import { readFileSync } from 'node:fs';
import { ownPassword } from './harness/person.mjs';
import { check, same, scenario } from './harness/scenario.mjs';
import { until } from './harness/until.mjs';

await scenario('admin', { simulate: '1x24GiB,1x40GiB' }, async ({ server, newPerson, step }) => {
  const admin = await newPerson();
  const kim = await newPerson();
  const { page, t } = admin;
  let account;
  let screen;

  await step('adds a user, who is given a one-time password', async () => {
    await admin.firstSignIn(server.admin);
    await admin.goTo('nav.users');
    await admin.button('users.add').click();
    await admin.field('sign_in.name').fill('kim');
    await admin.field('users.display_name').fill('Kim Weir');
    await admin.button('users.add_go').click();
    const password = await page.locator('[data-secret]').innerText();
    await admin.button('secret.done').click();
    await page.locator('[data-user="kim"]').getByText(t('users.one_time')).waitFor();
    account = { name: 'kim', password };
  });

  await step('the user signs in, sees no admin pages and starts a desktop', async () => {
    await kim.firstSignIn(account);
    account.password = ownPassword;
    for (const key of ['nav.live', 'nav.pools', 'nav.users', 'nav.audit']) {
      same(await kim.page.getByRole('link', { name: t(key), exact: true }).count(), 0, key);
    }
    await kim.page.goto('/users');
    await kim.heading('nav.desktops').waitFor();
    await kim.button('desktops.start_preset', { name: 'PyTorch' }).click();
    screen = await kim.screen();
    await screen.showsTerminal();
  });

  await step('the map shows the cards, the share and the word simulated', async () => {
    await admin.goTo('nav.gpus');
    same(await page.locator('[data-gpu]').count(), 2, 'cards');
    for (const card of await page.locator('[data-gpu]').all()) {
      check((await card.innerText()).includes(t('simulated.word')), 'a card not called simulated');
      same(await card.locator('.share-bar.simulated').count(), 1, 'hatched bars');
    }
    const share = page.locator('[data-gpu] .share-seg');
    same(await share.count(), 1, 'shares');
    const words = await share.getAttribute('aria-label');
    check(words.includes('PyTorch · kim') && words.includes('8 GiB'), words);
  });

  await step('a card is taken out of service and put back', async () => {
    const card = page.locator('[data-gpu]').filter({ hasText: '40 GiB' }).first();
    await card.getByRole('button', { name: t('gpu.cordon') }).click();
    await card.getByText(t('gpu.mode.cordoned')).waitFor();
    await card.getByRole('button', { name: t('gpu.uncordon') }).click();
    await card.getByText(t('gpu.mode.shared'), { exact: true }).waitFor();
  });

  await step('a message appears on the user’s desktop', async () => {
    await admin.goTo('nav.live');
    await admin.menu('PyTorch', 'live.message');
    await admin.field('live.message_label').fill('The card is cleaned at six.');
    await admin.button('live.message_go').click();
    await kim.page.getByRole('alert').getByText('The card is cleaned at six.').waitFor();
    await kim.page
      .getByRole('alert')
      .getByRole('button', { name: t('act.close') })
      .click();
  });

  await step('a look needs a reason and shows the user a banner', async () => {
    await admin.menu('PyTorch', 'live.look');
    const go = admin.button('live.look_go');
    check(await go.isDisabled(), 'a look without a reason');
    await admin.field('live.reason_label').fill('asked for help');
    await go.click();
    const look = await admin.screen();
    await admin.text('viewer.view_only').waitFor();
    await look.showsTerminal();
    await kim.page.getByText(t('viewer.watched', { names: 'admin' })).waitFor();
    // A look cannot type.
    await look.type('touch ~/by-the-admin\n');
    await screen.showsTerminal();
    await screen.run('true');
    same(screen.file('by-the-admin'), null, 'a file made by who only looks');
  });

  await step('the banner goes with the look', async () => {
    await page.goto('/live');
    await until(
      'no banner on the user’s desktop',
      async () => (await kim.page.locator('.viewer-banners [role="status"]').count()) === 0,
    );
  });

  await step('a stop by the operator tells the user why', async () => {
    await admin.menu('PyTorch', 'live.stop');
    await admin.field('live.reason_label').fill('night rest');
    await admin.button('live.stop_go').click();
    await screen.isIn('stopped');
    await kim.page.getByText('night rest').first().waitFor();
  });

  await step('a team is made, and its limit is what its people read', async () => {
    await admin.goTo('nav.users');
    await admin.button('teams.add').click();
    await admin.field('teams.name').fill('Perception');
    await admin.field('teams.limited').check();
    await admin.field('teams.limit').fill('6');
    await admin.button('users.add_go').click();
    await page.locator('[data-team="Perception"]').getByText('6 GiB').waitFor();
    await admin.menu('kim', 'users.edit_go');
    await admin.choose('users.team', 'Perception');
    await admin.button('act.save').click();
    await page.locator('[data-user="kim"]').getByText('Perception').waitFor();
    await kim.goTo('nav.desktops');
    await kim.button('act.start').click();
    await kim.page.getByText('team Perception may hold 6 GiB in all').first().waitFor();
  });

  await step('somebody without a team is not held up by its limit', async () => {
    await admin.menu('kim', 'users.edit_go');
    await admin.choose('users.team', t('users.no_team'));
    await admin.button('act.save').click();
    const team = page.locator('[data-team="Perception"]');
    await team.getByText('0', { exact: true }).waitFor();
    await team.getByRole('button', { name: t('act.delete') }).click();
    await admin.field('delete.type', { name: 'Perception' }).fill('Perception');
    await admin.button('teams.delete_go').click();
    await admin.text('teams.none').waitFor();
  });

  await step("the pool's rules are changed, and undone", async () => {
    await admin.goTo('nav.pools');
    await page.getByRole('switch', { name: t('pools.strict') }).click();
    await admin.button('act.save').click();
    await admin.text('pools.saved', { name: 'Shared cards' }).first().waitFor();
    await page.getByRole('radio', { name: t('pools.bypass.end') }).check();
    await admin.button('act.undo').click();
    check(
      await page.getByRole('radio', { name: t('pools.bypass.warn') }).isChecked(),
      'the rule was not undone',
    );
    check(await page.getByRole('switch').isChecked(), 'the switch was undone as well');
  });

  await step('a changed role opens pages at the next sign-in', async () => {
    await admin.goTo('nav.users');
    await admin.menu('kim', 'users.edit_go');
    await admin.choose('users.role', t('role.operator'));
    await admin.button('act.save').click();
    await page.locator('[data-user="kim"]').getByText(t('role.operator')).waitFor();
    // Rights come with a new sign-in.
    await kim.heading('sign_in.title').waitFor();
    await kim.signIn(account);
    await kim.goTo('nav.live');
  });

  await step('disabled, the user is out within two seconds', async () => {
    await admin.menu('kim', 'users.disable');
    await page.locator('[data-user="kim"]').getByText(t('users.disabled')).waitFor();
    await kim.heading('sign_in.title').waitFor({ timeout: 2000 });
    await kim.signIn(account);
    await kim.page.getByRole('alert').waitFor();
  });

  await step('enabled and reset, the old password is worth nothing', async () => {
    await admin.menu('kim', 'users.enable');
    await admin.menu('kim', 'users.reset');
    await admin.field('delete.type', { name: 'kim' }).fill('kim');
    await admin.button('users.reset_go').click();
    const password = await page.locator('[data-secret]').innerText();
    await admin.button('secret.done').click();
    await kim.signIn(account);
    await kim.text('error.wrong_credentials').waitFor();
    await kim.signIn({ name: 'kim', password });
    await kim.heading('password.first_title').waitFor();
  });

  await step('the audit log tells all that, filtered', async () => {
    await admin.goTo('nav.audit');
    await page.getByLabel(t('audit.actor'), { exact: true }).fill('admin');
    await page.getByLabel(t('audit.q'), { exact: true }).fill('asked for help');
    await until('one row', async () => (await page.locator('tbody tr').count()) === 1);
    const row = await page.locator('tbody tr').innerText();
    check(row.includes('admin') && row.includes('asked for help'), row);
    await admin.button('audit.clear').click();
    await until('all rows', async () => (await page.locator('tbody tr').count()) > 10);
  });

  await step('it is exported and found whole', async () => {
    for (const [title, head] of [
      ['CSV', /seq/],
      ['JSON Lines', /^\{"/],
    ]) {
      await admin.button('audit.export').click();
      const [file] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('menuitem', { name: title }).click(),
      ]);
      const text = readFileSync(await file.path(), 'utf8');
      check(head.test(text) && text.includes('asked for help'), `${title}: ${text.slice(0, 200)}`);
    }
    await admin.button('audit.check').click();
    await admin.text('audit.ok').waitFor();
  });
});
