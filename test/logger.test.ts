/** The log: what a line holds and must not hold, from every thread, and what happens when it cannot be written. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { EXIT, FatalError } from '../src/errors.js';
import { LineWriter, type WriteBytes } from '../src/telemetry/line-writer.js';
import {
  createLogger,
  LOG_FILE,
  type Logger,
  type LoggerOptions,
  lostLogLines,
} from '../src/telemetry/logger.js';

const folder = mkdtempSync(join(tmpdir(), 'honeybee-logger-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const loggerUrl = new URL('../src/telemetry/logger.js', import.meta.url).href;

/** What a terminal acts on, apart from the end of a line. */
const acting = /[^\n\P{Cc}]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u;

/** What an attacker would like to see in a log that is read on a terminal. */
const hostile = 'a\u001b[2Jb\rc\nd\0e\u0007\u009b31mf\u007fg\u202eh\u2028i\u0085j\ufeffk\tl\\u001bm{n}';

let outputs = 0;

/** Everything `say` logs, as it lands on standard output and in the file. */
function logged(
  say: (logger: Logger) => void,
  options: Partial<LoggerOptions> = {},
): { output: string; file: string } {
  const own = join(folder, `output-${outputs++}`);
  const fd = openSync(own, 'a');
  try {
    say(
      createLogger({
        level: 'info',
        folder: `${own}-logs`,
        forceColor: false,
        thread: 'main',
        fd,
        ...options,
      }),
    );
  } finally {
    closeSync(fd);
  }
  return { output: readFileSync(own, 'utf8'), file: readFileSync(join(`${own}-logs`, LOG_FILE), 'utf8') };
}

function records(text: string): Record<string, unknown>[] {
  assert.ok(text === '' || text.endsWith('\n'));
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('a line', () => {
  test('is one JSON object with level, ISO time, thread and process, the same in the file', () => {
    const { output, file } = logged((logger) => logger.info({ node_port: 9001 }, 'ready'), {
      thread: 'shard-3',
    });
    assert.equal(output, file);
    const [record] = records(output);
    const { time, ...rest } = record!;
    assert.deepEqual(rest, { level: 30, thread: 'shard-3', pid: process.pid, node_port: 9001, msg: 'ready' });
    assert.equal(new Date(time as string).toISOString(), time);
  });

  test('below the level is not written', () => {
    const { output } = logged(
      (logger) => {
        logger.info('no');
        logger.warn('yes');
      },
      { level: 'warn' },
    );
    assert.deepEqual(
      records(output).map(({ msg }) => msg),
      ['yes'],
    );
  });

  test('keeps the digits of 64-bit ids', () => {
    const id = 2n ** 64n - 1n;
    const { output, file } = logged((logger) =>
      logger.info({ node_id: id, nested: { node_id: id } }, 'node'),
    );
    assert.ok(
      output.includes('"node_id":18446744073709551615,"nested":{"node_id":18446744073709551615}'),
      output,
    );
    const pretty = logged((logger) => logger.info({ node_id: id, text: `"${id}` }, 'node'), {
      forceColor: true,
    });
    assert.ok(pretty.output.includes('18446744073709551615'), pretty.output);
    assert.ok(!pretty.output.includes('18446744073709552'), pretty.output);
    assert.equal(file, output);
  });

  test('holds no secret, however deep, and none of a child logger', () => {
    const { output, file } = logged((logger) => {
      const secrets = {
        totp_code: 's3cret',
        totp_key: 's3cret',
        token: 's3cret',
        authorization: 's3cret',
        secret: 's3cret',
      };
      logger.info(secrets, 'top');
      logger.info({ a: secrets, b: { c: secrets, d: { e: secrets } } }, 'deep');
      logger.child({ token: 's3cret', headers: { authorization: 's3cret' } }).info('child');
      logger.info({ totp_key: { inner: 's3cret' } }, 'object');
    });
    assert.ok(!output.includes('s3cret') && !file.includes('s3cret'), output);
    assert.equal(records(output).length, 4);
    assert.equal(records(output)[0]?.token, '[redacted]');
  });

  test('does not change the object that is logged', () => {
    const object = { token: 's3cret', a: { secret: 's3cret' } };
    logged((logger) => logger.info(object, 'object'));
    assert.deepEqual(object, { token: 's3cret', a: { secret: 's3cret' } });
  });

  test('of something that cannot be serialized is still a line', () => {
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const { output } = logged((logger) => logger.error({ circular, err: new Error('broken') }, 'odd'));
    assert.equal(records(output)[0]?.msg, 'odd');
  });
});

describe('bytes of attackers', () => {
  const say = (logger: Logger) => {
    logger.info({ name: hostile, list: [hostile], deep: { [hostile]: hostile } }, 'hostile');
    logger.error(
      { err: Object.assign(new Error(hostile), { detail: hostile }), pid: hostile, caller: hostile },
      'failed',
    );
    logger
      .child({ [hostile]: hostile })
      .info({ toString: hostile, constructor: 1, hasOwnProperty: 1 }, 'child');
  };

  test('reach a JSON log escaped, and are still all there', () => {
    const { output, file } = logged(say);
    assert.ok(!acting.test(output), JSON.stringify(output));
    assert.equal(file, output);
    const [first] = records(output);
    assert.equal(first?.name, hostile);
    assert.deepEqual(first?.deep, { [hostile]: hostile });
  });

  test('reach a terminal in coloured mode only as visible escapes, and forge no line', () => {
    const { output, file } = logged(say, { forceColor: true });
    // pino-pretty's own colours are the only escape sequences left.
    const colours = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g');
    assert.ok(colours.test(output), 'coloured');
    const text = output.replaceAll(colours, '');
    assert.ok(!acting.test(text), JSON.stringify(text));
    assert.ok(text.includes('a\\u001b[2Jb\\u000dc\\u000ad\\u0000e'), text);
    assert.ok(text.includes('"toString":"a\\u001b'), text);
    for (const line of text.split('\n').slice(0, -1)) {
      assert.match(
        line,
        /^(\[\d\d:\d\d:\d\d\.\d{3}\] [A-Z]+( \(.*\))?( <.*>)?: \[main\] (hostile|failed|child)( |$)| {4}|\}?$)/,
        JSON.stringify(line),
      );
    }
    assert.equal(records(file).length, 3);
  });
});

test('coloured mode keeps the file in JSON', () => {
  const { output, file } = logged((logger) => logger.warn({ port: 9001 }, 'in use'), { forceColor: true });
  assert.match(output, /WARN.*\[main\] in use.*"port":9001/);
  assert.equal(records(file)[0]?.port, 9001);
});

describe('the file', () => {
  test('cannot be created: a fatal error with its own exit code, naming the setting', () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    for (const place of [file, join(file, 'below')]) {
      assert.throws(
        () => createLogger({ level: 'info', folder: place, forceColor: false, thread: 'main', fd: 1 }),
        (error) =>
          error instanceof FatalError &&
          error.exitCode === EXIT.cannotCreate &&
          error.message.includes('logging.folder'),
      );
    }
  });

  test('takes whole lines of several threads', async () => {
    const place = join(folder, 'threads', 'deep');
    const code = `
      const { workerData } = require('node:worker_threads');
      import(workerData.loggerUrl).then(({ createLogger }) => {
        const fd = require('node:fs').openSync('/dev/null', 'w');
        const logger = createLogger({ level: 'info', folder: workerData.place, forceColor: false, thread: workerData.thread, fd });
        for (let line = 0; line < 500; line++) logger.info({ line, filler: 'x'.repeat(line * 20) }, 'line');
      });`;
    const threads = ['main', 'shard-0', 'shard-1'];
    await Promise.all(
      threads.map((thread) =>
        once(new Worker(code, { eval: true, workerData: { loggerUrl, place, thread } }), 'exit'),
      ),
    );
    const lines = records(readFileSync(join(place, LOG_FILE), 'utf8'));
    for (const thread of threads) {
      const own = lines.filter((record) => record.thread === thread).map((record) => record.line);
      assert.deepEqual(
        own,
        Array.from({ length: 500 }, (_, line) => line),
      );
    }
  });
});

/** Runs a module in a process of its own; `{log}` is the logger module. */
function child(code: string) {
  const file = join(folder, `child-${outputs++}.mjs`);
  writeFileSync(file, `import * as log from ${JSON.stringify(loggerUrl)};\n${code}`);
  return spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

describe('standard output', () => {
  test('gets what a worker says though main is blocked and then dies', async () => {
    const process = child(`
      import { Worker } from 'node:worker_threads';
      const gate = new Int32Array(new SharedArrayBuffer(4));
      new Worker(\`
        const { workerData: { url, gate } } = require('node:worker_threads');
        import(url).then((log) => {
          log.createLogger({ level: 'info', folder: '', forceColor: false, thread: 'shard-0' }).error('last words');
          Atomics.store(gate, 0, 1);
          Atomics.notify(gate, 0);
        });\`, { eval: true, workerData: { url: ${JSON.stringify(loggerUrl)}, gate } });
      Atomics.wait(gate, 0, 0);
      process.kill(process.pid, 'SIGKILL');
    `);
    const output = await textOf(process.stdout);
    assert.deepEqual(
      records(output).map(({ thread, msg }) => ({ thread, msg })),
      [{ thread: 'shard-0', msg: 'last words' }],
    );
  });

  test('closed by its reader: the process lives on and counts what is lost', async () => {
    const process = child(`
      const logger = log.createLogger({ level: 'info', folder: '', forceColor: false, thread: 'main' });
      logger.info('first');
      let lines = 0;
      const timer = setInterval(() => {
        logger.info({ line: lines++ }, 'line');
        if (log.lostLogLines() < 10) return;
        clearInterval(timer);
        console.error(log.lostLogLines());
      }, 1);
    `);
    await once(process.stdout, 'data');
    process.stdout.destroy();
    const errors = textOf(process.stderr);
    const [code] = await once(process, 'exit');
    assert.equal(code, 0);
    assert.equal((await errors).trim(), '10');
  });

  test('on a full disk: lines are lost and counted, the file gets them all the same', {
    skip: !existsSync('/dev/full') && 'no /dev/full',
  }, () => {
    const before = lostLogLines();
    const fd = openSync('/dev/full', 'w');
    const { file } = logged(
      (logger) => {
        for (let line = 0; line < 5; line++) logger.info({ line }, 'line');
      },
      { fd },
    );
    closeSync(fd);
    assert.equal(lostLogLines() - before, 5);
    assert.equal(records(file).length, 5);
  });
});

describe('a writer whose descriptor misbehaves', () => {
  function failure(code: string): Error {
    return Object.assign(new Error(code), { code });
  }

  /** A descriptor that does what the list says, one entry per call: bytes taken, or an error code. Then it takes all. */
  function scripted(...script: (number | string)[]): {
    write: WriteBytes;
    text: () => string;
    emptied: Promise<void>;
  } {
    let text = '';
    let empty = () => {};
    const emptied = new Promise<void>((resolve) => {
      empty = resolve;
    });
    const write: WriteBytes = (_, bytes) => {
      const step = script.shift() ?? bytes.length;
      if (script.length === 0) empty();
      if (typeof step === 'string') throw failure(step);
      text += Buffer.from(bytes.subarray(0, step)).toString('utf8');
      return Math.min(step, bytes.length);
    };
    return { write, text: () => text, emptied };
  }

  test('short writes are continued', () => {
    const { write, text } = scripted(1, 1, 1);
    const writer = new LineWriter(1, write);
    writer.write('first\n');
    assert.equal(text(), 'first\n');
    assert.equal(writer.lost, 0);
  });

  test('a reader that is behind gets everything later, in order, without a further line being logged', async () => {
    const { write, text, emptied } = scripted(2, 'EAGAIN', 'EAGAIN', 'EAGAIN', 3);
    const writer = new LineWriter(1, write);
    writer.write('first\n');
    assert.equal(text(), 'fi');
    writer.write('second\n');
    assert.equal(text(), 'fi');
    // The timer is unref'd on purpose; this keeps the test's own process until it has fired.
    const keep = setInterval(() => {}, 1000);
    await emptied;
    clearInterval(keep);
    assert.equal(text(), 'first\nsecond\n');
    assert.equal(writer.lost, 0);
    writer.write('third\n');
    assert.equal(text(), 'first\nsecond\nthird\n');
  });

  test('what waits is bounded, and what is too much is counted', () => {
    let behind = true;
    let taken = 0;
    const writer = new LineWriter(1, (_, bytes) => {
      if (behind) throw failure('EAGAIN');
      taken += bytes.length;
      return bytes.length;
    });
    const line = `${'x'.repeat(1023)}\n`;
    for (let count = 0; count < 1000; count++) writer.write(line);
    assert.equal(writer.lost, 1000 - 256);
    behind = false;
    writer.flush();
    assert.equal(taken, 256 * 1024);
  });

  test('a torn line costs only itself', () => {
    for (const code of ['ENOSPC', 'EPIPE', 'EIO', 'EBADF']) {
      const { write, text } = scripted(3, code, code);
      const writer = new LineWriter(1, write);
      writer.write('first\n');
      writer.write('second\n');
      writer.write('third\n');
      assert.equal(text(), 'fir\nthird\n', code);
      assert.equal(writer.lost, 2);
    }
  });

  test('leaves nothing behind in the process once it has recovered', () => {
    const listeners = process.listenerCount('exit');
    const { write } = scripted('EAGAIN');
    const writer = new LineWriter(1, write);
    writer.write('first\n');
    assert.equal(process.listenerCount('exit'), listeners + 1);
    writer.flush();
    assert.equal(process.listenerCount('exit'), listeners);
  });
});
