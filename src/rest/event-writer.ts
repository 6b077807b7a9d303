/**
 * Records of the log as REST gives them: with their number and the time, the record itself as the bytes it has in the log,
 * so that no id loses a digit.
 *
 *   {"seq":4711,"received":"2026-11-20T12:00:00.000Z","event":{"version":2,"message":{"PotEvent":{...}}}}
 *
 * Owned by main.
 */
import type { GapReason } from '../replay/messages.js';
import { isoTime } from './iso-time.js';
import type { JsonBytes } from './json-bytes.js';
import type { RecordChunk } from './record-chunk.js';

const SEQ = Buffer.from('{"seq":');
const RECEIVED = Buffer.from(',"received":');
const EVENT = Buffer.from(',"event":');
const CLOSING = 0x7d;

export class EventWriter {
  /** Records of a batch were received at one time: its text is made once. */
  #timeMs = Number.NaN;
  #time = Buffer.alloc(0);

  write(json: JsonBytes, chunk: RecordChunk, at: number): void {
    const timeMs = chunk.timeMs(at);
    if (timeMs !== this.#timeMs) {
      this.#timeMs = timeMs;
      this.#time = Buffer.from(JSON.stringify(isoTime(timeMs)));
    }
    json.raw(SEQ);
    json.value(chunk.seq(at));
    json.raw(RECEIVED);
    json.raw(this.#time);
    json.raw(EVENT);
    json.copy(chunk.bytes, chunk.start(at), chunk.end(at));
    json.byte(CLOSING);
  }
}

/**
 * Records that are not there, both ends included: cursors of REST name the last record that was seen (`after`,
 * Last-Event-ID), so do its gaps.
 */
export interface GapJson {
  readonly first_seq: number;
  readonly last_seq: number;
  readonly records: number;
  readonly reason: GapReason;
}

export function gapJson(firstSeq: number, nextSeq: number, reason: GapReason): GapJson {
  return { first_seq: firstSeq, last_seq: nextSeq - 1, records: nextSeq - firstSeq, reason };
}
