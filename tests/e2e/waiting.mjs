// SPDX-License-Identifier: Apache-2.0
// A desktop that waits: the page says what each card says, and takes another share with one click.
// The pool's rules are tried out, changed and undone; the planner says what history it lacks.
import { create, GiB } from './harness/quick.mjs';
import { check, same, scenario } from './harness/scenario.mjs';
import { until } from './harness/until.mjs';

await scenario('waiting', { simulate: '1x24GiB' }, async ({ server, newPerson, step }) => {
  const admin = await newPerson();
  const { page, t } = admin;
  let waits;

  await step('a card is nearly full and a desktop waits for more', async () => {
    await admin.firstSignIn(server.admin);
    const holds = await create(page, 'holds', 18);
    await until('the first desktop holds its share', async () => {
      const { allocation } = await server.call('GET', `/v1/desktops/${holds}`);
      return allocation !== null;
    });
    waits = await create(page, 'waits', 12);
    await page.goto(`/desktops/${waits}`);
    await page.getByText('1 card: 1 too little memory (largest free 6 GiB)').waitFor();
  });

  await step('each card says why', async () => {
    await admin.button('explain.cards').click();
    await page.getByText('Too little memory (6 GiB free)').waitFor();
    await admin.button('explain.hide').click();
  });

  await step('one click takes the share that starts now', async () => {
    await admin.button('explain.take', { what: '6 GiB' }).click();
    const held = () => server.call('GET', `/v1/desktops/${waits}`);
    await until('the desktop holds 6 GiB', async () => {
      const { allocation } = await held();
      return allocation?.[0]?.memory_bytes === 6 * GiB;
    });
    same((await held()).gpu.memory_bytes, 6 * GiB, 'its wish');
    const log = await server.call('GET', '/v1/audit-events?action=desktop.ask');
    same(log.items.length, 1, 'rows of the audit log');
  });

  await step("a change of the pool's rules is tried out first", async () => {
    await admin.goTo('nav.pools');
    await page.getByRole('textbox', { name: t('pools.share_min') }).fill('8192');
    await admin.button('pools.try').click();
    const row = page.getByRole('row').filter({ hasText: t('pools.effect.below_smallest') });
    await row.getByText('waits').waitFor();
    same(await row.count(), 1, 'desktops that the change touches');
    const pool = await server.call('GET', '/v1/pools/shared');
    check(pool.share_min_bytes < GiB, 'it was changed already');
  });

  await step('then made, and undone', async () => {
    await admin.button('act.save').click();
    await admin.button('pools.undo_last').click();
    await until('the former value', async () => {
      const pool = await server.call('GET', '/v1/pools/shared');
      return pool.share_min_bytes < GiB;
    });
  });

  await step('a policy without history is replaced, and it is said', async () => {
    await admin.choose('pools.policy', t('pools.policy.sluice'));
    await admin.button('act.save').click();
    await page.getByText('Until then tightest_card is in force').waitFor();
    const pool = await server.call('GET', '/v1/pools/shared');
    same(pool.placement_in_force, 'tightest_card', 'policy in force');
  });

  await step('the planner says how much history it lacks', async () => {
    await admin.goTo('nav.planner');
    await admin.text('plan.too_little').waitFor();
  });
});
