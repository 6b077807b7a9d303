/**
 * The node that people copy (scripts/node.ts), run as they run it: a process of its own, real sockets, against a
 * small stand-in for Core that knows as much of Protocol v2 as a node needs. And its text handling, in this process.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { linesOf, splitMembers, toIso, wrapLine } from '../scripts/node.js';

const SCRIPT = fileURLToPath(new URL('../scripts/node.js', import.meta.url));
const WAIT_MS = 20_000;
const MAX_ID = String(2n ** 64n - 1n);

// ---- stand-ins ------------------------------------------------------------------------------------------------------

type Fields = Record<string, unknown>;
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

class CoreDouble extends Watched {
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

const ack = (fields: Fields) => `${JSON.stringify({ version: 2, message: { RegistrationAck: fields } })}\n`;

async function startCore(t: TestContext): Promise<CoreDouble> {
  const core = new CoreDouble();
  await once(core.server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    core.server.close();
    for (const socket of core.sockets) socket.destroy();
  });
  return core;
}

class NodeProcess extends Watched {
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

function startNode(t: TestContext, core: CoreDouble | string, ...args: string[]): NodeProcess {
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

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'honeybee-node-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Lines numbered in `n`; `from` included, `to` not. */
function lines(from: number, to: number, more = ''): string {
  const line = (n: number) =>
    `{"eventid":"test.line","n":${n},"big":${2n ** 64n + BigInt(n)}${more},"timestamp":"2024-01-26T21:59:42.991117Z"}\n`;
  return Array.from({ length: to - from }, (_, i) => line(from + i)).join('');
}
const upTo = (end: number) => Array.from({ length: end }, (_, n) => n);

// ---- text -----------------------------------------------------------------------------------------------------------

const own = { nodeId: 2n ** 64n - 1n, potId: 'p', potType: 't' };
const wrapped = (line: string) =>
  (JSON.parse(String(wrapLine(line, own)!.frame)).message as { PotEvent: Fields }).PotEvent;

describe('a line becomes a PotEvent', () => {
  it('keeps the text of every value: digits, escapes, order', () => {
    const kept = [
      String.raw`"a":12345678901234567890123`,
      String.raw`"b" :-0`,
      String.raw`"c":1e999`,
      String.raw`"d":1.10`,
      String.raw`"e":"\ud800 \u0041 \/ }\"{"`,
      String.raw`"a":[{"eventid":"inner"},"]"]`,
      String.raw`"__proto__":{"x":{}}`,
      String.raw`"":null`,
      '"ü":"é→🐝"',
    ];
    const line = `{ "timestamp": "2024-01-26 21:59:42" ,${kept.join(' , ')},\t"eventid":"x.y"}`;
    assert.equal(
      String(wrapLine(line, own)!.frame),
      `{"version":2,"message":{"PotEvent":{"node_id":${MAX_ID},"pot_id":"p","pot_type":"t","event_type":"x.y",` +
        `"timestamp":"2024-01-26 21:59:42","data":{${kept.join(',')}}}}}\n`,
    );
  });

  it('for each honeypot finds the type of event and the time, and loses no member', () => {
    const iso = '2024-01-26T21:59:42Z';
    const cases: [object, string, string | undefined, string[]][] = [
      [{ eventid: 'cowrie.x', timestamp: iso, event_type: 'kept' }, 'cowrie.x', iso, ['event_type']],
      [
        { eventid: 'honnypotter.login.failed', timestamp: 1706306382 },
        'honnypotter.login.failed',
        '2024-01-26T21:59:42.000Z',
        ['timestamp'],
      ],
      [
        { event_type: 'NEW_CONNECTION', data_type: 'modbus', timestamp: '2024-01-26T21:59:42.1' },
        'NEW_CONNECTION',
        '2024-01-26T21:59:42.1',
        ['data_type'],
      ],
      [{ event_type: null, data_type: 'modbus', timestamp: iso }, 'modbus', iso, ['event_type', 'data_type']],
      [
        { connection: { transport: 'tcp', type: 'accept' }, timestamp: iso },
        'dionaea.connection.tcp.accept',
        iso,
        ['connection'],
      ],
      [
        { origin: 'dionaea.connection.tcp.connect', timestamp: iso },
        'dionaea.connection.tcp.connect',
        iso,
        ['origin'],
      ],
      [
        { auth_attempts: [], timestamp: '2024-01-26 21:59:42.123456' },
        'heralding.session',
        '2024-01-26 21:59:42.123456',
        ['auth_attempts'],
      ],
      [
        { logtype: 3000, utc_time: '2024-01-26 21:59:42.1', local_time: 'x' },
        'opencanary.3000',
        '2024-01-26 21:59:42.1',
        ['logtype', 'utc_time', 'local_time'],
      ],
      [
        { category: 'ssh', type: 'connect', date: iso, 'source-ip': '' },
        'ssh.connect',
        iso,
        ['category', 'type', 'date', 'source-ip'],
      ],
      [{ attack_connection: {}, timestamp: iso }, 'honeytrap.attack_connection', iso, ['attack_connection']],
      [{ eventid: 7, timestamp: 'yesterday' }, 'unknown', undefined, ['eventid', 'timestamp']],
      [{ event_type: 'x', timestamp: iso, data: { a: 1 } }, 'x', iso, ['a']],
    ];
    for (const [line, type, time, kept] of cases) {
      const event = wrapped(JSON.stringify(line));
      assert.equal(event.event_type, type);
      if (time !== undefined) assert.equal(event.timestamp, time);
      else
        assert.ok(
          Math.abs(Date.parse(String(event.timestamp)) - Date.now()) < 60_000,
          'now, where there is no usable time',
        );
      assert.deepEqual(Object.keys(event.data as Fields), kept);
    }
  });

  it('takes pot_id and pot_type from the line, else from the options', () => {
    const { pot_id, pot_type, data } = wrapped('{"pot_id":"web-1","pot_type":"webtrap"}');
    assert.deepEqual([pot_id, pot_type, data], ['web-1', 'webtrap', {}]);
    const plugin = wrapped('{"honeybee_honeypot_id":"c-2","pot_id":5,"pot_type":""}');
    assert.deepEqual([plugin.pot_id, plugin.pot_type], ['c-2', 't']);
  });

  it('refuses what is no JSON object', () => {
    for (const line of ['', '{', 'null', '[]', '"x"', '1', '{"a":1}x', '{"a":1}{"a":2}'])
      assert.equal(wrapLine(line, own), undefined);
  });

  it('copes with hostile shapes', () => {
    const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const escapes = `{"a":"${'\\"'.repeat(500_000)}"}`;
    const keys = `{${upTo(10_000)
      .map((n) => `"${n}":${n}`)
      .join(',')}}`;
    for (const line of [deep, escapes, keys])
      assert.ok(String(wrapLine(line, own)!.frame).endsWith(`"data":${line}}}}\n`));
  });

  it('cuts any object at the same places as JSON.parse', () => {
    const space = fc.constantFrom(undefined, 1, '\t');
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()), space, (object, indent) => {
        const members = splitMembers(JSON.stringify(object, null, indent));
        assert.deepEqual(
          members.map(({ key, value }) => [key, JSON.parse(value)]),
          Object.entries(JSON.parse(JSON.stringify(object))),
        );
        for (const { key, text, value } of members)
          assert.ok(text.startsWith(JSON.stringify(key)) && text.endsWith(value));
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it('takes the times the protocol takes, and epochs in any unit', () => {
    for (const time of [
      '2024-02-29T00:00:00Z',
      '2024-01-01 23:59:60.123456789+0530',
      '1970-01-01T00:00:00-00:00',
    ])
      assert.equal(toIso(time), time);
    for (const epoch of [1706306382.5, 1706306382500, 1706306382500000, '1706306382500000000'])
      assert.equal(toIso(epoch), '2024-01-26T21:59:42.500Z');
    for (const bad of [
      '2023-02-29T00:00:00Z',
      '2024-01-01T24:00:00Z',
      '2024-01-01',
      'x',
      '',
      0,
      -1,
      null,
      true,
      {},
      ['1706306382'],
      '2024-01-01T00:00:00.1234567890Z',
      '2024-01-01T00:00:00+24:00',
    ]) {
      assert.equal(toIso(bad), undefined, String(bad));
    }
  });

  it('cuts lines at every split point, and skips a line above the limit', async () => {
    const bytes = Buffer.from('a\n\nüü\r\nlast');
    const cut = async (...chunks: (Buffer | 'new file')[]) => {
      const found: (string | null)[] = [];
      const source = async function* () {
        yield* chunks;
      };
      for await (const line of linesOf(source())) found.push(line === null ? null : String(line));
      return found;
    };
    for (let at = 0; at <= bytes.length; at++)
      assert.deepEqual(await cut(bytes.subarray(0, at), bytes.subarray(at)), ['a', '', 'üü\r', 'last']);
    assert.deepEqual(await cut(Buffer.from('torn'), 'new file', Buffer.from('x\n')), ['torn', 'x', '']);
    const large = Buffer.alloc(700_000, 'x');
    assert.deepEqual(await cut(large, large, Buffer.from('\nnext\n')), [null, 'next', '']);
  });
});

// ---- the process ----------------------------------------------------------------------------------------------------

describe('the node', { concurrency: 4 }, () => {
  for (const id of ['1', String(2n ** 53n + 1n), MAX_ID]) {
    it(`sends a file: registered first, no gap, no duplicate, in order, and says goodbye (id ${id})`, async (t) => {
      const core = await startCore(t);
      core.onRegistration = (socket) => {
        // The ack in pieces of a byte, and behind it in the same breath another frame.
        for (const byte of ack({ accepted: true, message: 'hello' })) socket.write(byte);
        socket.write('{"version":2,"message":{"SomethingNew":{}}}\n');
      };
      const file = join(folder(t), 'pot.json');
      writeFileSync(file, lines(0, 3000).slice(0, -1)); // the last newline is missing
      const node = startNode(t, core, '--file', file, '--id', id, '--pot-type', 'test', '--totp', '123456');
      assert.equal(await node.ended(), 0, node.err);

      const [registration] = core.frames;
      const { node_id, ...rest } = registration!.fields;
      assert.deepEqual(rest, {
        node_name: 'test',
        address: '0.0.0.0',
        port: 0,
        node_type: 'Full',
        totp_code: '123456',
      });
      assert.ok(node_id !== undefined && registration!.text.includes(`"node_id":${id},`));
      const names = core.frames.map(({ name }) => name);
      assert.deepEqual(names.slice(1, 4), ['NodeEvent', 'PotStatusUpdate', 'NodeStatusUpdate']);
      assert.deepEqual(names.slice(-2), ['NodeEvent', 'NodeDrop']);
      assert.deepEqual(core.numbers(), upTo(3000));
      for (const { text, fields } of core.of('PotEvent')) {
        const { n } = fields.data as { n: number };
        assert.equal(
          text,
          `{"version":2,"message":{"PotEvent":{"node_id":${id},"pot_id":"test-01","pot_type":"test","event_type":"test.line",` +
            `"timestamp":"2024-01-26T21:59:42.991117Z","data":{"n":${n},"big":${2n ** 64n + BigInt(n)}}}}}`,
        );
      }
      assert.deepEqual(
        [node.summary.lines, node.summary.sent, node.summary.unsent, core.sockets.length],
        [3000, 3000, 0, 1],
      );
    });
  }

  it('counts and skips what is no event, or wraps it with --raw', async (t) => {
    const core = await startCore(t);
    const file = join(folder(t), 'pot.json');
    const huge = `{"n":0,"x":"${'y'.repeat(1024 * 1024 - 40)}"}`;
    writeFileSync(
      file,
      `\ufeff${lines(0, 1)}\n  \nno json\r\n[1]\n${huge}\n${'z'.repeat(2_000_000)}\n${lines(1, 2, `,"pad":"${'p'.repeat(70_000)}"`)}`,
    );
    appendFileSync(file, Buffer.from('{"n":2,"latin":"\xe9"}\n', 'latin1'));
    const node = startNode(t, core, '--file', file);
    assert.equal(await node.ended(), 0);
    assert.deepEqual(core.numbers(), [0, 1, 2]);
    const { lines: read, sent, skipped, oversized } = node.summary;
    assert.deepEqual({ read, sent, skipped, oversized }, { read: 7, sent: 3, skipped: 2, oversized: 2 });
    for (const said of [/not a JSON object/, /above 1 MiB/, /stay under 64 KiB/, /not UTF-8/])
      assert.match(node.err, said);

    const raw = startNode(t, core, '--file', file, '--raw');
    assert.equal(await raw.ended(), 0);
    const told = core
      .of('PotEvent')
      .map(({ fields }) => (fields.data as Fields).raw)
      .filter((text) => text !== undefined);
    assert.deepEqual(told, ['no json', '[1]']);
  });

  it('takes JSON lines on its port, torn, from several peers, each in order', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--listen', '0');
    const port = await node.listening();
    const peers = [0, 1000, 2000].map((from) => {
      const peer = net.connect(port, '127.0.0.1');
      const bytes = Buffer.from(lines(from, from + 1000, ',"pot_id":"é"').slice(0, -1));
      for (let at = 0; at < bytes.length; at += 997) peer.write(bytes.subarray(at, at + 997));
      return peer.end();
    });
    await Promise.all(peers.map((peer) => once(peer.resume(), 'close')));
    await core.until('all lines', () => core.of('PotEvent').length === 3000);
    for (const from of [0, 1000, 2000]) {
      const mine = core.numbers().filter((n) => (n as number) >= from && (n as number) < from + 1000);
      assert.deepEqual(
        mine,
        upTo(1000).map((n) => n + from),
      );
    }
    assert.equal(core.frames[0]!.fields.port, port);
    const pots = core.of('PotStatusUpdate').map(({ fields }) => [fields.pot_id, fields.status]);
    assert.ok(
      pots.some(([id, status]) => id === 'é' && status === 'Running'),
      'a pot met later is announced',
    );
    node.child.kill('SIGTERM');
    assert.equal(await node.ended(), 0);
    assert.equal(core.frames.at(-1)!.name, 'NodeDrop');
  });

  it('comes back when Core has dropped it, registers again, and goes on where it was', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--listen', '0');
    const peer = net.connect(await node.listening(), '127.0.0.1');
    t.after(() => peer.destroy());
    for (let round = 0; round < 3; round++) {
      peer.write(lines(round * 100, round * 100 + 100));
      await core.until(`round ${round}`, () => core.of('PotEvent').length === round * 100 + 100);
      if (round === 0) core.sockets.at(-1)!.resetAndDestroy();
      if (round === 1) core.sockets.at(-1)!.end();
    }
    assert.deepEqual(core.numbers(), upTo(300));
    assert.equal(core.sockets.length, 3);
    for (const session of [0, 1, 2]) {
      const names = core.frames.filter((frame) => frame.session === session).map(({ name }) => name);
      assert.equal(names[0], 'NodeRegistration');
      assert.ok(names.includes('PotStatusUpdate') && names.includes('NodeStatusUpdate'));
    }
    assert.equal(core.of('NodeEvent').length, 1, 'it started once');
    assert.deepEqual(
      new Set(core.of('NodeRegistration').map(({ text }) => text)).size,
      1,
      'the same node each time',
    );
    node.child.kill('SIGINT');
    assert.equal(await node.ended(), 0);
    assert.equal(node.summary.reconnects, 2);
  });

  it('loses at a break only what was under way: each session holds a run without gaps', async (t) => {
    const core = await startCore(t);
    const file = join(folder(t), 'pot.json');
    writeFileSync(file, lines(0, 30_000));
    const node = startNode(t, core, '--file', file);
    await core.until('a part of the file', () => core.of('PotEvent').length > 500);
    core.sockets[0]!.resetAndDestroy();
    assert.equal(await node.ended(), 0);
    for (const session of [0, 1]) {
      const mine = core
        .of('PotEvent')
        .filter((frame) => frame.session === session)
        .map(({ fields }) => (fields.data as { n: number }).n);
      assert.ok(mine.length > 0);
      assert.deepEqual(
        mine,
        upTo(mine.length).map((n) => n + mine[0]!),
      );
    }
    assert.equal(core.numbers().at(-1), 29_999);
  });

  it('holds honeypots back while Core is away, keeps a bounded number of events, and loses none', async (t) => {
    const core = await startCore(t);
    let answer = () => {};
    core.onRegistration = (socket) => {
      answer = () => void socket.write(ack({ accepted: true }));
    };
    const node = startNode(t, core, '--listen', '0', '--quiet');
    await core.until('registration', () => core.of('NodeRegistration').length === 1);
    const peer = net.connect(core.frames[0]!.fields.port as number, '127.0.0.1');
    t.after(() => peer.destroy());
    const count = 50_000;
    const text = lines(0, count, `,"pad":"${'x'.repeat(900)}"`);
    peer.write(text);
    // That something does not happen can only be seen by waiting: no byte more for a while.
    const taken = () => (peer.pending ? 0 : text.length - peer.writableLength);
    for (let still = 0, last = 0; still < 5; last = taken()) {
      await delay(100);
      still = last > 0 && taken() === last ? still + 1 : 0;
    }
    assert.ok(
      taken() < text.length - 10_000_000,
      `${text.length - taken()} of ${text.length} bytes were held back`,
    );
    answer();
    await core.until('all lines', () => core.of('PotEvent').length === count);
    assert.deepEqual(core.numbers(), upTo(count));
  });

  it('waits for a Core that does not read, and sends everything when it does', async (t) => {
    const core = await startCore(t);
    core.onRegistration = (socket) => {
      socket.write(ack({ accepted: true }));
      socket.pause();
      setTimeout(() => socket.resume(), 300);
    };
    const file = join(folder(t), 'pot.json');
    writeFileSync(file, lines(0, 20_000, `,"pad":"${'x'.repeat(900)}"`));
    const node = startNode(t, core, '--file', file, '--heartbeat-seconds', '0.02');
    assert.equal(await node.ended(), 0);
    assert.deepEqual(core.numbers(), upTo(20_000));
  });

  it('prints commands with the digits they came with, and answers them', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--no-listen', '--pot-id', 'p', '--pot-type', 'cowrie');
    await core.until('running', () => core.of('NodeStatusUpdate').length > 0);
    const before = core.of('PotStatusUpdate').length;
    const commands: unknown[] = [
      { GetPotStatus: 'p' },
      { StopPot: 'p' },
      { RestartPot: 'p' },
      { InstallPot: { pot_id: 'q', honeypot_type: 'dionaea', auto_start: false } },
      'GetInstalledPots',
      { GetInstalledPots: null },
      { GetPotInfo: 'nowhere \u202e' },
    ];
    for (const command of commands) core.command(command);
    core.command({ StopPot: 'p' }, '18446744073709551614'); // another node's
    core.command({ Dance: {} });
    await core.until('the answers', () => core.of('NodeEvent').length === 2);
    const answers = core
      .of('PotStatusUpdate')
      .slice(before)
      .map(({ fields }) => `${fields.pot_id} ${fields.pot_type} ${fields.status}`);
    assert.deepEqual(answers, [
      'p cowrie Running',
      'p cowrie Stopped',
      'p cowrie Running',
      'q dionaea Stopped',
      'p cowrie Running',
      'q dionaea Stopped',
      'p cowrie Running',
      'q dionaea Stopped',
      'nowhere \u202e unknown Failed',
    ]);
    assert.equal(core.of('NodeEvent')[1]!.fields.type, 'Error');
    assert.ok(core.of('PotStatusUpdate').every(({ text }) => text.includes(`"node_id":${MAX_ID},`)));
    await node.until('nine lines', () => node.out.split('\n').length === commands.length + 3);
    const printed = node.out.trim().split('\n');
    assert.deepEqual(
      printed.map((line) => JSON.parse(line).command),
      [...commands, { StopPot: 'p' }, { Dance: {} }],
    );
    assert.ok(printed[0]!.startsWith(`{"node_id":${MAX_ID},`));
    assert.match(node.out, /^[\x20-\x7e\n]*$/);
  });

  it('stops and restarts on command', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--listen', '0', '--pot-id', 'p');
    const peer = net.connect(await node.listening(), '127.0.0.1');
    t.after(() => peer.destroy());
    core.onRegistration = (socket) => {
      socket.write(ack({ accepted: true }));
      if (core.sockets.length === 1) core.command({ Restart: {} });
    };
    await core.until(
      'a second session',
      () => core.frames.filter(({ session }) => session === 1).length >= 4,
    );
    const first = core.frames.filter(({ session }) => session === 0).map(({ name }) => name);
    assert.equal(first.at(-1), 'NodeDrop');
    core.command({ StopPot: 'p' });
    await core.until('stopped', () => core.of('PotStatusUpdate').at(-1)!.fields.status === 'Stopped');
    peer.write(`${lines(0, 1)}${lines(1, 2, ',"pot_id":"other"')}`);
    await core.until('the other pot', () => core.numbers().includes(1));
    assert.deepEqual(core.numbers(), [1]);
    node.child.kill('SIGTERM');
    assert.equal(await node.ended(), 0);
    assert.equal(node.summary.held, 1);
  });

  it('follows a file across appends, truncation and rotation', async (t) => {
    const core = await startCore(t);
    const file = join(folder(t), 'pot.json');
    const node = startNode(t, core, '--file', file, '--follow', '--no-listen');
    const arrive = (count: number) => core.until(`${count} lines`, () => core.of('PotEvent').length >= count);
    await node.until('waiting for the file', () => /waiting/.test(node.err));
    writeFileSync(file, lines(0, 10));
    await arrive(10);
    const torn = lines(10, 12);
    appendFileSync(file, torn.slice(0, torn.length - 30));
    await arrive(11);
    appendFileSync(file, torn.slice(torn.length - 30));
    await arrive(12);
    renameSync(file, `${file}.1`);
    appendFileSync(`${file}.1`, lines(12, 15).slice(0, -1)); // the writer has not noticed yet, and stops in a line
    writeFileSync(file, lines(15, 20));
    await arrive(20);
    writeFileSync(file, lines(20, 22)); // truncated: shorter than before
    await arrive(22);
    appendFileSync(file, '{"n":"half');
    node.child.kill('SIGTERM');
    assert.equal(await node.ended(), 0);
    assert.deepEqual(core.numbers(), upTo(22));
    assert.equal(node.summary.skipped, 0, 'half a line is no line');
  });

  it('says why it was refused and ends with 2; tries again where it may pass', async (t) => {
    const core = await startCore(t);
    const refuse = (code: string) => (socket: net.Socket) =>
      socket.end(ack({ accepted: false, message: `${code}: no\u001b[31m` }));
    core.onRegistration = refuse('PROTOCOL_VERSION_MISMATCH');
    const wrong = startNode(t, core, '--no-listen');
    assert.equal(await wrong.ended(), 2);
    assert.match(wrong.err, /refused the registration: PROTOCOL_VERSION_MISMATCH: no\?\[31m/);
    assert.equal(core.sockets.length, 1);

    const stubborn = await startCore(t);
    stubborn.onRegistration = refuse('AUTHENTICATION_FAILED');
    const locked = startNode(t, stubborn, '--no-listen');

    const forgetful = await startCore(t);
    forgetful.onRegistration = (socket) => {
      if (forgetful.sockets.length > 1) return void socket.write(ack({ accepted: true }));
      socket.end(`{"version":2,"message":{"Error":{"code":"NODE_ALREADY_REGISTERED","message":"x"}}}\n`);
    };
    const passed = startNode(t, forgetful, '--no-listen');
    await forgetful.until('accepted', () => forgetful.of('NodeStatusUpdate').length > 0);
    passed.child.kill('SIGTERM');
    assert.equal(await passed.ended(), 0);

    assert.equal(await locked.ended(), 2);
    assert.equal(stubborn.sockets.length, 5);
  });

  it('sends heartbeats, and ignores what Core says that it cannot read', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--no-listen', '--heartbeat-seconds', '0.02');
    await core.until('registered', () => core.of('NodeStatusUpdate').length > 0);
    const rubbish = [
      '\n\r\n',
      'x\n',
      '[]\n',
      '{}\n',
      '{"version":3,"message":{"NodeCommand":{}}}\n',
      '{"version":2,"message":{}}\n',
      '{"version":2,"message":"NodeDrop"}\n',
    ];
    rubbish.push(
      '{"version":2,"message":{"NodeCommand":{}}}\n',
      '{"version":2,"message":{"NodeCommand":null}}\n',
      `${'x'.repeat(3_000_000)}\n`,
    );
    rubbish.push(
      '{"version":2,"message":{"Error":{"code":"INVALID_MESSAGE_FORMAT","message":"told \\u001b[0m"}}}\n',
    );
    core.sockets[0]!.write(rubbish.join(''));
    await node.until('the error', () => /Core says INVALID_MESSAGE_FORMAT: told \?\[0m/.test(node.err));
    const beats = core.of('NodeStatusUpdate').length;
    await core.until('more heartbeats', () => core.of('NodeStatusUpdate').length > beats + 3);
    assert.equal(core.sockets.length, 1);
  });

  it('keeps its id in the state file, drawn from all 64 bits', async (t) => {
    const core = await startCore(t);
    const state = join(folder(t), 'id');
    const file = join(folder(t), 'empty.json');
    writeFileSync(file, '');
    for (let run = 0; run < 2; run++) {
      const node = new NodeProcess(['--core', core.address, '--state', state, '--file', file]);
      assert.equal(await node.ended(), 0, node.err);
    }
    const id = readFileSync(state, 'utf8').trim();
    assert.ok(BigInt(id) > 0n && BigInt(id) < 2n ** 64n);
    for (const { text } of core.of('NodeRegistration')) assert.ok(text.includes(`"node_id":${id},`));
    assert.equal(core.of('NodeRegistration').length, 2);
  });

  it('ends at once on a signal while there is no Core, and says what was not sent', async (t) => {
    const core = await startCore(t);
    const { address } = core;
    core.server.close();
    await once(core.server, 'close');
    const file = join(folder(t), 'pot.json');
    writeFileSync(file, lines(0, 5));
    const node = startNode(t, address, '--file', file);
    await node.until('no Core', () => /ECONNREFUSED/.test(node.err));
    node.child.kill('SIGTERM');
    assert.equal(await node.ended(), 0);
    assert.deepEqual([node.summary.sent, node.summary.unsent], [0, 5]);
  });

  it('names what is wrong with how it was called', async (t) => {
    const core = await startCore(t);
    const calls: [string[], number, RegExp][] = [
      [['--nonsense'], 64, /nonsense/],
      [['--id', '0'], 64, /18446744073709551615/],
      [['--id', '18446744073709551616'], 64, /18446744073709551615/],
      [['--core', 'nowhere'], 64, /--core/],
      [['--type', 'Half'], 64, /Full or Agent/],
      [['--follow'], 64, /--file/],
      [['--core', core.address, '--file', join(folder(t), 'missing')], 66, /missing/],
      [['--listen', core.address], 69, /EADDRINUSE/],
    ];
    for (const [args, code, said] of calls) {
      const node = new NodeProcess(args);
      assert.equal(await node.ended(), code, `${args}: ${node.err}`);
      assert.match(node.err, said);
      assert.doesNotMatch(node.err, /\n\s+at /, 'no stack for people');
    }
    const help = new NodeProcess(['--help']);
    assert.equal(await help.ended(), 0);
    assert.match(help.out, /--heartbeat-seconds/);
  });

  const openssl = spawnSync('openssl', ['version']).status === 0;
  it('speaks TLS, and only to a Core it can trust', {
    skip: openssl ? false : 'openssl is not installed',
  }, async (t) => {
    const path = folder(t);
    const [key, cert] = [join(path, 'key.pem'), join(path, 'cert.pem')];
    const request = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
    ];
    spawnSync('openssl', [
      ...request,
      '-subj',
      '/CN=core',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      key,
      '-out',
      cert,
    ]);
    const core = await startCore(t);
    const secure = tls.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) =>
      core.accept(socket),
    );
    secure.on('tlsClientError', () => {});
    await once(secure.listen(0, '127.0.0.1'), 'listening');
    t.after(() => secure.close());
    const address = `127.0.0.1:${(secure.address() as net.AddressInfo).port}`;
    const file = join(path, 'pot.json');
    writeFileSync(file, lines(0, 2000));
    const careful = startNode(t, address, '--tls', '--file', file);
    await careful.until('distrust', () => /self-signed|unable to verify/.test(careful.err));
    assert.equal(core.frames.length, 0);
    const node = startNode(t, address, '--tls', '--ca', cert, '--file', file);
    assert.equal(await node.ended(), 0, node.err);
    assert.deepEqual(core.numbers(), upTo(2000));
  });
});
