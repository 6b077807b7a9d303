/**
 * Which node an id stood for at a record of the log: for scopes and filters by node name. Runs in the reader thread, only where
 * somebody asks by name.
 *
 * Two sources. The log itself: `NodeRegistered` stands in front of everything a node sends on a connection, `NodeDisconnected`
 * behind it, both say its name, and Core lets a node in under an id only when all that came under it before has been
 * written. And the registry: today's owner of an id, and the sequence number from which on that is so (`sinceSeq`).
 *
 *   a record at `seq` under an id is of
 *     1. who this feed saw registered under it last (backwards: disconnected), and not gone since
 *     2. its owner in the registry, if seq >= sinceSeq
 *     3. nobody knows: it passes no scope, and no filter by name
 *
 * 2 holds only if the registry was asked after the feed's start was decided, and after the last gap that the feed came
 * across: an owner that came later is then seen in the log. So a feed waits for an answer at its start and at each gap.
 */
import { LIMITS } from '../limits.js';
import { NODE_DISCONNECTED_START, NODE_REGISTERED_START, startsWith } from '../protocol/record-bytes.js';
import type { NodeName } from './messages.js';

/** The registry as it was when main answered. */
export type Owners = ReadonlyMap<string, NodeName>;

/** Asks main, once for all feeds that wait. */
export class OwnersDesk {
  readonly #ask: (asked: number) => void;
  #asked = 0;
  #answer: Map<string, NodeName> | undefined;
  /** Something is in it that was not in the one before. */
  #hasNews = false;
  /** The answer before, while a feed still has it: what is the same in both is kept once. Each feed has an answer of its own
   *  for as long as it lives, and there may be a hundred thousand nodes. */
  #last: WeakRef<Owners> | undefined;
  #before: Owners | undefined;
  /** Those that wait for the answer under way, and those that came after the question. */
  #waiting: ((owners: Owners) => void)[] = [];
  #next: ((owners: Owners) => void)[] = [];

  constructor(ask: (asked: number) => void) {
    this.#ask = ask;
  }

  /** `done` is called with an answer to a question that is asked after this call. */
  wanted(done: (owners: Owners) => void): void {
    this.#next.push(done);
    if (this.#waiting.length === 0) this.#start();
  }

  answered(asked: number, nodes: readonly NodeName[], last: boolean): void {
    if (asked !== this.#asked || this.#answer === undefined) return;
    for (const node of nodes) this.#answer.set(node.id, this.#known(node));
    if (!last) return;
    const isSame = !this.#hasNews && this.#before?.size === this.#answer.size;
    const answer: Owners = isSame ? this.#before! : this.#answer;
    const waiting = this.#waiting;
    this.#last = new WeakRef(answer);
    this.#before = undefined;
    this.#answer = undefined;
    this.#waiting = [];
    for (const done of waiting) done(answer);
    if (this.#next.length > 0) this.#start();
  }

  #start(): void {
    this.#waiting = this.#next;
    this.#next = [];
    this.#answer = new Map();
    this.#before = this.#last?.deref();
    this.#hasNews = false;
    this.#ask(++this.#asked);
  }

  #known(node: NodeName): NodeName {
    const before = this.#before?.get(node.id);
    if (before !== undefined && before.name === node.name && before.sinceSeq === node.sinceSeq) return before;
    this.#hasNews = true;
    return node;
  }
}

export class NameHistory {
  readonly #backwards: boolean;
  readonly #learned = new Map<string, string>();
  #owners: Owners | undefined;

  constructor(backwards: boolean) {
    this.#backwards = backwards;
  }

  get ready(): boolean {
    return this.#owners !== undefined;
  }

  use(owners: Owners): void {
    this.#owners = owners;
  }

  /** Something of the log is missing, or this is the start: what is known may not be so behind it. */
  forget(): void {
    this.#learned.clear();
    this.#owners = undefined;
  }

  nameAt(id: string, seq: number): string | undefined {
    const learned = this.#learned.get(id);
    if (learned !== undefined) return learned;
    const owner = this.#owners?.get(id);
    return owner !== undefined && seq >= owner.sinceSeq ? owner.name : undefined;
  }

  /** To be called with every record before it is looked at. */
  before(lines: Uint8Array, start: number, end: number): void {
    const opens = this.#backwards ? NODE_DISCONNECTED_START : NODE_REGISTERED_START;
    if (!startsWith(lines, start, end, opens)) return;
    const text = Buffer.from(lines.buffer, lines.byteOffset + start, end - start).toString('utf8');
    const name = nameOf(text);
    const id = digitsAt(lines, start + opens.length, end);
    this.#learned.delete(id);
    if (name === undefined) return;
    // The one that was heard of longest ago is not known any more; the registry may still know it.
    if (this.#learned.size >= LIMITS.registryNodes)
      for (const oldest of this.#learned.keys()) {
        this.#learned.delete(oldest);
        break;
      }
    // Mostly the registry says the same: then there is one text for all feeds.
    const owner = this.#owners?.get(id);
    if (owner?.name === name) this.#learned.set(owner.id, owner.name);
    else this.#learned.set(id, name);
  }

  /** To be called with every record once it has been dealt with. */
  after(lines: Uint8Array, start: number, end: number): void {
    const closes = this.#backwards ? NODE_REGISTERED_START : NODE_DISCONNECTED_START;
    if (!startsWith(lines, start, end, closes)) return;
    this.#learned.delete(digitsAt(lines, start + closes.length, end));
  }
}

/** Undefined where the notice is damaged: nobody is known by that id then. */
function nameOf(notice: string): string | undefined {
  try {
    const { message } = JSON.parse(notice) as { message: Record<string, { node_name: unknown }> };
    const { node_name } = Object.values(message)[0]!;
    return typeof node_name === 'string' ? node_name : undefined;
  } catch {
    return undefined;
  }
}

function digitsAt(lines: Uint8Array, start: number, end: number): string {
  let digits = '';
  for (let at = start; at < end && lines[at]! >= 0x30 && lines[at]! <= 0x39; at++)
    digits += String.fromCharCode(lines[at]!);
  return digits;
}
