/**
 * Counts what stands in the log behind a checkpoint, so that the ledger says of each node exactly what is in the log, however
 * Core ended. Runs in the aggregator, at its start.
 *
 * Whose a record is follows from its id and from who had that id then: at the checkpoint, and from each NodeRegistered
 * notice on, which names the registry's record. A record that says nothing of its node (NodeEvent), and those of nodes that
 * the registry does not know any more, are counted for nobody (OTHERS_ROW).
 */
import type { LogCursor } from '../log/log-cursor.js';
import { LEDGER, LEDGER_STRIDE, OTHERS_ROW } from '../memory/ledger-table.js';
import { EVENT_ACK } from '../protocol/node-registration.js';
import { RECORD, RecordGlance } from './record-glance.js';

const NEWLINE = 0x0a;
const READ_BYTES = 4 * 1024 * 1024;

/** A numbered event that was refused and is kept as a dead letter, so that its number counts as taken. Of a node they come in the order
 *  of their numbers. */
export interface TakenNumber {
  /** Of its node's record. */
  readonly serial: number;
  readonly seq: number;
}

interface Owner {
  readonly row: number;
  readonly numbered: boolean;
}

const NOBODY: Owner = { row: OTHERS_ROW, numbered: false };

export class Recount {
  records = 0;
  bytes = 0;
  readonly #table: Float64Array;
  readonly #rows: ReadonlyMap<number, number>;
  /** By digits. */
  readonly #owners = new Map<string, Owner>();
  readonly #glance = new RecordGlance();
  /** Neighbouring records are mostly of one node: its digits, and who it is. */
  #digits: Uint8Array = new Uint8Array(0);
  #owner = NOBODY;
  readonly #whole: boolean;
  /** Records that cannot be read were passed, of those that came shortly before the end. */
  #isBehindDamage = false;

  /** `rows`: by serial number. Who has which id stands in them. `whole`: from the log's beginning, behind no checkpoint. */
  constructor(table: Float64Array, rows: ReadonlyMap<number, number>, whole: boolean) {
    this.#table = table;
    this.#whole = whole;
    this.#rows = rows;
    for (const row of rows.values()) {
      const at = row * LEDGER_STRIDE;
      const id = (BigInt(table[at + LEDGER.id_high]!) << 32n) | BigInt(table[at + LEDGER.id_low]!);
      if (id !== 0n) this.#owners.set(String(id), { row, numbered: table[at + LEDGER.numbered] === 1 });
    }
  }

  /** Counts from where the cursor stands up to `nextSeq`. `onProgress` is called now and then. */
  run(cursor: LogCursor, nextSeq: number, onProgress: () => void): void {
    let buffer = new Uint8Array(READ_BYTES);
    const room = (bytes: number) => {
      if (buffer.length < bytes) buffer = new Uint8Array(bytes);
      return buffer;
    };
    for (;;) {
      const step = cursor.next(nextSeq, READ_BYTES, Number.POSITIVE_INFINITY, room);
      if (step.kind === 'end') return;
      if (step.kind === 'lines') for (const { start, end } of step.stretches) this.#lines(buffer, start, end);
      if (step.kind === 'gap' && step.reason === 'damaged') this.#isBehindDamage = !this.#whole;
      onProgress();
    }
  }

  taken({ serial, seq }: TakenNumber): void {
    const row = this.#rows.get(serial);
    if (row === undefined) return;
    const at = row * LEDGER_STRIDE + LEDGER.logged_seq;
    // A number is taken so only where it is the next one. Where it is not by now, what came before was lost with the power while
    // the dead letter was not: its node has that, and the refused event, still to send.
    if (seq === this.#table[at]! + 1) this.#table[at] = seq;
  }

  #lines(bytes: Uint8Array, start: number, end: number): void {
    const part = Buffer.from(bytes.buffer, bytes.byteOffset, end);
    for (let at = start; at < end; ) {
      const newline = part.indexOf(NEWLINE, at);
      if (newline < 0) break;
      this.#record(bytes, at, newline);
      at = newline + 1;
    }
    this.bytes += end - start;
  }

  #record(bytes: Uint8Array, start: number, end: number): void {
    const glance = this.#glance;
    const kind = glance.read(bytes, start, end);
    this.records++;
    if (kind === RECORD.disconnected) return;
    if (kind === RECORD.registered) return this.#registered(bytes, start, end);
    const { row, numbered } = this.#ownerOf(bytes, glance.idStart, glance.idEnd);
    const at = row * LEDGER_STRIDE;
    this.#table[at + LEDGER.logged_records]!++;
    if (kind !== RECORD.event) return;
    this.#table[at + LEDGER.logged_events]!++;
    if (!numbered) return;
    const seq = glance.seq();
    const last = this.#table[at + LEDGER.logged_seq]!;
    // What lay there may be events that no fsync had covered, and that nobody was told of: their node sends them again, and what
    // was written behind them, which is then there twice. That is better than not at all.
    if (this.#isBehindDamage ? seq === last + 1 : seq > last) this.#table[at + LEDGER.logged_seq] = seq;
  }

  #ownerOf(bytes: Uint8Array, start: number, end: number): Owner {
    if (end === start) return NOBODY;
    if (!isSame(bytes, start, end, this.#digits)) {
      this.#digits = bytes.slice(start, end);
      this.#owner = this.#owners.get(Buffer.from(this.#digits).toString('latin1')) ?? NOBODY;
    }
    return this.#owner;
  }

  #registered(bytes: Uint8Array, start: number, end: number): void {
    const { idStart, idEnd } = this.#glance;
    const digits = Buffer.from(bytes.subarray(idStart, idEnd)).toString('latin1');
    const { node_serial, features } = readNotice(Buffer.from(bytes.subarray(start, end)).toString('utf8'));
    const row = this.#rows.get(node_serial as number) ?? OTHERS_ROW;
    const numbered = Array.isArray(features) && features.includes(EVENT_ACK);
    this.#owners.set(digits, { row, numbered });
    this.#digits = new Uint8Array(0);
    if (row === OTHERS_ROW) return;
    const id = BigInt(digits);
    const at = row * LEDGER_STRIDE;
    this.#table[at + LEDGER.id_low] = Number(id & 0xffff_ffffn);
    this.#table[at + LEDGER.id_high] = Number(id >> 32n);
    this.#table[at + LEDGER.numbered] = numbered ? 1 : 0;
  }
}

/** Without fields where it is damaged: a disk must not keep Core from starting. */
function readNotice(line: string): Record<string, unknown> {
  try {
    return (JSON.parse(line).message.NodeRegistered ?? {}) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function isSame(bytes: Uint8Array, start: number, end: number, wanted: Uint8Array): boolean {
  if (end - start !== wanted.length) return false;
  for (let i = wanted.length - 1; i >= 0; i--) if (bytes[start + i] !== wanted[i]) return false;
  return true;
}
