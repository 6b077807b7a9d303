/**
 * A honeypot node as Core sees one: connects, registers, waits for the answer. What it sends afterwards is up to its
 * owner; what Core sends it is read and dropped, except `Error` answers, which a load of valid events never gets.
 */
import net from 'node:net';
import tls from 'node:tls';
import type { Address } from './address.js';

const REGISTER_TIMEOUT_MS = 20_000;
const ANSWER_BYTES_MAX = 64 * 1024;

export interface NodeIdentity {
  readonly nodeId: string;
  readonly nodeName: string;
}

/** How a node that speaks TLS checks Core's certificate; without a CA it does not: the Core is somebody else's. */
export interface ClientTls {
  readonly ca: string | undefined;
}

export interface NodeConnectionEvents {
  /** After the registration: the connection is gone, or Core answered an event with an `Error`. */
  failed(error: Error): void;
}

/** Of a node that numbers its events. */
export interface NumberingEvents extends NodeConnectionEvents {
  /** Core has all events up to this number on its disk. */
  acknowledged(seq: number): void;
}

export function registration(identity: NodeIdentity, features = ''): string {
  return (
    `{"version":2,"message":{"NodeRegistration":{"node_id":${identity.nodeId},"node_name":"${identity.nodeName}",` +
    `"address":"127.0.0.1","port":9100,"node_type":"Full"${features}}}}\n`
  );
}

/** As {@link connectNode}, for a node that asks for EventAck; rejects where Core does not offer it. */
export function connectNumberingNode(
  target: Address,
  identity: NodeIdentity,
  events: NumberingEvents,
): Promise<net.Socket> {
  return connectNode(target, identity, events, undefined, events.acknowledged);
}

/** Resolves when Core accepted the node. */
export function connectNode(
  target: Address,
  identity: NodeIdentity,
  events: NodeConnectionEvents,
  clientTls?: ClientTls,
  onAck?: (seq: number) => void,
): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    let state: 'registering' | 'registered' | 'failed' = 'registering';
    let answer = '';
    const socket = connect(target, clientTls);
    const fail = (error: Error): void => {
      clearTimeout(timeout);
      const before = state;
      state = 'failed';
      socket.destroy();
      const named = new Error(`node ${identity.nodeId}: ${error.message}`, { cause: error });
      if (before === 'registering') reject(named);
      else if (before === 'registered') events.failed(named);
    };
    const onLine = (line: string): void => {
      if (line.includes('"Error"')) {
        fail(new Error(`Core answered ${line.slice(0, 300)}`));
        return;
      }
      const seq = onAck === undefined ? undefined : /"EventAck":\{[^}]*"seq":(\d+)/.exec(line)?.[1];
      if (seq !== undefined) return onAck!(Number(seq));
      if (state !== 'registering' || !line.includes('"RegistrationAck"')) return;
      if (!/"accepted"\s*:\s*true/.test(line)) {
        fail(new Error(`refused: ${line.slice(0, 300)}`));
        return;
      }
      if (onAck !== undefined && !line.includes('"event_ack"')) {
        fail(new Error(`Core does not acknowledge events: ${line.slice(0, 300)}`));
        return;
      }
      state = 'registered';
      clearTimeout(timeout);
      resolve(socket);
    };
    const timeout = setTimeout(() => fail(new Error('no answer to the registration')), REGISTER_TIMEOUT_MS);
    socket.on(clientTls === undefined ? 'connect' : 'secureConnect', () =>
      socket.write(registration(identity, onAck === undefined ? '' : ',"features":["event_ack"]')),
    );
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('Core closed the connection')));
    socket.on('data', (chunk: Buffer) => {
      const lines = (answer + chunk.toString('latin1')).split('\n');
      answer = (lines.pop() as string).slice(-ANSWER_BYTES_MAX);
      lines.forEach(onLine);
    });
  });
}

function connect({ host, port }: Address, clientTls: ClientTls | undefined): net.Socket {
  if (clientTls === undefined) return net.connect({ host, port, noDelay: true });
  const { ca } = clientTls;
  const socket = tls.connect({ host, port, ca, rejectUnauthorized: ca !== undefined });
  socket.setNoDelay(true);
  return socket;
}

/** Says goodbye to the events above and closes: what follows is no failure any more. */
export function disconnectNode(socket: net.Socket): void {
  socket.removeAllListeners('close');
  socket.removeAllListeners('error');
  socket.on('error', () => {});
  socket.end();
  // A peer that never closes its half must not keep the thread alive.
  socket.unref();
}

/** Runs `connect` for each number below `count`, a bounded number of them at a time, and keeps the order. */
export async function connectAll<T>(
  count: number,
  connect: (number: number) => Promise<T>,
  atOnce = 128,
): Promise<T[]> {
  const results = new Array<T>(count);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const number = next++;
      results[number] = await connect(number);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane));
  return results;
}
