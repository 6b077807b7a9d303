/**
 * The WebSocket port: who listens on it, with or without TLS, and with which certificate. Runs in the aggregator.
 *
 * uWebSockets.js reads a certificate when a server is made, and never again. So a new certificate gets a new server
 * behind the one that listens: that one hands on what it accepts and never lets go of the port. There is no moment
 * without a listener, the port stays exclusive, and nobody who is connected notices.
 *
 *   listening --accepts--> newest (its certificate counts)
 *                          retired, retired, ... (their consumers live on; closed when they are empty)
 */
import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js';
import * as uws from 'uWebSockets.js';
import { EXIT, FatalError } from '../errors.js';
import { LIMITS } from '../limits.js';

/** The package's types lack this constant. */
const LISTEN_EXCLUSIVE = (uws as unknown as Record<'LIBUS_LISTEN_EXCLUSIVE_PORT', number>)
  .LIBUS_LISTEN_EXCLUSIVE_PORT;

/** Nor has it these: an app hands what it accepts to one that was added to it. */
interface Acceptor extends TemplatedApp {
  getDescriptor(): object;
  addChildAppDescriptor(descriptor: object): void;
  removeChildAppDescriptor(descriptor: object): void;
}

/** Names of files: uWebSockets.js takes no texts. */
export interface ServerTls {
  readonly cert_file: string;
  readonly key_file: string;
}

/** One server, and how many WebSockets it has. */
export interface Server {
  readonly app: Acceptor;
  sockets: number;
  retiredMs: number;
}

export class ConsumerDoor {
  readonly #tls: ServerTls | undefined;
  readonly #equip: (server: Server) => void;
  readonly #listening: Server;
  #socket: us_listen_socket | undefined;
  /** Behind the listening one, the newest last. */
  #behind: Server[] = [];

  /** `equip` gives a server its routes, and counts its `sockets`. Throws a FatalError where the certificate is none. */
  constructor(tls: ServerTls | undefined, equip: (server: Server) => void) {
    this.#tls = tls;
    this.#equip = equip;
    const server = this.#make();
    if (server === undefined)
      throw new FatalError(
        EXIT.config,
        'the WebSocket port cannot use the certificate in tls.cert_file with the key in tls.key_file',
      );
    this.#listening = server;
  }

  /** The port in use. Throws a FatalError where it cannot be had. */
  listen(host: string, port: number): number {
    const app = this.#listening.app as unknown as {
      listen(
        host: string,
        port: number,
        options: number,
        done: (socket: us_listen_socket | false) => void,
      ): void;
    };
    app.listen(host, port, LISTEN_EXCLUSIVE, (socket) => {
      if (socket !== false) this.#socket = socket;
    });
    if (this.#socket === undefined) {
      throw new FatalError(
        EXIT.unavailable,
        `cannot listen on ${host}:${port} for WebSocket consumers (proxy.port): in use, or not allowed`,
      );
    }
    return uws.us_socket_local_port(this.#socket);
  }

  /** Reads the files again, for new connections. False: they cannot be used, everything stays as it is. */
  renew(): boolean {
    if (this.#tls === undefined) return true;
    const next = this.#make();
    if (next === undefined) return false;
    const last = this.#behind.at(-1);
    const listening = this.#listening.app;
    listening.addChildAppDescriptor(next.app.getDescriptor());
    if (last !== undefined) {
      listening.removeChildAppDescriptor(last.app.getDescriptor());
      last.retiredMs = performance.now();
    }
    this.#behind.push(next);
    return true;
  }

  /** Closes what nobody needs any more; call it now and then. */
  sweep(): void {
    if (this.#behind.length <= 1) return;
    const nowMs = performance.now();
    const over = this.#behind.length - 1 - LIMITS.tlsRetiredServers;
    this.#behind = this.#behind.filter((server, at) => {
      const newest = at === this.#behind.length - 1;
      const empty = server.sockets === 0 && nowMs - server.retiredMs > LIMITS.tlsRetireMs;
      if (newest || !(empty || at < over)) return true;
      server.app.close();
      return false;
    });
  }

  stopListening(): void {
    if (this.#socket !== undefined) uws.us_listen_socket_close(this.#socket);
    this.#socket = undefined;
  }

  /** Ends everything at once. */
  close(): void {
    this.stopListening();
    for (const { app } of this.#behind) app.close();
    this.#behind = [];
    this.#listening.app.close();
  }

  #make(): Server | undefined {
    const app = makeApp(this.#tls);
    if (app === undefined) return undefined;
    const server: Server = { app, sockets: 0, retiredMs: 0 };
    this.#equip(server);
    return server;
  }
}

function makeApp(tls: ServerTls | undefined): Acceptor | undefined {
  if (tls === undefined) return uws.App() as Acceptor;
  try {
    return uws.SSLApp({ cert_file_name: tls.cert_file, key_file_name: tls.key_file }) as Acceptor;
  } catch {
    // It says no more than that it failed.
    return undefined;
  }
}
