/**
 * The fast scanner and its twin: what they copy are documented, valid events of one node, byte for byte and in order;
 * everything else they hand back; and a plain event is never handed back. Judged by the oracle, line by line.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { LIMITS } from '../src/limits.js';
import { loadAddon } from '../src/native/addon.js';
import { STOP } from '../src/native/scanner.js';
import { judge } from './frame-oracle.js';
import { BAD_FRAMES, EDGE_IDS, event, frame, GOOD_FRAMES } from './frame-table.js';
import { anyLine, plainEvent, SEED } from './frames.js';
import { linesOf, MODES, ScannerRun, skipped, trimmed } from './scanner-run.js';

const KiB = 1024;
const NEWLINE = Buffer.from('\n');

/** The frames of the table that stand on one line. */
const TABLE_LINES = [...GOOD_FRAMES, ...BAD_FRAMES]
  .map(({ bytes }) => bytes)
  .filter((bytes) => !bytes.includes(10));

/** Lines of which the scanner's first stage says no: they spoil a whole slice of lines. */
const SPOILERS = [
  '{"a":"\xff"}',
  '{"a":"',
  '"',
  '{"a":"\u0001"}',
  '\xed\xa0\x80',
  `${event().slice(0, 60)}`,
].map((text) => Buffer.from(text, 'latin1'));

function eventOf(bytes: number, fill = 'x'): Buffer {
  const empty = event('{"s":""}');
  return Buffer.from(event(`{"s":"${fill.repeat(bytes - empty.length)}"}`));
}

for (const mode of MODES) {
  describe(`the ${mode} scanner`, { skip: skipped(mode) }, () => {
    it('agrees with the oracle about generated and broken lines, wherever they stand', (t) => {
      const run = new ScannerRun(mode, 1024 * KiB);
      let lines = 0;
      let slow = 0;
      let starts = 0;
      fc.assert(
        fc.property(fc.array(anyLine, { minLength: 1, maxLength: 12 }), anyLine, (some, torn) => {
          starts++;
          lines += some.filter((line) => trimmed(line).length > 0).length;
          slow += run.check(some, starts % 131, starts % 3 === 0 ? torn : undefined);
        }),
        { seed: SEED + 2, numRuns: 1_500 },
      );
      t.diagnostic(`seed ${SEED + 2}: ${lines} lines, ${slow} of them slow`);
      assert.ok(slow > lines / 5 && lines - slow > lines / 5, 'the lines prove too little');
    });

    it('never hands back a plain compact event', () => {
      const run = new ScannerRun(mode, 1024 * KiB);
      fc.assert(
        fc.property(fc.array(plainEvent, { minLength: 1, maxLength: 10 }), fc.nat(64), (events, start) => {
          assert.equal(
            run.check(
              events.map((text) => Buffer.from(text)),
              start,
            ),
            0,
          );
        }),
        { seed: SEED + 3, numRuns: 1_000 },
      );
    });

    it('judges every frame of the table between good neighbours', () => {
      const run = new ScannerRun(mode, 1024 * KiB);
      const good = Buffer.from(event());
      for (const line of TABLE_LINES) run.check([good, line, good, good]);
      run.check(TABLE_LINES);
      run.check([...TABLE_LINES].reverse().flatMap((line) => [good, line]));
    });

    it('agrees about every single byte of an event changed, left out or doubled', () => {
      const run = new ScannerRun(mode, 2048 * KiB);
      const original = Buffer.from(event('{"a":[1.5e3,-0,"\\u00e9\\n",true,null,{}],"é":"x"}'));
      const others = [...'"\\{}[],: 019-+.eEtfn/u\r\t', '\u0000', '\u001f'].map((c) => c.charCodeAt(0));
      for (let at = 0; at < original.length; at++) {
        const changed = [...others, 0x80, 0xc3, 0xff].map((byte) => {
          const line = Buffer.from(original);
          line[at] = byte;
          return line;
        });
        const without = Buffer.concat([original.subarray(0, at), original.subarray(at + 1)]);
        const doubled = Buffer.concat([original.subarray(0, at), original.subarray(at - (at > 0 ? 1 : 0))]);
        run.check([...changed, without, doubled, original.subarray(0, at), original], at % 64);
      }
    });

    it('takes no event that stands on two lines, wherever the newline is', () => {
      const run = new ScannerRun(mode, 64 * KiB);
      const text = event('{"a":[1,{"b":true}],"c":null}');
      const moved = `{"message":${text.slice(text.indexOf('{"PotEvent'), -1)},"version":2}`;
      for (const whole of [text, moved].map((some) => Buffer.from(some))) {
        for (let at = 1; at < whole.length; at++)
          assert.equal(
            run.check([whole, whole.subarray(0, at), whole.subarray(at), whole]),
            2,
            `newline at ${at}`,
          );
      }
    });

    it('fills every possible room exactly as far as whole events fit, and goes on where it stopped', () => {
      const lines = [
        '',
        event(),
        `  ${event('{"a":2}')}\r`,
        '\r',
        event('{"a":"\\n\\u0041"}'),
        event('{"longer":"than the others, by a good deal"}'),
        `${event('{}')} `,
        event('{"last":true}'),
      ].map((text) => Buffer.from(text));
      const events = lines.map(trimmed).filter((line) => line.length > 0);
      const total = events.reduce((sum, line) => sum + line.length + 1, 0);
      const run = new ScannerRun(mode, 16 * KiB);
      const end = run.put(Buffer.concat(lines.flatMap((line) => [line, NEWLINE])));
      for (let room = 0; room <= total + 1; room++) {
        let copied = 0;
        let count = 0;
        while (count < events.length && copied + events[count]!.length + 1 <= room)
          copied += events[count++]!.length + 1;
        const stop = run.scanner.scan(0, end, 0, room, false);
        assert.equal(stop, count < events.length ? STOP.full : STOP.done, `room ${room}`);
        assert.equal(run.scanner.events, count);
        assert.equal(run.scanner.copiedBytes, copied);
        run.target.fill(0xa5, 0, copied);
        // A second try with no more room changes nothing; then the rest, in rooms that hold one event at most.
        const at = run.scanner.position;
        if (stop === STOP.full) {
          assert.equal(run.scanner.scan(at, end, 0, 0, true), STOP.full);
          assert.equal(run.scanner.position, at);
          assert.equal(run.scanner.copiedBytes, 0);
        }
        let room2 = 0;
        const rest = restOf(run, at, end, () => 40 + ((room2++ * 97) % 400));
        assert.deepEqual(rest.map(String), events.slice(count).map(String));
      }
    });

    it('takes up again in the middle of many slices, between slow lines', () => {
      const run = new ScannerRun(mode, 512 * KiB);
      const lines = Array.from({ length: 900 }, (_, i) =>
        Buffer.from(
          i % 7 === 3 ? frame('NodeEvent', '"Started"') : event(`{"i":${i},"s":"${'y'.repeat(i % 300)}\\t"}`),
        ),
      );
      const end = run.put(Buffer.concat(lines.flatMap((line) => [line, NEWLINE])));
      let rooms = 0;
      const { items, fulls } = run.scan(0, end, () =>
        rooms++ % 3 === 0 ? 100 : 2_500 + ((rooms * 7919) % 9_000),
      );
      run.compare(lines, items);
      assert.ok(fulls > 50, `full only ${fulls} times`);
    });

    it('finds the lines of a buffer of many slices, with a bad line every few', () => {
      const run = new ScannerRun(mode, 512 * KiB);
      for (const every of [1, 2, 3, 10, 57, 200, 100_000]) {
        for (const [kind, spoiler] of SPOILERS.entries()) {
          const lines = Array.from({ length: every < 10 ? 200 : 450 }, (_, i) =>
            i % every === every - 1
              ? spoiler
              : Buffer.from(event(`{"i":${i},"s":"${'z'.repeat((i * 31) % 200)}"}`)),
          );
          run.check(lines, (every + kind) % 64);
        }
      }
    });

    it('takes lines of every length around its slices, up to the longest frame, and hands back longer ones', () => {
      const max = LIMITS.frameBytes;
      const run = new ScannerRun(mode, 5 * max);
      const small = Buffer.from(event());
      for (const length of [
        32 * KiB - 2,
        32 * KiB - 1,
        32 * KiB,
        32 * KiB + 1,
        64 * KiB - 1,
        64 * KiB,
        64 * KiB + 1,
      ]) {
        const line = eventOf(length);
        assert.equal(run.check([line, small]), 0);
        assert.equal(run.check([small, line, line, small], 13), 0);
        assert.equal(run.check([Buffer.from('{"a":"'), small, line, Buffer.from([0xff]), line], 5), 2);
      }
      assert.equal(run.check([eventOf(max - 1), small, eventOf(max), small]), 0);
      assert.equal(run.check([small, eventOf(max + 1), small]), 1);
      // A line is too long with its white space, in the scanners as in the framer.
      assert.equal(run.check([Buffer.from(`${eventOf(max - 1)}\r`), Buffer.from(` ${eventOf(max - 1)}`)]), 0);
      assert.equal(run.check([Buffer.from(`${eventOf(max)}\r`), Buffer.from(` ${eventOf(max)}`)]), 2);
    });

    it('looks at every escape, however many lines lie between them', () => {
      const run = new ScannerRun(mode, 512 * KiB);
      const plain = Buffer.from(event());
      const good = Buffer.from(event('{"a":"\\\\\\"\\/\\b\\f\\n\\r\\t\\uaBcD\\\\"}'));
      const bad = ['\\x', '\\u12g4', '\\u123', '\\U0041', "\\'", '\\0', '\\', '\\ '].map((wrong) =>
        Buffer.from(event(`{"a":"${wrong}"}`)),
      );
      const stray = [
        Buffer.from('\\'),
        Buffer.from(`\\${event()}`),
        Buffer.from(event('{"a":1\\n}')),
        Buffer.from(`${event()}\\`),
        Buffer.from(`${event().slice(0, 60)}\\`),
      ];
      for (const odd of [...bad, ...stray]) {
        for (const gap of [0, 1, 5, 150]) {
          const between = Array.from({ length: gap }, () => plain);
          run.check([good, ...between, odd, ...between, good, ...between, odd, odd, good], gap % 64);
        }
      }
    });

    it('takes only the events of the node it was told', () => {
      const run = new ScannerRun(mode, 64 * KiB);
      const ids = [...EDGE_IDS, '90071992547409930', '900719925474099', '2', '10', '19007199254740993'];
      const lines = ids.flatMap((id) => [Buffer.from(event('{}', id)), Buffer.from(event('{}', `${id}.0`))]);
      for (const id of ids) {
        run.use(id);
        assert.equal(run.check(lines), lines.length - 1);
      }
    });

    it('takes nothing where there is no whole line', () => {
      const run = new ScannerRun(mode, 4 * KiB);
      const end = run.put(Buffer.from(event()), 7, 10);
      for (let stop = 7; stop <= end; stop++)
        assert.deepEqual(run.scan(7, stop), { items: [], position: 7, fulls: 0 });
    });
  });
}

describe('the two scanners', { skip: skipped('native') }, () => {
  it('stop at the same places with the same results, for lines in a plain spelling', () => {
    const native = new ScannerRun('native', 256 * KiB);
    const twin = new ScannerRun('portable', 256 * KiB);
    const line = fc.oneof(
      plainEvent.map((text) => Buffer.from(text)),
      fc.constantFrom(
        ...TABLE_LINES.filter((bytes) => {
          const verdict = judge(bytes);
          return !bytes.includes(0x5c) && (verdict.kind === 'refused' || !verdict.unusual);
        }),
      ),
      fc.constantFrom('', '\r', ' ').map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), fc.nat(3_000), fc.nat(64), (lines, room, start) => {
        const bytes = Buffer.concat(lines.flatMap((some) => [some, NEWLINE]));
        const results = [native, twin].map((run) => {
          const end = run.put(bytes, start);
          const steps: unknown[] = [];
          for (let at = start, resume = false; ; resume = true) {
            const { scanner } = run;
            const stop = scanner.scan(at, end, 0, room, resume);
            const { position, copiedBytes, events, slowStart, slowEnd } = scanner;
            const slow = stop === STOP.slow ? [slowStart, slowEnd] : [];
            steps.push([stop, position, events, slow, run.target.toString('latin1', 0, copiedBytes)]);
            if (stop !== STOP.slow) return steps;
            at = position;
          }
        });
        assert.deepEqual(results[0], results[1]);
      }),
      { seed: SEED + 4, numRuns: 1_000 },
    );
  });
});

describe('the addon', { skip: skipped('native') }, () => {
  it('throws for arguments outside of the buffers, and does nothing', () => {
    const run = new ScannerRun('native', KiB);
    const end = run.put(Buffer.concat([Buffer.from(event()), NEWLINE]));
    const { scanner, source, target } = run;
    const outside: [number, number, number, number][] = [
      [-1, end, 0, 100],
      [0, source.length - LIMITS.paddingBytes + 1, 0, 100],
      [10, 9, 0, 100],
      [0, end, -1, 100],
      [0, end, 0, -1],
      [0, end, 0, target.length + 1],
      [0, end, target.length, 1],
      [0, end, 2 ** 31 - 1, 2 ** 31 - 1],
    ];
    for (const [start, stop, offset, space] of outside)
      assert.throws(() => scanner.scan(start, stop, offset, space, false), /outside/);
    const addon = loadAddon();
    assert.throws(() => addon.copy(target, target.length - 3, source, 0, 4), /outside/);
    assert.throws(() => addon.copy(target, 0, source, -1, 4), /outside/);
    assert.throws(() => addon.lineEnds(source, 0, source.length + 1, new Int32Array(4)));
    assert.ok(target.every((byte) => byte === 0xa5));
  });

  it('makes the checksums of zlib, of every length and from every place, in one piece or several', (t) => {
    const addon = loadAddon();
    if (addon.crc32 === undefined) return t.skip('no carry-less multiplication on this machine');
    const bytes = Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 2_654_435_761) >>> 24));
    for (let length = 0; length <= 1_500; length++) {
      const piece = bytes.subarray(length % 67, (length % 67) + length);
      assert.equal(addon.crc32(piece, 0), crc32(piece), `${length} bytes`);
    }
    for (let cut = 0; cut <= bytes.length; cut += 97) {
      const first = addon.crc32(bytes.subarray(0, cut), 0);
      assert.equal(addon.crc32(bytes.subarray(cut), first), crc32(bytes), `cut at ${cut}`);
    }
  });

  it('copies exactly, and finds the ends of lines as far as there is room for them', () => {
    const addon = loadAddon();
    const source = Buffer.from('a\n\nbc\nd');
    const target = Buffer.alloc(6, '.');
    addon.copy(target, 1, source, 3, 4);
    assert.equal(target.toString(), '.bc\nd.');
    const ends = new Int32Array(2);
    assert.equal(addon.lineEnds(source, 0, source.length, ends), 2);
    assert.deepEqual([...ends], [2, 3]);
    assert.equal(addon.lineEnds(source, 3, source.length, ends), 1);
    assert.equal(ends[0], 6);
  });
});

/** What is still copied from `at` on, line by line. */
function restOf(run: ScannerRun, at: number, end: number, spaceOf: () => number): Buffer[] {
  const lines: Buffer[] = [];
  for (let position = at; ; ) {
    const stop = run.scanner.scan(position, end, 0, spaceOf(), true);
    const copied = run.target.subarray(0, run.scanner.copiedBytes);
    lines.push(...linesOf(copied).map((line) => Buffer.from(line)));
    copied.fill(0xa5);
    position = run.scanner.position;
    if (stop === STOP.done) return lines;
    assert.equal(stop, STOP.full);
  }
}
