/** `honeybee-core status` and `honeybee-core tail`, asked about a Core that runs. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { afterwards, CLI_FILE, type Cleanup, CoreProcess, cleanEnvironment } from './core-process.js';
import { poll, within } from './deadline.js';
import { readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { numberedEvent } from './node-frames.js';

class Command {
  readonly #child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #closed: Promise<unknown[]>;

  constructor(cleanup: Cleanup, ...args: string[]) {
    this.#child = spawn(process.execPath, [CLI_FILE, ...args], {
      env: cleanEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.#closed = once(this.#child, 'close');
    afterwards(cleanup, async () => {
      if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
      await this.#closed;
    });
  }

  async exitCode(): Promise<number | null> {
    const [code] = await within('the command ends', this.#closed);
    return code as number | null;
  }

  /** Its reader goes away, as `head` does. */
  breakPipe(): void {
    this.#child.stdout!.destroy();
  }
}

test('status prints what a running Core is about, and ends with 0 while it is well', async (t) => {
  const core = await CoreProcess.start(t);
  const node = await NodeClient.register(core.ports.node_port, { id: 1n, name: 'n' });
  await node.send('nonsense\n');
  await node.answer('Error');
  const command = new Command(t, 'status', '--url', `http://127.0.0.1:${core.ports.backend_port}/`);
  assert.equal(await command.exitCode(), 0, command.stderr);
  assert.match(command.stdout, /^health +ok$/m);
  assert.match(command.stdout, new RegExp(`${core.mode} mode`));
  assert.match(command.stdout, /^nodes +1 connected, 1 known$/m);
  assert.match(command.stdout, /^refused +MESSAGE_PARSE_FAILED 1$/m);
  await node.end();
  assert.equal((await core.stop()).code, 0);
});

test('without a Core status and tail say so and end with 69', async (t) => {
  const core = await CoreProcess.start(t);
  const { backend_port, proxy_port } = core.ports;
  await core.stop();
  for (const args of [
    ['status', '--url', `http://127.0.0.1:${backend_port}`],
    ['tail', '--url', `ws://127.0.0.1:${proxy_port}`],
  ]) {
    const command = new Command(t, ...args);
    assert.equal(await command.exitCode(), 69);
    assert.match(
      command.stderr,
      /^honeybee-core: [^\n]*127\.0\.0\.1[^\n]*\n$/,
      'one line that names the address',
    );
    assert.equal(command.stdout, '');
  }
});

test('status of a port that is no Core: 69', async (t) => {
  const core = await CoreProcess.start(t);
  const command = new Command(t, 'status', '--url', `http://127.0.0.1:${core.ports.proxy_port}`);
  assert.equal(await command.exitCode(), 69);
  await core.stop();
});

test('tail prints the stream as it is, one record a line, until Core stops', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port } = core.ports;
  const tail = new Command(t, 'tail', '--url', `ws://127.0.0.1:${proxy_port}`);
  // It cannot say when it listens: nodes come until one is seen.
  let id = 0n;
  await poll('the first line', async () => {
    await (await NodeClient.register(node_port, { id: ++id, name: `n${id}` })).end();
    return tail.stdout !== '' ? true : undefined;
  });
  const node = await NodeClient.register(node_port, { id: 2n ** 64n - 1n, name: 'last' });
  const sent = Array.from({ length: 2_000 }, (_, n) => `${numberedEvent(2n ** 64n - 1n, n, '\u{1f41d}')}\n`);
  await node.send(sent.join(''));
  await node.end();
  assert.equal((await core.stop()).code, 0);
  assert.equal(await tail.exitCode(), 0, tail.stderr);
  assert.match(tail.stderr, /the stream ended \(1001 Core is stopping\)/);
  const log = readLog(core.dataDir).content.toString('utf8');
  assert.ok(tail.stdout.includes(sent.join('')));
  assert.ok(log.endsWith(tail.stdout), 'from its first line on, what it printed is the log');
});

test('tail ends when its reader goes away', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port } = core.ports;
  const tail = new Command(t, 'tail', '--url', `ws://127.0.0.1:${proxy_port}`);
  tail.breakPipe();
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  let over = false;
  const ended = tail.exitCode().then((code) => {
    over = true;
    return code;
  });
  let number = 0;
  await poll('it ends', async () => {
    await node.send(`${numberedEvent(1n, number++)}\n`);
    return over ? true : undefined;
  });
  assert.equal(await ended, 0);
  await node.end();
  assert.equal((await core.stop()).code, 0);
});
