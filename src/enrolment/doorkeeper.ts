/**
 * Decides whether a registration may go on, by its name and its code (PROTOCOL.md section 7):
 *
 *                         off       optional                         required
 *   enrolled              anyone    proven by a valid code           proven by a valid code
 *   revoked               anyone    refused                          refused
 *   unknown, with a code  anyone    newcomer: enrolled when let in   newcomer while the window is open, else refused
 *   unknown, without      anyone    anyone                           refused
 *
 * Owned by main. All refusals for want of a good code say the same to the node, cost the same, and say why in the log.
 */
import type { Logger } from 'pino';
import { addressKey, addressOf } from '../addresses.js';
import type { Config } from '../config/config.js';
import type { ErrorCode } from '../errors.js';
import { StateBacklogFull } from '../state/store.js';
import { BoundedLog } from './bounded-log.js';
import { type Enrolments, isEnrollable } from './enrolments.js';
import { EnrolmentError } from './errors.js';
import { Lockouts } from './lockouts.js';
import type { Enrolment } from './record.js';
import { highestSpent } from './spent-codes.js';
import { stepAt } from './totp.js';

export interface Applicant {
  readonly name: string;
  /** As it came; null where the registration carries none. */
  readonly code: string | null;
  /** `ip:port` */
  readonly remote: string;
}

/** May go on, as: nobody in particular; the owner of an enrolled name; a name to be enrolled when it is let in. */
export type Pass =
  | { readonly kind: 'anyone'; readonly name: string }
  | {
      readonly kind: 'proven';
      readonly name: string;
      readonly sealed: string;
      /** The code cannot be used again whatever happens. */
      readonly durable: Promise<void>;
    }
  | { readonly kind: 'newcomer'; readonly name: string };

export interface Refusal {
  readonly kind: 'refused';
  readonly code: Extract<ErrorCode, 'AUTHENTICATION_FAILED' | 'NODE_REGISTRATION_FAILED'>;
  /** For the node. */
  readonly message: string;
  /** For the log. */
  readonly why: string;
}

/** A pass that was used: what the node is told, and when it may be. */
export interface Entry {
  readonly totpKey: string | undefined;
  readonly durable: Promise<unknown>;
  /** The node cannot be told any more. */
  withdraw(): void;
}

/** The node cannot be enrolled now: Core cannot write what that takes. */
export class NoEntry extends Error {
  constructor(options: ErrorOptions) {
    super('the secret of a node cannot be kept', options);
    this.name = 'NoEntry';
  }
}

export interface DoorkeeperClock {
  /** ms since 1970 */
  now(): number;
  /** ms, never set back */
  monotonic(): number;
}

const CLOCK: DoorkeeperClock = { now: () => Date.now(), monotonic: () => performance.now() };
const NOTHING: Entry = { totpKey: undefined, durable: Promise.resolve(), withdraw() {} };

/** What a refused node is told: one text for all, as it must not tell an unknown name from a wrong code. */
export const AUTHENTICATION_FAILED = 'a valid code of this name is needed';

export class Doorkeeper {
  readonly #mode: Config['auth']['totp'];
  readonly #enrolments: Enrolments;
  readonly #log: BoundedLog;
  readonly #clock: DoorkeeperClock;
  readonly #names = new Lockouts();
  readonly #networks = new Lockouts();
  /** The log was told that the clock was set back behind this step. */
  #saidAheadStep = -1;

  constructor(
    mode: Config['auth']['totp'],
    enrolments: Enrolments,
    logger: Logger,
    clock: DoorkeeperClock = CLOCK,
  ) {
    this.#mode = mode;
    this.#enrolments = enrolments;
    this.#log = new BoundedLog(logger, clock.monotonic);
    this.#clock = clock;
  }

  /** Looks at a registration before anything else does. A code that was good is spent when this returns. */
  admit(applicant: Applicant): Pass | Refusal {
    const { name } = applicant;
    // An empty code is what nodes send that were told of no code.
    const code = applicant.code === '' ? null : applicant.code;
    if (this.#mode === 'off') return { kind: 'anyone', name };
    const known = this.#enrolments.get(name);
    // Nothing is to be had here by guessing, so no lock-out stands against it.
    if (known === undefined && code === null && this.#mode === 'optional') return { kind: 'anyone', name };
    const address = addressOf(applicant.remote);
    const nowMs = this.#clock.monotonic();
    if (this.#names.isLocked(name, nowMs)) return refused('the name is locked out');
    if (this.#networks.isLocked(addressKey(address), nowMs)) return refused('the address is locked out');
    if (known === undefined && code !== null && this.#newcomersMayEnter) return this.#newcomer(name);
    return this.#prove(name, known, code, address);
  }

  /** Things may have changed since the pass was given: is it still worth what it was? */
  holds(pass: Pass): boolean {
    if (this.#mode === 'off') return true;
    const known = this.#enrolments.get(pass.name);
    switch (pass.kind) {
      case 'anyone':
        return known === undefined;
      case 'proven':
        return known?.sealed === pass.sealed;
      case 'newcomer':
        return known === undefined && this.#newcomersMayEnter && this.#enrolments.hasRoomForNode;
    }
  }

  /** Uses a pass that holds; the node is in. Throws {@link NoEntry}, and then nothing has changed. */
  enter(pass: Pass): Entry {
    switch (pass.kind) {
      case 'anyone':
        return NOTHING;
      case 'proven':
        return { ...NOTHING, durable: pass.durable };
      case 'newcomer': {
        const { issued, durable } = this.#enrol(pass.name);
        return {
          totpKey: issued.secret,
          durable,
          withdraw: () => {
            // Where the disk has no room for that the name stays enrolled, which an administrator can change.
            void this.#enrolments.withdraw(issued.enrolment).catch(() => {});
          },
        };
      }
    }
  }

  #enrol(name: string): ReturnType<Enrolments['enrolNode']> {
    try {
      return this.#enrolments.enrolNode(name);
    } catch (error) {
      if (error instanceof EnrolmentError)
        this.#log.warn({ err: error.cause ?? error }, 'a node cannot be enrolled');
      else if (!(error instanceof StateBacklogFull)) throw error;
      throw new NoEntry({ cause: error });
    }
  }

  get #newcomersMayEnter(): boolean {
    return this.#mode === 'optional' || this.#enrolments.window.openUntilMs !== null;
  }

  #newcomer(name: string): Pass | Refusal {
    if (!isEnrollable(name)) return unavailable('a name with half of a surrogate pair cannot be enrolled');
    if (!this.#enrolments.hasRoomForNode) return unavailable('as many names are enrolled as Core can keep');
    return { kind: 'newcomer', name };
  }

  #prove(name: string, known: Enrolment | undefined, code: string | null, address: string): Pass | Refusal {
    const step = this.#enrolments.check(name, code ?? '');
    if (known === undefined) return this.#failed(name, address, 'the name is not enrolled');
    if (known.sealed === null) return this.#failed(name, address, 'the enrolment was revoked');
    if (code === null) return this.#failed(name, address, 'the registration carries no code');
    if (step === 'damaged') return this.#failed(name, address, 'the secret of the name cannot be decrypted');
    if (step === undefined) return this.#failed(name, address, 'the code is wrong');
    this.#watchClock(name, known);
    let use: ReturnType<Enrolments['spend']>;
    try {
      use = this.#enrolments.spend(name, step, address);
    } catch (error) {
      if (!(error instanceof StateBacklogFull)) throw error;
      return unavailable('Core cannot write its state now');
    }
    if (use.verdict === 'spent') return this.#failed(name, address, 'the code was used before');
    this.#names.forget(name);
    return { kind: 'proven', name, sealed: known.sealed, durable: use.durable };
  }

  #failed(name: string, address: string, why: string): Refusal {
    const nowMs = this.#clock.monotonic();
    const network = addressKey(address);
    for (const [lockouts, key, what] of [
      [this.#names, name, 'name'],
      [this.#networks, network, 'address'],
    ] as const) {
      const lockMs = lockouts.failed(key, nowMs);
      if (lockMs !== undefined)
        this.#log.warn({ [what]: key, seconds: lockMs / 1000 }, 'locked out after failed codes');
    }
    return refused(why);
  }

  /** A clock that was set back is worth one line until it has caught up: codes look spent before their time. */
  #watchClock(name: string, known: Enrolment): void {
    const reach = stepAt(this.#clock.now()) + 1;
    const highest = highestSpent(known.spent);
    if (highest <= reach || this.#saidAheadStep > reach) return;
    this.#saidAheadStep = highest;
    this.#log.warn(
      { node: name },
      'codes of a time to come have been used: was the clock set back? Codes used then stay spent',
    );
  }
}

function refused(why: string): Refusal {
  return { kind: 'refused', code: 'AUTHENTICATION_FAILED', message: AUTHENTICATION_FAILED, why };
}

function unavailable(why: string): Refusal {
  return { kind: 'refused', code: 'NODE_REGISTRATION_FAILED', message: why, why };
}
