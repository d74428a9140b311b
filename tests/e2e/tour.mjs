// SPDX-License-Identifier: Apache-2.0
// Takes the pictures of docs/tour.md into docs/images/: tests/e2e/run tests/e2e/tour.mjs
import { pictureSize, takePicture } from './harness/picture.mjs';
import { scenario } from './harness/scenario.mjs';
import { until } from './harness/until.mjs';

// Takes memory of the card in whole GiB and keeps it; with "work" it copies as well.
const hold = `
import sys, time
from ctypes import *
c = CDLL("libcuda.so.1")
d, x, p = c_int(), c_void_p(), c_uint64()
c.cuInit(0), c.cuDeviceGet(byref(d), 0), c.cuCtxCreate_v2(byref(x), 0, d)
for _ in range(int(sys.argv[1])): c.cuMemAlloc_v2(byref(p), c_size_t(1 << 30))
print("holding", flush=True)
while True:
    if len(sys.argv) > 2: c.cuMemsetD8_v2(p, 1, c_size_t(64 << 20)), c.cuCtxSynchronize()
    time.sleep(0.02)
`;

await scenario('tour', { simulate: '1x24GiB' }, async ({ server, newPerson, step }) => {
  const lina = await newPerson();
  const { page, t } = lina;
  await page.setViewportSize(pictureSize);

  const picture = (name, from = page) => takePicture(from, name);
  const order = async (name) => {
    await page.goto('/desktops/new?template=pytorch');
    await lina.field('new.name').fill(name);
    await lina.text('share.of_one', { limit: '8 GiB' }).waitFor();
  };
  const open = async (name) => {
    await order(name);
    if (name === 'Notebook') await lina.choose('new.run_for', t('time.hours.one', { n: 1 }));
    await lina.button('new.go').click();
    const screen = await lina.screen();
    await screen.showsTerminal();
    return screen;
  };
  const usesGiB = async (screen, words) => {
    await screen.type(`cat >~/hold.py <<'END'${hold}END\n`);
    await screen.type(`clear; python3 ~/hold.py ${words} >~/held &\n`);
    await screen.fileWith('held', /holding/);
  };

  // For the one team, from the next day on.
  const reserve = async (name, hours) => {
    const [team] = (await server.call('GET', '/v1/teams')).items;
    const at = (n) => new Date(Date.now() + n * 3_600_000).toISOString();
    const when = { starts_at: at(hours), ends_at: at(hours + 3) };
    const wish = { name, team_id: team.id, count: 1, memory_bytes: 8 * 2 ** 30, ...when };
    await server.call('POST', '/v1/reservations', wish, {
      'Idempotency-Key': name.replace(' ', '-'),
    });
    await page.locator(`[data-reservation="${name}"]`).waitFor();
  };

  await step('sign-in and the empty page', async () => {
    await page.goto('/');
    await lina.heading('sign_in.title').waitFor();
    await picture('sign-in');
    await lina.firstSignIn(server.admin);
    await lina.text('desktops.empty').waitFor();
    await picture('presets');
  });

  await step('a new desktop, and a share that is too large', async () => {
    await order('Training');
    await lina.text('offer.now').first().waitFor();
    await picture('new-desktop');
    const exact = page.getByRole('textbox', { name: t('new.share_exact') });
    await exact.fill('100');
    await exact.press('Enter');
    const repair = page.getByRole('button', { name: t('offer.use_instead', { size: '24 GiB' }) });
    await repair.scrollIntoViewIfNeeded();
    await picture('refused');
  });

  await step('the desktop, and its limit', async () => {
    const screen = await open('Training');
    await screen.showsPanel();
    await screen.type('clear; sluice gpu; sluice gpu test; touch ~/tested\n');
    await screen.fileWith('tested', /^/);
    await screen.bar(t('clipboard.title'));
    await picture('desktop');
    await usesGiB(screen, '6 work');
    await page.goto(`/desktops/${screen.id}`);
    await page.getByRole('heading', { name: t('launch.processes') }).waitFor();
    await page.getByText(/6\.?\d* \/ 8 GiB/).waitFor();
    await picture('details');
  });

  await step('three on one card, the fourth in the queue', async () => {
    await usesGiB(await open('Evaluation'), '3');
    await open('Notebook');
    await order('Big batch');
    await lina.button('new.go').click();
    await lina.text('queue.position', { n: 1, of: 1 }).waitFor();
    await picture('queue');
    await page.goto('/');
    await until('the use of all three', async () => {
      const used = (await server.desktops()).map((d) => d.usage?.used_bytes ?? 0);
      return used.filter((bytes) => bytes > 2 ** 30).length === 2;
    });
    await lina.card('Big batch').getByText(t('state.queued')).waitFor();
    await lina
      .card('Training')
      .getByText(/6\.?\d* \/ 8 GiB/)
      .waitFor();
    await picture('my-desktops');
    await page.emulateMedia({ colorScheme: 'dark' });
    await picture('my-desktops-dark');
    await page.emulateMedia({ colorScheme: 'light' });
  });

  await step('looking after it', async () => {
    await server.addUser('kim', 'operator');
    await server.addUser('jo');
    await lina.goTo('nav.gpus');
    await page.locator('.share-seg.busy').first().waitFor();
    await picture('gpus');
    await lina.goTo('nav.live');
    await page.locator('tbody tr').nth(3).waitFor();
    await picture('live');
    await lina.goTo('nav.pools');
    await lina.field('pools.overcommit').fill('150');
    await lina.button('pools.try').click();
    await lina.heading('pools.trial').waitFor();
    await page.evaluate(() => window.scrollTo(0, 0));
    await picture('pools');
    await server.call(
      'POST',
      '/v1/teams',
      { name: 'Winter course', memory_guaranteed_bytes: 8 * 2 ** 30 },
      { 'Idempotency-Key': 'team' },
    );
    await lina.goTo('nav.reservations');
    await reserve('Exercise 3', 26);
    await lina.button('reserve.add').click();
    await lina.field('reserve.name').fill('Exercise 4');
    await page.getByRole('dialog').getByText(t('reserve.holders_why')).waitFor();
    await picture('reservations');
    await lina.button('act.cancel').click();
    await lina.goTo('nav.planner');
    await lina.heading('plan.history').waitFor();
    await page.getByRole('switch', { name: t('plan.synthetic') }).click();
    await lina.button('plan.go').click();
    await until('the answer', () => page.locator('.planned[aria-busy="false"]').isVisible());
    await picture('planner');
    await lina.goTo('nav.users');
    await page.locator('[data-user="kim"]').waitFor();
    await picture('users');
    await lina.goTo('nav.audit');
    await lina.button('audit.check').click();
    await lina.text('audit.ok').waitFor();
    await picture('audit');
  });

  await step('Chinese', async () => {
    const lin = await newPerson({ language: 'zh-CN' });
    await lin.page.setViewportSize(pictureSize);
    await lin.firstSignIn(await server.addUser('lin'));
    await lin.text('desktops.empty').waitFor();
    await picture('presets-zh', lin.page);
  });
});
