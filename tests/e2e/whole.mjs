// SPDX-License-Identifier: Apache-2.0
// A card is made whole: planned, announced, called off, done, and taken back.
import { create } from './harness/quick.mjs';
import { check, same, scenario } from './harness/scenario.mjs';
import { until } from './harness/until.mjs';

await scenario('whole', { simulate: '2x24GiB' }, async ({ server, newPerson, step }) => {
  const admin = await newPerson();
  const kim = await newPerson();
  const { page, t } = admin;
  let small;
  let large;

  const desktop = (id) => server.call('GET', `/v1/desktops/${id}`);
  const cardOf = async (id) => (await desktop(id)).allocation?.[0]?.gpu_id;
  const isReady = (id) =>
    until(`${id} to be ready`, async () =>
      ['ready', 'connected'].includes((await desktop(id)).state),
    );
  const noticeIs = async (seconds) => {
    const pool = await server.call('GET', '/v1/pools/shared');
    await server.call(
      'PATCH',
      '/v1/pools/shared',
      { notice_s: seconds },
      { 'If-Match': `"${pool.resource_version}"` },
    );
  };
  const move = page.locator('[data-move="Small"]');
  const plan = () => admin.button('whole.ask').click();
  const apply = async () => {
    await admin.button('whole.apply.one', { n: 1 }).click();
    await page.getByText(t('whole.apply_lost')).waitFor();
    await admin.button('whole.apply_go').click();
  };

  await step('nothing on the cards: nothing to gain', async () => {
    await admin.firstSignIn(server.admin);
    await admin.goTo('nav.pools');
    await plan();
    await admin.text('whole.none.one', { n: 1 }).waitFor();
  });

  await step('two cards in use, each in part', async () => {
    await kim.firstSignIn(await server.addUser('kim'));
    large = await create(page, 'Large', 14);
    await isReady(large);
    const filler = await create(page, 'Filler', 8);
    await isReady(filler);
    small = await create(kim.page, 'Small', 8);
    await isReady(small);
    const { resource_version: version } = await desktop(filler);
    await server.call('DELETE', `/v1/desktops/${filler}?keep_home=false`, undefined, {
      'If-Match': `"${version}"`,
    });
    await until('the filler to go', async () => (await server.desktops()).length === 2);
    check((await cardOf(small)) !== (await cardOf(large)), 'both are on one card');
  });

  await step('the plan, still open, says by itself who would move, for what', async () => {
    await page.getByText(t('whole.cards.one', { n: 1 })).waitFor();
    await page.getByText(t('whole.people.one', { n: 1 })).waitFor();
    const row = await move.innerText();
    check(row.includes('kim') && row.includes('8 GiB'), row);
    same((await desktop(small)).message, '', 'a message before anything was asked for');
  });

  await step('it is announced: the user reads it, over the desktop too', async () => {
    await kim.page.goto(`/desktops/${small}/view`);
    await apply();
    await move.getByText(t('whole.at', { time: '', when: '' }).split(' ')[0]).waitFor();
    await kim.page.getByRole('alert').getByText('It moves to another GPU').waitFor();
    await kim.page.goto('/');
    const card = kim.card('Small');
    await card.getByText('It moves to another GPU').waitFor();
    check(!(await card.innerText()).includes('operator'), "it is called the operator's message");
  });

  await step('and called off', async () => {
    await admin.button('whole.take_back').click();
    await admin.text('whole.withdrawn.one', { n: 1 }).first().waitFor();
    await admin.button('whole.take_back').waitFor({ state: 'detached' });
    await kim.card('Small').getByText('It moves').waitFor({ state: 'detached' });
  });

  await step('done: the desktop is restarted on the other card, the first is whole', async () => {
    await noticeIs(1);
    const left = await cardOf(small);
    await plan();
    await apply();
    await move.getByText(t('whole.moved'), { exact: true }).waitFor({ timeout: 30_000 });
    same(await cardOf(small), await cardOf(large), 'its card');
    const cards = (await server.call('GET', '/v1/gpus')).items;
    same(cards.find(({ id }) => id === left).held_bytes, 0, 'held of the card that it left');
    await isReady(small);
  });

  await step('it stands after a reload, and is taken back after a question', async () => {
    await page.reload();
    await move.getByText(t('whole.moved'), { exact: true }).waitFor();
    await admin.button('whole.take_back_ask').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: t('whole.take_back') }).click();
    await until(
      'the desktop on its former card',
      async () => {
        const { allocation, state } = await desktop(small);
        const there = allocation?.[0]?.gpu_id;
        return there && there !== (await cardOf(large)) && state === 'ready';
      },
      30_000,
    );
    await move.waitFor({ state: 'detached' });
  });
});
