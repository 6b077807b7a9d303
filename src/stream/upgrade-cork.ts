/**
 * Where upgrades are answered that had to wait for a verdict. Runs in the aggregator.
 *
 * uWebSockets.js wants whoever answers later to do it inside of cork(), and says so on stderr each time. But an upgrade
 * inside of its own response's cork() is closed now and then: the new socket may take the place of the old one in
 * memory, and the end of cork() then reads its bytes as the state of an HTTP answer (uNetworking/uWebSockets pull
 * request 1929, not in the version that is used here). So upgrades are made inside the cork() of another response: one
 * that this thread asked of itself, over a private connection, and never answers.
 */

import type { HttpResponse, TemplatedApp, us_listen_socket } from 'uWebSockets.js';
import * as uws from 'uWebSockets.js';
import { randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export class UpgradeCork {
  readonly #app: TemplatedApp = uws.App();
  #listening: us_listen_socket | undefined;
  #socket: Socket | undefined;
  #response: HttpResponse | undefined;
  /** Upgrades that came before the private connection stood; undefined once it does, or cannot. */
  #early: (() => void)[] | undefined = [];

  constructor() {
    const path = `/${randomUUID()}`;
    this.#app.get(path, (response) => {
      response.onAborted(() => {
        this.#response = undefined;
      });
      this.#response = response;
      this.#settled();
    });
    this.#app.any('/*', (response) => {
      response.close(); // somebody else found the port while it was open
    });
    this.#app.listen('127.0.0.1', 0, (listening) => {
      if (listening === false) return this.#settled();
      this.#listening = listening;
      this.#socket = connect(uws.us_socket_local_port(listening), '127.0.0.1')
        .on('error', () => this.#settled())
        .unref();
      this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    });
  }

  /** Calls `upgrade` now, or as soon as the private connection stands. */
  run(upgrade: () => void): void {
    if (this.#early !== undefined) this.#early.push(upgrade);
    else if (this.#response !== undefined) this.#response.cork(upgrade);
    else upgrade();
  }

  close(): void {
    this.#early = undefined;
    this.#stopListening();
    this.#socket?.destroy();
    this.#app.close();
  }

  #settled(): void {
    this.#stopListening();
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const upgrade of early) this.run(upgrade);
  }

  #stopListening(): void {
    if (this.#listening !== undefined) uws.us_listen_socket_close(this.#listening);
    this.#listening = undefined;
  }
}
