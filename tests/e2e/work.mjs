// SPDX-License-Identifier: Apache-2.0
// A person's day: first sign-in, a desktop by one click, work on it, a cut network, a second tab,
// stop, start, restart, delete.
import { check, same, scenario } from './harness/scenario.mjs';
import { until } from './harness/until.mjs';

await scenario('work', { simulate: '1x24GiB' }, async ({ server, newPerson, step }) => {
  const lina = await newPerson({ clipboard: true });
  const { page, t } = lina;
  let screen;
  const name = 'Compile';

  await step('a wrong password is refused in words', async () => {
    await lina.signIn({ name: server.admin.name, password: 'not this one' });
    await lina.text('error.wrong_credentials').waitFor();
  });

  await step('the one-time password asks for an own one first', async () => {
    await lina.firstSignIn(server.admin);
  });

  await step('the empty page offers three presets and says what is missing', async () => {
    await lina.text('desktops.empty').waitFor();
    const templates = (await server.call('GET', '/v1/templates')).items;
    await page.locator('main article').first().waitFor();
    same(await page.locator('main article').count(), 3, 'presets');
    for (const template of templates) {
      const title = t(`template.${template.id}.name`);
      const start = lina.card(title).getByRole('button', {
        name: t('desktops.start_preset', { name: title }),
      });
      same(await start.isEnabled(), template.available, `${title} can be started`);
      for (const missing of template.missing) {
        await lina.card(title).getByText(missing.install, { exact: true }).waitFor();
      }
    }
  });

  await step('a preset that lacks a program is grey and names the command', async () => {
    await page.route('**/v1/templates*', async (route) => {
      const answer = await (await route.fetch()).json();
      for (const template of answer.items.filter((x) => x.id === 'compile')) {
        template.available = false;
        template.missing = [{ program: 'gdb', install: 'apt-get install gdb' }];
      }
      await route.fulfill({ json: answer });
    });
    await page.reload();
    await lina.card(name).getByText('apt-get install gdb').waitFor();
    check(
      await lina.button('desktops.start_preset', { name }).isDisabled(),
      'a preset without its program can be clicked',
    );
    await page.unroute('**/v1/templates*');
    await page.reload();
    await lina.card(name).waitFor();
  });

  await step('one click leads through the stages to the desktop', async () => {
    await page.evaluate(() => {
      window.stagesSeen = [];
      new MutationObserver(() => {
        const rows = document.querySelectorAll('.stages li').length;
        if (rows > 0) window.stagesSeen.push(rows);
      }).observe(document.body, { childList: true, subtree: true });
    });
    await lina.button('desktops.start_preset', { name }).click();
    screen = await lina.screen();
    const seen = await page.evaluate(() => window.stagesSeen);
    check(seen.includes(4), `the four stages were not shown on the way: ${seen}`);
  });

  await step('the terminal takes what is typed', async () => {
    await screen.showsTerminal();
    const said = await screen.run('echo "Hello, \\$HOME is $HOME"; id -u');
    same(said.code, 0, 'exit code');
    check(/^Hello, \$HOME is \/home\/\S+\n\d+\n$/.test(said.output), said.output);
    check(!said.output.endsWith('\n0\n'), 'the desktop runs as root');
  });

  await step('text goes from the browser to the desktop', async () => {
    await (await screen.bar(t('clipboard.title'))).click();
    await lina.field('clipboard.text').fill('sluice grüßt 水闸');
    await lina.button('clipboard.send').click();
    await screen.focus();
    await screen.isWithoutPanels();
    await screen.type('cat >~/pasted\n');
    await until('the pasted text in ~/pasted', async () => {
      await page.keyboard.press('Shift+Insert');
      await page.keyboard.press('Enter');
      return screen.file('pasted')?.includes('sluice grüßt 水闸');
    });
    await page.keyboard.press('Control+d');
  });

  await step('text copied on the desktop reaches the browser', async () => {
    await screen.run('true');
    await screen.type('clear; echo weir4711\n');
    const y = (await screen.terminalTop()) + 16;
    // Clicks that follow each other fast select a line, then the page: a second try comes only after
    // the first has had its time.
    const copied = async () =>
      (await page.evaluate(() => navigator.clipboard.readText())).trim() === 'weir4711';
    await until('the copied word in the clipboard of the browser', async () => {
      await page.mouse.dblclick(80, y);
      return until('the copied word', copied, 3000).catch(() => false);
    });
    await (await screen.bar(t('clipboard.title'))).click();
    const shown = await lina.field('clipboard.text').inputValue();
    same(shown.trim(), 'weir4711', 'clipboard field');
    await screen.focus();
  });

  await step('the desktop follows the size of the window', async () => {
    for (const size of [
      { width: 1500, height: 900 },
      { width: 1280, height: 800 },
    ]) {
      await page.setViewportSize(size);
      await until(`a desktop of ${size.width} x ${size.height}`, async () => {
        const now = await screen.size();
        return now.width === size.width && now.height === size.height;
      });
      const { output } = await screen.run('xrandr | grep -o "current [0-9]* x [0-9]*"');
      await screen.showsPanel();
      same(output, `current ${size.width} x ${size.height}\n`, 'size inside');
    }
  });

  await step('Ctrl+Alt+Del reaches the desktop', async () => {
    const wait = 'sleep 0.1; done';
    await screen.type(
      `(until pgrep -x top; do ${wait}; while pgrep -x top; do ${wait}; echo gone)`,
    );
    await screen.type(' >~/processes\n');
    await (await screen.bar(t('keyboard.title'))).click();
    await lina.button('keyboard.ctrl_alt_del').click();
    await screen.fileWith('processes', /^\d+\n/);
    // The keyboard is with the desktop again: q ends the process list.
    await screen.isWithoutPanels();
    await until('the process list to close on q', async () => {
      await screen.type('q');
      return screen.file('processes').endsWith('gone\n');
    });
    await screen.focus();
    await page.keyboard.press('Control+u');
  });

  await step('a key held while the window loses focus does not stay pressed', async () => {
    await screen.type('cat -v >~/keys\n');
    const keys = await lina.context.newCDPSession(page);
    // Below the keyboard of the test, which would let go of it.
    const control = { key: 'Control', code: 'ControlLeft', windowsVirtualKeyCode: 17 };
    await keys.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', modifiers: 2, ...control });
    await page.evaluate(() => window.dispatchEvent(new Event('blur')));
    await until('letters that arrive as letters', async () => {
      await page.keyboard.press('a');
      await page.keyboard.press('Enter');
      return screen.file('keys')?.includes('a\n');
    });
    check(!screen.file('keys').includes('^A'), 'Control stayed pressed');
    await page.keyboard.press('Control+d');
  });

  await step('after a cut network the same session goes on', async () => {
    await screen.run('true');
    await screen.type('here=$$; echo $here >~/before\n');
    const before = await screen.fileWith('before', /^\d+\n/);
    server.network.cut();
    await screen.isIn('reconnecting');
    await lina.text('viewer.lost').waitFor();
    server.network.mend();
    await lina.button('viewer.retry_now').click();
    await screen.isOpen();
    await screen.focus();
    await screen.type('echo $here >~/after\n');
    same(await screen.fileWith('after', /\n/), before, 'the shell after the cut');
  });

  await step('a second tab opens it, the first one takes it back', async () => {
    const second = await lina.newTab();
    await second.goto(page.url());
    await second.getByText(t('viewer.elsewhere')).waitFor();
    await second.getByRole('button', { name: t('viewer.take_over') }).click();
    await second.locator('.viewer[data-phase="open"]').waitFor();
    await lina.text('viewer.taken').first().waitFor();
    await lina.button('viewer.take_back').click();
    await screen.isOpen();
    await second.getByText(t('viewer.taken')).first().waitFor();
    await second.close();
  });

  await step('stopped from the desktop itself, its home is kept', async () => {
    await (await screen.bar(t('viewer.end'))).click();
    await page.getByRole('menuitem', { name: t('viewer.stop') }).click();
    await lina.button('viewer.stop_go').click();
    await lina.cardIn(name, 'stopped').waitFor();
    check(screen.file('before') !== null, 'the home lost a file at the stop');
  });

  await step('started again it has its files', async () => {
    await lina
      .card(name)
      .getByRole('button', { name: t('act.start') })
      .click();
    screen = await lina.screen();
    await screen.showsTerminal();
    const { output } = await screen.run('cat ~/before ~/after');
    check(/^(\d+)\n\1\n$/.test(output), `the home has other files: ${output}`);
  });

  await step('restarted it comes back by itself', async () => {
    await page.goto('/');
    const since = (await server.desktop(name)).ready_at;
    await lina.menu(name, 'act.restart');
    screen = await lina.screen();
    check((await server.desktop(name)).ready_at > since, 'it was not started anew');
    await screen.showsTerminal();
  });

  await step('deleting asks for the name', async () => {
    await page.goto('/');
    await lina.menu(name, 'act.delete');
    const go = lina.button('delete.go_keep');
    check(await go.isDisabled(), 'it can be deleted without its name');
    await lina.field('delete.type', { name }).fill(name);
    await go.click();
    await lina.text('desktops.empty').waitFor();
    same(await server.desktops(), [], 'desktops left');
    check(screen.file('before') !== null, 'the kept home is gone');
  });
});
