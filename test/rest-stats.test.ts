/** Statistics and metrics, and the sums behind them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AGGREGATOR, createShardCounters, SHARD } from '../src/memory/counters.js';
import { RestCore, startRest } from './rest-core.js';

test('what a dead shard had counted stays in every total', () => {
  const core = new RestCore();
  const first = createShardCounters();
  const second = createShardCounters();
  core.stats.attach(0, first);
  core.stats.attach(1, second);
  first.set([100, 7], SHARD.events);
  first[SHARD.connections_open] = 9;
  second[SHARD.events] = 1;
  first[SHARD.refused_MESSAGE_PARSE_FAILED] = 3;
  second[SHARD.refused_INVALID_NODE_ID] = 2;
  const before = core.stats.snapshot();
  core.stats.retire(0, first);
  const between = core.stats.snapshot();
  assert.equal(between.totals.connections_open, 0, 'connections die with their shard');
  assert.equal(between.totals.events, before.totals.events);
  assert.equal(between.shards[0]?.alive, false);
  const replacement = createShardCounters();
  core.stats.attach(0, replacement);
  replacement[SHARD.events] = 5;
  first[SHARD.events] = 999_999;
  const after = core.stats.snapshot();
  assert.equal(after.totals.events, 106);
  assert.equal(after.shards[0]?.counters.events, 105);
  assert.equal(after.shards[0]?.deaths, 1);
  assert.equal(after.refused, 5);
  assert.equal(after.errors.MESSAGE_PARSE_FAILED, 3);
  assert.throws(() => core.stats.retire(0, first), 'a block is retired once');
  assert.throws(() => core.stats.attach(0, first), 'one block at a time');
});

test('rates are growth per second over each window, whatever the clock of the caller does', () => {
  const core = new RestCore();
  const block = createShardCounters();
  core.stats.attach(0, block);
  const rates = () => core.stats.snapshot().rates;
  assert.equal(rates().last1s.events, 0);
  core.stats.sample(1_000);
  assert.equal(rates().last60s.events, 0, 'one sample is no rate');
  for (let second = 2; second <= 200; second++) {
    // 100 a second up to second 190, then 1000.
    block[SHARD.events]! += second > 190 ? 1_000 : 100;
    core.aggregator[AGGREGATOR.bytes_logged]! += 300;
    core.stats.sample(second * 1_000 + (second % 3) - 1);
    core.stats.sample(second * 1_000 + 10);
  }
  assert.ok(Math.abs(rates().last1s.events - 1_000) < 5, `${rates().last1s.events}`);
  assert.ok(Math.abs(rates().last10s.events - 1_000) < 5, `${rates().last10s.events}`);
  assert.ok(Math.abs(rates().last60s.events - 250) < 2, `${rates().last60s.events}`);
  assert.ok(Math.abs(rates().last60s.bytes_logged - 300) < 1);
  // Main was busy for five seconds: coarser, not wrong.
  block[SHARD.events]! += 5_000;
  core.stats.sample(205_000);
  assert.ok(Math.abs(rates().last1s.events - 1_000) < 5, `${rates().last1s.events}`);
  core.stats.sample(100);
  assert.ok(Math.abs(rates().last1s.events - 1_000) < 5, 'a clock that goes back is not believed');
  const samplesAgree = rates();
  core.stats.retire(0, block);
  assert.deepEqual(rates(), samplesAgree);
  core.stats.sample(206_000);
  assert.equal(rates().last1s.events, 0, 'a death is neither growth nor loss');
});

test('stats show rates, totals, errors by code, shards and the aggregator', async () => {
  const core = await startRest();
  const block = createShardCounters();
  core.stats.attach(0, block);
  core.stats.sample(1_000);
  block[SHARD.events] = 500;
  block[SHARD.refused_NODE_NOT_FOUND] = 4;
  core.stats.sample(2_000);
  core.aggregator[AGGREGATOR.next_seq] = 2 ** 53 - 1;
  core.aggregator[AGGREGATOR.consumers_open] = 2;
  core.aggregator[AGGREGATOR.disk_waits] = 1;
  core.aggregator[AGGREGATOR.dead_letters] = 4;
  core.register(1n, 'n', 1);
  const { json, text } = await core.get('/api/v1/stats');
  assert.equal(json.mode, 'portable');
  assert.equal(json.version, '1.2.3');
  assert.equal(json.started, '2026-11-20T12:00:00.000Z');
  assert.equal(json.uptime_seconds, 61.5);
  assert.deepEqual(json.health, { status: 'ok' });
  assert.equal(json.nodes.connected, 1);
  assert.equal(json.nodes.by_status.Connected, 1);
  assert.equal(json.rates_per_second.last_1s.events, 500);
  assert.equal(json.rates_per_second.last_1s.refused, 4);
  assert.equal(json.totals.events, 500);
  assert.equal(json.totals.refused, 4);
  assert.equal(json.errors.NODE_NOT_FOUND, 4);
  assert.equal(json.errors.MESSAGE_PARSE_FAILED, 0);
  assert.equal(json.shards.length, 1);
  assert.equal(json.shards[0].alive, true);
  assert.equal(json.shards[0].events, 500);
  assert.equal(json.shards[0].refused_NODE_NOT_FOUND, 4);
  assert.ok(text.includes('"next_seq":9007199254740991'));
  assert.equal(json.aggregator.consumers.open, 2);
  assert.equal(json.aggregator.disk.waits, 1);
  assert.deepEqual(json.dead_letters, { frames: 4, bytes: 0 });
});

test('metrics are Prometheus text with absolute counters that never go back', async () => {
  const core = await startRest();
  const block = createShardCounters();
  core.stats.attach(0, block);
  core.register(1n, 'a "node"\nwith a name', 1);
  const scrape = async () => {
    const { text, headers, status } = await core.get('/metrics');
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    const values = new Map<string, number>();
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const match = /^([a-z_:][a-z0-9_:]*(?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})?) (\S+)$/i.exec(line);
      assert.ok(match, `not a sample: ${line}`);
      assert.ok(!values.has(match[1]!), `twice: ${line}`);
      values.set(match[1]!, Number(match[2]));
    }
    return { values, text };
  };
  block[SHARD.events] = 10;
  block[SHARD.ring_full_ms] = 1_500;
  block[SHARD.refused_MESSAGE_PARSE_FAILED] = 3;
  core.aggregator[AGGREGATOR.disk_wait_ms] = 250;
  const first = await scrape();
  assert.equal(first.values.get('honeybee_events_total{shard="0"}'), 10);
  assert.equal(first.values.get('honeybee_ring_full_seconds_total{shard="0"}'), 1.5);
  assert.equal(first.values.get('honeybee_refused_frames_total{shard="0",code="MESSAGE_PARSE_FAILED"}'), 3);
  assert.equal(first.values.get('honeybee_refused_frames_total{shard="0",code="NODE_NOT_FOUND"}'), 0);
  assert.equal(first.values.get('honeybee_disk_wait_seconds_total'), 0.25);
  assert.equal(first.values.get('honeybee_nodes{status="Connected"}'), 1);
  assert.equal(first.values.get('honeybee_nodes{status="Failed"}'), 0);
  assert.equal(first.values.get('honeybee_nodes_connected'), 1);
  assert.equal(first.values.get('honeybee_healthy'), 1);
  assert.equal(first.values.get('honeybee_build_info{version="1.2.3",mode="portable"}'), 1);
  assert.ok((first.values.get('process_resident_memory_bytes') ?? 0) > 0);
  assert.ok(!first.text.includes('with a name'), 'no text of a node is a label');
  core.stats.retire(0, block);
  core.stats.attach(0, createShardCounters());
  core.health = { status: 'degraded', reason: 'x' };
  const [second, third] = await Promise.all([scrape(), scrape()]);
  for (const { values } of [second, third]) {
    assert.equal(values.get('honeybee_healthy'), 0);
    assert.equal(values.get('honeybee_shard_deaths_total{shard="0"}'), 1);
    for (const [series, value] of first.values) {
      if (series.startsWith('honeybee_') && series.includes('_total')) {
        assert.ok((values.get(series) ?? -1) >= value, `${series} went back`);
      }
    }
  }
  for (const line of first.text.split('\n').filter((one) => one.startsWith('# TYPE honeybee_'))) {
    const [, , name, type] = line.split(' ');
    assert.equal(name?.endsWith('_total'), type === 'counter', line);
  }
});
