/**
 * Filters by node name in every order in which main, the rings and the aggregator can be behind each other: a seed
 * decides who gets its turn. No record of another node passes, ever; from the first one on none is missing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Scopes } from '../src/stream/scopes.js';
import { seeded } from './framer-run.js';
import { frame, statusUpdate } from './node-frames.js';

interface Item {
  readonly line: string;
  readonly name: string;
}

/** Main's registry, one ring, and the aggregator, each as far as it has come. */
class World {
  readonly ring: Item[] = [];
  drained = 0;
  readonly got: string[] = [];
  readonly #random: () => number;
  readonly #registry = new Map<string, string>();
  /** What the shard still has to do for nodes that main has accepted, and main for those that the shard has closed. */
  readonly #accepted: { id: string; name: string }[] = [];
  readonly #online: { id: string; name: string }[] = [];
  readonly #closed: string[] = [];
  readonly #toMain: number[] = [];
  readonly #toAggregator: (() => void)[] = [];
  #boundary: number | undefined;
  readonly #scopes: Scopes;
  readonly #selection;

  constructor(random: () => number) {
    this.#random = random;
    this.#scopes = new Scopes(undefined, {
      askForNames: (asked) => this.#toMain.push(asked),
      catchUp: () => {
        this.#boundary = this.ring.length;
        this.#look();
      },
    });
    // Some history that the aggregator has passed before anybody asks.
    for (let step = 0; step < 40; step++) this.#step(false);
    this.start = this.drained;
    this.#selection = this.#scopes.use({ nodes: 'eu*', eventTypes: null });
    for (let step = 0; step < 300; step++) this.#step(true);
    while (this.#toMain.length + this.#toAggregator.length > 0) this.#step(true);
    this.#drain(this.ring.length);
    // By now it must be ready: this one gets through.
    this.#accept('99', 'eu-last');
    while (this.#accepted.length > 0) this.#register();
    this.#drain(this.ring.length);
  }

  readonly start: number;

  #step(asked: boolean): void {
    const kind = Math.floor(this.#random() * 8);
    if (kind === 0)
      this.#accept(String(1 + Math.floor(this.#random() * 3)), this.#random() < 0.5 ? 'eu' : 'us');
    else if (kind === 1) this.#register();
    else if (kind === 2) this.#close();
    else if (kind === 3) this.#forget();
    else if (kind === 4 && asked) this.#answer();
    else if (kind === 5 && asked) this.#toAggregator.shift()?.();
    else if (kind === 6) this.#drain(this.drained + 1 + Math.floor(this.#random() * 3));
    else this.#speak();
  }

  /** Main lets a node in once it knows that the connection before is over. */
  #accept(id: string, name: string): void {
    if (this.#registry.has(id)) return;
    this.#registry.set(id, name);
    this.#accepted.push({ id, name });
  }

  #register(): void {
    const node = this.#accepted.shift();
    if (node === undefined) return;
    this.#online.push(node);
    this.#write(
      node.name,
      frame('NodeRegistered', `{"node_id":${node.id},"node_name":"${node.name}","port":1}`),
    );
  }

  #speak(): void {
    const node = this.#online[Math.floor(this.#random() * this.#online.length)];
    if (node === undefined) return;
    this.#write(node.name, statusUpdate(BigInt(node.id), 'Running'));
  }

  #close(): void {
    const [node] = this.#online.splice(Math.floor(this.#random() * this.#online.length), 1);
    if (node === undefined) return;
    this.#write(node.name, frame('NodeDisconnected', `{"node_id":${node.id},"node_name":"${node.name}"}`));
    this.#closed.push(node.id);
  }

  #forget(): void {
    const id = this.#closed.shift();
    if (id !== undefined) this.#registry.delete(id);
  }

  #answer(): void {
    const asked = this.#toMain.shift();
    if (asked === undefined) return;
    // In two parts, each as the registry is at its time.
    const half = [...this.#registry].slice(0, 1);
    this.#toAggregator.push(() => this.#scopes.names(asked, half, false));
    const rest = [...this.#registry].slice(1);
    this.#toAggregator.push(() => this.#scopes.names(asked, rest, true));
  }

  #drain(upTo: number): void {
    const items = this.ring.slice(this.drained, Math.min(upTo, this.ring.length));
    if (items.length > 0) {
      const batch = Buffer.from(items.map(({ line }) => `${line}\n`).join(''), 'utf8');
      const ends = new Int32Array(items.length);
      let end = 0;
      for (const [at, { line }] of items.entries()) {
        end += Buffer.byteLength(line) + 1;
        ends[at] = end;
      }
      if (this.#scopes.active) {
        this.#scopes.select(batch, ends, items.length, undefined);
        const text = Buffer.from(this.#selection!.lines).toString('utf8');
        assert.equal(text.split('\n').length - 1, this.#selection!.count);
        this.got.push(...text.split('\n').slice(0, -1));
      }
      this.drained += items.length;
    }
    this.#look();
  }

  #look(): void {
    if (this.#boundary === undefined || this.drained < this.#boundary) return;
    this.#boundary = undefined;
    this.#scopes.caughtUp();
  }

  #write(name: string, line: string): void {
    // Each line differs from all others, so that a gap cannot hide.
    this.ring.push({ name, line: `${line.slice(0, -1)},"at":${this.ring.length}}` });
  }
}

test('no record of another node passes and none of its own is missing, whoever is behind', () => {
  let compared = 0;
  for (let seed = 1; seed <= 1500; seed++) {
    const world = new World(seeded(seed));
    const wanted = world.ring
      .slice(world.start)
      .filter(({ name }) => name.startsWith('eu'))
      .map(({ line }) => line);
    assert.ok(world.got.at(-1)?.includes('eu-last'), `seed ${seed}: it never became ready`);
    assert.deepEqual(world.got, wanted.slice(wanted.length - world.got.length), `seed ${seed}`);
    compared += world.got.length;
  }
  assert.ok(compared > 15_000, `${compared} records were compared`);
});
