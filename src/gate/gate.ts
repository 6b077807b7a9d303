/**
 * The door for nodes: listens on the node port and hands every connection to the shard with the fewest. Owned by
 * main; after the hand-off a connection costs main nothing (native mode), or its reads (portable mode).
 *
 * Native hand-off: the descriptor is duplicated, main's own handle is closed, the shard opens the duplicate. Two
 * handles on one descriptor would each close it, and the second close would hit whatever got the number by then.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Config } from '../config/config.js';
import { EXIT, FatalError } from '../errors.js';
import { type Addon, loadAddon, type Mode } from '../native/addon.js';
import type { ShardToMain } from '../shard/messages.js';
import { Relay } from './relay.js';
import type { Sessions } from './sessions.js';
import type { ShardDoor } from './shard-door.js';

/** Lines in the log about connections that were turned away, at most one in this time. */
const REFUSAL_LOG_INTERVAL_MS = 10_000;

export class Gate {
  readonly #config: Config;
  readonly #sessions: Sessions;
  readonly #shards: ShardDoor;
  readonly #logger: Logger;
  readonly #addon: Addon | undefined;
  readonly #server: Server;
  readonly #relays = new Map<number, Relay>();
  #turnedAway = 0;
  #lastRefusalMs = Number.NEGATIVE_INFINITY;

  constructor(config: Config, mode: Mode, sessions: Sessions, shards: ShardDoor, logger: Logger) {
    this.#config = config;
    this.#sessions = sessions;
    this.#shards = shards;
    this.#logger = logger;
    this.#addon = mode === 'native' ? loadAddon() : undefined;
    // Paused: not a byte may be read here before the hand-off.
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
      this.#connected(socket),
    );
  }

  /** Resolves with the port; rejects with a FatalError. */
  listen(): Promise<number> {
    const { host, node_port: port } = this.#config.server;
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        const why = error.code === 'EADDRINUSE' ? 'the port is in use' : error.message;
        reject(
          new FatalError(
            EXIT.unavailable,
            `cannot listen on ${host}:${port} for nodes (server.node_port): ${why}`,
            { cause: error },
          ),
        );
      });
      this.#server.listen({ host, port, backlog: 4096, exclusive: true }, () => {
        this.#server.removeAllListeners('error');
        this.#server.on('error', (error) => this.#logger.error({ err: error }, 'node port failed'));
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** Takes no new connections. */
  stop(): void {
    this.#server.close();
  }

  /** What a shard says about a connection that main reads for it. `commandSent` is told when a command has left. */
  relay(
    message: Extract<ShardToMain, { type: `relay-${string}` }>,
    commandSent: (session: number, command: string) => void,
  ): void {
    const relay = this.#relays.get(message.session);
    switch (message.type) {
      case 'relay-consumed':
        relay?.consumed(message.bytes);
        break;
      case 'relay-write': {
        const { session, text, command } = message;
        if (command === null) relay?.write(text);
        else relay?.writeCommand(text, () => commandSent(session, command));
        break;
      }
      case 'relay-close':
        relay?.close();
        this.#relays.delete(message.session);
        break;
    }
  }

  /** The shard of these sessions has died: let go of what main still holds of them. */
  abandon(session: number, fd: number | undefined): void {
    if (fd !== undefined) this.#addon?.closeDescriptor(fd);
    this.#relays.get(session)?.destroy();
    this.#relays.delete(session);
  }

  #connected(socket: Socket): void {
    const remote = remoteOf(socket);
    const slot = this.#sessions.leastLoaded(this.#shards.runningSlots());
    if (slot === undefined) return this.#turnAway(socket, remote, 'no shard is running');
    const session = this.#sessions.open(slot, remote);
    if (session === undefined) return this.#turnAway(socket, remote, 'ingest.max_connections is reached');
    if (this.#addon === undefined) {
      this.#shards.post(slot, { type: 'relay-open', session: session.number, remote });
      this.#relays.set(
        session.number,
        new Relay(socket, session.number, (message, transfer) => this.#shards.post(slot, message, transfer)),
      );
      return;
    }
    const fd = this.#addon.duplicate(descriptorOf(socket));
    socket.destroy();
    if (fd < 0) {
      this.#sessions.close(session.number);
      return this.#turnAway(socket, remote, `the descriptor cannot be duplicated (errno ${-fd})`);
    }
    session.fd = fd;
    this.#shards.post(slot, { type: 'open', session: session.number, remote, fd });
  }

  #turnAway(socket: Socket, remote: string, reason: string): void {
    socket.destroy();
    this.#turnedAway++;
    const now = performance.now();
    if (now - this.#lastRefusalMs < REFUSAL_LOG_INTERVAL_MS) return;
    this.#lastRefusalMs = now;
    this.#logger.warn({ remote, reason, connections: this.#turnedAway }, 'connections turned away');
    this.#turnedAway = 0;
  }
}

/** Node does not give out a socket's descriptor; it is there since the first versions. */
function descriptorOf(socket: Socket): number {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  if (!(fd >= 0)) throw new Error('a socket without a descriptor');
  return fd;
}

function remoteOf(socket: Socket): string {
  const { remoteAddress = 'unknown', remotePort = 0 } = socket;
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}
