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

export function get(port: number, path: string): Promise<Answer> {
  return ask(port, 'GET', path);
}

export function post(
  port: number,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return ask(port, 'POST', path, body, headers);
}

export function remove(port: number, path: string): Promise<Answer> {
  return ask(port, 'DELETE', path);
}

/** `body` is sent as JSON; a text is sent as it is. */
function ask(
  port: number,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const text = typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body);
  const answer = new Promise<Answer>((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      method,
      path,
      agent: false,
      headers: {
        ...(text !== undefined && {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
        }),
        ...headers,
      },
    };
    const outgoing = request(options, (incoming) => {
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
    outgoing.end(text);
  });
  return within(`${method} ${path}`, answer);
}
