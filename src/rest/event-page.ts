/**
 * One page of records: as many as were asked for, in either direction, or fewer where the page would get too long or the
 * search takes too long; then `next` says where to go on.
 *
 * Owned by main. Nothing of a page is sent before it is whole, so it can still be an error.
 */
import { LIMITS } from '../limits.js';
import type { OpenFeed } from './event-feeds.js';
import { EventWindow, type WindowBounds } from './event-window.js';
import { EventWriter, type GapJson } from './event-writer.js';
import { JsonBytes } from './json-bytes.js';

export type PageResult =
  /** `next`: the cursor, null where there is nothing more. */
  | { readonly kind: 'page'; readonly body: Buffer; readonly next: number | null }
  /** The reader cannot serve it. */
  | { readonly kind: 'fault'; readonly isBusy: boolean }
  /** Nobody waits for it any more. */
  | { readonly kind: 'closed' };

const FIRST_BYTES = 4 * 1024;
const COMMA = 0x2c;
const OPENING = Buffer.from('{"events":[');

export async function collectPage(feed: OpenFeed, bounds: WindowBounds): Promise<PageResult> {
  const json = new JsonBytes(FIRST_BYTES);
  const writer = new EventWriter();
  const gaps: GapJson[] = [];
  const window = new EventWindow(bounds);
  const deadlineMs = performance.now() + LIMITS.eventsPageMs;
  json.raw(OPENING);
  do {
    const item = await feed.next();
    if (item.type === 'fault') return { kind: 'fault', isBusy: item.kind === 'busy' };
    if (feed.isClosed) return { kind: 'closed' };
    if (item.type === 'chunk') {
      window.chunk(item, (chunk, at) => {
        if (json.length > OPENING.length) json.byte(COMMA);
        writer.write(json, chunk, at);
        return json.length < LIMITS.eventsPageBytes;
      });
    } else if (item.type === 'gap') {
      const gap = window.gap(item);
      if (gap !== undefined) gaps.push(gap);
    } else if (item.type === 'end') {
      window.end(item.nextSeq);
      break;
    }
  } while (!window.isFull && performance.now() < deadlineMs);
  const { position } = window;
  json.raw(Buffer.from(`],${JSON.stringify({ ...position, gaps }).slice(1)}`));
  return { kind: 'page', body: json.take(0), next: position.next };
}
