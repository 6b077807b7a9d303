/**
 * The door for nodes: listens on the node port, and hands every connection whose turn it is (admission.ts) to the shard
 * with the fewest. Owned by main; after the hand-off a connection costs main nothing (native mode), or its reads
 * (portable mode).
 *
 * Native hand-off: the descriptor is duplicated, main's own handle is closed, the shard opens the duplicate. Two
 * handles on one descriptor would each close it, and the second close would hit whatever got the number by then.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import { addressKey } from '../addresses.js';
import type { Config } from '../config/config.js';
import { EXIT, FatalError } from '../errors.js';
import { LIMITS } from '../limits.js';
import { type Addon, loadAddon, type Mode } from '../native/addon.js';
import type { ShardToMain } from '../shard/messages.js';
import {
  type AdmissionCounts,
  TURNED_AWAY,
  TURNED_AWAY_REASONS,
  type TurnedAwayReason,
} from '../telemetry/admission-counts.js';
import { Admission, type Arrival } from './admission.js';
import { Relay } from './relay.js';
import type { OpenSession, Sessions } from './sessions.js';
import type { ShardDoor } from './shard-door.js';

/** What main holds of a connection that waits: its descriptor, or in portable mode its paused socket. */
interface HeldArrival extends Arrival {
  readonly remote: string;
  readonly held: number | Socket;
}

export class Gate {
  readonly #config: Config;
  readonly #sessions: Sessions;
  readonly #shards: ShardDoor;
  readonly #logger: Logger;
  readonly #addon: Addon | undefined;
  readonly #server: Server;
  readonly #relays = new Map<number, Relay>();
  readonly #admission: Admission<HeldArrival>;
  readonly #turnedAwayLog = Object.fromEntries(
    TURNED_AWAY_REASONS.map((reason) => [reason, { lastMs: Number.NEGATIVE_INFINITY, connections: 0 }]),
  ) as Record<TurnedAwayReason, { lastMs: number; connections: number }>;
  #lastRelay = 0;

  constructor(config: Config, mode: Mode, sessions: Sessions, shards: ShardDoor, logger: Logger) {
    this.#config = config;
    this.#sessions = sessions;
    this.#shards = shards;
    this.#logger = logger;
    this.#addon = mode === 'native' ? loadAddon() : undefined;
    const { admission, ingest } = config;
    this.#admission = new Admission(
      {
        acceptsPerSecond: admission.accepts_per_second,
        connectionsPerAddress:
          admission.connections_per_address || Math.ceil((ingest.max_connections * 3) / 4),
        slots: sessions.slots,
      },
      {
        runningSlots: () => shards.runningSlots(),
        admit: (arrival, slots) => this.#admit(arrival, slots),
        turnAway: (arrival, reason) => this.#turnAway(arrival, reason),
        nowMs: () => performance.now(),
      },
    );
    sessions.watch = {
      registered: (session) => this.#admission.registered(session),
      closed: (session) => this.#admission.left(session),
    };
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

  /** Takes no new connections; those that wait are closed. */
  stop(): void {
    this.#server.close();
    const { waiting } = this.#admission.counts();
    this.#admission.stop();
    if (waiting > 0) this.#logger.info({ connections: waiting }, 'waiting connections closed');
  }

  counts(): AdmissionCounts {
    return this.#admission.counts();
  }

  /** What a shard says about a connection that main reads for it. `commandSent` is told when a command has left. */
  relay(
    message: Extract<ShardToMain, { type: `relay-${string}` }>,
    commandSent: (session: number, command: string) => void,
  ): void {
    const relay = this.#relays.get(message.relay);
    switch (message.type) {
      case 'relay-consumed':
        relay?.consumed(message.bytes);
        break;
      case 'relay-write': {
        const { data, command } = message;
        if (command === null) relay?.write(data);
        else relay?.writeCommand(String(data), () => commandSent(command.session, command.id));
        break;
      }
      case 'relay-close':
        relay?.close();
        this.#relays.delete(message.relay);
        break;
    }
  }

  /** The shard has died: let go of what main still holds of its connections. */
  abandon(slot: number): void {
    for (const { fd } of this.#sessions.ofSlot(slot)) if (fd !== undefined) this.#addon?.closeDescriptor(fd);
    for (const [number, relay] of this.#relays) {
      if (relay.slot !== slot) continue;
      relay.destroy();
      this.#relays.delete(number);
    }
  }

  #connected(socket: Socket): void {
    const { remoteAddress } = socket;
    const [remote, address] = [remoteOf(socket), addressKey(remoteAddress ?? 'unknown')];
    if (this.#addon === undefined) {
      // Not read, so it hardly can; but an error that nobody listens for would end Core.
      socket.on('error', () => {});
      return this.#admission.arrive({ address, remote, held: socket });
    }
    const fd = this.#addon.duplicate(descriptorOf(socket));
    socket.destroy();
    if (fd < 0) {
      this.#admission.lost('no_descriptor');
      return this.#logTurnedAway(remote, 'no_descriptor', `errno ${-fd}`);
    }
    this.#admission.arrive({ address, remote, held: fd });
  }

  #admit({ address, remote, held }: HeldArrival, slots: readonly number[]): OpenSession | TurnedAwayReason {
    const slot = this.#sessions.leastLoaded(slots);
    if (slot === undefined) throw new Error('admitted without a shard that takes it');
    const session = this.#sessions.open(slot, remote, address);
    if (session === undefined) return 'max_connections';
    const { number } = session;
    if (typeof held === 'number') {
      session.fd = held;
      this.#shards.post(slot, { type: 'open', session: number, remote, fd: held });
    } else {
      const relay = ++this.#lastRelay;
      this.#shards.post(slot, { type: 'relay-open', session: number, remote, relay });
      this.#relays.set(
        relay,
        new Relay(held, relay, slot, (message, transfer) => this.#shards.post(slot, message, transfer)),
      );
    }
    return session;
  }

  #turnAway({ held, remote }: HeldArrival, reason: TurnedAwayReason): void {
    if (typeof held === 'number') this.#addon?.closeDescriptor(held);
    else held.destroy();
    if (reason !== 'stopping') this.#logTurnedAway(remote, reason);
  }

  #logTurnedAway(remote: string, reason: TurnedAwayReason, detail?: string): void {
    const log = this.#turnedAwayLog[reason];
    log.connections++;
    const now = performance.now();
    if (now - log.lastMs < LIMITS.turnedAwayLogIntervalMs) return;
    const { connections } = log;
    log.lastMs = now;
    log.connections = 0;
    this.#logger.warn(
      { remote, reason: TURNED_AWAY[reason], connections, ...(detail === undefined ? {} : { detail }) },
      'connections turned away',
    );
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
