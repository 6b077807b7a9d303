/**
 * Enrolment without threads and sockets: the real classes on a real store, with a clock that the test turns. A restart
 * is a real one: everything is read from the disk again.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Config } from '../src/config/config.js';
import { Doorkeeper, type Pass, type Refusal } from '../src/enrolment/doorkeeper.js';
import { type Enrolments, openEnrolments } from '../src/enrolment/enrolments.js';
import { openStateStore, type StateStore } from '../src/state/store.js';
import { afterwards, type Cleanup, temporaryFolder } from './core-process.js';
import { codeAt } from './totp-code.js';

export const STEP = 30_000;
export const ADDRESS = '192.0.2.1:4000';
/** In the middle of a step. */
export const START_MS = 1_700_000_000_000 - (1_700_000_000_000 % STEP) + 15_000;

export class EnrolmentRun {
  nowMs = START_MS;
  monotonicMs = 1_000_000;
  readonly folder: string;
  readonly logLines: string[] = [];
  mode: Config['auth']['totp'];
  store!: StateStore;
  enrolments!: Enrolments;
  doorkeeper!: Doorkeeper;
  damaged = 0;

  static async start(cleanup: Cleanup, mode: Config['auth']['totp']): Promise<EnrolmentRun> {
    const run = new EnrolmentRun(temporaryFolder(cleanup), mode);
    await run.open();
    afterwards(cleanup, () => run.store.close(Date.now() + 1000));
    return run;
  }

  private constructor(folder: string, mode: Config['auth']['totp']) {
    this.folder = folder;
    this.mode = mode;
  }

  async open(): Promise<void> {
    this.store = await openStateStore(join(this.folder, 'state'), {
      onTrouble: (trouble) => assert.fail(String(trouble)),
    });
    const source = { env: {}, keyFile: '', dataDir: this.folder };
    const opened = await openEnrolments(this.store, source, () => this.nowMs);
    this.enrolments = opened.enrolments;
    this.damaged = opened.damaged;
    const logger = pino({ level: 'info' }, { write: (line: string) => this.logLines.push(line) });
    const clock = { now: () => this.nowMs, monotonic: () => this.monotonicMs };
    this.doorkeeper = new Doorkeeper(this.mode, this.enrolments, logger, clock);
  }

  async restart(mode = this.mode): Promise<void> {
    await this.store.close(Date.now() + 1000);
    this.mode = mode;
    await this.open();
  }

  pass(timeMs: number): void {
    this.nowMs += timeMs;
    this.monotonicMs += timeMs;
  }

  code(secret: string, steps = 0): string {
    return codeAt(secret, this.nowMs + steps * STEP);
  }

  admit(name: string, code: string | null, remote = ADDRESS): Pass | Refusal {
    return this.doorkeeper.admit({ name, code, remote });
  }

  /** What becomes of a registration: `anyone`, `proven`, `newcomer`, or why it was refused. */
  outcome(name: string, code: string | null, remote = ADDRESS): string {
    const verdict = this.admit(name, code, remote);
    return verdict.kind === 'refused' ? verdict.why : verdict.kind;
  }

  /** A name that registers by itself; its secret. */
  async selfEnrol(name: string, code = '000000'): Promise<string> {
    const pass = this.admit(name, code);
    assert.equal(pass.kind, 'newcomer');
    const { totpKey, durable } = this.doorkeeper.enter(pass as Pass);
    await durable;
    assert.match(totpKey!, /^[A-Z2-7]{32}$/, '160 bits in base32');
    return totpKey!;
  }
}
