/**
 * Records of the log as lines of JSON, to the end:
 *
 *   {"seq":4711,"received":"2026-11-20T12:00:00.000Z","event":{"version":2,"message":{...}}}
 *   {"gap":{"first_seq":4712,"last_seq":4800,"records":89,"reason":"retention"}}
 *   {"end":{"next":null,"first_seq":4000,"last_seq":5200}}
 *
 * The last line says that nothing was cut off, and where to go on.
 *
 * Owned by main.
 */
import type { FeedItem } from '../replay/log-reader.js';
import { EventWindow, type WindowBounds } from './event-window.js';
import { EventWriter } from './event-writer.js';
import type { FeedShape } from './feed-stream.js';
import { JsonBytes } from './json-bytes.js';

const NEWLINE = 0x0a;
/** Of a record, beside itself. */
const FRAME_BYTES = 80;

export class NdjsonShape implements FeedShape {
  readonly #writer = new EventWriter();
  readonly #window: EventWindow;

  constructor(bounds: WindowBounds) {
    this.#window = new EventWindow(bounds);
  }

  get isDone(): boolean {
    return this.#window.isFull;
  }

  item(item: Exclude<FeedItem, { type: 'end' | 'fault' }>): Uint8Array | string {
    switch (item.type) {
      case 'chunk': {
        const json = new JsonBytes(item.lines.length + item.records * FRAME_BYTES);
        this.#window.chunk(item, (chunk, at) => {
          this.#writer.write(json, chunk, at);
          json.byte(NEWLINE);
          return true;
        });
        return json.take(0);
      }
      case 'gap': {
        const gap = this.#window.gap(item);
        return gap === undefined ? '' : `${JSON.stringify({ gap })}\n`;
      }
      case 'idle':
        return '';
    }
  }

  /** Where it was cut off, there is no last line. */
  ending(end: { readonly nextSeq: number } | undefined): string {
    if (end !== undefined) this.#window.end(end.nextSeq);
    return `${JSON.stringify({ end: this.#window.position })}\n`;
  }
}
