/** Main's handle on the aggregator: starts the thread, talks to it, and notices its end. Owned by main. */
import { type MessagePort, Worker } from 'node:worker_threads';
import type { Config } from '../config/config.js';
import { EXIT, FatalError } from '../errors.js';
import type { Recounted } from '../ledger/book.js';
import { LIMITS } from '../limits.js';
import type { RecoveredLog } from '../log/recovery.js';
import type { RingMemory } from '../memory/ring.js';
import type { Mode } from '../native/addon.js';
import type { ConsumersToMain, MainToConsumers } from './consumer-messages.js';
import type { AggregatorStart, AggregatorToMain, MainToAggregator } from './messages.js';

export interface AggregatorHooks {
  onDisk(full: boolean): void;
  /** The oldest dead letters gave way: from `first` up to `next`, not included. */
  onDeadLettersDropped(first: number, next: number): void;
  /** Nothing is left in any ring of the row that forgetRow() named. */
  onRowFree(row: number): void;
  onLedgerTrouble(message: string): void;
  /** The log is to be read: call useReader(). */
  onReaderWanted(): void;
  /** The WebSocket port cannot use the new certificate. */
  onTlsFailed(): void;
  onConsumer(message: ConsumersToMain): void;
  /** The thread ended and was not asked to. */
  onDeath(error: FatalError): void;
}

export class AggregatorThread {
  readonly #worker: Worker;
  readonly #hooks: AggregatorHooks;
  readonly ready: Promise<{ proxyPort: number; recovered: RecoveredLog; recounted: Recounted }>;
  readonly #exited: Promise<void>;
  #failure: FatalError | undefined;
  #finished: ((runsLeft: number) => void) | undefined;
  #ending = false;

  constructor(
    config: Config,
    mode: Mode,
    counters: Float64Array,
    ledger: Float64Array,
    hooks: AggregatorHooks,
  ) {
    this.#hooks = hooks;
    const start: AggregatorStart = { config, mode, counters, ledger };
    this.#worker = new Worker(new URL('./aggregator.js', import.meta.url), {
      workerData: start,
      resourceLimits: { maxYoungGenerationSizeMb: LIMITS.workerYoungGenerationMiB },
    });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.ready = new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new FatalError(EXIT.software, 'the aggregator did not start in time')),
        LIMITS.threadStartTimeoutMs,
      );
      this.#worker.on('message', (message: AggregatorToMain) => {
        switch (message.type) {
          case 'ready':
            clearTimeout(timer);
            resolve(message);
            break;
          case 'starting':
            timer.refresh();
            break;
          case 'row-free':
            this.#hooks.onRowFree(message.row);
            break;
          case 'ledger-trouble':
            this.#hooks.onLedgerTrouble(message.message);
            break;
          case 'failed':
            clearTimeout(timer);
            this.#failure = new FatalError(message.exitCode, message.message);
            reject(this.#failure);
            break;
          case 'disk':
            this.#hooks.onDisk(message.full);
            break;
          case 'dead-letters-dropped':
            this.#hooks.onDeadLettersDropped(message.first, message.next);
            break;
          case 'reader-wanted':
            this.#hooks.onReaderWanted();
            break;
          case 'tls-failed':
            this.#hooks.onTlsFailed();
            break;
          case 'finished':
            this.#finished?.(message.runsLeft);
            break;
          default:
            this.#hooks.onConsumer(message);
        }
      });
      this.#worker.on('error', (error) => {
        clearTimeout(timer);
        this.#failure ??= new FatalError(
          EXIT.software,
          `the aggregator failed: ${error.stack ?? error.message}`,
        );
        reject(this.#failure);
      });
      void this.#exited.then(() => {
        clearTimeout(timer);
        if (!this.#ending)
          this.#hooks.onDeath(this.#failure ?? new FatalError(EXIT.software, 'the aggregator ended'));
      });
    });
    // A failure at start is for whoever awaits `ready`; later ones go to onDeath.
    this.ready.catch(() => {});
  }

  addRing(slot: number, ring: RingMemory, wake: MessagePort): void {
    this.#post({ type: 'ring', slot, ring, wake }, [wake]);
  }

  /** There is a new certificate in the files of [tls]. */
  renewTls(): void {
    this.#post({ type: 'tls' });
  }

  /** Nobody writes to this row of the ledger any more. */
  forgetRow(row: number): void {
    this.#post({ type: 'forget-row', row });
  }

  /** The reader thread listens at the other end. */
  useReader(port: MessagePort): void {
    this.#post({ type: 'reader', port }, [port]);
  }

  tell(message: MainToConsumers): void {
    this.#post(message);
  }

  /** Writes everything that is in the rings and says goodbye to consumers. Resolves with the runs that were left
   *  when the deadline passed, after the thread has ended. */
  async finish(deadlineMs: number): Promise<number> {
    this.#ending = true;
    const finished = new Promise<number>((resolve) => {
      this.#finished = resolve;
    });
    this.#post({ type: 'finish', deadlineMs });
    const runsLeft = await Promise.race([finished, this.#exited.then(() => 0)]);
    await this.#exited;
    return runsLeft;
  }

  /** Why it ended, where that was not in order. */
  get failure(): FatalError | undefined {
    return this.#failure;
  }

  die(): void {
    this.#post({ type: 'die' });
  }

  #post(message: MainToAggregator, transfer: MessagePort[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
