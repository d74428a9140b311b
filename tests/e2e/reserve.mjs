// SPDX-License-Identifier: Apache-2.0
// Cards kept for a team: tried, made, felt by somebody else, given back and taken back again.
import { create } from './harness/quick.mjs';
import { check, same, scenario } from './harness/scenario.mjs';
import { until } from './harness/until.mjs';

// As a field for a time wants it, so many minutes from now on the page's clock.
const minutesOn = (page, n) =>
  page.evaluate((minutes) => {
    const time = new Date(Date.now() + minutes * 60_000);
    return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  }, n);

await scenario('reserve', { simulate: '1x24GiB' }, async ({ server, newPerson, step }) => {
  const admin = await newPerson();
  const kim = await newPerson();
  const { page, t } = admin;
  let waits;
  const reserved = (name) => page.locator(`[data-reservation="${name}"]`);
  const list = async () => (await server.call('GET', '/v1/reservations')).items;

  await step('without a team there is nobody to reserve for', async () => {
    await admin.firstSignIn(server.admin);
    await admin.goTo('nav.reservations');
    await admin.text('reserve.no_team').waitFor();
    check(await admin.button('reserve.add').isDisabled(), 'reserving without a team');
    await page.getByRole('link', { name: t('reserve.to_teams') }).click();
    await admin.button('teams.add').click();
    await admin.field('teams.name').fill('Course');
    await admin.button('users.add_go').click();
    await page.locator('[data-team="Course"]').waitFor();
    await admin.goTo('nav.reservations');
    await admin.text('reserve.none').waitFor();
  });

  await step('the form says what the team could have, and what is wrong with a time', async () => {
    await admin.button('reserve.add').click();
    await admin.field('reserve.name').fill('Deep learning');
    await admin.text('reserve.trial_all.one').waitFor();
    await admin.field('reserve.until').fill(await minutesOn(page, -5));
    await admin.text('reserve.ends_first').waitFor();
    await admin.field('reserve.count').fill('3');
    await admin.field('reserve.from').fill(await minutesOn(page, -1));
    await admin.field('reserve.until').fill(await minutesOn(page, 120));
    await admin.text('reserve.trial_few.one', { n: 1, room: 1 }).waitFor();
    same(await list(), [], 'reservations before it was asked for');
  });

  await step('it is made, and holds now', async () => {
    await admin.field('reserve.count').fill('1');
    await admin.text('reserve.trial_all.one').waitFor();
    await admin.button('reserve.go').click();
    const now = page.getByRole('region', { name: t('reserve.phase.now') });
    await now.getByText('Deep learning').waitFor();
    await now.getByText(t('reserve.room', { room: 1, count: 1 })).waitFor();
    await now.getByText(t('reserve.whole.one', { n: 1 })).waitFor();
  });

  await step('who is not in the team reads what the card waits for', async () => {
    await kim.firstSignIn(await server.addUser('kim'));
    await kim.page.goto('/desktops/new?template=pytorch');
    await kim.page.getByText('reserved for another team').first().waitFor();
    waits = await create(kim.page, 'Waits', 8);
    await kim.page.goto(`/desktops/${waits}`);
    await kim.page.getByText('but reserved for another team').first().waitFor();
  });

  await step('given back, the one who waited starts', async () => {
    await reserved('Deep learning').getByRole('button', { name: t('reserve.give_back') }).click();
    await admin.text('reserve.given_back', { name: 'Deep learning' }).waitFor();
    await until('a share for who waited', async () => {
      const { allocation } = await server.call('GET', `/v1/desktops/${waits}`);
      return allocation !== null;
    });
    same(await list(), [], 'reservations');
  });

  await step('taken back again, it tells that somebody is there now, who goes on', async () => {
    await admin.button('act.undo').last().click();
    await reserved('Deep learning')
      .getByText(t('reserve.room', { room: 0, count: 1 }))
      .waitFor();
    const { allocation } = await server.call('GET', `/v1/desktops/${waits}`);
    check(allocation !== null, 'a holder was stopped for a reservation');
    await admin.button('reserve.add').click();
    const row = page.getByRole('dialog').getByRole('row').filter({ hasText: 'Waits' });
    await row.getByText(t('reserve.no_end')).waitFor();
    await admin.button('act.cancel').click();
  });

  await step('what somebody else reserves is there without a reload', async () => {
    const [course] = (await server.call('GET', '/v1/teams')).items;
    const at = (hours) => new Date(Date.now() + hours * 3_600_000).toISOString();
    await server.call(
      'POST',
      '/v1/reservations',
      {
        name: 'Exam',
        team_id: course.id,
        count: 1,
        memory_bytes: 4 * 1024 ** 3,
        starts_at: at(24),
        ends_at: at(26),
      },
      { 'Idempotency-Key': 'exam' },
    );
    const coming = page.getByRole('region', { name: t('reserve.phase.coming') });
    await coming.getByText('Exam').waitFor();
    // Beside the desktop that is there, 4 GiB are to be had.
    await coming.getByText(t('reserve.room', { room: 1, count: 1 })).waitFor();
  });

  await step('one that is gone already is told, and the list mends itself', async () => {
    const exam = (await list()).find(({ name }) => name === 'Exam');
    await page.route('**/v1/events**', (route) => route.abort());
    await page.reload();
    await reserved('Exam').waitFor();
    await server.call('DELETE', `/v1/reservations/${exam.id}`, undefined, {
      'If-Match': `"${exam.resource_version}"`,
    });
    await reserved('Exam').getByRole('button', { name: t('reserve.give_back') }).click();
    await admin.text('error.not_found').first().waitFor();
    await reserved('Exam').waitFor({ state: 'detached' });
  });
});
