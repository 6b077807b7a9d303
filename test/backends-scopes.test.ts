/**
 * Tokens with a scope see their part of the stream and nothing else: against an oracle that parses every record, with
 * nodes that come, go, and come again under other names, and records in every spelling. Real aggregator, real ring.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchesPattern } from '../src/access/pattern.js';
import type { Scope } from '../src/access/principal.js';
import { AGGREGATOR } from '../src/memory/counters.js';
import { BackendStage } from './backend-stage.js';
import { poll } from './deadline.js';
import { seeded } from './framer-run.js';
import { frame, nodeEventOf, numberedEvent, statusUpdate } from './node-frames.js';
import { RawClient } from './raw-client.js';
import { TalkClient } from './talk-client.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

interface Written {
  readonly line: string;
  readonly nodeName: string;
  /** Where, among all that was written, the session that it belongs to began. */
  readonly sessionAt: number;
}

const NAMES = ['eu-1', 'eu-2', 'us-1', 'eu', 'x-eu-1', 'eu-"ń\\'];
const TYPES = ['cowrie.login', 'cowrie.command', 'cowrie', 'http.request', 'ül'];
const SCOPES: readonly Scope[] = [
  { nodes: 'eu-*', eventTypes: null },
  { nodes: '*', eventTypes: ['cowrie.*', 'ül'] },
  { nodes: null, eventTypes: ['cowrie'] },
  { nodes: '*-1', eventTypes: ['http.*'] },
  { nodes: 'nobody', eventTypes: null },
];

/** So that no two records are the same. */
let made = 0;

const asRegistered = (id: bigint, name: string) =>
  frame(
    'NodeRegistered',
    `{"node_id":${id},"node_name":${JSON.stringify(name)},"address":"","port":1,"node_type":"Full","remote":"r","timestamp":"${++made}"}`,
  );
const asDisconnected = (id: bigint, name: string) =>
  frame(
    'NodeDisconnected',
    `{"node_id":${id},"node_name":${JSON.stringify(name)},"status":"Unknown","reason":"r","timestamp":"${++made}"}`,
  );

const escaped = (text: string) =>
  Array.from(text, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');

function event(random: () => number, id: bigint, number: number): string {
  const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
  const key = (name: string) => (random() < 0.15 ? `"${escaped(name)}"` : `"${name}"`);
  const value = (text: string) => (random() < 0.15 ? `"${escaped(text)}"` : JSON.stringify(text));
  const gap = () => pick(['', '', ' ', '\t', '  ']);
  const decoy = pick([
    `{"n":${number}}`,
    `{"n":${number},"event_type":"cowrie.login","node_id":7}`,
    `{"PotEvent":{"event_type":"http.request"},"event_type":"a","event_type":"b","q":"\\",\\"event_type\\":\\"x"}`,
    `{"n":18446744073709551616,"message":{"NodeRegistered":{"node_id":1,"node_name":"eu-1"}}}`,
  ]);
  const fields = [
    `${key('node_id')}${gap()}:${gap()}${id}`,
    `${key('pot_id')}:"${++made}"`,
    `${key('pot_type')}:"cowrie"`,
    `${key('event_type')}:${gap()}${value(pick(TYPES))}`,
    `${key('timestamp')}:"2026-11-20T12:00:00Z"`,
    `${key('data')}:${decoy}`,
  ].sort(() => random() - 0.5);
  const body = `{${gap()}${key('message')}:{${gap()}${key('PotEvent')}:{${fields.join(`${gap()},`)}}},${gap()}"version":2}`;
  return random() < 0.5 ? body : `{"version":2,${body.slice(1).replace(/,\s*"version":2\}$/, '}')}`;
}

/** What the oracle says: parses the record, and knows whose it is. */
function passes(scope: Scope, { line, nodeName }: Written): boolean {
  const { message } = JSON.parse(line) as { message: Record<string, { event_type?: string }> };
  if (scope.nodes !== null) {
    const source = scope.nodes.split('*').map((text) => text.replace(/[^a-z0-9]/g, '\\$&'));
    if (!new RegExp(`^${source.join('.*')}$`, 's').test(nodeName)) return false;
  }
  if (scope.eventTypes === null || message.PotEvent === undefined) return true;
  const type = message.PotEvent.event_type!;
  return scope.eventTypes.some((t) => (t.endsWith('*') ? type.startsWith(t.slice(0, -1)) : type === t));
}

class History {
  readonly written: Written[] = [];
  readonly #stage: BackendStage;
  readonly #random: () => number;
  /** Who had an id last. */
  readonly #names = new Map<bigint, string>();
  readonly #online: { id: bigint; name: string; session: number; sessionAt: number }[] = [];
  /** Ids are few, so that names come back under the ids of others. */
  readonly #ids = [1n, 2n ** 53n + 1n, 2n ** 64n - 1n, 12345678901234567890n];

  constructor(stage: BackendStage, random: () => number) {
    this.#stage = stage;
    this.#random = random;
  }

  async step(): Promise<void> {
    const random = this.#random;
    const kind = random();
    if (kind < 0.15) await this.#join();
    else if (kind < 0.25) await this.#leave();
    else this.#say();
    if (random() < 0.3) await turn();
  }

  /** Everybody leaves: what a token sees is whole by then. */
  async end(): Promise<void> {
    while (this.#online.length > 0) await this.#leave();
  }

  async #join(): Promise<void> {
    const free = this.#ids.filter((id) => this.#online.every((node) => node.id !== id));
    if (free.length === 0) return;
    const id = free[Math.floor(this.#random() * free.length)]!;
    const name = NAMES[Math.floor(this.#random() * NAMES.length)]!;
    // As the registrar does: what another name has left under the id is in the log before the id stands for the new one.
    if ((this.#names.get(id) ?? name) !== name)
      await poll(
        'the ring was read',
        () => this.#stage.counters[AGGREGATOR.next_seq]! > this.written.length || undefined,
      );
    this.#names.set(id, name);
    const session = this.#stage.connect({ id, name });
    // Main knows of it before the shard has said so.
    if (this.#random() < 0.5) await turn();
    const node = { id, name, session, sessionAt: this.written.length };
    this.#online.push(node);
    this.#write(node, asRegistered(id, name));
  }

  async #leave(): Promise<void> {
    const [node] = this.#online.splice(Math.floor(this.#random() * this.#online.length), 1);
    if (node === undefined) return;
    this.#write(node, asDisconnected(node.id, node.name));
    // Main hears of it later.
    if (this.#random() < 0.5) await turn();
    this.#stage.disconnect(node.session);
  }

  #say(): void {
    const node = this.#online[Math.floor(this.#random() * this.#online.length)];
    if (node === undefined) return;
    const { id } = node;
    const kind = this.#random();
    if (kind < 0.1) this.#write(node, `${' '.repeat(++made % 5_000)}${statusUpdate(id, 'Running')}`);
    else if (kind < 0.2) {
      const text = nodeEventOf(id, `{"type":"Alarm","node_id":1,"n":${this.written.length}}`);
      // A node may have written its id itself, anywhere in the envelope.
      const own = `{${text.slice(text.indexOf(',') + 1, -1)}, "node_id" : ${id}}`;
      this.#write(node, this.#random() < 0.3 ? own : text);
    } else {
      const lines = Array.from({ length: 1 + Math.floor(this.#random() * 4) }, () =>
        event(this.#random, id, this.written.length),
      );
      this.#write(node, ...lines);
    }
  }

  #write({ name, sessionAt }: { name: string; sessionAt: number }, ...lines: string[]): void {
    for (const line of lines) this.written.push({ line, nodeName: name, sessionAt });
    this.#stage.records(...lines);
  }
}

for (const seed of [1, 2, 3, 4]) {
  test(`a scope lets through its part of the stream, whole and nothing else (seed ${seed})`, async (t) => {
    const stage = await BackendStage.start(t);
    for (const [at, scope] of SCOPES.entries()) stage.access.add(`token-${at}`, ['stream'], scope);
    stage.access.add('whole', ['stream']);
    const random = seeded(seed);
    const history = new History(stage, random);
    const clients: { scope: Scope; joined: number; lines: () => readonly string[] }[] = [];
    const join = async () => {
      const at = Math.floor(random() * SCOPES.length);
      const scope = SCOPES[at]!;
      let lines: () => readonly string[];
      if (random() < 0.3) {
        const raw = await RawClient.connect(stage.rawPort);
        await raw.ask(
          `{"version":2,"message":{"BackendRegistration":{"backend_name":"","backend_type":"Api","token":"token-${at}"}}}`,
        );
        await raw.ask('{"version":2,"message":{"BackendCommand":"SubscribeEvents"}}');
        lines = () => raw.lines.all.slice(2);
      } else {
        const batch = random() < 0.5;
        const client = await TalkClient.connect(
          stage.proxyPort,
          { headers: { authorization: `Bearer token-${at}` } },
          [],
          batch ? '/?batch=1' : '/',
        );
        lines = () => (batch ? client.messages.all.join('').split('\n').slice(0, -1) : client.messages.all);
      }
      clients.push({ scope, joined: history.written.length, lines });
    };
    const whole = await TalkClient.connect(stage.proxyPort, { headers: { authorization: 'Bearer whole' } });
    for (let step = 0; step < 1500; step++) {
      await history.step();
      if (step % 120 === 0) void (await join());
    }
    await history.end();
    const last = nodeEventOf(9n, '{"type":"Stopped"}');
    stage.records(last);
    await whole.seen('the last record', (line) => line === last);
    const all = history.written.map(({ line }) => line);
    assert.deepEqual(whole.messages.all, [...all, last], 'who has no scope sees everything');
    const end = history.written.length + 2;
    await poll(
      'everybody has been given what is its own',
      async () => (await stage.backends.deliveries()).every(({ nextSeq }) => nextSeq === end) || undefined,
    );
    // What was given to a consumer has reached it when it has ended.
    await stage.stop();
    let seen = 0;
    for (const { scope, joined, lines } of clients) {
      const wanted = history.written.filter((written) => passes(scope, written));
      const got = lines().filter((line) => line !== last && !line.includes('BackendResponse'));
      // Whose an id was in the middle of a session it may not know: this thread, which is asked, writes on meanwhile.
      const mayLack = (written: Written) =>
        history.written.indexOf(written) < joined || (scope.nodes !== null && written.sessionAt < joined);
      let at = 0;
      for (const written of wanted) {
        if (got[at] === written.line) at++;
        else assert.ok(mayLack(written), `${JSON.stringify(scope)}: ${got[at]} in place of ${written.line}`);
      }
      assert.equal(at, got.length, `${JSON.stringify(scope)}: ${got[at]} is not its own`);
      seen += got.length;
    }
    assert.ok(seen > 1000, `${seen} records were compared`);
  });
}

test('a node that was there before the consumer is known by its name, also among many', async (t) => {
  const stage = await BackendStage.start(t);
  stage.access.add('eu', ['stream'], { nodes: 'eu-*', eventTypes: null });
  for (let at = 1; at <= 5_000; at++)
    stage.connect({ id: BigInt(at), name: `${at % 2 === 0 ? 'eu' : 'us'}-${at}` });
  const client = await TalkClient.connect(stage.proxyPort, { headers: { authorization: 'Bearer eu' } });
  const timer = setInterval(() => {
    stage.records(numberedEvent(4_999n, 1), numberedEvent(5_000n, 2), numberedEvent(77_777n, 3));
  }, 5);
  t.after(() => clearInterval(timer));
  await client.next();
  await client.next();
  assert.deepEqual([...new Set(client.messages.all)], [numberedEvent(5_000n, 2)]);
});

test('another token changes what an open WebSocket sees', async (t) => {
  const stage = await BackendStage.start(t);
  stage.access
    .add('a', ['stream'], { nodes: null, eventTypes: ['a'] })
    .add('b', ['stream'])
    .add('c', ['read']);
  const client = await TalkClient.connect(stage.proxyPort, { headers: { authorization: 'Bearer a' } });
  const watching = await TalkClient.connect(stage.proxyPort, { headers: { authorization: 'Bearer b' } });
  const say = async (number: number) => {
    stage.records(numberedEvent(1n, number));
    await watching.seen(`${number}`, (line) => line.includes(`"n":${number},`));
  };
  const become = (token: string) =>
    client.ask(`{"version":2,"message":{"Authenticate":{"token":"${token}"}}}`);
  await say(1);
  assert.match(await become('b'), /successful/);
  await say(2);
  // It goes on from where it was in the stream: what it had not passed yet it sees with the eyes of the new one.
  const first = await client.next();
  if (first === numberedEvent(1n, 1)) assert.equal(await client.next(), numberedEvent(1n, 2));
  else assert.equal(first, numberedEvent(1n, 2));
  assert.match(await become('c'), /successful/);
  await say(3);
  assert.match(await become('nobody'), /UNAUTHORIZED/);
  assert.equal((await client.gone()).code, 4401);
});

test('patterns: a star stands for any run, everything else for itself, in linear time', () => {
  const random = seeded(7);
  const letters = ['a', 'b', '*', '.', '-'];
  for (let round = 0; round < 20_000; round++) {
    const word = (from: readonly string[]) =>
      Array.from({ length: Math.floor(random() * 7) }, () => from[Math.floor(random() * from.length)]).join(
        '',
      );
    const pattern = word(letters);
    const text = word(['a', 'b', '.', '-']);
    const source = pattern.split('*').map((part) => part.replace(/[.-]/g, '\\$&'));
    assert.equal(
      matchesPattern(pattern, text),
      new RegExp(`^${source.join('.*')}$`).test(text),
      `${pattern} ${text}`,
    );
  }
  const startMs = performance.now();
  matchesPattern(`${'*a'.repeat(100)}b`, 'a'.repeat(255));
  assert.ok(performance.now() - startMs < 100);
});
