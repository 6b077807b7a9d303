/** Where a recipient's records go: a WebSocket, or a raw backend's connection, which is main's. Runs in the aggregator. */
import type { Lines } from './lines.js';

export interface Outlet {
  /** What it was given and the other side's system has not taken. */
  readonly bufferedBytes: number;
  /** Records; nothing of them is kept after the call. `note`: a message that follows them at once. */
  send(lines: Lines, note: string | undefined): void;
  /** The same with bytes that belong to it from now on. Answers the buffer where it is not needed any more. */
  give(bytes: Uint8Array<ArrayBuffer>, lines: Lines, note: string | undefined): ArrayBuffer | undefined;
  /** A message of Core's own between the records. */
  note(text: string): void;
  /** It is known now where its stream begins. */
  started(nextSeq: number): void;
  /** Core stops, and nothing more will come. */
  over(): void;
  /** It cannot be served any more. */
  fail(reason: string): void;
}
