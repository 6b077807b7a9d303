/** The files of [tls] for a test, in a folder of their own, and how a client checks what comes of them. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { Authority, type CertificateOptions, type Issued } from '../bench/x509.js';
import { type Cleanup, temporaryFolder } from './core-process.js';

/** A certificate for Core, as the tests reach it. */
export const CORE_NAMES: CertificateOptions = {
  name: 'core.example',
  dns: ['localhost'],
  ip: ['127.0.0.1'],
  use: 'server',
};

export class TlsFiles {
  readonly folder: string;
  /** Of Core's certificate. */
  readonly authority = new Authority('CA of Core');
  readonly certFile: string;
  readonly keyFile: string;
  issued: Issued;

  constructor(cleanup: Cleanup, options: CertificateOptions = CORE_NAMES) {
    this.folder = join(temporaryFolder(cleanup), 'tls');
    mkdirSync(this.folder);
    this.certFile = join(this.folder, 'cert.pem');
    this.keyFile = join(this.folder, 'key.pem');
    this.issued = this.authority.issue(options);
    this.write('cert.pem', this.issued.cert);
    this.write('key.pem', this.issued.key);
  }

  get paths(): { cert_file: string; key_file: string } {
    return { cert_file: this.certFile, key_file: this.keyFile };
  }

  get settings(): Record<string, string> {
    return { 'tls.cert_file': this.certFile, 'tls.key_file': this.keyFile };
  }

  /** For whoever connects to Core. */
  get client(): ConnectionOptions {
    return { ca: this.authority.cert };
  }

  /** Replaces a file in one step, as those who know what they do. The path. */
  write(name: string, text: string): string {
    const file = join(this.folder, name);
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    return file;
  }
}

/** What a node shows. */
export function shows({ cert, key }: Issued): ConnectionOptions {
  return { cert, key };
}
