/**
 * For the tests of the node that people copy (scripts/node.ts): the node as a process of its own, and a small stand-in
 * for Core that knows as much of Protocol v2 as a node needs. Real sockets, loopback only; everything a test starts
 * ends with it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../scripts/node.js', import.meta.url));
const WAIT_MS = 20_000;
export const MAX_ID = String(2n ** 64n - 1n);

export type Fields = Record<string, unknown>;
/** A frame as it came in: what it is, its fields, its text. */
type Frame = {
  readonly session: number;
  readonly name: string;
  readonly fields: Fields;
  readonly text: string;
};

/** Emits 'change' after everything that happens, so that a test waits for a state and not for time. */
class Watched extends EventEmitter<{ change: [] }> {
  async until(what: string, reached: () => boolean): Promise<void> {
    const tooLate = AbortSignal.timeout(WAIT_MS);
    while (!reached()) {
      await once(this, 'change', { signal: tooLate }).catch(() => assert.fail(`never happened: ${what}`));
    }
  }
}

export class CoreDouble extends Watched {
  readonly frames: Frame[] = [];
  readonly sockets: net.Socket[] = [];
  /** What answers a registration; the default accepts. */
  onRegistration = (socket: net.Socket): void => void socket.write(ack({ accepted: true }));
  readonly server = net.createServer({ noDelay: true }, (socket) => this.accept(socket));

  accept(socket: net.Socket): void {
    const session = this.sockets.push(socket) - 1;
    let rest = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('close', () => this.emit('change'));
    socket.on('data', (chunk) => {
      const bytes = Buffer.concat([rest, chunk]);
      const end = bytes.lastIndexOf(10) + 1;
      rest = bytes.subarray(end);
      for (const text of bytes.toString('utf8', 0, end).split('\n').slice(0, -1)) {
        const { version, message } = JSON.parse(text) as { version: number; message: Fields };
        assert.equal(version, 2);
        const name = Object.keys(message)[0]!;
        this.frames.push({ session, name, fields: message[name] as Fields, text });
        if (name === 'NodeRegistration') this.onRegistration(socket);
        if (name === 'NodeDrop') socket.end();
      }
      this.emit('change');
    });
  }

  of(name: string): Frame[] {
    return this.frames.filter((frame) => frame.name === name);
  }
  numbers(): unknown[] {
    return this.of('PotEvent').map(({ fields }) => (fields.data as Fields).n);
  }
  command(command: unknown, nodeId = MAX_ID): void {
    this.sockets
      .at(-1)!
      .write(
        `{"version":2,"message":{"NodeCommand":{"node_id":${nodeId},"command":${JSON.stringify(command)}}}}\n`,
      );
  }
  get address(): string {
    return `127.0.0.1:${(this.server.address() as net.AddressInfo).port}`;
  }
}

export const ack = (fields: Fields) =>
  `${JSON.stringify({ version: 2, message: { RegistrationAck: fields } })}\n`;

export async function startCore(t: TestContext): Promise<CoreDouble> {
  const core = new CoreDouble();
  await once(core.server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    core.server.close();
    for (const socket of core.sockets) socket.destroy();
  });
  return core;
}

export class NodeProcess extends Watched {
  out = '';
  err = '';
  exitCode: number | null | undefined;
  readonly child: ChildProcess;

  constructor(args: string[]) {
    super();
    this.child = spawn(process.execPath, [SCRIPT, '--name', 'test', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text) => this.#took(() => (this.out += text)));
    this.child.stderr!.setEncoding('utf8').on('data', (text) => this.#took(() => (this.err += text)));
    this.child.on('close', (code) => this.#took(() => (this.exitCode = code)));
  }
  #took(act: () => unknown): void {
    act();
    this.emit('change');
  }
  async ended(): Promise<number | null> {
    await this.until(`the end of the process; it said: ${this.err}`, () => this.exitCode !== undefined);
    return this.exitCode!;
  }
  async listening(): Promise<number> {
    await this.until('listening', () => /JSON lines on .*:\d+\n/.test(this.err));
    return Number(/JSON lines on .*:(\d+)\n/.exec(this.err)![1]);
  }
  get summary(): Record<string, number> {
    return JSON.parse(/summary (.*)/.exec(this.err)![1]!);
  }
}

export function startNode(t: TestContext, core: CoreDouble | string, ...args: string[]): NodeProcess {
  const address = typeof core === 'string' ? core : core.address;
  const node = new NodeProcess([
    '--core',
    address,
    ...(args.includes('--id') ? [] : ['--id', MAX_ID]),
    ...args,
  ]);
  t.after(() => node.child.kill('SIGKILL'));
  return node;
}

export function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'honeybee-node-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Lines numbered in `n`; `from` included, `to` not. */
export function lines(from: number, to: number, more = ''): string {
  const line = (n: number) =>
    `{"eventid":"test.line","n":${n},"big":${2n ** 64n + BigInt(n)}${more},"timestamp":"2024-01-26T21:59:42.991117Z"}\n`;
  return Array.from({ length: to - from }, (_, i) => line(from + i)).join('');
}
export const upTo = (end: number) => Array.from({ length: end }, (_, n) => n);
