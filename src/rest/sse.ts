/**
 * Records of the log as server-sent events:
 *
 *   id: 4711                                    its sequence number, for Last-Event-ID
 *   data: {"version":2,"message":{...}}         the record as it is in the log
 *
 *   id: 4800                                    event: gap
 *   event: gap                                  records up to the id are not there
 *   data: {"first_seq":4712,"last_seq":4800,"records":89,"reason":"retention"}
 *
 * An id alone says that there was nothing for this client up to there: what is asked for next time begins behind it.
 *
 * Owned by main. A record has no newline, but what is between its tokens was chosen by a stranger: a carriage return
 * there would end the line, and with it the record. It becomes a space.
 */
import type { FeedItem } from '../replay/log-reader.js';
import { gapJson } from './event-writer.js';
import type { FeedShape } from './feed-stream.js';
import { JsonBytes } from './json-bytes.js';
import { REST_LIMITS } from './limits.js';
import { RecordChunk } from './record-chunk.js';

const ID = Buffer.from('id: ');
const DATA = Buffer.from('\ndata: ');
const END = Buffer.from('\n\n');
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
/** Of a record, beside itself. */
const FRAME_BYTES = 40;

export class EventStreamShape implements FeedShape {
  /** It follows the log: only a client, or Core, ends it. */
  readonly isDone = false;
  readonly opening = `retry: ${REST_LIMITS.streamRetryMs}\n\n`;
  readonly heartbeat = { text: ':\n\n', everyMs: REST_LIMITS.streamHeartbeatMs };
  /** The last number that the client knows to be behind it. */
  #toldSeq: number;

  constructor(lastSeq: number) {
    this.#toldSeq = lastSeq;
  }

  item(item: Exclude<FeedItem, { type: 'end' | 'fault' }>): Uint8Array | string {
    switch (item.type) {
      case 'chunk': {
        const chunk = new RecordChunk(item);
        const bytes = new JsonBytes(chunk.bytes.length + (chunk.count + 1) * FRAME_BYTES);
        spaceCarriageReturns(chunk.bytes);
        for (let at = 0; at < chunk.count; at++) {
          bytes.raw(ID);
          bytes.value(chunk.seq(at));
          bytes.raw(DATA);
          bytes.copy(chunk.bytes, chunk.start(at), chunk.end(at));
          bytes.raw(END);
          this.#toldSeq = chunk.seq(at);
        }
        const rest = this.#upTo(item.nextSeq);
        if (rest !== '') bytes.raw(Buffer.from(rest));
        return bytes.take(0);
      }
      case 'gap':
        this.#toldSeq = item.nextSeq - 1;
        return `id: ${this.#toldSeq}\nevent: gap\ndata: ${JSON.stringify(gapJson(item.firstSeq, item.nextSeq, item.reason))}\n\n`;
      case 'idle':
        return this.#upTo(item.nextSeq);
    }
  }

  ending(): string {
    return '';
  }

  /** Who is cut off comes again by itself, with the last id it has. */
  cutOff(reason: string): string {
    return `: ${reason}\n\n`;
  }

  #upTo(nextSeq: number): string {
    if (nextSeq - 1 <= this.#toldSeq) return '';
    this.#toldSeq = nextSeq - 1;
    return `id: ${this.#toldSeq}\n\n`;
  }
}

function spaceCarriageReturns(bytes: Buffer): void {
  for (let at = bytes.indexOf(CARRIAGE_RETURN); at >= 0; at = bytes.indexOf(CARRIAGE_RETURN, at + 1))
    bytes[at] = SPACE;
}
