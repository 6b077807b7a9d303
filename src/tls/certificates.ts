/**
 * Core's certificate: read at start, read again when its files change or somebody says so, and handed to whoever does
 * TLS. Owned by main.
 *
 *   files change --look--> readable, and they fit together? --yes--> listeners
 *                                     |
 *                                     no: the old material stays. Certificate and key are exchanged one after the
 *                                     other, so this is said only once it has lasted for LIMITS.tlsSettleMs
 *
 * It must never let go of material that works for some that does not.
 */
import type { Logger } from 'pino';
import type { Config } from '../config/config.js';
import { EXIT, FatalError } from '../errors.js';
import { LIMITS } from '../limits.js';
import { type CheckedMaterial, checkTexts, describe, validityWarnings } from './check.js';
import { readTexts, stampOf, TlsFileError } from './files.js';
import type { TlsMaterial } from './material.js';

/** For metrics. */
export interface CertificateState {
  readonly notAfterMs: number;
  readonly reloads: number;
  readonly failedReloads: number;
}

const DAY_MS = 86_400_000;

export class Certificates {
  readonly #settings: Config['tls'];
  readonly #logger: Logger;
  readonly #listeners: ((material: TlsMaterial) => void)[] = [];
  #checked: CheckedMaterial;
  /** Of the files as they were when they were read last, with success or without. */
  #knownStamp: string;
  /** Since when the files have not fitted together. */
  #unfitSinceMs: number | undefined;
  #warnedMs: number;
  #reloads = 0;
  #failedReloads = 0;
  /** Looks wait for each other: two at once could publish the older material last. */
  #looking: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  /** Undefined where TLS is not configured. Throws a FatalError where it is and cannot be had. */
  static async open(settings: Config['tls'], logger: Logger): Promise<Certificates | undefined> {
    if (settings.cert_file === '') return undefined;
    try {
      const stamp = await stampOf(settings);
      const checked = checkTexts(settings, await readTexts(settings), Date.now());
      return new Certificates(settings, logger, checked, stamp);
    } catch (error) {
      if (!(error instanceof TlsFileError)) throw error;
      throw new FatalError(EXIT.config, error.message, { cause: error });
    }
  }

  private constructor(settings: Config['tls'], logger: Logger, checked: CheckedMaterial, stamp: string) {
    this.#settings = settings;
    this.#logger = logger;
    this.#checked = checked;
    this.#knownStamp = stamp;
    this.#warnedMs = Date.now();
    logger.info(describe(checked.certificate), 'certificate loaded');
    this.#warn(checked.warnings);
  }

  get material(): TlsMaterial {
    return this.#checked.material;
  }

  state(): CertificateState {
    return {
      notAfterMs: this.#checked.notAfterMs,
      reloads: this.#reloads,
      failedReloads: this.#failedReloads,
    };
  }

  /** Calls back with every new material; what is used until then is {@link material}. */
  onChange(listener: (material: TlsMaterial) => void): void {
    this.#listeners.push(listener);
  }

  /** Looks at the files now and then. They are asked, not watched: no watcher sees what changes behind a link, and none
   *  works on every file system. */
  watch(): void {
    const look = () => {
      this.#looking = this.#looking.then(() => this.#look());
      void this.#looking.then(() => {
        if (this.#timer !== undefined) this.#timer = setTimeout(look, LIMITS.tlsLookIntervalMs).unref();
      });
    };
    this.#timer = setTimeout(look, LIMITS.tlsLookIntervalMs).unref();
  }

  /** Somebody asked for it: read the files whether they have changed or not, and say at once what came of it. */
  reload(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#read(true));
    return this.#looking;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #look(): Promise<void> {
    this.#remind();
    const stamp = await stampOf(this.#settings);
    if (stamp !== this.#knownStamp || this.#unfitSinceMs !== undefined) await this.#read(false);
  }

  async #read(asked: boolean): Promise<void> {
    const stamp = await stampOf(this.#settings);
    try {
      const texts = await readTexts(this.#settings);
      // Changed while it was read: half of the one, half of the other. The next look comes soon.
      if ((await stampOf(this.#settings)) !== stamp && !asked) return;
      this.#take(checkTexts(this.#settings, texts, Date.now()), asked);
      this.#unfitSinceMs = undefined;
      this.#knownStamp = stamp;
    } catch (error) {
      if (!(error instanceof TlsFileError)) throw error;
      this.#unfitSinceMs ??= performance.now();
      if (!asked && performance.now() - this.#unfitSinceMs < LIMITS.tlsSettleMs) {
        this.#logger.debug({ reason: error.message }, 'certificate files are changing');
        return;
      }
      this.#unfitSinceMs = undefined;
      this.#knownStamp = stamp;
      this.#failedReloads++;
      this.#logger.error(
        { setting: error.setting, reason: error.message },
        'the new certificate cannot be used, the old one stays',
      );
    }
  }

  #take(checked: CheckedMaterial, asked: boolean): void {
    if (isSame(checked.material, this.#checked.material)) {
      if (asked) this.#logger.info(describe(checked.certificate), 'certificate is the same as before');
      return;
    }
    this.#checked = checked;
    this.#reloads++;
    this.#warnedMs = Date.now();
    this.#logger.info(describe(checked.certificate), 'certificate reloaded');
    this.#warn(checked.warnings);
    for (const listener of this.#listeners) listener(checked.material);
  }

  /** Once a day, as long as the certificate is about to expire or has. */
  #remind(): void {
    const nowMs = Date.now();
    if (nowMs - this.#warnedMs < DAY_MS) return;
    this.#warnedMs = nowMs;
    this.#warn(validityWarnings(this.#checked.certificate, nowMs));
  }

  #warn(warnings: readonly string[]): void {
    for (const warning of warnings) this.#logger.warn({ warning }, 'certificate');
  }
}

/** Ticket keys are drawn with every reading, and say nothing. */
function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca === b.ca && a.crl === b.crl;
}
