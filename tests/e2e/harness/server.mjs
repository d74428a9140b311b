// SPDX-License-Identifier: Apache-2.0
// One `sluice up` on a state folder of its own, and the local administrator's way into it.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Network } from './network.mjs';
import { program } from './places.mjs';
import { until } from './until.mjs';

// The folder for what need not survive a reboot, as instance/folders.cc names it.
function volatileFolderOf(state) {
  let hash = 2166136261;
  for (const byte of Buffer.from(state)) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
  const name = `sluice-${hash.toString(16).padStart(8, '0')}`;
  const uid = process.geteuid();
  if (uid === 0) return `/run/${name}`;
  const runtime = process.env.XDG_RUNTIME_DIR;
  return runtime && existsSync(runtime) ? `${runtime}/${name}` : `/tmp/${name}-${uid}`;
}

export class Server {
  log = '';
  // The first administrator, told once at the first start.
  admin = null;
  #child = null;
  #simulate;

  static async start(simulate = '1x24GiB') {
    const server = new Server();
    server.state = mkdtempSync(join(tmpdir(), 'sluice-e2e-'));
    server.volatile = volatileFolderOf(server.state);
    server.network = await Network.open();
    server.#simulate = simulate;
    try {
      await server.up();
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      const { log } = server;
      await server.end();
      throw new Error(`${words}\n${log}`);
    }
    return server;
  }

  get url() {
    return this.network.url;
  }

  get pid() {
    return this.#child?.pid;
  }

  async up() {
    const from = this.log.length;
    const child = spawn(
      program,
      ['--state', this.state, 'up', '--port', '0', '--simulate', this.#simulate],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.log += text));
    }
    let spawned = null;
    child.on('error', (error) => (spawned = error));
    const port = await until('the address that `sluice up` prints', () => {
      if (spawned) throw spawned;
      const words = this.log.slice(from);
      if (!words.includes('Ctrl-C stops it')) {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
        return null;
      }
      const name = /^ +name +(\S+)$/m.exec(words);
      const password = /^ +password +(\S+)/m.exec(words);
      if (name && password) this.admin = { name: name[1], password: password[1] };
      return Number(/^ +address +http:\/\/127\.0\.0\.1:(\d+)$/m.exec(words)?.[1]);
    });
    this.network.leadTo(port);
  }

  // Ends the program as asked, the desktops go on.
  async down(signal = 'SIGTERM') {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(timer);
  }

  // One call as the local administrator, over the socket of the state folder.
  call(method, path, body, headers = {}) {
    const text = body === undefined ? '' : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const ask = request(
        {
          socketPath: join(this.state, 'api.sock'),
          method,
          path,
          headers: {
            Host: 'localhost',
            ...(text && { 'Content-Type': 'application/json' }),
            'Content-Length': Buffer.byteLength(text),
            ...headers,
          },
          timeout: 10_000,
        },
        (answer) => {
          let said = '';
          answer.setEncoding('utf8').on('data', (part) => (said += part));
          answer.on('end', () => {
            const value = said.startsWith('{') ? JSON.parse(said) : said;
            if (answer.statusCode < 400) resolve(value);
            else reject(new Error(`${method} ${path}: ${answer.statusCode} ${said}`));
          });
        },
      );
      ask.on('error', reject);
      ask.on('timeout', () => ask.destroy(new Error(`${method} ${path}: no answer`)));
      ask.end(text);
    });
  }

  async desktops() {
    return (await this.call('GET', '/v1/desktops?owner=all&limit=200')).items;
  }

  async desktop(name) {
    const found = (await this.desktops()).find((d) => d.name === name);
    if (!found) throw new Error(`there is no desktop ${name}`);
    return found;
  }

  // Adds a person with a password that is still to be changed.
  async addUser(name, role = 'user', more = {}) {
    const made = await this.call(
      'POST',
      '/v1/users',
      { name, display_name: name, role, ...more },
      { 'Idempotency-Key': `e2e-${name}` },
    );
    return { name, password: made.one_time_password };
  }

  // A file of a desktop's home as it lies on this machine; null while it is not there.
  homeFile(id, name) {
    const path = join(this.state, 'homes', id, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : null;
  }

  // Stops every desktop and the server, and leaves nothing behind.
  async end() {
    try {
      if (this.#child) await this.#stopDesktops();
    } catch (error) {
      this.log += `\n${error instanceof Error ? error.message : error}\n`;
    }
    await this.down();
    for (const pid of this.#supervisors()) process.kill(pid, 'SIGKILL');
    await until('the supervisors to be gone', () => this.#supervisors().length === 0).catch(
      () => {},
    );
    await this.network.close();
    rmSync(this.volatile, { recursive: true, force: true });
    rmSync(this.state, { recursive: true, force: true });
  }

  async #stopDesktops() {
    await until(
      'every desktop to stop',
      async () => {
        const left = (await this.desktops()).filter((d) => d.state !== 'stopped');
        for (const desktop of left.filter((d) => d.desired_state === 'running')) {
          await this.call(
            'PATCH',
            `/v1/desktops/${desktop.id}`,
            { desired_state: 'stopped' },
            { 'If-Match': `"${desktop.resource_version}"` },
          ).catch(() => {});
        }
        return left.every((d) => d.state === 'failed' || d.state === 'deleted');
      },
      20_000,
    );
  }

  // Keepers of this server's own desktops that are still there.
  #supervisors() {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
          return words.some((word) => word.startsWith(`${this.volatile}/`));
        } catch {
          return false;
        }
      });
  }
}
