/** What an administrator asks of Core over REST, with a body where one is needed. */
import { within } from './deadline.js';

export interface AdminAnswer {
  readonly status: number;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects of a parsed answer
  readonly json: any;
}

export async function ask(port: number, method: string, path: string, body?: unknown): Promise<AdminAnswer> {
  const sent =
    body === undefined
      ? { method }
      : { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const answer = await within(`${method} ${path}`, fetch(`http://127.0.0.1:${port}${path}`, sent));
  const text = await answer.text();
  return {
    status: answer.status,
    text,
    get json() {
      return JSON.parse(text);
    },
  };
}
