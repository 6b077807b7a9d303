/** The data directory: one Core at a time, and free again the moment its Core is gone, however it went. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { EXIT, FatalError } from '../src/errors.js';
import { holdDataDirectory } from '../src/log/data-directory.js';
import { temporaryFolder } from './log-files.js';

function fatal(exitCode: number, text: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof FatalError && error.exitCode === exitCode && text.test(error.message);
}

const LINUX = process.platform === 'linux' ? false : 'held by a lock file alone on this system';

describe('the data directory', () => {
  it('is made where it is missing, and says who holds it', async (t) => {
    const dir = join(temporaryFolder(t), 'a', 'b');
    const held = await holdDataDirectory(dir);
    assert.equal(readFileSync(join(dir, 'core.lock'), 'utf8'), `${process.pid}\n`);
    held.release();
    assert.equal(existsSync(join(dir, 'core.lock')), false);
  });

  it('is refused to a second holder, by whatever path it comes, and free after the first', {
    skip: LINUX,
  }, async (t) => {
    const base = temporaryFolder(t);
    const dir = join(base, 'data');
    const held = await holdDataDirectory(dir);
    symlinkSync(dir, join(base, 'link'));
    for (const path of [dir, join(base, 'link'), join(dir, '..', 'data')])
      await assert.rejects(holdDataDirectory(path), fatal(EXIT.locked, /held by another Core/));
    const other = await holdDataDirectory(join(base, 'other'));
    other.release();
    held.release();
    (await holdDataDirectory(dir)).release();
  });

  it('is free when its holder was killed, whatever the lock file says', {
    skip: LINUX,
    timeout: 20_000,
  }, async (t) => {
    const dir = join(temporaryFolder(t), 'data');
    const module = new URL('../src/log/data-directory.js', import.meta.url).href;
    const program = `const { holdDataDirectory } = await import(${JSON.stringify(module)});
      await holdDataDirectory(${JSON.stringify(dir)});
      process.stdout.write('held');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    await assert.rejects(holdDataDirectory(dir), fatal(EXIT.locked, new RegExp(`process ${child.pid}`)));
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.ok(existsSync(join(dir, 'core.lock')));
    (await holdDataDirectory(dir)).release();
  });

  it('that cannot be made or written to is said so', async (t) => {
    const base = temporaryFolder(t);
    writeFileSync(join(base, 'file'), '');
    await assert.rejects(
      holdDataDirectory(join(base, 'file', 'data')),
      fatal(EXIT.cannotCreate, /storage\.dir/),
    );
    await assert.rejects(holdDataDirectory(join(base, 'file')), fatal(EXIT.cannotCreate, /storage\.dir/));
    if (process.getuid?.() === 0) return; // root may write anywhere
    const dir = join(base, 'readonly');
    (await holdDataDirectory(dir)).release();
    chmodSync(dir, 0o500);
    await assert.rejects(holdDataDirectory(dir), fatal(EXIT.cannotCreate, /cannot write/));
  });
});
