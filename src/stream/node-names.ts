/**
 * Which names the connected nodes have, for filters by node name. Kept in the aggregator, only while a consumer with
 * such a filter is there.
 *
 *   off --start()--> asking --last names came--> catching up --rings have passed--> ready --stop()--> off
 *
 * The aggregator itself sees who comes and goes: `NodeRegistered` stands in front of everything a node sends on a
 * connection, `NodeDisconnected` behind it, and Core lets a node in again only when what it had sent on the connection
 * before has been written. So from start() on it learns from the records that pass. What it has not seen, nodes that
 * came before, it asks main for. The answer may be younger than the records that are still in the rings, and a record
 * of yesterday's owner of an id must not pass under today's name: so filters pass nothing until the rings have been
 * read up to where they were when the answer came, and what was learned meanwhile wins over the answer.
 *
 * A filter that is not ready holds its consumer back: its stream starts a moment later, and lacks nothing from there.
 */

const REGISTERED = Buffer.from('{"version":2,"message":{"NodeRegistered":{"node_id":');
const DISCONNECTED = Buffer.from('{"version":2,"message":{"NodeDisconnected":{"node_id":');
/** Up to here both are the same, and so are most other records. */
const ENVELOPE_BYTES = Buffer.byteLength('{"version":2,"message":{"Node');

export type NodeNamesState = 'off' | 'asking' | 'catching up' | 'ready';

export class NodeNames {
  #state: NodeNamesState = 'off';
  /** Counts start(): an answer to an older question is no answer. */
  #asked = 0;
  readonly #names = new Map<string, string>();
  /** While the answer is waited for: whatever passed since start(); undefined for a node that has gone. */
  readonly #learned = new Map<string, string | undefined>();

  get state(): NodeNamesState {
    return this.#state;
  }

  /** Starts to learn. Answers the number under which main is to be asked. */
  start(): number {
    if (this.#state !== 'off') throw new Error(`node names were started while ${this.#state}`);
    this.#state = 'asking';
    return ++this.#asked;
  }

  stop(): void {
    this.#state = 'off';
    this.#names.clear();
    this.#learned.clear();
  }

  /** A part of main's answer; true when it was the last one, and the rings have to be read up to where they are. */
  answered(asked: number, nodes: readonly (readonly [string, string])[], last: boolean): boolean {
    if (this.#state !== 'asking' || asked !== this.#asked) return false;
    for (const [id, name] of nodes) this.#names.set(id, name);
    if (last) this.#state = 'catching up';
    return last;
  }

  /** The rings have been read so far: from now on every name is right. */
  caughtUp(): void {
    if (this.#state !== 'catching up') throw new Error(`node names have caught up while ${this.#state}`);
    for (const [id, name] of this.#learned) {
      if (name === undefined) this.#names.delete(id);
      else this.#names.set(id, name);
    }
    this.#learned.clear();
    this.#state = 'ready';
  }

  nameOf(id: string): string | undefined {
    return this.#names.get(id);
  }

  /** To be called with every record before it is looked at. */
  before(lines: Uint8Array, start: number, end: number): void {
    if (!startsWith(REGISTERED, lines, start, end)) return;
    const { node_name } = body(lines, start, end).NodeRegistered as { node_name: string };
    this.#learn(digitsAt(lines, start + REGISTERED.length, end), node_name);
  }

  /** To be called with every record once it has been dealt with. */
  after(lines: Uint8Array, start: number, end: number): void {
    if (!startsWith(DISCONNECTED, lines, start, end)) return;
    this.#learn(digitsAt(lines, start + DISCONNECTED.length, end), undefined);
  }

  #learn(id: string, name: string | undefined): void {
    if (this.#state !== 'ready') this.#learned.set(id, name);
    else if (name === undefined) this.#names.delete(id);
    else this.#names.set(id, name);
  }
}

/** Is it one of Core's own notices? No frame of a node can be: its message would have a name nobody knows. */
function startsWith(prefix: Uint8Array, lines: Uint8Array, start: number, end: number): boolean {
  if (end - start < prefix.length) return false;
  for (let i = ENVELOPE_BYTES; i < prefix.length; i++) if (lines[start + i] !== prefix[i]) return false;
  for (let i = 0; i < ENVELOPE_BYTES; i++) if (lines[start + i] !== prefix[i]) return false;
  return true;
}

function digitsAt(lines: Uint8Array, start: number, end: number): string {
  let digits = '';
  for (let at = start; at < end && lines[at]! >= 0x30 && lines[at]! <= 0x39; at++)
    digits += String.fromCharCode(lines[at]!);
  return digits;
}

function body(lines: Uint8Array, start: number, end: number): Record<string, unknown> {
  const text = Buffer.from(lines.buffer, lines.byteOffset + start, end - start).toString('utf8');
  return (JSON.parse(text) as { message: Record<string, unknown> }).message;
}
