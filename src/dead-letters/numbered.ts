/**
 * The numbered events among the dead letters from a number on: what the ledger has to know of them at a start. Reads on the
 * calling thread, file by file, each of at most LIMITS.deadLetterFileBytes and a letter. Aggregator.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LetterNumber, letterFileName, letterFiles, numberedEventOf, numberOf } from './line.js';

const NEWLINE = 0x0a;
/** All of a line that stands in front of its bytes is far shorter, whatever a node's name and the reason hold. */
const HEAD_BYTES = 8 * 1024;

/** Without what is no dead letter: a damaged disk must not keep Core from starting. */
export function* numberedLetters(folder: string, from: number): Generator<LetterNumber> {
  const firsts = letterFiles(readdirSync(folder));
  for (const [at, first] of firsts.entries()) {
    // The next file begins behind the last letter of this one.
    if ((firsts[at + 1] ?? Number.POSITIVE_INFINITY) <= from) continue;
    const bytes = readFileSync(join(folder, letterFileName(first)));
    for (let start = 0; start < bytes.length; ) {
      const newline = bytes.indexOf(NEWLINE, start);
      if (newline < 0) break;
      if (numberOf(bytes, start) >= from) {
        const head = bytes.toString('latin1', start, Math.min(newline, start + HEAD_BYTES));
        const found = numberedEventOf(head);
        if (found !== undefined) yield found;
      }
      start = newline + 1;
    }
  }
}
