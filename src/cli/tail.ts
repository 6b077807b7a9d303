/**
 * `honeybee-core tail`: the stream of a running Core on standard output, one record a line, live or from where it is asked
 * to start. What Core says about the stream itself goes to standard error, so that the output is records alone.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { WebSocket } from 'undici';
import { printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';
import type { TailArguments } from './arguments.js';
import { tokenFrom } from './credentials.js';
import { terminalText } from './terminal-text.js';

const REASON_TIMEOUT_MS = 2_000;
/** More than Core says. */
const REASON_CHARACTERS_MAX = 4096;

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
    if (!isNote(text)) process.stdout.write(process.stdout.isTTY ? terminalText(text) : text);
  });
  socket.addEventListener('error', () => {});
  const [closed] = (await once(socket, 'close')) as [{ code: number; reason: string }];
  // Where standard output is slow, it still holds the end of the stream.
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  if (!opened) {
    const { exitCode, why } = await whyRefused(url, token);
    throw new FatalError(exitCode, `cannot connect to ${url.href}${why === '' ? '' : `: ${why}`}`);
  }
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

/** A WebSocket does not tell what stood in the answer that refused it; the same request once more does. */
function whyRefused(url: URL, token: string | undefined): Promise<{ exitCode: number; why: string }> {
  const plain = new URL(url);
  plain.protocol = url.protocol === 'wss:' ? 'https:' : 'http:';
  return new Promise((resolve) => {
    const say = (why: string, status = 0) => {
      const isRefused = status === 401 || status === 403;
      const hint =
        status === 401 && token === undefined ? '; --token-file FILE or HONEYBEE_TOKEN shows a token' : '';
      resolve({
        exitCode: isRefused ? EXIT.noPermission : status === 400 ? EXIT.usage : EXIT.unavailable,
        why: printable(why) + hint,
      });
    };
    const request = (plain.protocol === 'https:' ? httpsRequest : httpRequest)(plain, {
      timeout: REASON_TIMEOUT_MS,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-key': randomBytes(16).toString('base64'),
        'sec-websocket-version': '13',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
    });
    request.on('error', (error) => say(error.message));
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('upgrade', (_response, socket) => {
      socket.destroy();
      say('');
    });
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
        if (text.length <= REASON_CHARACTERS_MAX) return;
        say('this is not the WebSocket of a Core');
        response.destroy();
      });
      response.on('error', () => {});
      response.on('end', () => say(reasonIn(text) ?? `HTTP ${response.statusCode}`, response.statusCode));
    });
    request.end();
  });
}

function reasonIn(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return typeof error === 'string' ? error : undefined;
  } catch {
    return undefined;
  }
}
