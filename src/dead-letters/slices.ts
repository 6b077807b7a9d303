/**
 * The whole lines of a file, slice by slice, from either end. Any thread; a slice and the longest line are all that is held
 * at a time.
 */
import type { FileHandle } from 'node:fs/promises';

const SLICE_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

/** Lines without their newlines, valid until the next one is asked for; `start` is where a line begins. */
export async function* linesForwards(file: FileHandle, start: number, size: number): AsyncGenerator<Buffer> {
  /** The beginning of a line that goes on in the next slice. */
  let rest = Buffer.alloc(0);
  for (let at = start; at < size; ) {
    const slice = Buffer.alloc(Math.min(SLICE_BYTES, size - at));
    const { bytesRead } = await file.read(slice, 0, slice.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    const bytes = Buffer.concat([rest, slice.subarray(0, bytesRead)]);
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      yield bytes.subarray(from, end);
      from = end + 1;
    }
    rest = bytes.subarray(from);
  }
}

/** The last one first; `end` is behind a newline, or the end of the file. */
export async function* linesBackwards(file: FileHandle, end: number): AsyncGenerator<Buffer> {
  /** The end of a line that begins further ahead. */
  let rest = Buffer.alloc(0);
  for (let to = end; to > 0; ) {
    const start = Math.max(0, to - SLICE_BYTES);
    const slice = Buffer.alloc(to - start);
    const { bytesRead } = await file.read(slice, 0, slice.length, start);
    const bytes = Buffer.concat([slice.subarray(0, bytesRead), rest]);
    const newline = bytes.indexOf(NEWLINE);
    const first = start === 0 ? 0 : newline < 0 ? bytes.length : newline + 1;
    for (let lineEnd = bytes.lastIndexOf(NEWLINE); lineEnd >= first && lineEnd >= 0; ) {
      const before = lineEnd === 0 ? -1 : bytes.lastIndexOf(NEWLINE, lineEnd - 1);
      yield bytes.subarray(before + 1, lineEnd);
      lineEnd = before;
    }
    rest = bytes.subarray(0, first);
    to = start;
  }
}
