/**
 * A disk that is soon full: a tmpfs of a few MiB, mounted by the test, and a ballast file whose removal makes room.
 * Mounting is a privilege; where it is not given, there is no small disk, and the test must say that it was skipped.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterwards, type Cleanup, temporaryFolder } from './core-process.js';

const MIB = 1024 * 1024;

export class SmallDisk {
  readonly path: string;
  readonly #ballast: string;

  /** Undefined where this process may not mount. */
  static mount(cleanup: Cleanup, sizeMib: number, options = ''): SmallDisk | undefined {
    const path = join(temporaryFolder(cleanup), 'disk');
    mkdirSync(path);
    const { status } = spawnSync(
      'mount',
      ['-t', 'tmpfs', '-o', `size=${sizeMib}m${options}`, 'tmpfs', path],
      {
        stdio: 'ignore',
      },
    );
    if (status !== 0) return undefined;
    afterwards(cleanup, () => spawnSync('umount', [path], { stdio: 'ignore' }));
    return new SmallDisk(path);
  }

  private constructor(path: string) {
    this.path = path;
    this.#ballast = join(path, 'ballast');
  }

  /** Takes up room until only so much is left. */
  leave(freeMib: number): void {
    const block = Buffer.alloc(MIB);
    const file = openSync(this.#ballast, 'a');
    for (let free = this.freeBytes; free > freeMib * MIB; free = this.freeBytes) {
      writeSync(file, block, 0, Math.min(block.length, free - freeMib * MIB));
    }
    closeSync(file);
  }

  /** Takes away all the ballast. */
  makeRoom(): void {
    rmSync(this.#ballast, { force: true });
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }
}
