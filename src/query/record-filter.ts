/**
 * A filter and a token's scope, made ready to judge records one by one: the exact check. Any thread.
 *
 * A record is read once, mostly with a glance. Fields that stand in `data` are not mistaken for those of the message. A record
 * that cannot be read, or whose node is not known where that matters, does not pass.
 */
import { matchesPattern } from '../access/pattern.js';
import type { Scope } from '../access/principal.js';
import { eventTypeInScope, nodeInScope } from '../access/scope.js';
import { LIMITS } from '../limits.js';
import { FIELD, type Field, idFieldOf, MESSAGE, VALUE } from '../protocol/fields.js';
import { FrameReader, KIND } from '../protocol/frame-reader.js';
import { DataText } from './data-text.js';
import type { Filter } from './filter.js';
import { RecordGlance, WANT } from './record-glance.js';

/** Name of the node that has an id at the record that is looked at; undefined: not known. */
export type NameOf = (nodeId: string) => string | undefined;

const DIGITS = /^\d+$/;

/** Answers that were worked out before, so that patterns are not matched for every record; bounded in number and length. */
class Remembered {
  readonly #answers = new Map<string, boolean>();
  readonly #work: (text: string) => boolean;

  constructor(work: (text: string) => boolean) {
    this.#work = work;
  }

  passes(text: string): boolean {
    // Event types are whatever attackers make nodes write: many, and up to a frame long.
    if (text.length > LIMITS.filterLength) return this.#work(text);
    let answer = this.#answers.get(text);
    if (answer === undefined) {
      if (this.#answers.size >= LIMITS.scopeAnswers) this.#answers.clear();
      answer = this.#work(text);
      this.#answers.set(text, answer);
    }
    return answer;
  }
}

function anyOf(patterns: readonly string[] | undefined): Remembered | undefined {
  return patterns === undefined
    ? undefined
    : new Remembered((text) => patterns.some((pattern) => matchesPattern(pattern, text)));
}

export class RecordFilter {
  /** Names of nodes are asked for: `nameOf` is needed. */
  readonly needsNames: boolean;
  readonly #eventsOnly: boolean;
  readonly #nodeIds: ReadonlySet<string>;
  readonly #nodeNames: Remembered | undefined;
  readonly #byNode: boolean;
  readonly #pots: Remembered | undefined;
  readonly #potTypes: Remembered | undefined;
  readonly #eventTypes: Remembered | undefined;
  readonly #text: DataText | undefined;
  readonly #scopeNodes: Remembered | undefined;
  readonly #scopeTypes: Remembered | undefined;
  readonly #wanted: number;
  readonly #glance = new RecordGlance();
  /** Made when it is needed: it takes 2 MiB. */
  #reader: FrameReader | undefined;
  // Of the record that was read last.
  #isEvent = false;
  #nodeId: string | undefined;
  #potId = '';
  #potType = '';
  #eventType = '';
  #dataStart = 0;

  constructor(filter: Filter | undefined, scope: Scope | undefined) {
    const nodes = filter?.nodes;
    this.#byNode = nodes !== undefined;
    this.#nodeIds = new Set(nodes?.filter((node) => DIGITS.test(node)));
    this.#nodeNames = anyOf(nodes?.filter((node) => !DIGITS.test(node)));
    this.#eventsOnly = filter?.eventsOnly ?? false;
    this.#pots = anyOf(filter?.pots);
    this.#potTypes = anyOf(filter?.potTypes);
    this.#eventTypes = anyOf(filter?.eventTypes);
    this.#text = filter?.text === undefined ? undefined : new DataText(filter.text);
    this.#scopeNodes =
      scope === undefined || scope.nodes === null
        ? undefined
        : new Remembered((name) => nodeInScope(scope, name));
    this.#scopeTypes =
      scope === undefined || scope.eventTypes === null
        ? undefined
        : new Remembered((type) => eventTypeInScope(scope, type));
    this.needsNames = this.#scopeNodes !== undefined || (nodes?.some((node) => !DIGITS.test(node)) ?? false);
    this.#wanted =
      (this.#byNode || this.#scopeNodes !== undefined ? WANT.nodeId : 0) |
        (this.#pots !== undefined ? WANT.potId : 0) |
        (this.#potTypes !== undefined ? WANT.potType : 0) |
        (this.#eventTypes !== undefined || this.#scopeTypes !== undefined ? WANT.eventType : 0) |
        (this.#text !== undefined ? WANT.data : 0) ||
      // Whether it is an event at all.
      WANT.nodeId;
  }

  /** Is the record in bytes[start, end), without its newline, one of those that are wanted? */
  matches(bytes: Uint8Array, start: number, end: number, nameOf: NameOf): boolean {
    if (!this.#read(bytes, start, end)) return false;
    const isEvent = this.#isEvent;
    if (!isEvent && this.#eventsOnly) return false;
    if (isEvent) {
      if (this.#eventTypes !== undefined && !this.#eventTypes.passes(this.#eventType)) return false;
      if (this.#scopeTypes !== undefined && !this.#scopeTypes.passes(this.#eventType)) return false;
      if (this.#pots !== undefined && !this.#pots.passes(this.#potId)) return false;
      if (this.#potTypes !== undefined && !this.#potTypes.passes(this.#potType)) return false;
    }
    if (!this.#passesNode(nameOf)) return false;
    return this.#text === undefined || this.#text.isIn(bytes, this.#dataStart, end);
  }

  #passesNode(nameOf: NameOf): boolean {
    if (!this.#byNode && this.#scopeNodes === undefined) return true;
    const id = this.#nodeId;
    if (id === undefined) return false;
    const name = this.needsNames ? nameOf(id) : undefined;
    if (this.#scopeNodes !== undefined && (name === undefined || !this.#scopeNodes.passes(name)))
      return false;
    return !this.#byNode || this.#nodeIds.has(id) || (name !== undefined && this.#nodeNames!.passes(name));
  }

  /** False for what cannot be read: nothing in the log should be. */
  #read(bytes: Uint8Array, start: number, end: number): boolean {
    const glance = this.#glance;
    if (glance.read(bytes, start, end, this.#wanted)) {
      this.#isEvent = true;
      this.#nodeId = glance.nodeId;
      this.#potId = glance.potId;
      this.#potType = glance.potType;
      this.#eventType = glance.eventType;
      this.#dataStart = glance.dataStart;
      return true;
    }
    this.#reader ??= new FrameReader();
    const reader = this.#reader;
    const kind = reader.read(bytes, start, end, true);
    // Core's notices are no message of a node.
    if (
      kind === KIND.refused &&
      (reader.code !== 'INVALID_MESSAGE_FORMAT' || reader.message !== MESSAGE.unknown)
    )
      return false;
    const idField = idFieldOf(reader.message);
    this.#nodeId = reader.type(idField) === VALUE.number ? reader.raw(idField) : undefined;
    this.#isEvent = reader.message === MESSAGE.PotEvent;
    if (!this.#isEvent) return true;
    if (kind !== KIND.potEvent || reader.type(FIELD.data) !== VALUE.object) return false;
    this.#potId = textOf(reader, FIELD.pot_id);
    this.#potType = textOf(reader, FIELD.pot_type);
    this.#eventType = textOf(reader, FIELD.event_type);
    this.#dataStart = reader.start(FIELD.data);
    return true;
  }
}

function textOf(reader: FrameReader, field: Field): string {
  return reader.type(field) === VALUE.string ? reader.string(field) : '';
}
