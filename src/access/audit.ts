/**
 * The audit trail: who did what, when, from where, and what came of it.
 *
 * Owned by main.
 */
import type { Actor } from './principal.js';

export interface AuditEntry {
  readonly actor: Actor;
  /** What was done, in the form `noun.verb`: `command.create`, `token.revoke`, `node.remove`. */
  readonly action: string;
  /** What it was done to: an id or a name, never a secret. */
  readonly target: string;
  readonly outcome: 'done' | 'refused' | 'failed';
  /** More that may be kept and shown; strings and numbers only, never a secret. */
  readonly detail?: Readonly<Record<string, string | number | boolean | null>>;
}

export interface AuditTrail {
  record(entry: AuditEntry): void;
}
