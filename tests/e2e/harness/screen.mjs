// SPDX-License-Identifier: Apache-2.0
// An open desktop: what its canvas shows, and keys for the terminal on it. What a command did is
// read from the desktop's home.
import { until } from './until.mjs';

// Where the template's terminal lies, and the colour of its background.
const inTerminal = { x: 300, y: 400 };
// Somewhere else in it: for those who only look, the pointer is part of the picture.
const besidePointer = { x: 520, y: 480 };
const terminalColour = [0x10, 0x14, 0x16];
const panelColour = [0x17, 0x1c, 0x1f];

// A name is used once: a home outlives its screens.
let commands = 0;

export class Screen {
  static async of(page, server) {
    await page.waitForURL(/\/desktops\/[^/]+\/view$/, { timeout: 30_000 });
    const screen = new Screen();
    screen.page = page;
    screen.server = server;
    screen.id = /desktops\/([^/]+)\/view/.exec(page.url())[1];
    await screen.isOpen();
    return screen;
  }

  isOpen(withinMs = 20_000) {
    return this.isIn('open', withinMs);
  }

  // Waits for a phase of the connection: open, reconnecting, elsewhere, stopped…
  async isIn(phase, withinMs = 20_000) {
    await this.page.locator(`.viewer[data-phase="${phase}"]`).waitFor({ timeout: withinMs });
  }

  size() {
    return this.page.evaluate(() => {
      const canvas = document.querySelector('.viewer-screen canvas');
      return canvas ? { width: canvas.width, height: canvas.height } : null;
    });
  }

  pixel(x, y) {
    return this.page.evaluate(
      ([px, py]) => {
        const canvas = document.querySelector('.viewer-screen canvas');
        const data = canvas?.getContext('2d')?.getImageData(px, py, 1, 1).data;
        return data ? [...data.slice(0, 3)] : null;
      },
      [x, y],
    );
  }

  // The panel lies along the lower edge, whatever the size became.
  async showsPanel() {
    await until('the panel on the desktop', async () => {
      const { width, height } = await this.size();
      const seen = await this.pixel(Math.floor(width / 2), height - 6);
      return seen?.every((value, i) => Math.abs(value - panelColour[i]) <= 4);
    });
  }

  async showsTerminal() {
    await until('a terminal on the desktop', async () => {
      const seen = await this.pixel(besidePointer.x, besidePointer.y);
      return seen?.every((value, i) => Math.abs(value - terminalColour[i]) <= 4);
    });
    await this.focus();
  }

  // Gives the keyboard to the terminal.
  async focus() {
    await this.page.mouse.click(inTerminal.x, inTerminal.y);
  }

  // The upper left of the terminal's text, in pixels of the desktop.
  async terminalTop() {
    return until('the upper edge of the terminal', () =>
      this.page.evaluate(
        ([x, colour]) => {
          const canvas = document.querySelector('.viewer-screen canvas');
          const column = canvas.getContext('2d').getImageData(x, 0, 1, canvas.height).data;
          for (let y = 0; y < canvas.height; y++) {
            if (colour.every((value, i) => Math.abs(column[4 * y + i] - value) <= 4)) return y;
          }
          return null;
        },
        [inTerminal.x, terminalColour],
      ),
    );
  }

  // Panels of the bar close when the desktop takes the keyboard back.
  async isWithoutPanels() {
    await until(
      'the panels of the bar to close',
      async () =>
        (await this.page.locator('.viewer-top [aria-expanded="true"][aria-haspopup]').count()) ===
        0,
    );
  }

  // Shows the bar, which hides by itself, and returns one of its buttons.
  async bar(name) {
    const bar = this.page.locator('.viewer-bar');
    await this.page.mouse.move(640, 400);
    await this.page.mouse.move(640, 2);
    await bar.waitFor();
    return bar.getByRole('button', { name });
  }

  async type(text) {
    await this.page.keyboard.type(text);
  }

  // Types a command line into the terminal and returns what it wrote, once it has ended.
  async run(command, withinMs = 15_000) {
    const name = `.e2e-${++commands}`;
    await this.type(`(${command}) >~/${name} 2>&1; echo $? >~/${name}.code\n`);
    const code = await until(
      `the end of the typed command: ${command}`,
      () => this.file(`${name}.code`)?.match(/^(\d+)\n/)?.[1],
      withinMs,
    );
    return { code: Number(code), output: this.file(name) };
  }

  file(name) {
    return this.server.homeFile(this.id, name);
  }

  // Waits until a file of the home is there and full, and returns what it says.
  fileWith(name, pattern, withinMs) {
    return until(
      `~/${name} with ${pattern}`,
      () => {
        const text = this.file(name);
        return text !== null && pattern.test(text) ? text : null;
      },
      withinMs,
    );
  }
}
