/** A log that is written in this thread, and a keeper that is driven step by step, on a clock of its own. */

import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Config } from '../src/config/config.js';
import { Keeper } from '../src/keeper/keeper.js';
import type { KeeperToMain } from '../src/keeper/messages.js';
import { LIMITS } from '../src/limits.js';
import { type LogFiles, REAL_FILES } from '../src/log/files.js';
import { checkLog } from '../src/log/log-check.js';
import type { SigningKey } from '../src/log/seal.js';
import type { LogReport } from '../src/log/segment-report.js';
import type { SegmentWriter } from '../src/log/segment-writer.js';
import { AGGREGATOR, createAggregatorCounters } from '../src/memory/counters.js';
import { type Addon, loadAddon, resolveMode } from '../src/native/addon.js';
import { linesOf, temporaryFolder } from './log-files.js';
import { openWriter } from './open-writer.js';

const { mode } = resolveMode((process.env.HONEYBEE_INGEST_MODE || 'auto') as 'auto' | 'native' | 'portable');
export const ADDON: Addon | undefined = mode === 'native' ? loadAddon() : undefined;

export type Storage = Config['storage'];

const SETTINGS = {
  compress: 'off',
  retention_bytes: 0,
  retention_seconds: 0,
  retention_free_bytes: 0,
  retention_force: false,
} as Storage;

/** Steps without anything to do after which there is nothing to do. */
const IDLE_STEPS = 5;

export class KeeperStage {
  readonly folder: string;
  readonly counters = createAggregatorCounters();
  readonly told: KeeperToMain[] = [];
  readonly #segmentBytes: number;
  writer: SegmentWriter;
  #nowMs = 0;

  constructor(t: TestContext, segmentBytes = 4_000, folder?: string) {
    // First, so that it comes before the folder goes.
    t.after(() => this.writer.close());
    this.folder = folder ?? join(temporaryFolder(t), 'log');
    this.#segmentBytes = segmentBytes;
    this.writer = this.#open();
    this.#count();
  }

  /** So many records, in batches of some. */
  write(records: number, receivedMs = Date.now()): void {
    for (let left = records; left > 0; ) {
      const count = Math.min(left, 1 + (this.writer.nextSeq % 7));
      this.writer.append(linesOf(this.writer.nextSeq, count), count, receivedMs);
      left -= count;
    }
    this.#count();
  }

  /** What a Core does that ends and starts again. */
  restart(): void {
    this.writer.close();
    this.#count();
    this.writer = this.#open();
    this.#count();
  }

  /** Nothing is being written any more. */
  end(): void {
    this.writer.close();
    this.#count();
  }

  keeper(
    settings: Partial<Storage> = {},
    {
      key,
      files = REAL_FILES,
      addon = ADDON,
    }: { key?: SigningKey; files?: LogFiles; addon?: Addon | undefined } = {},
  ): Keeper {
    return new Keeper({
      folder: this.folder,
      storage: { ...SETTINGS, ...settings },
      counters: this.counters,
      files,
      addon,
      key,
      tell: (message) => this.told.push(message),
    });
  }

  /** Until it has nothing to do, or has ended. */
  run(keeper: Keeper, hasEnded = () => false): void {
    for (let idle = 0; idle < IDLE_STEPS && !hasEnded(); ) {
      if (keeper.step(this.#nowMs)) idle = 0;
      else {
        idle++;
        this.#nowMs += LIMITS.keeperIntervalMs + LIMITS.keeperRetryMs;
      }
    }
    keeper.stop();
  }

  /** A keeper that does all there is to do. */
  keep(settings: Partial<Storage> = {}, options: { key?: SigningKey; files?: LogFiles } = {}): Keeper {
    const keeper = this.keeper(settings, options);
    keeper.useCursor(null);
    this.run(keeper);
    return keeper;
  }

  verify(keys: readonly KeyObject[] = [], chain?: string): LogReport {
    return verifyLog(this.folder, keys, chain);
  }

  toldOf<Type extends KeeperToMain['type']>(type: Type): Extract<KeeperToMain, { type: Type }>[] {
    return this.told.filter((message) => message.type === type) as Extract<KeeperToMain, { type: Type }>[];
  }

  #open(): SegmentWriter {
    return openWriter(this.folder, this.#segmentBytes, ADDON);
  }

  #count(): void {
    const { writer, counters } = this;
    counters[AGGREGATOR.next_seq] = writer.nextSeq;
    counters[AGGREGATOR.durable_seq] = writer.nextSeq;
    counters[AGGREGATOR.segments] = writer.segmentCount;
    counters[AGGREGATOR.segments_finished] = writer.finishedCount;
  }
}

export function verifyLog(folder: string, keys: readonly KeyObject[] = [], chain?: string): LogReport {
  const work = checkLog({ folder, everything: true, keys, chain, addon: ADDON });
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}
