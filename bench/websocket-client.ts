/**
 * A WebSocket client that costs as little as can be, because it shares the cores with the Core it measures: one
 * static read buffer, and bytes handed on as they came. The frames are read by {@link RecordStream}.
 */
import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';
import type { Address } from './address.js';
import { clientFrame, OPCODE } from './websocket-frames.js';

/** RFC 6455, section 1.3. */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const HTTP_ANSWER_BYTES_MAX = 16 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;
/** One read. Half of a core's second-level cache: the bytes are still there when they are compared. */
export const READ_BYTES = 512 * 1024;

export interface WebSocketEvents {
  /** Bytes behind the HTTP answer; the buffer is used again after the call. */
  bytes(buffer: Buffer, start: number, end: number): void;
  /** The connection is gone, whether a close frame came before or not. */
  ended(error: Error | undefined): void;
}

export interface WebSocket {
  pong(payload: Buffer): void;
  /** Answers or sends a close frame; the server then ends the connection. */
  close(code: number): void;
  destroy(): void;
}

/** Resolves when the server agreed to the upgrade. */
export function connectWebSocket(
  address: Address,
  path: string,
  events: WebSocketEvents,
): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const key = randomBytes(16).toString('base64');
    const accept = createHash('sha1')
      .update(key + ACCEPT_GUID)
      .digest('base64');
    let state: 'connecting' | 'open' | 'ended' = 'connecting';
    let answer = '';
    let failure: Error | undefined;

    const fail = (error: Error): void => {
      failure = error;
      socket.destroy();
    };
    const onAnswer = (buffer: Buffer, readBytes: number): void => {
      const text = buffer.toString('latin1', 0, readBytes);
      const before = answer.length;
      answer += text;
      const headEnd = answer.indexOf('\r\n\r\n');
      if (headEnd < 0) {
        if (answer.length > HTTP_ANSWER_BYTES_MAX)
          fail(new Error('the WebSocket port does not answer in HTTP'));
        return;
      }
      const [status, ...headers] = answer.slice(0, headEnd).split('\r\n');
      if (!status?.startsWith('HTTP/1.1 101')) {
        fail(new Error(`the WebSocket upgrade was refused: ${status}`));
        return;
      }
      if (!headers.some((line) => /^sec-websocket-accept:/i.test(line) && line.slice(21).trim() === accept)) {
        fail(new Error('the WebSocket upgrade was answered with a wrong accept key'));
        return;
      }
      state = 'open';
      clearTimeout(timeout);
      resolve({
        pong: (payload) => socket.write(clientFrame(OPCODE.pong, payload)),
        close: (code) => socket.write(clientFrame(OPCODE.close, Buffer.from([code >> 8, code & 0xff]))),
        destroy: () => socket.destroy(),
      });
      const rest = headEnd + 4 - before;
      // The promise's consequences run after this callback, but these bytes are only valid now.
      if (rest < readBytes) events.bytes(buffer, rest, readBytes);
    };

    const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const socket = net.connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (readBytes) => {
          if (state === 'open') events.bytes(readBuffer, 0, readBytes);
          else if (state === 'connecting') onAnswer(readBuffer, readBytes);
          return true;
        },
      },
    });
    const timeout = setTimeout(
      () => fail(new Error('no answer to the WebSocket upgrade')),
      CONNECT_TIMEOUT_MS,
    );
    socket.on('connect', () => {
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${address.host}:${address.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      );
    });
    socket.on('error', (error) => {
      failure ??= error;
    });
    socket.on('close', () => {
      clearTimeout(timeout);
      if (state === 'connecting') reject(failure ?? new Error('the WebSocket port closed the connection'));
      else if (state === 'open') events.ended(failure);
      state = 'ended';
    });
  });
}
