/**
 * Whose a record is, in every order in which registry, rings, log and a feed can be behind each other; a seed decides who gets its
 * turn. No record of another node is ever attributed to a name; what the registry or the log knows is.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeName } from '../src/replay/messages.js';
import { NameHistory, OwnersDesk } from '../src/replay/name-history.js';
import { seeded } from './framer-run.js';
import { frame, statusUpdate } from './node-frames.js';

interface Item {
  readonly line: string;
  readonly id: string;
  readonly name: string;
}

interface Node {
  readonly id: string;
  readonly name: string;
}

/** Main's registry, one ring, the log, and a feed that reads it, each as far as it has come. */
class World {
  readonly ring: Item[] = [];
  /** The record at `i` has the number i + 1. */
  readonly log: Item[] = [];
  readonly registry = new Map<string, NodeName>();
  readonly #online: Node[] = [];
  readonly #random: () => number;
  readonly #questions: number[] = [];
  /** Half an answer: the rest of the registry is told later, as it is then. */
  #half: { asked: number; told: Set<string> } | undefined;
  readonly desk = new OwnersDesk((asked) => this.#questions.push(asked));
  wrong = 0;
  known = 0;
  unknown = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  step(): void {
    const kind = Math.floor(this.#random() * 9);
    if (kind === 0) this.#accept({ id: String(1 + Math.floor(this.#random() * 3)), name: this.#name() });
    else if (kind === 1) this.#close();
    else if (kind === 2) this.#answer();
    else if (kind <= 4) this.write(1 + Math.floor(this.#random() * 3));
    else this.#speak();
  }

  #name(): string {
    return ['eu', 'us', 'as'][Math.floor(this.#random() * 3)]!;
  }

  /** As registrar and registry do: what another name has left under the id is in the log before. */
  #accept(node: Node): void {
    if (this.#online.some(({ id }) => id === node.id)) return;
    if (this.ring.some(({ id, name }) => id === node.id && name !== node.name)) return;
    const before = this.registry.get(node.id);
    // A name has one record here, which takes its new id along.
    for (const [id, { name }] of this.registry)
      if (name === node.name && id !== node.id) {
        if (this.#online.some((online) => online.id === id)) return;
        this.registry.delete(id);
      }
    if (before?.name !== node.name) this.registry.set(node.id, { ...node, sinceSeq: this.log.length + 1 });
    this.#online.push(node);
    this.#put(node, frame('NodeRegistered', `{"node_id":${node.id},"node_name":"${node.name}","port":1}`));
  }

  #speak(): void {
    const node = this.#online[Math.floor(this.#random() * this.#online.length)];
    if (node !== undefined) this.#put(node, statusUpdate(BigInt(node.id), 'Running'));
  }

  #close(): void {
    const [node] = this.#online.splice(Math.floor(this.#random() * this.#online.length), 1);
    if (node === undefined) return;
    // A crash gives no notice.
    if (this.#random() < 0.8)
      this.#put(node, frame('NodeDisconnected', `{"node_id":${node.id},"node_name":"${node.name}"}`));
  }

  #put(node: Node, line: string): void {
    this.ring.push({ ...node, line });
  }

  write(records: number): void {
    this.log.push(...this.ring.splice(0, records));
  }

  #answer(): void {
    if (this.#half === undefined) {
      const asked = this.#questions.shift();
      if (asked === undefined) return;
      const [first] = this.registry.values();
      this.#half = { asked, told: new Set(first === undefined ? [] : [first.id]) };
      this.desk.answered(asked, first === undefined ? [] : [{ ...first }], false);
      return;
    }
    const { asked, told } = this.#half;
    this.#half = undefined;
    const rest = [...this.registry.values()].filter(({ id }) => !told.has(id));
    this.desk.answered(asked, rest, true);
  }

  /** Reads record `seq` of the log for a feed, and looks whether it is attributed to anybody but its owner. */
  read(names: NameHistory, seq: number): string | undefined {
    const { line, id, name } = this.log[seq - 1]!;
    const bytes = Buffer.from(line);
    names.before(bytes, 0, bytes.length);
    const found = names.nameAt(id, seq);
    if (found === undefined) this.unknown++;
    else if (found === name) this.known++;
    else this.wrong++;
    names.after(bytes, 0, bytes.length);
    return found;
  }
}

test('no record is ever attributed to another node, forwards', () => {
  let known = 0;
  for (let seed = 1; seed <= 2000; seed++) {
    const random = seeded(seed);
    const world = new World(random);
    for (let i = 0; i < 40; i++) world.step();
    const names = new NameHistory(false);
    let seq = 1 + Math.floor(random() * (world.log.length + 1));
    let asked = false;
    for (let i = 0; i < 300; i++) {
      world.step();
      if (!names.ready) {
        if (!asked) {
          asked = true;
          world.desk.wanted((owners) => {
            asked = false;
            names.use(owners);
          });
        }
        continue;
      }
      if (random() < 0.5 && seq <= world.log.length) world.read(names, seq++);
      if (random() < 0.02 && seq + 3 <= world.log.length) {
        // Damage: what was there is not known.
        seq += 3;
        names.forget();
      }
    }
    assert.equal(world.wrong, 0, `seed ${seed}`);
    known += world.known;
  }
  assert.ok(known > 50_000, `only ${known} records were attributed`);
});

test('nor backwards', () => {
  let known = 0;
  for (let seed = 1; seed <= 2000; seed++) {
    const world = new World(seeded(seed));
    for (let i = 0; i < 200; i++) world.step();
    const names = new NameHistory(true);
    const from = world.log.length;
    let ready = false;
    world.desk.wanted((owners) => {
      names.use(owners);
      ready = true;
    });
    for (let i = 0; i < 2000 && !ready; i++) world.step();
    if (!ready) continue;
    for (let seq = from; seq >= 1; seq--) world.read(names, seq);
    assert.equal(world.wrong, 0, `seed ${seed}`);
    known += world.known;
  }
  assert.ok(known > 50_000, `only ${known} records were attributed`);
});

test('a node that was there before the feed is known; before its time under the id nobody is', () => {
  const names = new NameHistory(false);
  names.use(new Map([['7', { id: '7', name: 'eu-1', sinceSeq: 100 }]]));
  assert.equal(names.nameAt('7', 99), undefined);
  assert.equal(names.nameAt('7', 100), 'eu-1');
  names.forget();
  assert.equal(names.nameAt('7', 100), undefined);
});

test('feeds that ask one after the other share what they are told, and each has what was so when it asked', () => {
  const asked: number[] = [];
  const desk = new OwnersDesk((number) => asked.push(number));
  const ask = (nodes: readonly NodeName[]) => {
    let answer: ReadonlyMap<string, NodeName> | undefined;
    desk.wanted((owners) => {
      answer = owners;
    });
    desk.answered(asked.at(-1)!, structuredClone(nodes.slice(0, 1)), false);
    desk.answered(asked.at(-1)!, structuredClone(nodes.slice(1)), true);
    assert.deepEqual([...answer!.values()], nodes);
    return answer!;
  };
  const [a, b] = [
    { id: '1', name: 'eu', sinceSeq: 1 },
    { id: '2', name: 'us', sinceSeq: 5 },
  ];
  const first = ask([a!, b!]);
  assert.equal(ask([a!, b!]), first, 'nothing has changed');
  const moved = ask([a!, { ...b!, name: 'as', sinceSeq: 9 }]);
  assert.equal(moved.get('1'), first.get('1'));
  assert.deepEqual(first.get('2'), b, 'and what was told stays what it was');
  assert.equal(ask([a!]).size, 1, 'one was forgotten');
  assert.equal(ask([a!, b!]).size, 2, 'and is back');
});
