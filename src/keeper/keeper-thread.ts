/**
 * Main's handle of the keeper thread: starts it, starts it again after a pause when it dies, and has what it said last.
 * Nothing waits for the keeper, so its death costs nobody anything.
 */
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { Config } from '../config/config.js';
import { LIMITS } from '../limits.js';
import type { Mode } from '../native/addon.js';
import type { KeeperStart, KeeperToMain, LogState, MainToKeeper } from './messages.js';

type Cursor = Extract<MainToKeeper, { type: 'cursor' }>['oldest'];

export interface KeeperHooks {
  /** What is due cannot be done, or can again. */
  onTrouble(there: boolean): void;
}

export class KeeperThread {
  /** Undefined until it has looked for the first time. */
  state: LogState | undefined;
  readonly #start: KeeperStart;
  readonly #logger: Logger;
  readonly #hooks: KeeperHooks;
  #worker: Worker | undefined;
  #cursor: Cursor | undefined;
  #restart: NodeJS.Timeout | undefined;
  #restartDelayMs: number = LIMITS.shardRestartMinMs;
  #stopping = false;
  #exited: Promise<void> = Promise.resolve();

  /** The logger should be bounded: segments may be small, and many. */
  constructor(config: Config, mode: Mode, counters: Float64Array, logger: Logger, hooks: KeeperHooks) {
    this.#start = { config, mode, counters };
    this.#logger = logger;
    this.#hooks = hooks;
  }

  /** Not before the log was recovered. */
  start(): void {
    if (this.#stopping) return;
    const startedMs = performance.now();
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: this.#start,
      resourceLimits: { maxYoungGenerationSizeMb: LIMITS.workerYoungGenerationMiB },
    });
    this.#worker = worker;
    let cause: Error | undefined;
    worker.on('message', (message: KeeperToMain) => this.#receive(message));
    worker.on('error', (error: Error) => {
      cause = error;
    });
    this.#exited = new Promise((resolve) => {
      worker.on('exit', () => {
        resolve();
        this.#worker = undefined;
        if (this.#stopping) return;
        if (performance.now() - startedMs > LIMITS.shardRestartForgetMs)
          this.#restartDelayMs = LIMITS.shardRestartMinMs;
        this.#logger.error({ err: cause, restart_ms: this.#restartDelayMs }, 'the keeper died, restarting');
        this.#restart = setTimeout(() => this.start(), this.#restartDelayMs);
        this.#restartDelayMs = Math.min(this.#restartDelayMs * 2, LIMITS.shardRestartMaxMs);
      });
    });
    if (this.#cursor !== undefined) this.#post({ type: 'cursor', oldest: this.#cursor });
  }

  /** The named consumer that needs the oldest record; null: there is none. Retention waits until this was said once. */
  useCursor(oldest: Cursor): void {
    this.#cursor = oldest;
    this.#post({ type: 'cursor', oldest });
  }

  /** Ends it, in the middle of something if need be. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#post({ type: 'finish' });
    const timer = setTimeout(() => void worker.terminate(), LIMITS.keeperStopMs);
    await this.#exited;
    clearTimeout(timer);
  }

  die(): void {
    this.#post({ type: 'die' });
  }

  #post(message: MainToKeeper): void {
    this.#worker?.postMessage(message);
  }

  #receive(message: KeeperToMain): void {
    switch (message.type) {
      case 'state': {
        const { heldBy, trouble } = message.state;
        const before = this.state;
        this.state = message.state;
        if (heldBy !== null && heldBy !== (before?.heldBy ?? null))
          this.#logger.warn(
            { consumer: heldBy },
            'the log is not shortened: a consumer has not acknowledged its oldest records',
          );
        if ((trouble !== null) !== ((before?.trouble ?? null) !== null))
          this.#hooks.onTrouble(trouble !== null);
        break;
      }
      case 'sealed': {
        const { type: _, ...entry } = message;
        if (entry.damagedRecords > 0) this.#logger.error(entry, 'segment sealed, parts of it are damaged');
        else this.#logger.info(entry, 'segment sealed');
        break;
      }
      case 'deleted': {
        const { type: _, forced, ...entry } = message;
        if (forced === null) this.#logger.info(entry, 'segment deleted');
        else
          this.#logger.warn(
            { ...entry, consumer: forced },
            'segment deleted before a consumer had all of it',
          );
        break;
      }
      case 'trouble':
        this.#logger.error({ reason: message.message }, 'the keeper of the log has trouble');
        break;
    }
  }
}
