/**
 * What administrators do about enrolments, as REST and the command line ask for it. It works without a data plane, too.
 *
 * Owned by main. Every promise resolves when its change is durable, and rejects with an EnrolmentError.
 */
import type { Config } from '../config/config.js';
import { StateBacklogFull } from '../state/store.js';
import type { Enrolments, IssuedSecret } from './enrolments.js';
import { EnrolmentError } from './errors.js';
import type { Enrolment } from './record.js';

export type EnrolmentMode = Config['auth']['totp'];

export interface EnrolmentDesk {
  readonly mode: EnrolmentMode;
  /** By name; `after` is the last name of the page before. */
  list(limit: number, after?: string): Enrolment[];
  enrol(name: string): Promise<IssuedSecret>;
  rotate(name: string): Promise<IssuedSecret>;
  /** The name gets in no more, and who is connected under it is disconnected. */
  revoke(name: string): Promise<void>;
  /** The name is as unknown as any other again. */
  forget(name: string): Promise<void>;
  /** When the window closes, ms since 1970; null where it is closed. */
  windowOpenUntilMs(): number | null;
  openWindow(durationMs: number): Promise<void>;
  closeWindow(): Promise<void>;
}

/** `dismiss` disconnects whoever is connected under a name. */
export function createEnrolmentDesk(
  mode: EnrolmentMode,
  enrolments: Enrolments,
  dismiss: (name: string) => void = () => {},
): EnrolmentDesk {
  /** Where names mean nothing nobody is disconnected for one. */
  const dismissIfAsked = (name: string) => {
    if (mode !== 'off') dismiss(name);
  };
  return {
    mode,
    list: (limit, after) => enrolments.list(limit, after),
    enrol: (name) => told(() => enrolments.enrol(name)),
    rotate: (name) => told(() => enrolments.rotate(name)),
    async revoke(name) {
      await told(() => enrolments.revoke(name));
      dismissIfAsked(name);
    },
    async forget(name) {
      await told(() => enrolments.forget(name));
      dismissIfAsked(name);
    },
    windowOpenUntilMs: () => enrolments.window.openUntilMs,
    openWindow: (durationMs) => told(() => enrolments.window.open(durationMs)),
    closeWindow: () => told(() => enrolments.window.close()),
  };
}

async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StateBacklogFull) throw new EnrolmentError('NOT_SAVED', { cause: error });
    throw error;
  }
}
