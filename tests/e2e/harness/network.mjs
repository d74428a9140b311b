// SPDX-License-Identifier: Apache-2.0
// The network between browser and portal: a relay that can be cut and mended, and that keeps its
// own port while the portal behind it comes back on another.
import { connect, createServer } from 'node:net';

export class Network {
  #server;
  #pairs = new Set();
  #isCut = false;
  #target = 0;

  static async open() {
    const network = new Network();
    network.#server = createServer((near) => network.#join(near));
    await new Promise((resolve) => network.#server.listen(0, '127.0.0.1', resolve));
    return network;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  leadTo(port) {
    this.#target = port;
  }

  cut() {
    this.#isCut = true;
    for (const socket of this.#pairs) socket.destroy();
    this.#pairs.clear();
  }

  mend() {
    this.#isCut = false;
  }

  close() {
    this.cut();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  #join(near) {
    if (this.#isCut || this.#target === 0) {
      near.destroy();
      return;
    }
    const far = connect(this.#target, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      this.#pairs.add(from);
      from.setNoDelay(true);
      from.pipe(to);
      from.on('error', () => {});
      from.on('close', () => {
        this.#pairs.delete(from);
        to.destroy();
      });
    }
  }
}
