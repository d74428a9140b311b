// SPDX-License-Identifier: Apache-2.0
// What dies: the portal while a desktop is open, the browser. What goes on: the desktop.
import { check, same, scenario } from './harness/scenario.mjs';

await scenario('faults', { simulate: '1x24GiB' }, async ({ server, newPerson, step }) => {
  const lina = await newPerson();
  let account;
  let screen;
  let shell;

  // The terminal's own shell, known by a variable in it.
  const isTheSameShell = async (name) => {
    await screen.showsTerminal();
    await screen.type(`echo $mark >~/${name}\n`);
    same(await screen.fileWith(name, /\n/), shell, 'the shell in the terminal');
  };

  await step('a desktop is open and its shell knows a mark', async () => {
    account = await lina.firstSignIn(server.admin);
    await lina.button('desktops.start_preset', { name: 'PyTorch' }).click();
    screen = await lina.screen();
    await screen.showsTerminal();
    await screen.type('mark=$$; echo $mark >~/mark\n');
    shell = await screen.fileWith('mark', /^\d+\n/);
  });

  await step('sluice up is killed: the page says so and waits', async () => {
    await server.down('SIGKILL');
    await screen.isIn('reconnecting');
    await lina.text('viewer.lost').waitFor();
  });

  await step('started again it adopts the desktop, the page comes back by itself', async () => {
    const began = Date.now();
    await server.up();
    await screen.isOpen(30_000);
    const [desktop] = await server.desktops();
    same(desktop.id, screen.id, 'the adopted desktop');
    check(Date.now() - began < 30_000, 'the page took too long');
    await isTheSameShell('after-kill');
    same((await server.call('GET', '/v1/gpus')).items[0].shares.length, 1, 'shares on the card');
  });

  await step('asked to stop, sluice up leaves desktops alone as well', async () => {
    await server.down();
    await screen.isIn('reconnecting');
    await server.up();
    await screen.isOpen(30_000);
    await isTheSameShell('after-stop');
  });

  await step('the browser is killed, the desktop goes on and is opened again', async () => {
    const killer = await lina.context.newCDPSession(lina.page);
    const crashed = lina.page.waitForEvent('crash');
    killer.send('Page.crash').catch(() => {});
    await crashed;
    await lina.context.close();
    const again = await newPerson();
    await again.signIn(account);
    await again.cardIn('PyTorch', 'ready').waitFor();
    await again
      .card('PyTorch')
      .getByRole('link', { name: again.t('act.open') })
      .click();
    screen = await again.screen();
    await isTheSameShell('after-browser');
  });
});
