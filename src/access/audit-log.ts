/**
 * Keeps the audit trail. Main thread.
 *
 *   record --> waiting --(end of this turn: one write)--> in the kernel's hands --(one fdatasync at a time)--> on disk
 *                 \--(the disk refuses: tried again until it fits; too much waits: lost, counted, said)
 *
 * An entry survives the end of the process from the write on: it is made before an answer to whoever asked goes out.
 * Nobody ever waits for it, and nothing it meets is a reason to stop. Refusals are cheap to cause, so only so many a
 * minute are written; the others are counted in the next one.
 */
import { LIMITS } from '../limits.js';
import type { AuditEntry, AuditTrail } from './audit.js';
import { AuditFiles } from './audit-files.js';
import { auditLine } from './audit-line.js';

export interface AuditHooks {
  /** The disk refuses, or takes again what it refused. */
  onTrouble(trouble: Error | null): void;
  /** Entries that are lost for good; said once for many. */
  onLost(entries: number): void;
}

const MINUTE_MS = 60_000;

export class AuditLog implements AuditTrail {
  readonly #files: AuditFiles;
  readonly #hooks: AuditHooks;
  readonly #now: () => number;
  #seq: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #state: 'idle' | 'scheduled' | 'refused' = 'idle';
  #retry: NodeJS.Timeout | undefined;
  #lost = 0;
  #refusals = { untilMs: 0, count: 0, heldBack: 0 };
  #syncing: Promise<void> | undefined;
  #unsynced = false;
  #closed = false;

  /** Throws what the file system says. */
  constructor(folder: string, hooks: AuditHooks, now: () => number = Date.now) {
    this.#files = new AuditFiles(folder);
    this.#seq = this.#files.lastSeq;
    this.#hooks = hooks;
    this.#now = now;
  }

  /** Bytes of an unfinished entry that was cut off at the start. */
  get tornBytes(): number {
    return this.#files.tornBytes;
  }

  /** Entries lost because the disk took none for too long. */
  get lost(): number {
    return this.#lost;
  }

  record(entry: AuditEntry): void {
    if (this.#closed) return;
    const counted = entry.outcome === 'refused' ? this.#countRefusal(entry) : entry;
    if (counted === undefined) return;
    this.#seq += 1;
    const line = Buffer.from(auditLine(this.#seq, this.#now(), counted));
    if (this.#waitingBytes + line.length > LIMITS.auditWaitingBytes) {
      this.#lost += 1;
      // Its number is not used again: the gap says that something is missing.
      if (this.#lost === 1 || this.#lost % 1000 === 0) this.#hooks.onLost(this.#lost);
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    if (this.#state !== 'idle') return;
    this.#state = 'scheduled';
    queueMicrotask(() => this.#write());
  }

  /** Writes what waits, as far as the disk takes it. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#write();
    await this.#syncing;
    if (this.#waiting.length > 0) this.#hooks.onLost(this.#lost + this.#waiting.length);
    this.#files.close();
  }

  /** The entry with what was held back before it, or undefined where it is one too many itself. */
  #countRefusal(entry: AuditEntry): AuditEntry | undefined {
    const nowMs = this.#now();
    if (nowMs >= this.#refusals.untilMs)
      this.#refusals = { untilMs: nowMs + MINUTE_MS, count: 0, heldBack: this.#refusals.heldBack };
    if (this.#refusals.count >= LIMITS.auditRefusalsPerMinute) {
      this.#refusals.heldBack += 1;
      return undefined;
    }
    this.#refusals.count += 1;
    const { heldBack } = this.#refusals;
    this.#refusals.heldBack = 0;
    return heldBack === 0 ? entry : { ...entry, detail: { ...entry.detail, refusals_not_written: heldBack } };
  }

  #write(): void {
    if (this.#waiting.length === 0) {
      this.#state = 'idle';
      return;
    }
    try {
      this.#files.append(Buffer.concat(this.#waiting));
    } catch (error) {
      if (this.#state !== 'refused') this.#hooks.onTrouble(error as Error);
      this.#state = 'refused';
      if (!this.#closed) this.#retry = setTimeout(() => this.#write(), LIMITS.diskRetryMs).unref();
      return;
    }
    const wasRefused = this.#state === 'refused';
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#state = 'idle';
    this.#unsynced = true;
    this.#syncing ??= this.#sync();
    if (!wasRefused) return;
    this.#hooks.onTrouble(null);
    if (this.#lost > 0) this.#hooks.onLost(this.#lost);
  }

  async #sync(): Promise<void> {
    while (this.#unsynced) {
      this.#unsynced = false;
      // A disk that cannot sync says so to the log of events, loudly; here there is nothing else to do about it.
      await this.#files.sync().catch((error: Error) => this.#hooks.onTrouble(error));
    }
    this.#syncing = undefined;
  }
}
