/**
 * `honeybee-core tail`: the stream of a running Core on standard output, one record a line, live or from where it is asked
 * to start. What Core says about the stream itself goes to standard error, so that the output is records alone.
 */
import { once } from 'node:events';
import { WebSocket } from 'undici';
import { EXIT, FatalError } from '../errors.js';
import type { TailArguments } from './arguments.js';
import { tokenFrom } from './credentials.js';

export async function printStream({ url: base, tokenFile, query = [] }: TailArguments): Promise<number> {
  const url = new URL(base);
  for (const [name, value] of query) url.searchParams.append(name, value);
  url.searchParams.set('batch', '1');
  const token = tokenFrom(tokenFile, process.env);
  const socket = new WebSocket(url, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  process.stdout.on('error', () => process.exit(EXIT.ok)); // the reader of a pipe has gone
  let opened = false;
  socket.addEventListener('open', () => {
    opened = true;
  });
  socket.addEventListener('message', (event) => {
    const text = String(event.data);
    if (!isNote(text)) process.stdout.write(text);
  });
  socket.addEventListener('error', () => {});
  const [closed] = (await once(socket, 'close')) as [{ code: number; reason: string }];
  // Where standard output is slow, it still holds the end of the stream.
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  if (!opened) throw new FatalError(EXIT.unavailable, `cannot connect to ${url.href}`);
  console.error(
    `honeybee-core: the stream ended (${closed.code}${closed.reason ? ` ${closed.reason}` : ''})`,
  );
  return closed.code === 1000 || closed.code === 1001 ? EXIT.ok : EXIT.unavailable;
}

/** A message about the stream comes alone; no node can send one of this name. */
function isNote(text: string): boolean {
  if (!text.startsWith('{"version":2,"message":{"Stream')) return false;
  const { StreamGap: gap } = (JSON.parse(text) as { message: { StreamGap?: Record<string, unknown> } })
    .message;
  if (gap !== undefined)
    console.error(
      `honeybee-core: ${gap.records} records from ${gap.first_seq} on are missing (${gap.reason}); it goes on with ${gap.next_seq}`,
    );
  return true;
}
