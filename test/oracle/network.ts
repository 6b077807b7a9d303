/**
 * The network between Core and everybody else: a port that stays where it is while Core comes and goes, and that breaks
 * connections in the ways networks do.
 */

import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import type { Random } from '../../bench/random.js';
import { afterwards, type Cleanup } from '../core-process.js';

/** How long Core goes on believing in a connection whose other end is gone. */
const GHOST_MS = 300;

interface Link {
  readonly near: net.Socket;
  readonly far: net.Socket;
}

export class Network {
  /** Core's port; undefined: Core is not there. */
  target: number | undefined;
  readonly #server = net.createServer({ noDelay: true, pauseOnConnect: true }, (near) => this.#join(near));
  readonly #links = new Set<Link>();
  readonly #ghosts = new Set<net.Socket>();

  static async open(cleanup: Cleanup): Promise<Network> {
    const network = new Network();
    await once(network.#server.listen(0, '127.0.0.1'), 'listening');
    afterwards(cleanup, () => network.#close());
    return network;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /**
   * Breaks each connection with this chance. `reset`: both ends hear of it. `ghost`: Core does not, for a while, and may
   * meet the same node twice.
   */
  cut(random: Random, chance: number, way: 'reset' | 'ghost'): number {
    let count = 0;
    for (const { near, far } of [...this.#links]) {
      if (random.below(1000) >= chance * 1000) continue;
      count++;
      if (way === 'reset') far.resetAndDestroy();
      else this.#ghosts.add(far);
      near.resetAndDestroy();
      if (way === 'ghost') setTimeout(() => far.destroy(), GHOST_MS);
    }
    return count;
  }

  #join(near: net.Socket): void {
    if (this.target === undefined) {
      near.destroy();
      return;
    }
    const far = net.connect({ host: '127.0.0.1', port: this.target, noDelay: true });
    const link = { near, far };
    this.#links.add(link);
    for (const socket of [near, far]) socket.on('error', () => {});
    near.pipe(far);
    far.pipe(near);
    near.on('close', () => {
      if (!this.#ghosts.has(far)) far.destroy();
    });
    far.on('close', () => {
      near.destroy();
      this.#ghosts.delete(far);
      this.#links.delete(link);
    });
  }

  #close(): void {
    this.#server.close();
    for (const { near, far } of this.#links) {
      near.destroy();
      far.destroy();
    }
  }
}
