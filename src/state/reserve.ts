/**
 * Room for the state on a disk that is full: it needs some to be opened, and only a Core that runs can hold nodes back and let
 * retention make room. A file of that size is made while there is room, and given up when the state cannot be opened without.
 *
 * Owned by whoever opens the state.
 */
import { closeSync, fsyncSync, openSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { LIMITS } from '../limits.js';

const PIECE_BYTES = 64 * 1024;

/** Makes it where it is missing. A disk that has no room for it has none to spare. */
export function keepReserve(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.size === LIMITS.stateReserveBytes) return;
  try {
    const file = openSync(path, 'w', 0o600);
    try {
      // Written, not only sized: a hole takes no room.
      const piece = Buffer.alloc(PIECE_BYTES);
      for (let done = 0; done < LIMITS.stateReserveBytes; ) done += writeSync(file, piece);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch {
    giveUpReserve(path);
  }
}

/** False where there was none. */
export function giveUpReserve(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch {
    return false;
  }
}
