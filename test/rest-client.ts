/** Asks Core over REST, each time on a connection of its own, and keeps the text: `JSON.parse` would break ids. */
import { type IncomingHttpHeaders, request } from 'node:http';
import { within } from './deadline.js';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects of a parsed answer
  readonly json: any;
}

/** A port of loopback, or the path of a socket. */
export type Place = number | string;

export interface Extra {
  readonly token?: string;
  /** Sent as JSON; a text is sent as it is. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export function get(place: Place, path: string, extra: Extra = {}): Promise<Answer> {
  return ask(place, 'GET', path, extra);
}

export function post(place: Place, path: string, extra: Extra = {}): Promise<Answer> {
  return ask(place, 'POST', path, extra);
}

export function ask(place: Place, method: string, path: string, extra: Extra = {}): Promise<Answer> {
  const where = typeof place === 'number' ? { host: '127.0.0.1', port: place } : { socketPath: place };
  const headers = {
    ...extra.headers,
    ...(extra.token === undefined ? {} : { authorization: `Bearer ${extra.token}` }),
    ...(extra.body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  const answer = new Promise<Answer>((resolve, reject) => {
    const outgoing = request({ ...where, method, path, headers, agent: false }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (chunk: string) => {
        text += chunk;
      });
      incoming.on('error', reject);
      incoming.on('end', () => {
        resolve({
          status: incoming.statusCode!,
          headers: incoming.headers,
          text,
          get json() {
            return JSON.parse(text);
          },
        });
      });
    });
    outgoing.on('error', reject);
    const { body } = extra;
    outgoing.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
  });
  return within(`${method} ${path}`, answer);
}
