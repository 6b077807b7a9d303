/**
 * A node that writes numbered events as fast as Core takes them and connects again when it loses its connection. It
 * keeps what it sent in each session, so that a test can say of every session: the log holds a prefix of this.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterwards, type Cleanup } from './core-process.js';
import { within } from './deadline.js';
import { type NodeIdentity, numberedEvent, registration } from './node-frames.js';

export interface SentSession {
  /** Number of its first event. */
  readonly first: number;
  /** Events that were given to the socket: what arrived is a prefix of them. */
  sent: number;
}

/** last: no other connection after this one. */
type State = 'running' | 'last' | 'stopping' | 'stopped';

const RECONNECT_MS = 2;
/** A node that is told to wait looks again after so long. */
const BRAKE_MS = 1;
/** Events that may be on their way to the slowest watcher. */
const AHEAD_EVENTS = 30_000;

export interface LoadOptions {
  readonly blockEvents?: number;
  readonly fillerBytes?: number;
  /**
   * Consumers that must not fall behind. They share a thread with the nodes, which Core does not: without a brake it
   * would cut them off as too slow on a busy machine, and rightly so.
   */
  readonly watchers?: readonly { readonly lines: readonly string[] }[];
}

export class LoadNode {
  readonly identity: NodeIdentity;
  /** Only those that Core accepted. */
  readonly sessions: SentSession[] = [];
  readonly #port: number;
  readonly #blockEvents: number;
  readonly #filler: string;
  readonly #isAhead: () => boolean;
  #next = 0;
  #state: State = 'running';
  #socket: Socket | undefined;
  readonly #ended: Promise<void>;
  /** Resolves when it has registered for the first time. */
  readonly registered: Promise<void>;
  #onRegistered!: () => void;

  constructor(
    port: number,
    identity: NodeIdentity,
    isAhead: () => boolean,
    { blockEvents = 50, fillerBytes = 100 }: LoadOptions,
  ) {
    this.#isAhead = isAhead;
    this.identity = identity;
    this.#port = port;
    this.#blockEvents = blockEvents;
    this.#filler = 'x'.repeat(fillerBytes);
    this.registered = new Promise((resolve) => {
      this.#onRegistered = resolve;
    });
    this.#ended = this.#run();
  }

  get sent(): number {
    return this.#next;
  }

  /** Bytes that wait because Core does not take them. */
  get heldBackBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  /** What was begun is sent, then the node closes its connection, and Core, too. */
  stop(): Promise<void> {
    if (this.#state !== 'stopped') this.#state = 'stopping';
    return within(`${this.identity.name} has stopped`, this.#ended);
  }

  /** No new connection is made; the one that stands goes on until Core ends it. */
  dontReconnect(): void {
    if (this.#state === 'running') this.#state = 'last';
  }

  /** Vanishes, for good. */
  vanish(): void {
    this.dontReconnect();
    this.#socket?.destroy();
  }

  async #run(): Promise<void> {
    while (this.#state === 'running') {
      await this.#session();
      if (this.#state === 'running') await pause(RECONNECT_MS);
    }
    this.#state = 'stopped';
  }

  /** One connection, from its start to its end. */
  #session(): Promise<void> {
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
    this.#socket = socket;
    return new Promise((resolve) => {
      let accepted = false;
      socket.on('connect', () => socket.write(`${registration(this.identity)}\n`));
      socket.on('data', (data) => {
        if (accepted || !data.includes('"accepted":true')) return;
        accepted = true;
        const session = { first: this.#next, sent: 0 };
        this.sessions.push(session);
        this.#onRegistered();
        this.#write(socket, session);
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve());
    });
  }

  #write(socket: Socket, session: SentSession): void {
    if (socket.destroyed || !socket.writable) return;
    if (this.#state === 'stopping') {
      socket.end();
      return;
    }
    if (this.#isAhead()) {
      setTimeout(() => this.#write(socket, session), BRAKE_MS);
      return;
    }
    let text = '';
    for (let count = 0; count < this.#blockEvents; count++)
      text += `${numberedEvent(this.identity.id, this.#next++, this.#filler)}\n`;
    session.sent += this.#blockEvents;
    // The next block when the kernel has taken this one: the node is held back as Core is.
    socket.write(text, (error) => {
      if (!error) setImmediate(() => this.#write(socket, session));
    });
  }
}

/** `count` nodes that are all registered; they end with the test, whatever becomes of it. */
export async function startLoad(
  cleanup: Cleanup,
  port: number,
  count: number,
  options: LoadOptions = {},
): Promise<LoadNode[]> {
  const { watchers = [] } = options;
  const isAhead = () => {
    if (watchers.length === 0) return false;
    const sent = nodes.reduce((sum, node) => sum + node.sent, 0);
    return sent - Math.min(...watchers.map(({ lines }) => lines.length)) > AHEAD_EVENTS;
  };
  const nodes: LoadNode[] = Array.from(
    { length: count },
    (_, at) => new LoadNode(port, { id: 2n ** 60n + BigInt(at), name: `load ${at}` }, isAhead, options),
  );
  afterwards(cleanup, () => {
    for (const node of nodes) node.vanish();
  });
  await within(`${count} nodes are registered`, Promise.all(nodes.map(({ registered }) => registered)));
  return nodes;
}
