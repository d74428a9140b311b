// SPDX-License-Identifier: Apache-2.0
// Takes the picture of docs/tour.md that needs two cards: tests/e2e/run tests/e2e/tour-whole.mjs
import { pictureSize, takePicture } from './harness/picture.mjs';
import { create } from './harness/quick.mjs';
import { scenario } from './harness/scenario.mjs';
import { until } from './harness/until.mjs';

await scenario('tour-whole', { simulate: '2x24GiB' }, async ({ server, newPerson, step }) => {
  const lina = await newPerson();
  const { page, t } = lina;
  await page.setViewportSize(pictureSize);

  await step('two cards, each in part', async () => {
    await lina.firstSignIn(server.admin);
    const ids = {};
    // Each takes the tightest card with room; the one in between goes, and leaves a gap.
    for (const [name, gib] of [
      ['Training', 14],
      ['In between', 8],
      ['Notebook', 8],
    ]) {
      ids[name] = await create(page, name, gib);
      await until(`${name} to be ready`, async () => {
        const { state } = await server.call('GET', `/v1/desktops/${ids[name]}`);
        return state === 'ready';
      });
    }
    const gone = await server.call('GET', `/v1/desktops/${ids['In between']}`);
    await server.call('DELETE', `/v1/desktops/${gone.id}?keep_home=false`, undefined, {
      'If-Match': `"${gone.resource_version}"`,
    });
    await until('it to go', async () => (await server.desktops()).length === 2);
  });

  await step('the plan', async () => {
    await lina.goTo('nav.pools');
    await lina.button('whole.ask').click();
    await page.getByText(t('whole.cards.one', { n: 1 })).waitFor();
    await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
    await takePicture(page, 'make-whole');
  });
});
