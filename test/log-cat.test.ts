/** `honeybee-core log cat` as people use it: on the files of a log, in pipes, with filters, with damage. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeEvent } from './event-maker.js';
import { seeded } from './framer-run.js';
import { LogStage } from './log-stage.js';
import { frame, statusUpdate } from './node-frames.js';

const CLI = fileURLToPath(new URL('../src/cli.js', import.meta.url));

function cat(stage: LogStage, ...options: string[]) {
  const run = spawnSync(process.execPath, [CLI, 'log', 'cat', '--dir', stage.dir, ...options], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  const lines = run.stdout === '' ? [] : run.stdout.slice(0, -1).split('\n');
  return { code: run.status, lines, stderr: run.stderr };
}

test('everything, a range, numbered, filtered; gaps and mistakes are said', async () => {
  const stage = new LogStage(20_000);
  try {
    const random = seeded(3);
    const startMs = Date.UTC(2026, 10, 21, 12);
    for (let i = 0; i < 300; i += 3)
      stage.append(
        Array.from({ length: 3 }, () => makeEvent(random).line),
        startMs + i * 1000,
      );
    stage.writer.flushIndex();
    assert.deepEqual(cat(stage), { code: 0, lines: stage.lines, stderr: '' });
    assert.deepEqual(cat(stage, '--from', '17', '--to', '42').lines, stage.lines.slice(16, 41));
    const since = new Date(startMs + 30_000).toISOString();
    assert.deepEqual(cat(stage, '--from', since, '--to', '34').lines, stage.lines.slice(30, 33));
    assert.deepEqual(cat(stage, '--to', since).lines, stage.lines.slice(0, 30));
    const [only] = cat(stage, '--from', '31', '--to', '32', '--numbered').lines;
    assert.equal(only, `{"seq":31,"received":"${since}","event":${stage.lines[30]}}`);
    const filtered = cat(stage, '--pot-type', 'cow*', '--records', 'events').lines;
    assert.deepEqual(
      filtered,
      stage.lines.filter((text) => JSON.parse(text).message.PotEvent.pot_type === 'cowrie'),
    );
    for (const [options, message] of [
      [['--from', 'yesterday'], /--from yesterday is no sequence number/],
      [['--to', '2026-13-01'], /--to 2026-13-01 is neither/],
      [['--records', 'some'], /--records is neither events nor all/],
      [['--pot-type', 'a,,b'], /--pot-type is empty/],
    ] as const) {
      const refused = cat(stage, ...options);
      assert.equal(refused.code, 64);
      assert.match(refused.stderr, message);
    }
    const first = readdirSync(stage.folder).find((name) => name.endsWith('.ndjson'))!;
    const bytes = readFileSync(join(stage.folder, first));
    bytes[bytes.length >> 1]! ^= 2;
    writeFileSync(join(stage.folder, first), bytes);
    const damaged = cat(stage);
    const gap = /(\d+) records from (\d+) to (\d+): damaged/.exec(damaged.stderr);
    assert.ok(gap !== null, damaged.stderr);
    const [, count, from, to] = gap.map(Number) as [number, number, number, number];
    assert.equal(count, to - from + 1);
    assert.deepEqual(damaged.lines, [...stage.lines.slice(0, from - 1), ...stage.lines.slice(to)]);
  } finally {
    await stage.close();
  }
});

test('by name of a node: what came before the range tells whose an id is', async () => {
  const stage = new LogStage(1_000);
  try {
    const registered = (id: bigint, name: string) =>
      frame('NodeRegistered', `{"node_id":${id},"node_name":"${name}","port":1}`);
    const left = (id: bigint, name: string) =>
      frame('NodeDisconnected', `{"node_id":${id},"node_name":"${name}"}`);
    stage.append([registered(7n, 'eu-1'), registered(8n, 'us-1')]);
    for (let i = 0; i < 40; i++) stage.append([statusUpdate(i % 2 === 0 ? 7n : 8n, 'Running')]);
    stage.append([left(7n, 'eu-1'), registered(7n, 'us-2'), statusUpdate(7n, 'Stopped')]);
    const wanted = stage.lines
      .slice(9, 43)
      .filter((text, i) => (i < 33 ? text.includes('"node_id":7') : text.includes('eu-1')));
    assert.deepEqual(cat(stage, '--from', '10', '--node', 'eu-*').lines, wanted);
  } finally {
    await stage.close();
  }
});

test('a reader that has enough ends it', async () => {
  const stage = new LogStage(1_000_000);
  try {
    const line = 'x'.repeat(1000);
    for (let i = 0; i < 40; i++) stage.append(Array.from({ length: 100 }, () => line));
    const run = spawnSync(
      'sh',
      ['-c', `"${process.execPath}" "${CLI}" log cat --dir "${stage.dir}" | head -n 2`],
      {
        encoding: 'utf8',
        timeout: 30_000,
      },
    );
    assert.equal(run.stdout, `${line}\n${line}\n`);
    assert.equal(run.stderr, '');
  } finally {
    await stage.close();
  }
});
