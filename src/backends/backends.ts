/**
 * Everything that backends are to main: the WebSockets of the aggregator, raw connections on the REST port, and what
 * both share. Passes messages between them and the aggregator.
 *
 * Owned by main.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Cursors } from '../consumers/cursors.js';
import type { DeliveriesView, Delivery } from '../consumers/named-consumers.js';
import { LIMITS } from '../limits.js';
import type { ConsumersToMain, DeliveryState, MainToConsumers } from '../stream/consumer-messages.js';
import type { BackendAccess } from './access.js';
import type { BackendActions } from './actions.js';
import type { PageRule } from './pages.js';
import { RawBackends } from './raw-backends.js';
import { Strangers } from './strangers.js';
import { WebSocketBackends } from './websockets.js';

/** What every connection of a backend needs. */
export interface BackendParts {
  readonly actions: BackendActions;
  readonly access: BackendAccess;
  readonly logger: Logger;
  newBackendId(): bigint;
  onRegistered(name: string, type: string, from: string): void;
}

export class Backends implements DeliveriesView {
  readonly #tell: (message: MainToConsumers) => void;
  readonly #webSockets: WebSocketBackends;
  readonly #raw: RawBackends;
  readonly #forgetAccess: () => void;
  #restPort = 0;
  /** Whoever asked for the deliveries and has not been answered, by number. */
  readonly #asking = new Map<number, (rows: readonly DeliveryState[]) => void>();
  #lastAsked = 0;

  constructor(
    parts: Pick<BackendParts, 'actions' | 'access' | 'logger'> & {
      readonly allowedOrigins: readonly string[];
      readonly cursors: Cursors;
    },
    tell: (message: MainToConsumers) => void,
  ) {
    const { actions, access, logger, allowedOrigins, cursors } = parts;
    this.#tell = tell;
    const shared: BackendParts = {
      actions,
      access,
      logger,
      newBackendId,
      onRegistered: (name, type, from) =>
        logger.info(
          { backend: name.slice(0, LIMITS.nodeNameLength), type, remote: from },
          'backend registered',
        ),
    };
    const strangers = new Strangers();
    const pages = (): PageRule => ({ allowedOrigins, restPort: this.#restPort });
    this.#webSockets = new WebSocketBackends(shared, cursors, strangers, pages, tell);
    this.#raw = new RawBackends(shared, strangers, tell);
    this.#forgetAccess = access.onChange((change) => {
      this.#webSockets.changed(change);
      this.#raw.changed(change);
    });
  }

  /** Where REST listens; pages it serves may open WebSockets. */
  set restPort(port: number) {
    this.#restPort = port;
  }

  /** A message of the aggregator. */
  receive(message: ConsumersToMain): void {
    switch (message.type) {
      case 'consumer-asks':
      case 'consumer-says':
      case 'consumer-started':
      case 'consumer-acked':
      case 'consumer-gone':
        this.#webSockets.receive(message);
        break;
      case 'subscription-on':
      case 'subscription-records':
      case 'subscription-over':
        this.#raw.receive(message);
        break;
      case 'deliveries':
        this.#asking.get(message.asked)?.(message.rows);
        this.#asking.delete(message.asked);
        break;
    }
  }

  async deliveries(): Promise<readonly Delivery[]> {
    const asked = ++this.#lastAsked;
    const rows = await new Promise<readonly DeliveryState[]>((resolve) => {
      this.#asking.set(asked, resolve);
      this.#tell({ type: 'deliveries-wanted', asked });
    });
    return rows.flatMap(({ kind, number, sinceMs, ...rest }) => {
      const about = kind === 'raw' ? this.#raw.about(number) : this.#webSockets.about(number);
      // It has gone in the meantime.
      return about === undefined ? [] : [{ consumer: number, kind, connectedMs: sinceMs, ...about, ...rest }];
    });
  }

  /** A connection on the REST port that speaks JSON; `first` is what was read of it. */
  accept(socket: Socket, first: Buffer): void {
    this.#raw.accept(socket, first);
  }

  /** Ends raw connections once they have what is on its way to them; the WebSockets are the aggregator's to end. */
  close(): Promise<void> {
    this.#forgetAccess();
    for (const answer of this.#asking.values()) answer([]);
    this.#asking.clear();
    return this.#raw.close();
  }
}

/** Random, as the original's: never 0. */
function newBackendId(): bigint {
  return randomBytes(8).readBigUInt64BE() || 1n;
}
