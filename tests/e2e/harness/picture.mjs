// SPDX-License-Identifier: Apache-2.0
// Pictures of docs/tour.md: small ones, where pngquant is installed.
import { spawnSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './places.mjs';
import { check } from './scenario.mjs';

const folder = join(root, 'docs/images');
const bytesMax = 150 * 1024;
export const pictureSize = { width: 1200, height: 750 };

// Writes docs/images/NAME.png of the page as it stands.
export async function takePicture(page, name) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.png`);
  await page.mouse.move(pictureSize.width / 2, pictureSize.height - 10);
  await page.screenshot({ path, animations: 'disabled' });
  spawnSync('pngquant', ['--force', '--skip-if-larger', '--ext', '.png', '64', path]);
  const { size } = statSync(path);
  check(size <= bytesMax, `${name}.png has ${size} bytes; is pngquant installed?`);
}
