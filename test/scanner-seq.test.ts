/**
 * Numbered events in the scanner: it takes exactly those that carry the next number, counts on, and hands everything else
 * back; both implementations alike. Lines are made at random of parts whose meaning is known.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Random } from '../bench/random.js';
import { LIMITS } from '../src/limits.js';
import type { Mode } from '../src/native/addon.js';
import { createScanner, STOP } from '../src/native/scanner.js';
import { eventSeq } from '../src/protocol/event-seq.js';
import { FIELD } from '../src/protocol/fields.js';
import { FrameReader, KIND } from '../src/protocol/frame-reader.js';
import { MODES, skipped } from './scanner-run.js';

const ID = '18446744073709551615';
const SEED = Number(process.env.SEED ?? 20261121);

interface Line {
  readonly text: string;
  /** Of an event that is good but for its number; undefined: it has none, or one that is none. */
  readonly seq: number | undefined;
  readonly good: boolean;
}

/** `space`: between the tokens. */
function makeLine(random: Random, next: number): Line {
  const seqText = random.pick([
    ...Array<string>(12).fill(String(next)),
    String(next + 1),
    String(Math.max(0, next - 1)),
    '0',
    `${next}.0`,
    `${next}e0`,
    `-${next}`,
    `"${next}"`,
    'null',
    `[${next}]`,
    `${next}0`,
    `0${next}`,
    String(next).slice(0, -1) || '7',
    '9007199254740992',
    '18446744073709551616',
    '',
  ]);
  const space = random.pick(['', '', '', ' ', '\t']);
  const fields = [
    `"node_id":${space}${ID}`,
    `"pot_id":"p${random.below(3)}"`,
    '"pot_type":"cowrie"',
    '"event_type":"e"',
    '"timestamp":"2026-11-20T12:00:00Z"',
    `"data":{"seq":${random.below(9)},"n":${random.below(1000)}}`,
  ];
  const key = random.pick([
    '"seq"',
    '"seq"',
    '"seq"',
    '"seq"',
    '"seq"',
    '"seq"',
    '"seq"',
    '"s\\u0065q"',
    '"Seq"',
    '"seqq"',
  ]);
  const place = random.pick([1, 1, 1, 1, random.below(fields.length + 1)]);
  if (seqText !== '') fields.splice(place, 0, `${key}:${space}${seqText}${space}`);
  const twice = random.below(30) === 0;
  if (twice) fields.push(`"seq":${next}`);
  if (random.below(20) === 0) fields.push('"unknown":{"seq":1}');
  const good = random.below(20) > 0;
  if (!good) fields[0] = '"node_id":7';
  const isSeq = key === '"seq"' || key === '"s\\u0065q"';
  const values = [...(isSeq && seqText !== '' ? [seqText] : []), ...(twice ? [String(next)] : [])];
  const only = values.length === 1 ? values[0]! : undefined;
  const seq =
    only !== undefined && /^[1-9]\d*$/.test(only) && Number(only) <= LIMITS.eventSeqMax
      ? Number(only)
      : undefined;
  const text = `{"version":2,"message":{"PotEvent":{${fields.join(',')}}}}`;
  return { text, seq, good: good && !/:\s*0\d/.test(seqText === '' ? '' : `:${seqText}`) };
}

function run(mode: Mode, random: Random, first: number, count: number): { fast: number; slow: number } {
  const source = Buffer.alloc(64 * 1024 + LIMITS.paddingBytes);
  const target = Buffer.alloc(64 * 1024);
  const scanner = createScanner(mode, { source, target }, LIMITS.frameBytes);
  const reader = new FrameReader();
  const digits = Buffer.from(ID);
  let next = first;
  let fast = 0;
  let slow = 0;
  for (let round = 0; round < count; round++) {
    // What the session will expect, if everything that has its number is taken; what does not is handed back.
    const lines: Line[] = [];
    for (let at = next; lines.length < 30; ) {
      const line = makeLine(random, at);
      lines.push(line);
      if (line.good && line.seq === at) at++;
    }
    const end = source.write(lines.map(({ text }) => `${text}\n`).join(''), 0, 'latin1');
    let at = 0;
    let line = 0;
    let resume = false;
    for (;;) {
      scanner.setNodeId(digits);
      scanner.setSeq(next);
      const space = random.pick([target.length, 600]);
      const stop = scanner.scan(at, end, 0, space, resume);
      const copied = target.toString('latin1', 0, scanner.copiedBytes).split('\n').slice(0, -1);
      assert.equal(copied.length, scanner.events);
      for (const text of copied) {
        const expected = lines[line++]!;
        assert.equal(text, expected.text);
        assert.ok(expected.good && expected.seq === next, `${mode} took ${text} for ${next}`);
        const bytes = Buffer.from(text);
        assert.equal(reader.read(bytes, 0, bytes.length), KIND.potEvent);
        assert.equal(eventSeq(reader), next, 'the reader says the same');
        assert.equal(reader.raw(FIELD.node_id), ID);
        next++;
        fast++;
      }
      at = scanner.position;
      resume = true;
      if (stop === STOP.done) break;
      if (stop === STOP.full) continue;
      const expected = lines[line++]!;
      assert.equal(source.toString('latin1', scanner.slowStart, scanner.slowEnd), expected.text);
      const plain = expected.good && expected.seq === next && !expected.text.includes('\\u');
      assert.ok(!plain, `${mode} handed back ${expected.text} for ${next}`);
      // The session takes what is the next one in another spelling.
      if (expected.good && expected.seq === next) next++;
      slow++;
    }
    assert.equal(line, lines.length, 'every line was dealt with');
  }
  return { fast, slow };
}

for (const mode of MODES) {
  describe(`numbered events in the scanner, ${mode}`, { skip: skipped(mode) }, () => {
    it(`the next numbers are taken, and nothing else (seed ${SEED})`, () => {
      const random = new Random(SEED);
      for (const first of [1, 9, 99, 8_999, 123_456_789, 999_999_999_990, 2 ** 53 - 2000]) {
        const { fast, slow } = run(mode, random, first, 40);
        assert.ok(fast > 200 && slow > 200, `${fast} and ${slow} of ${first}`);
      }
    });

    it('the highest number is taken, and none behind it', () => {
      const max = LIMITS.eventSeqMax;
      const source = Buffer.alloc(4096);
      const target = Buffer.alloc(4096);
      const scanner = createScanner(mode, { source, target }, LIMITS.frameBytes);
      const line = (seq: string) => makeText(seq);
      const end = source.write(`${[`${max - 1}`, `${max}`, '9007199254740992'].map(line).join('\n')}\n`);
      scanner.setNodeId(Buffer.from(ID));
      scanner.setSeq(max - 1);
      assert.equal(scanner.scan(0, end, 0, target.length, false), STOP.slow);
      assert.equal(scanner.events, 2);
      scanner.setSeq(max + 1);
      assert.equal(scanner.scan(scanner.slowStart, end, 0, target.length, false), STOP.slow);
    });

    it('without numbers nobody looks at them', () => {
      const source = Buffer.alloc(4096);
      const target = Buffer.alloc(4096);
      const scanner = createScanner(mode, { source, target }, LIMITS.frameBytes);
      const end = source.write(`${['7', '"x"', '7,"seq":8'].map(makeText).join('\n')}\n`);
      scanner.setNodeId(Buffer.from(ID));
      scanner.setSeq(0);
      assert.equal(scanner.scan(0, end, 0, target.length, false), STOP.done);
      assert.equal(scanner.events, 3);
    });
  });
}

function makeText(seq: string): string {
  return `{"version":2,"message":{"PotEvent":{"node_id":${ID},"seq":${seq},"pot_id":"p","pot_type":"c","event_type":"e","timestamp":"2026-11-20T12:00:00Z","data":{}}}}`;
}
