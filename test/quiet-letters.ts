/** Dead letters for tests of other things: those that the test puts here, and none of them is tried again. */
import { numberOf, readHead, readLetter } from '../src/dead-letters/line.js';
import type { LetterPage, LetterQuery } from '../src/dead-letters/reader.js';
import { type DeadLetterService, ReplayError } from '../src/dead-letters/service.js';

export class QuietLetters implements DeadLetterService {
  /** The newest first. */
  lines: string[] = [];

  async page({ limit, after = Number.POSITIVE_INFINITY }: LetterQuery): Promise<LetterPage> {
    const rows = this.lines
      .map((line) => ({ line, head: readHead(line)! }))
      .filter(({ head }) => head.id < after);
    return { rows: rows.slice(0, limit), next: rows.length > limit ? rows[limit - 1]!.head.id : null };
  }

  async find(id: number) {
    const line = this.lines.find((one) => numberOf(Buffer.from(one), 0) === id);
    return line === undefined ? undefined : { line, letter: readLetter(line)! };
  }

  async marks(ids: readonly number[]) {
    return ids.map(() => undefined);
  }

  async replay(): Promise<never> {
    throw new ReplayError('not-found', 'nothing is tried again here');
  }
}
