/**
 * The part of the stream that a token's scope lets through: which records of a batch. Runs in the aggregator; costs
 * nothing per record while no consumer has a scope.
 *
 * Every record is read once, whatever the number of scopes, most with a glance: its node from `node_id`, for an
 * event `event_type`, escapes resolved, fields that stand in `data` not mistaken for those of the message. Core's own
 * notices carry `node_id`, too; a NodeEvent does not, the ring says whose it is. A record whose node is not known, or
 * that cannot be read, is withheld.
 */
import type { Scope } from '../access/principal.js';
import { eventTypeInScope, nodeInScope } from '../access/scope.js';
import { LIMITS } from '../limits.js';
import type { Addon } from '../native/addon.js';
import { FIELD, MESSAGE, VALUE } from '../protocol/fields.js';
import { FrameReader, KIND } from '../protocol/frame-reader.js';
import { EventGlance } from './event-glance.js';
import { NodeNames } from './node-names.js';

/** Answers that were worked out before, so that a pattern is not matched for every record; bounded. */
class Remembered {
  readonly #answers = new Map<string, boolean>();
  readonly #work: (text: string) => boolean;

  constructor(work: (text: string) => boolean) {
    this.#work = work;
  }

  passes(text: string): boolean {
    let answer = this.#answers.get(text);
    if (answer === undefined) {
      // Event types are whatever attackers make nodes write.
      if (this.#answers.size >= LIMITS.scopeAnswers) this.#answers.clear();
      answer = this.#work(text);
      this.#answers.set(text, answer);
    }
    return answer;
  }
}

/** Of one scope: those lines of a batch that it lets through, one behind the other. */
export class Selection {
  readonly scope: Scope;
  readonly nodes = new Remembered((name) => nodeInScope(this.scope, name));
  readonly eventTypes = new Remembered((type) => eventTypeInScope(this.scope, type));
  /** Whoever is sent it. */
  users = 0;
  lines: Uint8Array = new Uint8Array(0);
  /** Where each line ends in `lines`. */
  ends = new Int32Array(256);
  count = 0;
  readonly #addon: Addon | undefined;
  #buffer = Buffer.alloc(0);
  #bytes = 0;
  /** The last stretch of the batch that was let through and not copied yet. */
  #from = 0;
  #to = 0;

  constructor(scope: Scope, addon: Addon | undefined) {
    this.scope = scope;
    this.#addon = addon;
  }

  clear(): void {
    this.count = 0;
    this.#bytes = 0;
    this.#from = 0;
    this.#to = 0;
  }

  add(batch: Uint8Array, start: number, end: number): void {
    if (start !== this.#to) {
      this.#copy(batch);
      this.#from = start;
    }
    this.#to = end;
    if (this.count === this.ends.length) this.#growEnds();
    this.ends[this.count++] = this.#bytes + end - this.#from;
  }

  /** Nothing more of the batch will be added. */
  finish(batch: Uint8Array): void {
    if (this.#bytes === 0) {
      // One stretch needs no copy.
      this.lines = batch.subarray(this.#from, this.#to);
      return;
    }
    this.#copy(batch);
    this.lines = this.#buffer.subarray(0, this.#bytes);
  }

  #copy(batch: Uint8Array): void {
    const length = this.#to - this.#from;
    if (length === 0) return;
    // What is copied never exceeds the batch, and the largest batch seen bounds the buffer.
    if (this.#buffer.length < batch.length) {
      const grown = Buffer.allocUnsafeSlow(batch.length);
      this.#buffer.copy(grown, 0, 0, this.#bytes);
      this.#buffer = grown;
    }
    if (this.#addon !== undefined) this.#addon.copy(this.#buffer, this.#bytes, batch, this.#from, length);
    else this.#buffer.set(batch.subarray(this.#from, this.#to), this.#bytes);
    this.#bytes += length;
  }

  #growEnds(): void {
    const grown = new Int32Array(this.ends.length * 2);
    grown.set(this.ends);
    this.ends = grown;
  }
}

export interface ScopesHooks {
  /** Main is to be asked for the names of the connected nodes under this number. */
  askForNames(asked: number): void;
  /** Scopes by node name pass records from now on, or wait until the rings have been read. */
  catchUp(): void;
}

export class Scopes {
  readonly #hooks: ScopesHooks;
  readonly #addon: Addon | undefined;
  readonly #selections = new Map<string, Selection>();
  readonly #names = new NodeNames();
  /** Selections that ask for names. */
  #byName = 0;
  readonly #glance = new EventGlance();
  /** Made when it is needed: it takes 2 MiB. */
  #reader: FrameReader | undefined;
  // Of the record that was read last.
  #nodeId: string | undefined;
  #eventType: string | undefined;

  constructor(addon: Addon | undefined, hooks: ScopesHooks) {
    this.#addon = addon;
    this.#hooks = hooks;
  }

  get active(): boolean {
    return this.#selections.size > 0;
  }

  /** One more that is sent what the scope lets through; the same selection for equal scopes. */
  use(scope: Scope): Selection {
    const key = JSON.stringify([scope.nodes, scope.eventTypes]);
    let selection = this.#selections.get(key);
    if (selection === undefined) {
      selection = new Selection(scope, this.#addon);
      this.#selections.set(key, selection);
      if (scope.nodes !== null && ++this.#byName === 1) this.#hooks.askForNames(this.#names.start());
    }
    selection.users++;
    return selection;
  }

  leave(selection: Selection): void {
    if (--selection.users > 0) return;
    const { scope } = selection;
    this.#selections.delete(JSON.stringify([scope.nodes, scope.eventTypes]));
    if (scope.nodes !== null && --this.#byName === 0) this.#names.stop();
  }

  names(asked: number, nodes: readonly (readonly [string, string])[], last: boolean): void {
    if (this.#names.answered(asked, nodes, last)) this.#hooks.catchUp();
  }

  /** The rings have been read up to where they were at `catchUp`. */
  caughtUp(): void {
    if (this.#names.state === 'catching up') this.#names.caughtUp();
  }

  /** Leaves in each selection what it lets through. `ends`: where the `count` lines of the batch end. `owner`: the node
   *  of the one line, where the line itself does not say. */
  select(batch: Uint8Array, ends: Int32Array, count: number, owner: bigint | undefined): void {
    const named = this.#byName > 0;
    for (const selection of this.#selections.values()) selection.clear();
    let start = 0;
    for (let line = 0; line < count; line++) {
      const end = ends[line]!;
      if (named) this.#names.before(batch, start, end - 1);
      if (this.#read(batch, start, end - 1)) {
        if (owner !== undefined) this.#nodeId = String(owner);
        for (const selection of this.#selections.values())
          if (this.#passes(selection)) selection.add(batch, start, end);
      }
      if (named) this.#names.after(batch, start, end - 1);
      start = end;
    }
    for (const selection of this.#selections.values()) selection.finish(batch);
  }

  #passes(selection: Selection): boolean {
    if (selection.scope.nodes !== null) {
      if (this.#nodeId === undefined || this.#names.state !== 'ready') return false;
      const name = this.#names.nameOf(this.#nodeId);
      if (name === undefined || !selection.nodes.passes(name)) return false;
    }
    return (
      selection.scope.eventTypes === null ||
      this.#eventType === undefined ||
      selection.eventTypes.passes(this.#eventType)
    );
  }

  /** False for what cannot be read: nothing in the log should be. */
  #read(batch: Uint8Array, start: number, end: number): boolean {
    if (this.#glance.read(batch, start, end)) {
      this.#nodeId = this.#glance.nodeId;
      this.#eventType = this.#glance.eventType;
      return true;
    }
    this.#reader ??= new FrameReader();
    const reader = this.#reader;
    const refused = reader.read(batch, start, end, true) === KIND.refused;
    // Core's notices are no message of a node.
    if (refused && (reader.code !== 'INVALID_MESSAGE_FORMAT' || reader.message !== MESSAGE.unknown))
      return false;
    this.#nodeId = reader.type(FIELD.node_id) === VALUE.number ? reader.raw(FIELD.node_id) : undefined;
    this.#eventType = undefined;
    if (reader.message !== MESSAGE.PotEvent) return true;
    if (reader.type(FIELD.event_type) !== VALUE.string) return false;
    this.#eventType = reader.string(FIELD.event_type);
    return true;
  }
}
