/**
 * The bench must not lie: its verifier finds every kind of fault however the bytes are cut, its generator makes what
 * it says, its percentiles are those of a sort. Everything here is seeded and in memory.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { checkNumbered } from '../bench/acks.js';
import { readArguments, UsageError } from '../bench/arguments.js';
import { BlockWriter } from '../bench/block-writer.js';
import type { FaultCounts, FaultKind } from '../bench/faults.js';
import { createGauges, Gauges } from '../bench/gauges.js';
import { blockEvents, blockOf, type EventBlocks, makeBlocks } from '../bench/generator.js';
import { Histogram } from '../bench/histogram.js';
import { paceOf } from '../bench/latency.js';
import { LineFeeder } from '../bench/lines.js';
import { checkLog } from '../bench/log-check.js';
import { Random } from '../bench/random.js';
import { RecordStream, type StreamKind } from '../bench/record-stream.js';
import { Verifier } from '../bench/verifier.js';
import { FrameError, FrameReader, OPCODE } from '../bench/websocket-frames.js';

const NODES = 5;
const PREFIX_REGISTERED = '{"version":2,"message":{"NodeRegistered":{"node_id":';

function blocksOf(seed: number, mix: 'uniform' | 'real' = 'uniform', nodes = NODES): EventBlocks {
  return makeBlocks({ nodes, seed, mix, eventBytes: 302, blockBytes: 6_000 });
}

/** Event `number` of a node, counted over all repetitions of its block, without its newline. */
function eventOf(blocks: EventBlocks, node: number, number: number): string {
  const event = blocks.firstEvent[node]! + (number % blockEvents(blocks, node));
  return Buffer.from(
    blocks.bytes.subarray(blocks.eventStart[event]!, blocks.eventStart[event + 1]! - 1),
  ).toString();
}

interface Sent {
  readonly node: number;
  readonly number: number;
}

interface Stream {
  readonly records: string[];
  /** Where the events stand in `records`. */
  readonly events: (Sent & { readonly at: number })[];
  readonly sent: Float64Array;
}

/** Runs of random length from random nodes, with notices in between, as a Core interleaves them. */
function interleave(blocks: EventBlocks, random: Random, runs: number): Stream {
  const records: string[] = [];
  const events: Stream['events'] = [];
  const sent = new Float64Array(blocks.nodes);
  for (let run = 0; run < runs; run++) {
    const node = random.below(blocks.nodes);
    const length = random.pick([1, 1, 2, 7, 30]);
    for (let event = 0; event < length; event++) {
      const number = sent[node]!;
      sent[node]! += 1;
      events.push({ node, number, at: records.length });
      records.push(eventOf(blocks, node, number));
    }
    if (random.below(6) === 0) records.push(`${PREFIX_REGISTERED}${blocks.nodeIds[node]},"node_name":"x"}}}`);
  }
  return { records, events, sent };
}

function frame(payload: Buffer, opcode: number = OPCODE.text, final = true): Buffer {
  const first = (final ? 0x80 : 0) | opcode;
  const { length } = payload;
  if (length < 126) return Buffer.concat([Buffer.from([first, length]), payload]);
  if (length < 65_536) return Buffer.concat([Buffer.from([first, 126, length >> 8, length & 0xff]), payload]);
  const header = Buffer.alloc(10);
  header[0] = first;
  header[1] = 127;
  header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, payload]);
}

/** What a server sends for these records; batches of random size, some of them fragmented, pings in between. */
function wire(records: readonly string[], kind: StreamKind, random: Random): Buffer {
  if (kind === 'event') {
    return Buffer.concat(
      records.flatMap((record) => {
        const message = frame(Buffer.from(record));
        return random.below(40) === 0 ? [frame(Buffer.from('p'), OPCODE.ping), message] : [message];
      }),
    );
  }
  const frames: Buffer[] = [];
  for (let at = 0; at < records.length; ) {
    const count = random.between(1, 60);
    const payload = Buffer.from(
      records
        .slice(at, at + count)
        .map((record) => `${record}\n`)
        .join(''),
    );
    at += count;
    const cut = random.below(3) === 0 ? random.below(payload.length) : payload.length;
    frames.push(frame(payload.subarray(0, cut), OPCODE.text, cut === payload.length));
    if (cut === payload.length) continue;
    if (random.below(2) === 0) frames.push(frame(Buffer.from('between'), OPCODE.ping));
    frames.push(frame(payload.subarray(cut), OPCODE.continuation));
  }
  return Buffer.concat(frames);
}

/** Hands out `bytes` in pieces through one buffer that is used again, like a socket's. */
function inPieces(
  bytes: Buffer,
  largest: number,
  random: Random,
  take: (buffer: Buffer, start: number, end: number) => void,
): void {
  const buffer = Buffer.alloc(largest + 8);
  for (let at = 0; at < bytes.length; ) {
    const length = Math.min(random.between(1, largest), bytes.length - at);
    const start = random.below(8);
    buffer.fill(10);
    bytes.copy(buffer, start, at, at + length);
    take(buffer, start, start + length);
    at += length;
  }
}

function verify(
  blocks: EventBlocks,
  records: readonly string[],
  sent: Float64Array,
  kind: StreamKind | 'lines',
  seed: number,
): Verifier {
  const random = new Random(seed, 99);
  const verifier = new Verifier(blocks, { framed: kind === 'event', othersAllowed: false });
  const largest = random.pick([1, 50, 700, 5_000, 100_000]);
  if (kind === 'lines') {
    const lines = new LineFeeder(verifier);
    inPieces(Buffer.from(records.map((record) => `${record}\n`).join('')), largest, random, (...piece) =>
      lines.feed(...piece),
    );
    assert.ok(lines.atBoundary);
  } else {
    const stream = new RecordStream(kind, verifier, { ping: () => {}, close: () => {} });
    inPieces(wire(records, kind, random), largest, random, (...piece) => stream.read(...piece));
  }
  verifier.finish(sent);
  return verifier;
}

const NO_FAULTS: FaultCounts = {
  lost: 0,
  duplicated: 0,
  reordered: 0,
  damaged: 0,
  unexpected: 0,
  protocol: 0,
};
const KINDS = ['lines', 'batch', 'event'] as const;

describe('the bench generator', () => {
  for (const mix of ['uniform', 'real'] as const) {
    it(`makes the same ${mix} events from the same seed, and others from another`, () => {
      const blocks = blocksOf(7, mix);
      assert.deepEqual(blocksOf(7, mix), blocks);
      assert.notDeepEqual(blocksOf(8, mix).bytes, blocks.bytes);
    });

    it(`makes only valid, documented ${mix} events with the node's own digits and their number`, () => {
      const blocks = makeBlocks({ nodes: 8, seed: 3, mix, eventBytes: 302, blockBytes: 60_000 });
      for (let node = 0; node < blocks.nodes; node++) {
        const lines = blockOf(blocks, node).toString().split('\n');
        assert.equal(lines.pop(), '');
        assert.equal(lines.length, blockEvents(blocks, node));
        lines.forEach((line, number) => {
          assert.ok(
            line.startsWith(`{"version":2,"message":{"PotEvent":{"node_id":${blocks.nodeIds[node]},`),
          );
          const { version, message } = JSON.parse(line);
          assert.equal(version, 2);
          const event = message.PotEvent;
          assert.deepEqual(Object.keys(event), [
            'node_id',
            'pot_id',
            'pot_type',
            'event_type',
            'timestamp',
            'data',
          ]);
          for (const field of ['pot_id', 'pot_type', 'event_type'])
            assert.equal(typeof event[field], 'string');
          assert.match(event.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|\+02:00)?$/);
          assert.equal(event.data.number, number);
        });
      }
    });
  }

  it('makes uniform events of exactly the length asked for', () => {
    for (const eventBytes of [280, 302, 5_000]) {
      const blocks = makeBlocks({ nodes: 3, seed: 1, mix: 'uniform', eventBytes, blockBytes: 20_000 });
      const lengths = blocks.eventStart.slice(1).map((end, event) => end - blocks.eventStart[event]!);
      assert.deepEqual(new Set(lengths), new Set([eventBytes]));
    }
  });

  it('makes real events in the sizes that honeypots send', () => {
    const blocks = makeBlocks({ nodes: 1, seed: 5, mix: 'real', eventBytes: 0, blockBytes: 4_000_000 });
    const lengths = [...blocks.eventStart.slice(1)].map((end, event) => end - blocks.eventStart[event]!);
    const share = (low: number, high: number): number =>
      lengths.filter((length) => length >= low && length < high).length / lengths.length;
    assert.ok(Math.abs(share(200, 400) - 0.52) < 0.04, `200-400: ${share(200, 400)}`);
    assert.ok(Math.abs(share(700, 1300) - 0.2) < 0.04, `700-1300: ${share(700, 1300)}`);
    assert.ok(share(8192, 65_536) > 0.002, `8-64 K: ${share(8192, 65_536)}`);
    assert.ok(Math.max(...lengths) <= 65_536);
  });

  it('draws node ids once each, most of them above 2^53', () => {
    const { nodeIds } = makeBlocks({ nodes: 2_000, seed: 2, mix: 'uniform', eventBytes: 302, blockBytes: 1 });
    assert.equal(new Set(nodeIds).size, 2_000);
    assert.ok(nodeIds.every((id) => BigInt(id) > 0n && BigInt(id) < 2n ** 64n));
    assert.ok(nodeIds.filter((id) => BigInt(id) > 2n ** 53n).length > 1_800);
    assert.ok(nodeIds.some((id) => BigInt(id) < 2n ** 53n));
  });
});

describe('the bench verifier', () => {
  for (const kind of KINDS) {
    it(`accepts what was sent, however it is cut and interleaved (${kind})`, () => {
      for (let seed = 1; seed <= 20; seed++) {
        const random = new Random(seed);
        const blocks = blocksOf(seed, seed % 2 === 0 ? 'real' : 'uniform');
        const { records, events, sent } = interleave(blocks, random, 60);
        const verifier = verify(blocks, records, sent, kind, seed);
        assert.deepEqual(verifier.faults.told, []);
        assert.deepEqual(verifier.faults.counts, NO_FAULTS);
        assert.equal(verifier.events, events.length);
        assert.equal(verifier.notices, records.length - events.length);
        const bytes = events.reduce((sum, { at }) => sum + Buffer.byteLength(records[at]!) + 1, 0);
        assert.equal(verifier.bytes, bytes);
      }
    });

    it(`names every lost, doubled, swapped and damaged event (${kind})`, () => {
      const faults: Record<
        Exclude<FaultKind, 'protocol' | 'unexpected'>,
        (stream: Stream, random: Random) => Sent
      > = {
        lost: ({ records, events }, random) => {
          const event = random.pick(events);
          records.splice(event.at, 1);
          return event;
        },
        duplicated: ({ records, events }, random) => {
          const event = random.pick(events);
          records.splice(event.at, 0, records[event.at]!);
          return event;
        },
        reordered: ({ records, events }, random) => {
          const first = random.pick(
            events.filter(({ node, number }) =>
              events.some((one) => one.node === node && one.number === number + 1),
            ),
          );
          const second = events.find(
            ({ node, number }) => node === first.node && number === first.number + 1,
          )!;
          [records[first.at], records[second.at]] = [records[second.at]!, records[first.at]!];
          return first;
        },
        damaged: ({ records, events }, random) => {
          const event = random.pick(events);
          const record = Buffer.from(records[event.at]!);
          // Not the digits of the node id: then it would be another node's event.
          const at = random.between(80, record.length - 1);
          record[at] = record[at] === 0x7e ? 0x7d : 0x7e;
          records[event.at] = record.toString();
          return event;
        },
      };
      for (const [fault, make] of Object.entries(faults)) {
        for (let seed = 1; seed <= 15; seed++) {
          const random = new Random(seed, 5);
          const blocks = blocksOf(seed, 'uniform');
          const stream = interleave(blocks, random, 40);
          const { node, number } = make(stream, random);
          const verifier = verify(blocks, stream.records, stream.sent, kind, seed);
          assert.deepEqual(verifier.faults.counts, { ...NO_FAULTS, [fault]: 1 }, `${fault}, seed ${seed}`);
          const told = verifier.faults.told.join('\n');
          assert.ok(told.includes(`node ${blocks.nodeIds[node]}`), told);
          const place = String(number % blockEvents(blocks, node));
          assert.ok(told.includes(`number ${place}`) || told.includes('the last 1 of'), told);
        }
      }
    });

    it(`finds a node's events that ended too early, and ones that were never sent (${kind})`, () => {
      const blocks = blocksOf(1);
      const { records, sent } = interleave(blocks, new Random(1), 30);
      const more = sent.map((count, node) => (node === 2 ? count + 3 : count));
      assert.deepEqual(verify(blocks, records, more, kind, 1).faults.counts, { ...NO_FAULTS, lost: 3 });
      const fewer = sent.map((count, node) => (node === 2 ? count - 1 : count));
      assert.deepEqual(verify(blocks, records, fewer, kind, 1).faults.counts, {
        ...NO_FAULTS,
        unexpected: 1,
      });
    });

    it(`reports records of nodes that do not exist, and records of no known kind (${kind})`, () => {
      const blocks = blocksOf(1);
      const { records, sent } = interleave(blocks, new Random(2), 30);
      records.splice(
        3,
        0,
        records[0]!.replace(/\d{15,}/, '12345'),
        '{"version":2,"message":{"Other":{}}}',
        'garbage',
      );
      assert.deepEqual(verify(blocks, records, sent, kind, 3).faults.counts, { ...NO_FAULTS, unexpected: 3 });
    });
  }

  it('reports a batch message that ends inside a record', () => {
    const blocks = blocksOf(1);
    const verifier = new Verifier(blocks, { framed: false, othersAllowed: false });
    const stream = new RecordStream('batch', verifier, { ping: () => {}, close: () => {} });
    const bytes = frame(Buffer.from(eventOf(blocks, 0, 0).slice(0, 100)));
    stream.read(bytes, 0, bytes.length);
    assert.deepEqual(verifier.faults.counts, { ...NO_FAULTS, protocol: 1 });
  });

  it('tells each event once and in order to whoever measures latency', () => {
    const blocks = blocksOf(4);
    const { records, sent } = interleave(blocks, new Random(4), 50);
    const verifier = new Verifier(blocks, { framed: true, othersAllowed: false });
    const next = new Float64Array(blocks.nodes);
    verifier.onMatch = (node, first, count) => {
      assert.equal(first, next[node]);
      next[node]! += count;
    };
    const stream = new RecordStream('event', verifier, { ping: () => {}, close: () => {} });
    inPieces(wire(records, 'event', new Random(4)), 900, new Random(4), (...piece) => stream.read(...piece));
    assert.deepEqual(next, sent);
  });

  it('verifies a log over all its segments and finds the line that is missing', async () => {
    const blocks = blocksOf(6);
    const { records, events, sent } = interleave(blocks, new Random(6), 50);
    const dir = mkdtempSync(join(tmpdir(), 'honeybee-bench-test-'));
    const write = (lines: readonly string[]): void => {
      const half = lines.length >> 1;
      writeFileSync(
        join(dir, '00000000000000000001.ndjson'),
        lines
          .slice(0, half)
          .map((line) => `${line}\n`)
          .join(''),
      );
      writeFileSync(
        join(dir, `${String(half + 1).padStart(20, '0')}.ndjson`),
        lines
          .slice(half)
          .map((line) => `${line}\n`)
          .join(''),
      );
    };
    try {
      write(records);
      const whole = await checkLog(dir, blocks, sent, () => {});
      assert.deepEqual(whole.summary.faultCounts, NO_FAULTS);
      assert.equal(whole.summary.events, events.length);
      assert.equal(whole.segments, 2);
      write(records.toSpliced(events[40]!.at, 1));
      const torn = await checkLog(dir, blocks, sent, () => {});
      assert.deepEqual(torn.summary.faultCounts, { ...NO_FAULTS, lost: 1 });
      assert.notEqual(torn.checksum, whole.checksum);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe('the bench of acknowledgements', () => {
  const ids = ['18446744073709551615', '7'];
  const parts = ids.map((id) => ({
    head: `{"version":2,"message":{"PotEvent":{"node_id":${id},"seq":`,
    tail: ',"x":1}}}\n',
  }));
  const good = [1, 2, 3, 4].flatMap((seq) => parts.map(({ head, tail }) => `${head}${seq}${tail}`));
  const notice = '{"version":2,"message":{"NodeRegistered":{"node_id":7}}}\n';
  const sent = Float64Array.of(4, 4);

  function check(lines: readonly string[]): string[] {
    const dir = mkdtempSync(join(tmpdir(), 'honeybee-bench-test-'));
    try {
      writeFileSync(join(dir, '00000000000000000001.ndjson'), lines.slice(0, 3).join(''));
      writeFileSync(join(dir, '00000000000000000004.ndjson'), lines.slice(3).join(''));
      return checkNumbered(dir, ids, parts, sent);
    } finally {
      rmSync(dir, { recursive: true });
    }
  }

  it('finds every event in the log once, in order, byte for byte', () => {
    assert.deepEqual(check([notice, ...good, notice]), []);
  });

  it('names what is lost, doubled, exchanged, damaged, foreign', () => {
    const swapped = good.with(2, good[4]!).with(4, good[2]!);
    for (const [what, lines] of [
      ['lost', good.toSpliced(4, 1)],
      ['the last one lost', good.slice(0, -1)],
      ['doubled', good.toSpliced(4, 0, good[4]!)],
      ['exchanged', swapped],
      ['damaged', good.with(4, good[4]!.replace('"x":1', '"x":2'))],
      ['foreign', [...good, good[0]!.replace(ids[0]!, '9')]],
    ] as const) {
      assert.notDeepEqual(check(lines), [], what);
    }
  });
});

describe('the bench WebSocket reader', () => {
  function transcript(bytes: Buffer, largest: number, random: Random): string[] {
    const seen: string[] = [];
    let message = '';
    const reader = new FrameReader({
      payload: (buffer, start, end) => {
        message += buffer.toString('latin1', start, end);
      },
      messageEnd: () => {
        seen.push(`message ${message}`);
        message = '';
      },
      control: (opcode, payload) => seen.push(`control ${opcode} ${payload.toString('latin1')}`),
    });
    inPieces(bytes, largest, random, (buffer, start, end) => {
      for (let at = start; at < end; ) at = reader.read(buffer, at, end);
    });
    assert.ok(reader.atBoundary);
    return seen;
  }

  it('reads the same messages whole, one byte at a time, and cut at random', () => {
    const random = new Random(11);
    const frames: Buffer[] = [];
    for (const length of [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 70_000]) {
      const payload = Buffer.from(random.hex(length), 'latin1');
      frames.push(frame(payload));
      const cut = random.below(length + 1);
      frames.push(
        frame(payload.subarray(0, cut), OPCODE.text, false),
        frame(Buffer.from('ping'), OPCODE.ping),
      );
      frames.push(
        frame(Buffer.alloc(0), OPCODE.continuation, false),
        frame(payload.subarray(cut), OPCODE.continuation),
      );
    }
    frames.push(frame(Buffer.from([3, 0xe9, 0x62, 0x79, 0x65]), OPCODE.close));
    const bytes = Buffer.concat(frames);
    const whole = transcript(bytes, bytes.length, {
      between: () => bytes.length,
      below: () => 0,
    } as unknown as Random);
    assert.equal(whole.length, 9 * 3 + 1);
    assert.deepEqual(transcript(bytes, 1, random), whole);
    for (let round = 0; round < 5; round++)
      assert.deepEqual(transcript(bytes, random.pick([3, 40, 9_000]), random), whole);
  });

  it('refuses what a server must not send', () => {
    const sink = { payload: () => {}, messageEnd: () => {}, control: () => {} };
    const bad: Record<string, number[]> = {
      'a masked frame': [0x81, 0x81, 0, 0, 0, 0, 0],
      'a reserved bit': [0xc1, 1, 0],
      'a continuation of nothing': [0x80, 1, 0],
      'a message inside a message': [0x01, 1, 0, 0x81, 1, 0],
      'a long ping': [0x89, 126, 0, 200],
      'a fragmented ping': [0x09, 1, 0],
      'an unknown opcode': [0x83, 1, 0],
      'an endless frame': [0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0],
    };
    for (const [what, bytes] of Object.entries(bad)) {
      const reader = new FrameReader(sink);
      const buffer = Buffer.from(bytes);
      const readAll = (): void => {
        for (let at = 0; at < buffer.length; ) at = reader.read(buffer, at, buffer.length);
      };
      assert.throws(readAll, FrameError, what);
    }
  });

  it('hands the code and the reason of a close on', () => {
    const closes: [number, string][] = [];
    const verifier = new Verifier(blocksOf(1), { framed: false, othersAllowed: false });
    const events = { ping: () => {}, close: (code: number, reason: string) => closes.push([code, reason]) };
    const stream = new RecordStream('batch', verifier, events);
    const bytes = Buffer.concat([
      frame(Buffer.from([3, 0xf0, 0x73, 0x6c, 0x6f, 0x77]), OPCODE.close),
      frame(Buffer.alloc(0), OPCODE.close),
    ]);
    stream.read(bytes, 0, bytes.length);
    assert.deepEqual(closes, [
      [1008, 'slow'],
      [1005, ''],
    ]);
  });
});

describe('the bench histogram', () => {
  it('gives the percentiles of an exact sort within one percent', () => {
    for (const [seed, spread] of [
      [1, 2],
      [2, 6],
      [3, 12],
    ] as const) {
      const random = new Random(seed);
      const histogram = new Histogram();
      const exact: number[] = [];
      for (let sample = 0; sample < 20_000; sample++) {
        const latencyUs = 20 * Math.exp((random.u32() / 2 ** 32) * spread);
        exact.push(latencyUs);
        histogram.record(latencyUs);
      }
      exact.sort((left, right) => left - right);
      for (const fraction of [0.001, 0.5, 0.9, 0.99, 0.999, 1]) {
        const expected = exact[Math.ceil(fraction * exact.length) - 1]!;
        const error = Math.abs(histogram.quantileUs(fraction) / expected - 1);
        assert.ok(error < 0.01, `p${fraction * 100}: ${histogram.quantileUs(fraction)} for ${expected}`);
      }
      const { samples, max_us, mean_us } = histogram.summary();
      assert.equal(samples, exact.length);
      assert.equal(max_us, exact.at(-1));
      assert.ok(Math.abs(mean_us - exact.reduce((sum, one) => sum + one, 0) / exact.length) < 1e-6 * mean_us);
    }
  });

  it('counts nothing, clock skew and absurd values without breaking', () => {
    const histogram = new Histogram();
    assert.ok(Number.isNaN(histogram.summary().p50_us));
    for (const latencyUs of [-0.3, 0, 1e12]) histogram.record(latencyUs);
    assert.equal(histogram.summary().samples, 3);
    assert.equal(histogram.quantileUs(0.3), 0);
  });
});

describe('the bench load', () => {
  it('writes the block over and over in pieces of any size, and counts whole events', async () => {
    const blocks = blocksOf(9, 'real');
    const block = blockOf(blocks, 1);
    for (const writeBytes of [1, 97, 302, 5_999, block.length, block.length * 3 + 11]) {
      const taken: Buffer[] = [];
      const socket = new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          taken.push(Buffer.from(chunk));
          done();
        },
      });
      let whenWritten: () => void = () => {};
      const writer = new BlockWriter(socket as unknown as Socket, blocks, 1, () => whenWritten());
      const write = (bytes: () => number): Promise<void> =>
        new Promise((resolve) => {
          whenWritten = resolve;
          if (bytes() === 0) resolve();
        });
      for (let round = 0; round < 12; round++) {
        await write(() => {
          writer.write(writeBytes);
          return writeBytes;
        });
        assert.equal(writer.busy, false);
      }
      await write(() => writer.finishEvent());
      await write(() => writer.writeEvents(3));
      const bytes = Buffer.concat(taken);
      const rounds = Math.ceil(bytes.length / block.length);
      assert.ok(
        bytes.equals(Buffer.concat(Array.from({ length: rounds }, () => block)).subarray(0, bytes.length)),
      );
      assert.equal(bytes.at(-1), 10);
      assert.equal(writer.events, bytes.toString('latin1').split('\n').length - 1);
    }
  });

  it('knows what is on its way to the slowest consumer', () => {
    const memory = createGauges(2);
    const gauges = new Gauges(memory);
    gauges.setWritten(1_000);
    new Gauges(memory).setVerified(0, 900, 9);
    new Gauges(memory).setVerified(1, 400, 4);
    assert.equal(gauges.inFlightBytes, 600);
    assert.equal(gauges.verifiedEvents, 4);
    assert.equal(new Gauges(createGauges(0)).inFlightBytes, 0);
  });

  it('paces bursts of whole events at exactly the offered rate', () => {
    for (const [eventsPerSecond, connections] of [
      [100_000, 4],
      [1_000, 4],
      [7, 3],
      [12_345, 1_000],
    ] as const) {
      const { burstEvents, periodMs } = paceOf({ eventsPerSecond, connections, mode: 'auto' });
      assert.ok(Number.isInteger(burstEvents) && burstEvents >= 1);
      const offered = (burstEvents * connections * 1000) / periodMs;
      assert.ok(Math.abs(offered - eventsPerSecond) < 1e-6 * eventsPerSecond);
    }
  });
});

describe('the bench command line', () => {
  it('knows its defaults', () => {
    const request = readArguments([]);
    assert.ok(request);
    assert.deepEqual(request.scenarios, [
      'ingest',
      'latency',
      'connections',
      'storm',
      'list',
      'commands',
      'scan',
      'acks',
    ]);
    assert.ok(readArguments(['--quick'])!.scenarios.includes('sustained'), 'small, the large ones come too');
    assert.deepEqual(readArguments(['recover', '--gigabytes', '0.5'])!.gigabytes, 0.5);
    assert.equal(request.settings.eventBytes, 302);
    assert.equal(request.settings.external, undefined);
    assert.equal(readArguments(['--help']), undefined);
  });

  it('refuses what it does not understand, and names it', () => {
    const bad: [string[], RegExp][] = [
      [['ingest', 'scam'], /scam/],
      [['--connections', '0'], /--connections 0/],
      [['--connections', '4.5'], /--connections 4\.5/],
      [['--mix', 'wild'], /uniform, real/],
      [['--target', 'somewhere'], /HOST:PORT/],
      [['--proxy', '127.0.0.1:9003'], /--target/],
      [['--event-bytes', '10'], /280/],
      [['--rest', 'ftp://x'], /URL/],
      [['--nonsense'], /nonsense/],
    ];
    for (const [words, message] of bad) {
      assert.throws(
        () => readArguments(words),
        (error) => error instanceof UsageError && message.test(error.message),
        words.join(' '),
      );
    }
  });
});
