/** Asks Core over REST, each time on a connection of its own, and keeps the text: `JSON.parse` would break ids. */
import { request } from 'node:http';
import { within } from './deadline.js';

export interface Answer {
  readonly status: number;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects of a parsed answer
  readonly json: any;
}

export function get(port: number, path: string): Promise<Answer> {
  return ask(port, 'GET', path);
}

export function post(port: number, path: string): Promise<Answer> {
  return ask(port, 'POST', path);
}

function ask(port: number, method: string, path: string): Promise<Answer> {
  const answer = new Promise<Answer>((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, method, path, agent: false }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (chunk: string) => {
        text += chunk;
      });
      incoming.on('error', reject);
      incoming.on('end', () => {
        resolve({
          status: incoming.statusCode!,
          text,
          get json() {
            return JSON.parse(text);
          },
        });
      });
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
  return within(`${method} ${path}`, answer);
}
