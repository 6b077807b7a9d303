/**
 * ETags, and the 304 for whoever has the answer already.
 *
 * A tag is a digest of everything the answer is made of: id and number of the last change of each record shown, and
 * its rows of the session table and of the ledger as they are now. It is taken before the answer is made. What is counted while a long answer is on
 * its way makes the answer newer than its tag, never older, and counters do not go back; so the next tag differs, and
 * a 304 never stands for an answer that would differ. Weak, because two answers of one tag need not be the same bytes
 * (spaces, order of fields). Owned by main.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { FINGERPRINT_NUMBERS, type Ledger } from '../ledger/ledger.js';
import { SESSION_STRIDE } from '../memory/session-table.js';
import type { NodeRecord } from '../registry/record.js';

/** Numbers of changes start again with the process, so its tags must not be those of the one before. */
const THIS_PROCESS = randomUUID();

const CHUNK_NUMBERS = 8 * 1024;

/** Numbers in, tag out. One at a time: the chunk is shared. */
const chunk = new Float64Array(CHUNK_NUMBERS);
const chunkIds = new BigUint64Array(chunk.buffer);

export class Fingerprint {
  readonly #hash = createHash('sha1').update(THIS_PROCESS);
  #filled = 0;

  add(number: number): void {
    if (this.#filled === CHUNK_NUMBERS) this.#flush();
    chunk[this.#filled] = number;
    this.#filled += 1;
  }

  addId(id: bigint): void {
    if (this.#filled === CHUNK_NUMBERS) this.#flush();
    chunkIds[this.#filled] = id;
    this.#filled += 1;
  }

  addLedger(ledger: Ledger, serial: number): void {
    if (this.#filled + FINGERPRINT_NUMBERS > CHUNK_NUMBERS) this.#flush();
    this.#filled += ledger.fingerprint(serial, chunk, this.#filled);
  }

  addSession(table: Float64Array, session: number): void {
    if (this.#filled + SESSION_STRIDE > CHUNK_NUMBERS) this.#flush();
    const row = session * SESSION_STRIDE;
    for (let at = 0; at < SESSION_STRIDE; at++) chunk[this.#filled + at] = table[row + at]!;
    this.#filled += SESSION_STRIDE;
  }

  tag(): string {
    this.#flush();
    return `W/"${this.#hash.digest('base64url')}"`;
  }

  #flush(): void {
    this.#hash.update(new Uint8Array(chunk.buffer, 0, this.#filled * Float64Array.BYTES_PER_ELEMENT));
    this.#filled = 0;
  }
}

/** Everything that is shown of a node but not in its record. */
export interface LiveCounts {
  readonly table: Float64Array;
  readonly ledger: Ledger;
}

/** Of an answer with these nodes in it. `live`: it shows what is counted of them, too. */
export function tagOf(
  records: readonly NodeRecord[],
  live: LiveCounts | null,
  more: readonly number[] = [],
): string {
  const fingerprint = new Fingerprint();
  for (const number of more) fingerprint.add(number);
  for (const record of records) {
    fingerprint.addId(record.id);
    fingerprint.add(record.changed);
    if (live === null) continue;
    fingerprint.addLedger(live.ledger, record.serial);
    if (record.session !== null) fingerprint.addSession(live.table, record.session);
  }
  return fingerprint.tag();
}

/** Puts the tag on the answer; true when the client has it already, and the answer is the empty 304 to be sent. */
export function isKnown(request: FastifyRequest, reply: FastifyReply, tag: string): boolean {
  // To be kept, but asked about each time; by the client alone, because another one may see less.
  reply.header('etag', tag).header('cache-control', 'private, no-cache');
  const known = request.headers['if-none-match'];
  if (known === undefined || !matches(known, tag)) return false;
  reply.code(304);
  return true;
}

/** The 304 itself. */
export function sendNothing(reply: FastifyReply): FastifyReply {
  return reply.send();
}

/** RFC 9110, 13.1.2: a list of tags, compared weakly, or `*`. */
function matches(list: string, tag: string): boolean {
  if (list.trim() === '*') return true;
  const opaque = tag.slice('W/'.length);
  for (const [, candidate] of list.matchAll(/(?:^|[\s,])(?:W\/)?("[\x21\x23-\x7e\x80-\xff]*")/g))
    if (candidate === opaque) return true;
  return false;
}
