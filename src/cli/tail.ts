/** `honeybee-core tail`: the live stream of a running Core on standard output, one record a line. */
import { once } from 'node:events';
import { WebSocket } from 'undici';
import { EXIT, FatalError } from '../errors.js';
import type { TailArguments } from './arguments.js';
import { tokenFrom } from './credentials.js';

export async function printStream({ url: base, tokenFile }: TailArguments): Promise<number> {
  const url = new URL(base);
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
    process.stdout.write(String(event.data));
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
