/**
 * The framer: whatever reads a stream comes in, the same frames come out, with the same verdicts, in all three habits
 * of nodes and across the changes between them.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LIMITS } from '../src/limits.js';
import { judge } from './frame-oracle.js';
import { BAD_FRAMES, event, frame, GOOD_FRAMES, registration, type TableFrame } from './frame-table.js';
import { feed, joinJunk, type Manner, model, type Recorded, randomCuts, seeded } from './framer-run.js';
import { SEED } from './frames.js';

const MANNERS: readonly Manner[] = [{ scannable: false }, { scannable: true }];
const SMALL = (bytes: Buffer) => bytes.length < 400;

/** Frames that stand on one line, and how they are told apart from what is around them. */
const ONE_LINE = [...GOOD_FRAMES, ...BAD_FRAMES].filter(({ bytes }) => SMALL(bytes) && !bytes.includes(10));
/** Those whose braces are balanced, good and bad: they can stand back to back. */
const BALANCED = ONE_LINE.filter(({ bytes }) => {
  const records = model(bytes);
  return (
    records.length === 1 && records[0]!.cut === 'frame' && records[0]!.text.length === trimmedLength(bytes)
  );
});
const GOOD_LINES = GOOD_FRAMES.filter(({ bytes }) => SMALL(bytes) && !bytes.includes(10));

function trimmedLength(bytes: Buffer): number {
  return bytes.toString('latin1').trim().length;
}

/** Over several lines, as an indenting printer writes it; digits and escapes stay. */
function pretty(bytes: Buffer): Buffer {
  let inString = false;
  const text = bytes.toString('latin1').replace(/\\.|["{,]/g, (token) => {
    if (token === '"') inString = !inString;
    return inString || token === '"' ? token : `${token}\r\n  `;
  });
  return Buffer.from(text, 'latin1');
}

interface Stream {
  readonly name: string;
  readonly bytes: Buffer;
  readonly frames: readonly TableFrame[];
}

function join(name: string, frames: readonly TableFrame[], separator: string, last = separator): Stream {
  const parts = frames.flatMap(({ bytes }, i) => [
    bytes,
    Buffer.from(i < frames.length - 1 ? separator : last),
  ]);
  return { name, frames, bytes: Buffer.concat(parts) };
}

const FIRST = {
  name: 'registration',
  bytes: Buffer.from(registration()),
  verdict: 'nodeRegistration',
} as const;
const PRETTY = GOOD_LINES.map((good) => ({ ...good, bytes: pretty(good.bytes) }));

const STREAMS: readonly Stream[] = [
  join('lines', [FIRST, ...ONE_LINE], '\n'),
  join('lines, the last one without newline', [FIRST, ...ONE_LINE], '\n', ''),
  join('lines that end with CRLF, empty lines between', [FIRST, ...ONE_LINE], '\r\n\r\n'),
  join('back to back', [FIRST, ...BALANCED], ''),
  join('with blanks between', [FIRST, ...BALANCED.slice(0, 20)], ' \t '),
  join('over several lines', [...PRETTY], '\n'),
  join('over several lines, back to back', [...PRETTY], ''),
  {
    name: 'first back to back, then over several lines, then lines',
    frames: [FIRST, ...BALANCED.slice(0, 10), ...PRETTY.slice(0, 10), ...ONE_LINE],
    bytes: Buffer.concat([
      join('', [FIRST, ...BALANCED.slice(0, 10)], '').bytes,
      Buffer.from('  '),
      join('', PRETTY.slice(0, 10), '\n\n').bytes,
      join('', ONE_LINE, '\n').bytes,
    ]),
  },
];

function expected({ frames }: Stream): Recorded[] {
  return frames.map(({ bytes }) => ({ cut: 'frame', text: bytes.toString('latin1').trim() }));
}

for (const stream of STREAMS) {
  describe(`frames that come ${stream.name}`, () => {
    const records = expected(stream);

    it('come out whole, with the verdict each has by itself', () => {
      for (const manner of MANNERS) assert.deepEqual(feed(stream.bytes, [], manner), records);
      for (const [i, { verdict, name }] of stream.frames.entries()) {
        const found = judge(Buffer.from(records[i]!.text, 'latin1'));
        assert.equal(found.kind === 'refused' ? found.code : found.kind, verdict, name);
      }
      assert.deepEqual(model(stream.bytes), records, 'the model');
    });

    it('come out the same, read one byte at a time', () => {
      const cuts = Array.from({ length: stream.bytes.length - 1 }, (_, i) => i + 1);
      for (const manner of MANNERS) assert.deepEqual(feed(stream.bytes, cuts, manner), records);
    });

    it('come out the same, cut in two anywhere', () => {
      for (let cut = 1; cut < stream.bytes.length; cut++)
        same(feed(stream.bytes, [cut], MANNERS[cut % 2]!), records, () => `cut at ${cut}`);
    });

    it('come out the same, cut at random, and held for a verdict again and again', () => {
      const random = seeded(SEED);
      for (let run = 0; run < 150; run++) {
        const cuts = randomCuts(random, stream.bytes.length);
        const holdEvery = [0, 1, 2, 7][run % 4]!;
        same(
          feed(stream.bytes, cuts, { scannable: run % 3 > 0, holdEvery }),
          records,
          () => `held every ${holdEvery}, cut at ${cuts}`,
        );
      }
    });
  });
}

/** deepEqual, without its cost as long as all is well. */
function same(found: readonly Recorded[], records: readonly Recorded[], what: () => string): void {
  const equal =
    found.length === records.length &&
    found.every(({ cut, text }, i) => cut === records[i]!.cut && text === records[i]!.text);
  if (equal) return;
  const short = (all: readonly Recorded[]) =>
    all.map(({ cut, text }) => `${cut} ${text.length} ${text.slice(0, 80)}`);
  assert.deepEqual(short(found), short(records), what());
  assert.fail(`the texts differ, ${what()}`);
}

/** Feeds a stream whole, byte by byte, cut in two anywhere and held after every frame; always the same comes out. */
function always(bytes: Buffer | string, records: readonly Recorded[], more: Partial<Manner> = {}): void {
  const stream = Buffer.from(bytes);
  const ways = [[], Array.from({ length: stream.length - 1 }, (_, i) => i + 1)];
  for (let cut = 1; cut < stream.length; cut++) ways.push([cut]);
  for (const cuts of ways) {
    for (const scannable of [false, true]) {
      for (const holdEvery of [0, 1])
        same(
          joinJunk(feed(stream, cuts, { scannable, holdEvery, ...more })),
          joinJunk(records),
          () => `cut at ${cuts.length > 1 ? 'every byte' : cuts}, scannable ${scannable}, held ${holdEvery}`,
        );
    }
  }
}

const whole = (text: string): Recorded => ({ cut: 'frame', text: text.trim() });
const torn = (text: string): Recorded => ({ cut: 'torn', text: text.trim() });
const A = frame('NodeEvent', '"Started"');
const B = frame('NodeEvent', '{"type":"Error","message":"} \\" { \\\\"}');

describe('a stream that is damaged', () => {
  it('loses one line for a torn line, wherever it was torn', () => {
    for (let cut = 1; cut < B.length; cut++)
      for (const newline of ['\n', '\r\n'])
        same(
          feed(Buffer.from([A, B.slice(0, cut), A, B, ''].join(newline)), [A.length + 3], {
            scannable: cut % 2 === 0,
          }),
          [whole(A), whole(B.slice(0, cut)), whole(A), whole(B)],
          () => `torn at ${cut}`,
        );
    always(`${A}\n${B.slice(0, 50)}\n${B}\n`, [whole(A), whole(B.slice(0, 50)), whole(B)]);
  });

  it('finds the next object behind one that was torn in a string, and is in no line mode for it', () => {
    const half = B.slice(0, B.indexOf('Err') + 2);
    always(`${half}\n${A}${B}`, [torn(half), whole(A), whole(B)]);
    always(`${A}${half}\r\n\n${A}\n${half}\n${B}\n`, [whole(A), torn(half), whole(A), whole(half), whole(B)]);
    always(`${half}\\\n${A}`, [torn(`${half}\\\n${A}`)]);
  });

  it('passes junk on without waiting for more, and then goes on', () => {
    always(`GET / HTTP/1.1\r\nHost: a\r\n\r\n${A}${B}`, [torn('GET/HTTP/1.1Host:a'), whole(A), whole(B)]);
    always(`${A}}}]${B}\n\u0000\n${A}`, [whole(A), torn('}}]'), whole(B), whole('\u0000'), whole(A)]);
    always(`[${A}]${B}`, [torn('['), whole(A), torn(']'), whole(B)]);
    const tls = Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0xfc]);
    assert.deepEqual(feed(tls, [], { scannable: false }), [torn(tls.toString('latin1'))]);
  });

  it('is not in line mode for a newline behind junk, or behind a frame over several lines', () => {
    const spread = pretty(Buffer.from(B)).toString();
    always(`${A}x\n${spread}\n${spread}`, [whole(A), torn('x'), whole(spread), whole(spread)]);
    always(`${spread}\n${spread}\n${A}\n${A.slice(0, 9)}\n${A}`, [
      ...[whole(spread), whole(spread), whole(A), whole(A.slice(0, 9)), whole(A)],
    ]);
  });

  it('may start with a byte order mark, and only start with one', () => {
    const mark = '\ufeff';
    always(`${mark}${A}\n${B}\n`, [whole(A), whole(B)]);
    always(`${mark}  \r\n${A}${B}`, [whole(A), whole(B)]);
    always(mark, []);
    const latin = Buffer.from(mark).toString('latin1');
    always(`${A}${mark}${B}`, [whole(A), torn(latin), whole(B)]);
    always(`${mark}${mark}${A}`, [torn(latin), whole(A)]);
    always(`\n${mark}${A}`, [torn(latin), whole(A)]);
    always(`${mark}${A}\n${mark}${B}\n`, [whole(A), whole(`${latin}${B}`)]);
  });
});

describe('a stream that ends', () => {
  it('in a frame: what there is counts as one, wherever it ends', () => {
    for (let end = 1; end < B.length; end++) {
      const rest = B.slice(0, end);
      same(
        feed(Buffer.from(`${A}\n${rest}`), [3], { scannable: end % 2 === 0 }),
        [whole(A), whole(rest)],
        () => rest,
      );
      same(feed(Buffer.from(`${A}${rest}`), [3], { scannable: false }), [whole(A), torn(rest)], () => rest);
    }
  });

  it('behind a frame: nothing more comes out', () => {
    for (const end of ['', '\n', '\r\n', ' ', '\n\n \t', '\n   ']) always(`${A}${end}`, [whole(A)]);
    always('', []);
    always(' \n\r\n', []);
  });
});

describe('a frame too large', () => {
  const max = 1024;
  const sized = (length: number) => {
    const empty = event('{"s":""}');
    return event(`{"s":"${'x'.repeat(length - empty.length)}"}`);
  };
  const oversized: Recorded = { cut: 'oversized', text: '' };
  const fatal: Recorded = { cut: 'fatal', text: '' };

  it('costs itself alone where lines end frames, however it comes in', () => {
    for (const size of [max - 1, max])
      always(`${A}\n${sized(size)}\n${B}\n`, [whole(A), whole(sized(size)), whole(B)], {
        maxFrameBytes: max,
      });
    for (const size of [max + 1, 2 * max, 5 * max])
      always(`${A}\n${sized(size)}\n\n${B}\n`, [whole(A), oversized, whole(B)], { maxFrameBytes: max });
    always(`${A}\n${sized(2 * max)}`, [whole(A), oversized], { maxFrameBytes: max });
    always(`${A}\n${sized(2 * max)}\n${sized(3 * max)}\n${B}`, [whole(A), oversized, oversized, whole(B)], {
      maxFrameBytes: max,
    });
  });

  it('ends the connection where nothing else would end the frame, however it comes in', () => {
    for (const size of [max - 1, max])
      always(`${A}${sized(size)}${B}`, [whole(A), whole(sized(size)), whole(B)], { maxFrameBytes: max });
    for (const size of [max + 1, 3 * max]) {
      always(`${A}${sized(size)}${B}`, [whole(A), fatal], { maxFrameBytes: max });
      always(`${sized(size)}\n${B}\n`, [fatal], { maxFrameBytes: max });
    }
    always(`${A}${sized(2 * max).slice(0, -20)}\n${B}`, [whole(A), fatal], { maxFrameBytes: max });
    always('{"a":'.repeat(max), [fatal], { maxFrameBytes: max });
  });

  it('is told from one just small enough, around the headroom and the read area too', () => {
    const { headroomBytes, readBytes, frameBytes } = LIMITS;
    const sizes = [headroomBytes, readBytes, headroomBytes + readBytes, frameBytes].flatMap((size) =>
      [-1, 0, 1].map((more) => size + more),
    );
    for (const size of sizes) {
      const big = sized(size);
      const fits = size <= frameBytes;
      for (const [i, reads] of [
        4 * 1024,
        headroomBytes,
        headroomBytes + 7,
        readBytes - A.length,
        readBytes,
      ].entries()) {
        for (const separator of ['\n', '\r\n', '']) {
          if (separator === '\r\n' && size === frameBytes) continue; // the carriage return is part of the line
          const bytes = Buffer.from([A, big, B, big, A].join(separator));
          const cuts = Array.from({ length: Math.floor(bytes.length / reads) }, (_, n) => (n + 1) * reads);
          const large = separator === '' ? fatal : oversized;
          const records = fits
            ? [whole(A), whole(big), whole(B), whole(big), whole(A)]
            : separator === ''
              ? [whole(A), large]
              : [whole(A), large, whole(B), large, whole(A)];
          const manner = { scannable: i % 2 === 0, holdEvery: i % 3 };
          same(
            feed(bytes, cuts, manner),
            records,
            () => `${size} bytes, reads of ${reads}, ${JSON.stringify(separator)}`,
          );
        }
      }
    }
  });
});

describe('any stream', () => {
  it('gives what the model gives, in whatever reads it comes', (t) => {
    const max = 300;
    const piece = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...ONE_LINE.map(({ bytes }) => bytes)) },
      { weight: 2, arbitrary: fc.constantFrom(...PRETTY.map(({ bytes }) => bytes)) },
      {
        weight: 8,
        arbitrary: fc.constantFrom('\n', '\n', '\r\n', ' ', '\t', '\n\n', '').map((s) => Buffer.from(s)),
      },
      {
        weight: 2,
        arbitrary: fc
          .constantFrom(
            '}',
            '{',
            '"',
            '\\',
            '\ufeff',
            'x',
            '[]',
            '{}',
            '{"a',
            '"}',
            '\\"',
            '{"}"}',
            'null',
            '\u0000',
            'a\nb',
          )
          .map((s) => Buffer.from(s)),
      },
      {
        weight: 2,
        arbitrary: fc
          .tuple(fc.constantFrom(...ONE_LINE.map(({ bytes }) => bytes)), fc.nat(300))
          .map(([bytes, length]) => bytes.subarray(0, length)),
      },
    );
    let seed = 0;
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 16 }), fc.integer(), (pieces, cutting) => {
        const bytes = Buffer.concat(pieces);
        const cuts = randomCuts(seeded(cutting), bytes.length);
        const manner = { scannable: seed % 2 === 0, holdEvery: seed++ % 4, maxFrameBytes: max };
        const records = joinJunk(model(bytes, max));
        for (const { cut } of records) seen.set(cut, (seen.get(cut) ?? 0) + 1);
        assert.deepEqual(joinJunk(feed(bytes, cuts, manner)), records, `cut at ${cuts}`);
      }),
      { seed: SEED + 6, numRuns: 4_000 },
    );
    t.diagnostic(`seed ${SEED + 6}: ${JSON.stringify(Object.fromEntries(seen))}`);
    for (const cut of ['frame', 'torn', 'oversized', 'fatal']) assert.ok((seen.get(cut) ?? 0) > 100, cut);
  });
});
