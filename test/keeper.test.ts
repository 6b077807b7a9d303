/**
 * Seals and compression: what is sealed is what `sha256sum` says, every change of a sealed log is found, what is compressed is
 * what was written, and a keeper that is ended at any call to the file system leaves a log of which nothing is missing.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { openContent } from '../src/log/content.js';
import { type LogFiles, REAL_FILES } from '../src/log/files.js';
import { segmentName } from '../src/log/format.js';
import {
  CHAIN_START,
  decodeSeal,
  encodeSeal,
  keyIdOf,
  makeSeal,
  type Seal,
  type SigningKey,
  sealFileName,
} from '../src/log/seal.js';
import type { FaultKind } from '../src/log/segment-report.js';
import { rebuildIndex } from '../src/log/verify.js';
import { AGGREGATOR } from '../src/memory/counters.js';
import { KeeperStage, type Storage, verifyLog } from './keeper-stage.js';
import { dataFiles, temporaryFolder, text } from './log-files.js';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const KEY: SigningKey = { privateKey, keyId: keyIdOf(publicKey) };

function sealsOf(folder: string): Seal[] {
  return readdirSync(folder)
    .filter((name) => /^\d+\.seal$/.test(name))
    .sort()
    .map((name) => decodeSeal(readFileSync(join(folder, name), 'utf8'))!);
}

/** The whole text of a log, plain and compressed. */
function contentOf(folder: string): string {
  const firstSeqs = readdirSync(folder)
    .filter((name) => /\.ndjson(\.gz)?$/.test(name))
    .map((name) => Number(name.slice(0, 20)));
  let all = '';
  for (const firstSeq of [...new Set(firstSeqs)].sort((a, b) => a - b)) {
    const content = openContent(folder, firstSeq, REAL_FILES)!;
    const bytes = Buffer.alloc(content.size());
    assert.equal(content.read(bytes, 0, bytes.length, 0), bytes.length);
    content.close();
    all += bytes.toString('utf8');
  }
  return all;
}

function kinds(faults: readonly { readonly kind: FaultKind; readonly segment: number | null }[]): string[] {
  return [...new Set(faults.map(({ kind, segment }) => `${kind} ${segment}`))];
}

describe('seals', () => {
  it('name the bytes as sha256sum does, the records, and the seal before; the segment that is written has none', (t) => {
    const stage = new KeeperStage(t);
    stage.write(600);
    stage.keep();
    const names = dataFiles(stage.folder);
    assert.ok(names.length >= 4);
    const seals = sealsOf(stage.folder);
    assert.equal(seals.length, names.length - 1);
    let previous = CHAIN_START;
    for (const [at, seal] of seals.entries()) {
      const { stdout } = spawnSync('sha256sum', [join(stage.folder, names[at]!)], { encoding: 'utf8' });
      assert.equal(seal.sha256, stdout.slice(0, 64));
      assert.equal(seal.segment, Number(names[at]!.slice(0, 20)));
      assert.equal(seal.nextSeq, Number(names[at + 1]!.slice(0, 20)));
      assert.equal(seal.records, seal.nextSeq - seal.segment);
      assert.equal(seal.damagedRecords, 0);
      assert.equal(seal.previous, previous);
      // By hand, from what the file's comment and docs/log.md say.
      const statement = `honeybee-seal 1\nsegment ${seal.segment}\nnext_seq ${seal.nextSeq}\nrecords ${seal.records}\ndamaged_records 0\nbytes ${seal.bytes}\nsha256 ${seal.sha256}\nprevious ${previous}\nsealed_at ${seal.sealedAt}\n`;
      assert.equal(seal.chain, createHash('sha256').update(statement).digest('hex'));
      previous = seal.chain;
    }
    const report = stage.verify();
    assert.deepEqual(report.faults, []);
    assert.equal(report.chain, previous);
    assert.equal(report.records, 600);
    assert.deepEqual(
      stage.toldOf('sealed').map(({ chain }) => chain),
      seals.map(({ chain }) => chain),
    );
  });

  it('go on over restarts of Core, and the last segment is sealed when nothing is written any more', (t) => {
    const stage = new KeeperStage(t);
    for (let round = 0; round < 4; round++) {
      stage.write(150);
      if (round % 2 === 0) stage.keep();
      stage.restart();
    }
    stage.end();
    const { state } = stage.keep();
    assert.equal(sealsOf(stage.folder).length, dataFiles(stage.folder).length);
    assert.equal(state.unsealedBytes, 0);
    assert.equal(state.sealedSegments, state.segments);
    assert.equal(state.chain, sealsOf(stage.folder).at(-1)!.chain);
    const report = stage.verify();
    assert.deepEqual(report.faults, []);
    assert.equal(report.unsealed_bytes, 0);
  });

  it('a segment is not sealed before it is durable', (t) => {
    const stage = new KeeperStage(t);
    stage.write(300);
    const { counters } = stage;
    const all = counters[AGGREGATOR.durable_seq]!;
    counters[AGGREGATOR.durable_seq] = 10;
    stage.keep();
    assert.equal(sealsOf(stage.folder).length, 0);
    counters[AGGREGATOR.durable_seq] = all;
    stage.keep();
    assert.ok(sealsOf(stage.folder).length > 0);
  });

  it('damage that is there already is counted, in the seal and in the report', (t) => {
    const stage = new KeeperStage(t);
    stage.write(400);
    const [first] = dataFiles(stage.folder);
    flip(join(stage.folder, first!), 40);
    const { state } = stage.keep();
    const [seal] = sealsOf(stage.folder);
    assert.ok(seal!.damagedRecords > 0);
    assert.equal(state.damagedRecords, seal!.damagedRecords);
    assert.equal(stage.toldOf('sealed')[0]!.damagedRecords, seal!.damagedRecords);
    assert.deepEqual(kinds(stage.verify().faults), ['damaged 1']);
  });

  it('an index that is missing is made again before the segment is sealed', (t) => {
    const stage = new KeeperStage(t);
    stage.write(400);
    const names = dataFiles(stage.folder);
    const index = join(stage.folder, names[0]!.replace('.ndjson', '.idx'));
    rmSync(index);
    stage.keep();
    assert.ok(existsSync(index));
    assert.deepEqual(stage.verify().faults, []);
  });
});

/** What can be done to a sealed log, and what must be found. */
const TAMPERING: Readonly<
  Record<
    string,
    { do(folder: string, names: readonly string[]): void; finds: (names: readonly string[]) => string[] }
  >
> = {
  'a byte is changed': {
    do: (folder, names) => flip(join(folder, names[1]!), 100),
    finds: (names) => [`content ${seqOf(names[1]!)}`, `damaged ${seqOf(names[1]!)}`],
  },
  'a byte is changed, and the index made to fit': {
    do: (folder, names) => {
      flip(join(folder, names[1]!), 100);
      remakeIndex(folder, seqOf(names[1]!));
    },
    finds: (names) => [`content ${seqOf(names[1]!)}`],
  },
  'a byte of the index is changed': {
    do: (folder, names) => flip(join(folder, names[1]!.replace('.ndjson', '.idx')), 60),
    finds: (names) => [`index ${seqOf(names[1]!)}`],
  },
  'a segment in the middle is removed': {
    do: (folder, names) => remove(folder, names[1]!),
    finds: (names) => [`chain ${seqOf(names[2]!)}`],
  },
  'its data is removed, and its seal left': {
    do: (folder, names) => rmSync(join(folder, names[1]!)),
    finds: (names) => [`chain ${seqOf(names[2]!)}`, `sequence ${seqOf(names[1]!)}`],
  },
  'the oldest segment is removed': {
    do: (folder, names) => remove(folder, names[0]!),
    finds: (names) => ['sequence null', `chain ${seqOf(names[1]!)}`],
  },
  'two segments are exchanged': {
    do: (folder, names) => {
      for (const ending of ['ndjson', 'idx', 'seal']) exchange(folder, names[1]!, names[2]!, ending);
    },
    finds: (names) => [
      `index ${seqOf(names[1]!)}`,
      `seal ${seqOf(names[1]!)}`,
      `index ${seqOf(names[2]!)}`,
      `seal ${seqOf(names[2]!)}`,
    ],
  },
  'only their data is exchanged': {
    do: (folder, names) => exchange(folder, names[1]!, names[2]!, 'ndjson'),
    finds: (names) => [`content ${seqOf(names[1]!)}`, `content ${seqOf(names[2]!)}`],
  },
  'a seal is removed': {
    do: (folder, names) => rmSync(join(folder, sealFileName(seqOf(names[1]!)))),
    finds: (names) => [`seal ${seqOf(names[1]!)}`, `chain ${seqOf(names[2]!)}`],
  },
  'what a seal says is changed': {
    do: (folder, names) => {
      const path = join(folder, sealFileName(seqOf(names[1]!)));
      writeFileSync(path, readFileSync(path, 'utf8').replace('"damaged_records":0', '"damaged_records":1'));
    },
    finds: (names) => [`seal ${seqOf(names[1]!)}`],
  },
  'records are added behind': {
    do: (folder, names) => appendFileSync(join(folder, names[1]!), '{"record":0}\n'),
    finds: (names) => [`content ${seqOf(names[1]!)}`, `index ${seqOf(names[1]!)}`],
  },
};

describe('verification finds it when', () => {
  for (const [what, { do: tamper, finds }] of Object.entries(TAMPERING)) {
    it(what, (t) => {
      const stage = new KeeperStage(t);
      stage.write(900);
      stage.end();
      stage.keep({}, { key: KEY });
      assert.deepEqual(stage.verify([publicKey]).faults, []);
      const names = dataFiles(stage.folder);
      tamper(stage.folder, names);
      const found = kinds(stage.verify([publicKey]).faults);
      for (const expected of finds(names)) assert.ok(found.includes(expected), `${expected} in ${found}`);
    });
  }

  it('the log is written anew from some segment on by somebody without the key', (t) => {
    const stage = new KeeperStage(t);
    stage.write(900);
    stage.end();
    stage.keep({}, { key: KEY });
    const names = dataFiles(stage.folder);
    const noted = sealsOf(stage.folder).at(-1)!.chain;
    assert.deepEqual(stage.verify([publicKey], noted).faults, []);
    forge(stage.folder, names, 1, undefined);
    assert.deepEqual(stage.verify().faults, [], 'the forged chain is right by itself');
    assert.deepEqual(
      kinds(stage.verify([publicKey]).faults),
      names.slice(1).map((name) => `signature ${seqOf(name)}`),
    );
    assert.deepEqual(
      kinds(stage.verify([], noted).faults),
      ['chain null'],
      'a chain that was noted is missed',
    );
    const stranger = generateKeyPairSync('ed25519');
    forge(stage.folder, names, 1, { privateKey: stranger.privateKey, keyId: keyIdOf(stranger.publicKey) });
    assert.equal(stage.verify([publicKey]).faults.length, names.length - 1);
    // Nor does it help to say that it was the right key.
    forge(stage.folder, names, 1, { privateKey: stranger.privateKey, keyId: KEY.keyId });
    assert.equal(stage.verify([publicKey]).faults.length, names.length - 1);
    assert.deepEqual(stage.verify([publicKey, stranger.publicKey]).faults.length, names.length - 1);
  });
});

describe('compression', () => {
  it('keeps every byte, its index and its seal; zcat gives the plain segment; the newest stays plain', (t) => {
    const stage = new KeeperStage(t, 700_000);
    stage.write(60_000);
    const before = join(temporaryFolder(t), 'before');
    cpSync(stage.folder, before, { recursive: true });
    const { state } = stage.keep({ compress: 'gzip' });
    const names = dataFiles(before);
    assert.ok(names.length >= 3);
    assert.deepEqual(dataFiles(stage.folder), [names.at(-1)]);
    assert.equal(state.compressedSegments, names.length - 1);
    for (const name of names.slice(0, -1)) {
      const { stdout } = spawnSync('zcat', [join(stage.folder, `${name}.gz`)], { maxBuffer: 2 ** 30 });
      assert.ok(stdout.equals(readFileSync(join(before, name))), `${name} is what it was`);
      const index = name.replace('.ndjson', '.idx');
      assert.ok(readFileSync(join(stage.folder, index)).equals(readFileSync(join(before, index))));
    }
    assert.equal(contentOf(stage.folder), text(60_000));
    assert.deepEqual(stage.verify().faults, []);
    assert.ok(stage.verify().stored_bytes < stage.verify().bytes);
  });

  it('a segment that is not what was sealed any more stays as it is', (t) => {
    const stage = new KeeperStage(t);
    stage.write(400);
    stage.keep();
    const [first, second] = dataFiles(stage.folder);
    flip(join(stage.folder, first!), 50);
    stage.keep({ compress: 'gzip' });
    assert.ok(existsSync(join(stage.folder, first!)));
    assert.ok(!existsSync(join(stage.folder, second!)), 'the others are compressed all the same');
    assert.match(stage.toldOf('trouble')[0]!.message, /segment 1 is not what was sealed any more/);
    assert.deepEqual(
      readdirSync(stage.folder).filter((name) => name.endsWith('.tmp')),
      [],
    );
  });

  it('damage in a compressed segment is found', (t) => {
    const stage = new KeeperStage(t);
    stage.write(400);
    stage.keep({ compress: 'gzip' });
    const name = readdirSync(stage.folder).find((some) => some.endsWith('.gz'))!;
    flip(join(stage.folder, name), 60);
    assert.ok(kinds(stage.verify().faults).includes('compressed 1'));
  });
});

/** Four segments. */
const SEGMENT_BYTES = 2_000;
const RECORDS = 280;

/** The file system of a process that ends at its n-th call that changes something: that call is done by half, or not at all. */
class EndingFiles {
  calls = 0;
  constructor(readonly endAt: number) {}

  get files(): LogFiles {
    const ends = (half: () => void = () => {}) => {
      this.calls++;
      if (this.calls === this.endAt) half();
      if (this.calls >= this.endAt) throw new Error('the process has ended');
    };
    return {
      ...REAL_FILES,
      open: (path, flags, mode) => {
        if (flags !== 'r') ends();
        return REAL_FILES.open(path, flags, mode);
      },
      write: (file, bytes, start, length, position) => {
        ends(() => REAL_FILES.write(file, bytes, start, length >> 1, position));
        return REAL_FILES.write(file, bytes, start, length, position);
      },
      truncate: (file, length) => {
        ends();
        REAL_FILES.truncate(file, length);
      },
      rename: (from, to) => {
        ends();
        REAL_FILES.rename(from, to);
      },
      unlink: (path) => {
        ends();
        REAL_FILES.unlink(path);
      },
    };
  }
}

describe('a keeper that is ended at any call to the file system', () => {
  it('loses nothing, and the next one brings it to the same end', async (t) => {
    const original = new KeeperStage(t, SEGMENT_BYTES);
    original.write(RECORDS);
    original.end();
    const whole = text(RECORDS);
    const settings: Partial<Storage> = { compress: 'gzip', retention_bytes: 6_500 };
    // What it comes to, and in how many calls.
    const counted = new EndingFiles(Number.POSITIVE_INFINITY);
    const last = endAt(t, original, settings, counted);
    const calls = counted.calls;
    assert.ok(calls > 30, `${calls} calls`);
    const expected = contentOf(last);
    assert.ok(whole.endsWith(expected) && expected.length < whole.length, 'some of it was deleted');
    for (let end = 1; end <= calls; end++) {
      const folder = endAt(t, original, settings, new EndingFiles(end));
      const left = contentOf(folder);
      assert.ok(whole.endsWith(left) && left.endsWith(expected), `call ${end}: what is left is whole`);
      const [oldest] = dataFiles(folder);
      assert.ok(oldest !== undefined);
      const next = new KeeperStage(t, SEGMENT_BYTES, folder);
      next.writer.close();
      next.keep(settings);
      const report = verifyLog(folder);
      assert.deepEqual(report.faults, [], `call ${end}`);
      assert.equal(contentOf(folder), expected, `call ${end}`);
      assert.deepEqual(
        readdirSync(folder).filter((name) => name.endsWith('.tmp')),
        [],
        `call ${end}: nothing is left over`,
      );
      rmSync(folder, { recursive: true });
      // Descriptors are closed when trims on other threads are over.
      await turn();
    }
    t.diagnostic(`${calls} calls`);
  });
});

/** A copy of the log, with a keeper that worked on it until it ended. */
function endAt(
  t: TestContext,
  original: KeeperStage,
  settings: Partial<Storage>,
  ending: EndingFiles,
): string {
  const folder = join(temporaryFolder(t), 'log');
  cpSync(original.folder, folder, { recursive: true });
  const stage = new KeeperStage(t, SEGMENT_BYTES, folder);
  stage.writer.close();
  const keeper = stage.keeper(settings, { files: ending.files });
  keeper.useCursor(null);
  stage.run(keeper, () => ending.calls >= ending.endAt);
  return folder;
}

function seqOf(name: string): number {
  return Number(name.slice(0, 20));
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 0x01;
  writeFileSync(path, bytes);
}

function remove(folder: string, name: string): void {
  for (const ending of ['ndjson', 'idx', 'seal']) rmSync(join(folder, name.replace('ndjson', ending)));
}

function exchange(folder: string, one: string, other: string, ending: string): void {
  const path = (name: string) => join(folder, name.replace('ndjson', ending));
  renameSync(path(one), path('exchanged'));
  renameSync(path(other), path(one));
  renameSync(path('exchanged'), path(other));
}

function remakeIndex(folder: string, firstSeq: number): void {
  rmSync(join(folder, `${segmentName(firstSeq)}.idx`));
  rebuildIndex(folder, join(folder, segmentName(firstSeq)), firstSeq);
}

/** Changes a segment and makes its seal and all later ones again, as somebody could who can write the files. */
function forge(folder: string, names: readonly string[], from: number, key: SigningKey | undefined): void {
  const seals = sealsOf(folder);
  const path = join(folder, names[from]!);
  const content = readFileSync(path, 'latin1').replace('"record":', '"rec0rd":');
  writeFileSync(path, content, 'latin1');
  remakeIndex(folder, seqOf(names[from]!));
  let previous = seals[from - 1]!.chain;
  for (const seal of seals.slice(from)) {
    const bytes = readFileSync(join(folder, `${segmentName(seal.segment)}.ndjson`));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const forged = makeSeal({ ...seal, sha256, previous }, key);
    writeFileSync(join(folder, sealFileName(seal.segment)), encodeSeal(forged));
    previous = forged.chain;
  }
}

it('a disk that stays full is said once, and that it is over when a segment could be sealed', (t) => {
  const stage = new KeeperStage(t);
  stage.write(500);
  let isFull = true;
  let refused = 0;
  const files: LogFiles = {
    ...REAL_FILES,
    open: (path, flags, mode) => {
      if (!isFull || !path.endsWith('.seal.tmp')) return REAL_FILES.open(path, flags, mode);
      refused++;
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    },
  };
  const keeper = stage.keeper({}, { files });
  keeper.useCursor(null);
  stage.run(keeper, () => refused === 5);
  assert.equal(stage.toldOf('trouble').length, 1);
  const troubled = stage.toldOf('state').map(({ state }) => state.trouble !== null);
  assert.ok(troubled.includes(true));
  assert.ok(!troubled.slice(troubled.indexOf(true)).includes(false), 'it stays said');
  isFull = false;
  stage.run(keeper);
  assert.equal(keeper.state.trouble, null);
  assert.ok(stage.toldOf('sealed').length > 0);
});
