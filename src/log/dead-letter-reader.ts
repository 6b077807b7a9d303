/**
 * Reads the newest refused frames for people: the ends of the two files that dead-letter-log.ts writes. Main thread;
 * the aggregator may be writing meanwhile, so a line without its newline is left out.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { DEAD_LETTER_FILES } from './dead-letter-log.js';

/** A line holds 4 KiB of a frame in base64 and some fields; this is enough for a few hundred of the longest. */
const TAIL_BYTES = 2 * 1024 * 1024;

/** Up to `limit` lines (JSON texts), the newest first. */
export async function newestDeadLetters(folder: string, limit: number): Promise<string[]> {
  const newest: string[] = [];
  for (const name of DEAD_LETTER_FILES) {
    const lines = await lastLines(join(folder, name));
    while (newest.length < limit) {
      const line = lines.pop();
      if (line === undefined) break;
      newest.push(line);
    }
  }
  return newest;
}

async function lastLines(path: string): Promise<string[]> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const { size } = await file.stat();
    const start = Math.max(0, size - TAIL_BYTES);
    const bytes = Buffer.alloc(size - start);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
    const lines = bytes.subarray(0, bytesRead).toString('utf8').split('\n');
    lines.pop();
    // Where the file is longer than what was read, the first line is cut.
    return start > 0 ? lines.slice(1) : lines;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  } finally {
    await file?.close();
  }
}
