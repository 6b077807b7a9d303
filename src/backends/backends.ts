/**
 * Everything that backends are to main: the WebSockets of the aggregator, raw connections on the REST port, and what
 * both share. Passes messages between them and the aggregator.
 *
 * Owned by main.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { LIMITS } from '../limits.js';
import type { ConsumersToMain, MainToConsumers } from '../stream/consumer-messages.js';
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

export class Backends {
  readonly #actions: BackendActions;
  readonly #tell: (message: MainToConsumers) => void;
  readonly #webSockets: WebSocketBackends;
  readonly #raw: RawBackends;
  readonly #forgetAccess: () => void;
  #restPort = 0;

  constructor(
    parts: Pick<BackendParts, 'actions' | 'access' | 'logger'> & {
      readonly allowedOrigins: readonly string[];
    },
    tell: (message: MainToConsumers) => void,
  ) {
    const { actions, access, logger, allowedOrigins } = parts;
    this.#actions = actions;
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
    this.#webSockets = new WebSocketBackends(shared, strangers, pages, tell);
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
      case 'consumer-gone':
        this.#webSockets.receive(message);
        break;
      case 'subscription-on':
      case 'subscription-records':
      case 'subscription-over':
        this.#raw.receive(message);
        break;
      case 'node-names-wanted':
        void this.#sendNames(message.asked);
        break;
    }
  }

  /** A connection on the REST port that speaks JSON; `first` is what was read of it. */
  accept(socket: Socket, first: Buffer): void {
    this.#raw.accept(socket, first);
  }

  /** Ends raw connections once they have what is on its way to them; the WebSockets are the aggregator's to end. */
  close(): Promise<void> {
    this.#forgetAccess();
    return this.#raw.close();
  }

  async #sendNames(asked: number): Promise<void> {
    let names: [string, string][] = [];
    for (const { id, name, connected } of this.#actions.nodes()) {
      if (!connected) continue;
      names.push([String(id), name]);
      if (names.length < LIMITS.nodeNamesAtOnce) continue;
      this.#tell({ type: 'node-names', asked, nodes: names, last: false });
      names = [];
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#tell({ type: 'node-names', asked, nodes: names, last: true });
  }
}

/** Random, as the original's: never 0. */
function newBackendId(): bigint {
  return randomBytes(8).readBigUInt64BE() || 1n;
}
