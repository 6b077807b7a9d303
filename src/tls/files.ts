/**
 * Reads the files of [tls]. Owned by main.
 *
 * Each file has a stamp that changes whenever it is written, replaced or linked to somewhere else; it is taken of what
 * a link points to, because that is how certificates are swapped by those who swap them often.
 */
import { type BigIntStats, promises as fs } from 'node:fs';
import type { Config } from '../config/config.js';
import type { SettingName } from '../config/settings.js';
import { printable } from '../config/values.js';
import { LIMITS } from '../limits.js';

const FILE_KEYS = ['cert_file', 'key_file', 'ca_file', 'crl_file'] as const;
export type FileKey = (typeof FILE_KEYS)[number];

/** The texts; undefined where the setting is empty. */
export type TlsTexts = { readonly [Key in FileKey]: string | undefined };

/** A file that cannot be used, and why. The text never holds anything of what stands in the file. */
export class TlsFileError extends Error {
  readonly setting: SettingName;

  constructor(settings: Config['tls'], key: FileKey, reason: string, options?: ErrorOptions) {
    super(`tls.${key} = "${printable(settings[key])}" ${reason}`, options);
    this.name = 'TlsFileError';
    this.setting = `tls.${key}`;
  }
}

/** Of all files together: differs when one of them does. A file that is not there has a stamp, too. */
export async function stampOf(settings: Config['tls']): Promise<string> {
  const stamps = FILE_KEYS.map(async (key) => {
    if (settings[key] === '') return '';
    try {
      const stats = await fs.stat(settings[key], { bigint: true });
      return [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(':');
    } catch (error) {
      return codeOf(error);
    }
  });
  return (await Promise.all(stamps)).join(' ');
}

/** Throws a {@link TlsFileError} where a file cannot be read. */
export async function readTexts(settings: Config['tls']): Promise<TlsTexts> {
  const texts: { [Key in FileKey]?: string } = {};
  for (const key of FILE_KEYS) if (settings[key] !== '') texts[key] = await readText(settings, key);
  return texts as TlsTexts;
}

async function readText(settings: Config['tls'], key: FileKey): Promise<string> {
  const refuse = (reason: string, cause?: unknown) => new TlsFileError(settings, key, reason, { cause });
  try {
    // Not opened before: a pipe would be waited for.
    const stats: BigIntStats = await fs.stat(settings[key], { bigint: true });
    if (!stats.isFile()) throw refuse('is not a file');
    if (stats.size > LIMITS.tlsFileBytes) throw refuse(`is larger than ${LIMITS.tlsFileBytes} bytes`);
    return await fs.readFile(settings[key], 'utf8');
  } catch (error) {
    if (error instanceof TlsFileError) throw error;
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') throw refuse('is not there', error);
    if (code === 'EACCES' || code === 'EPERM') throw refuse('may not be read by this user', error);
    throw refuse(`cannot be read (${code})`, error);
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
