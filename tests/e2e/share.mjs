// SPDX-License-Identifier: Apache-2.0
// Three desktops on one card, a fourth in the queue, and a request that can never fit.
import { same, scenario } from './harness/scenario.mjs';

const GiB = 1024 ** 3;

await scenario('share', { simulate: '1x24GiB' }, async ({ server, newPerson, step }) => {
  const lina = await newPerson();
  const { page, t } = lina;
  let second;

  // Fills in the form for a PyTorch desktop of 8 GiB and sends it.
  const order = async (name, hours = 0) => {
    await page.goto('/desktops/new?template=pytorch');
    await lina.field('new.name').fill(name);
    await lina.text('share.of_one', { limit: '8 GiB' }).waitFor();
    if (hours > 0) await lina.choose('new.run_for', t('time.hours.one', { n: hours }));
    await lina.button('new.go').click();
  };

  await step('what can never fit is refused with the largest that could', async () => {
    await lina.firstSignIn(server.admin);
    await page.goto('/desktops/new?template=pytorch');
    const exact = lina.page.getByRole('textbox', { name: t('new.share_exact') });
    await exact.fill('100');
    await exact.press('Enter');
    const refusal = page.getByRole('alert');
    await refusal.getByText('24 GiB').first().waitFor();
    same(await server.desktops(), [], 'desktops after a refusal');
    await refusal.getByRole('button', { name: t('offer.use_instead', { size: '24 GiB' }) }).click();
    await lina.text('share.of_one', { limit: '24 GiB' }).waitFor();
    await lina.text('offer.now').first().waitFor();
  });

  await step('three desktops of 8 GiB run on one card', async () => {
    for (const name of ['First', 'Second', 'Third']) {
      await order(name, name === 'Third' ? 1 : 0);
      await lina.screen();
    }
    const cards = (await server.desktops()).map((d) => d.allocation[0].gpu_id);
    same([cards.length, new Set(cards).size], [3, 1], 'desktops, cards');
    const [gpu] = (await server.call('GET', '/v1/gpus')).items;
    same(gpu.held_bytes, 24 * GiB, 'held of the card');
    const parts = (await server.desktops()).map((d) => d.allocation[0].guarantee_percent);
    same(parts, [33, 33, 33], 'guarantees, like the memory');
  });

  await step('the form says before that the fourth would wait', async () => {
    await page.goto('/desktops/new?template=pytorch');
    // All three end within the hour.
    await page
      .getByText(t('start.about', { time: '' }).trim())
      .first()
      .waitFor();
  });

  await step('the fourth waits with its place and the figures', async () => {
    await order('Fourth');
    await lina.text('queue.position', { n: 1, of: 1 }).waitFor();
    await page.getByText('Needs 8 GiB on one card; it is full').waitFor();
    await page
      .getByText(t('start.about', { time: '' }).trim())
      .first()
      .waitFor();
    await lina.button('act.leave_queue').waitFor();
  });

  await step('the map shows who waits', async () => {
    second = await lina.newTab();
    await second.goto('/gpus');
    await second
      .getByRole('region', { name: t('queue.title') })
      .getByText('8 GiB')
      .first()
      .waitFor();
  });

  await step('it starts by itself when one is stopped', async () => {
    await second.goto('/');
    await second.getByRole('button', { name: t('desktop.more', { name: 'Second' }) }).click();
    await second.getByRole('menuitem', { name: t('act.stop'), exact: true }).click();
    const screen = await lina.screen();
    same((await server.desktop('Fourth')).id, screen.id, 'the desktop that opened');
    same((await server.desktop('Second')).state, 'stopped', 'state of the second');
  });

  await step('who leaves the queue is out of it', async () => {
    await second.locator('article[aria-label="Second"][data-state="stopped"]').waitFor();
    await second
      .locator('article[aria-label="Second"]')
      .getByRole('button', { name: t('act.start') })
      .click();
    await second.getByRole('button', { name: t('act.leave_queue') }).click();
    await second.locator('[data-state="stopped"]').waitFor();
    same((await server.call('GET', '/v1/queue')).items, [], 'the queue');
  });

  await step('a share is changed while the desktop runs', async () => {
    await second.goto('/');
    await second.getByRole('button', { name: t('desktop.more', { name: 'First' }) }).click();
    await second.getByRole('menuitem', { name: t('resize.act') }).click();
    const dialog = second.getByRole('dialog');
    await dialog.getByRole('textbox', { name: t('new.share_exact') }).fill('4');
    await dialog.getByRole('textbox', { name: t('compute.exact') }).fill('20');
    await dialog.getByRole('button', { name: t('resize.apply') }).click();
    await dialog.waitFor({ state: 'detached' });
    const first = await server.desktop('First');
    const [held] = first.allocation;
    same([held.memory_bytes, held.guarantee_percent], [4 * GiB, 20], 'the share as it is now');
  });
});
