/**
 * A named consumer is taken over while main is late: what the connection before acknowledges until it is told to go counts,
 * and the next one begins there. The aggregator's side alone; the test is main, and lets it wait.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_LIMIT } from '../src/access/scope.js';
import { createAggregatorCounters } from '../src/memory/counters.js';
import type { ConsumersToMain } from '../src/stream/consumer-messages.js';
import { Consumers } from '../src/stream/consumers.js';
import { afterwards, type Cleanup } from './core-process.js';
import { poll } from './deadline.js';
import { StreamClient } from './stream-client.js';
import { ModelLog } from './stream-model.js';

class LateMain {
  readonly log = new ModelLog();
  readonly posted: ConsumersToMain[] = [];
  readonly consumers: Consumers;
  readonly port: number;

  constructor(cleanup: Cleanup) {
    this.consumers = new Consumers(
      this.log,
      { maxConsumers: 10, bufferBytes: 1_000_000 },
      createAggregatorCounters(),
      undefined,
      undefined,
      { post: (message) => this.posted.push(message), readerWanted: () => {} },
    );
    this.port = this.consumers.listen('127.0.0.1', 0);
    afterwards(cleanup, () => this.consumers.close());
  }

  open(query = {}): Promise<StreamClient> {
    return StreamClient.open(this.port, 'batch', { query: { consumer: 'siem', ...query } });
  }

  /** The first connection: it goes on at 1, and is given everything. */
  async reading(): Promise<StreamClient> {
    this.log.append(100);
    const opening = this.open();
    await this.said('consumer-asks', 1);
    this.grant(1, 1);
    const first = await opening;
    await first.at(101);
    return first;
  }

  said(type: ConsumersToMain['type'], consumer: number): Promise<ConsumersToMain> {
    return poll(`${type} of ${consumer}`, () =>
      this.posted.find(
        (message) => message.type === type && 'consumer' in message && message.consumer === consumer,
      ),
    );
  }

  grant(consumer: number, cursor?: number): void {
    this.consumers.receive({
      type: 'consumer-verdict',
      consumer,
      verdict: { kind: 'granted', scope: NO_LIMIT, ...(cursor !== undefined && { cursor }) },
    });
  }

  replace(consumer: number): void {
    this.consumers.receive({ type: 'consumer-close', consumer, code: 4001, reason: 'replaced' });
  }
}

test('what is acknowledged after main has judged counts for who takes over', async (t) => {
  const main = new LateMain(t);
  const first = await main.reading();
  // Main judges now, and its answer is late.
  const next = main.open();
  await main.said('consumer-asks', 2);
  first.ack(60);
  await main.said('consumer-acked', 1);
  main.replace(1);
  main.grant(2, 1);
  const second = await next;
  await second.at(101);
  assert.equal(second.positions[0], 60);
  assert.equal(second.lines[0], main.log.lines(60, 61).toString().trim());
  assert.equal((await first.gone()).code, 4001);
});

test('where the one before has begun anew on purpose counts too, and a name that main did not know of yet', async (t) => {
  const main = new LateMain(t);
  main.log.append(100);
  const opening = main.open({ from: 5 });
  await main.said('consumer-asks', 1);
  const next = main.open();
  await main.said('consumer-asks', 2);
  main.grant(1, 80);
  const first = await opening;
  await main.said('consumer-started', 1);
  main.replace(1);
  main.grant(2, 80);
  const second = await next;
  await second.at(101);
  assert.equal(second.positions[0], 5, 'not where the cursor was before');
  assert.equal((await first.gone()).code, 4001);
});

test('the stream of a new name began before main heard of it: nothing that came since is left out', async (t) => {
  const main = new LateMain(t);
  main.log.append(100);
  const opening = main.open();
  await main.said('consumer-asks', 1);
  const next = main.open();
  await main.said('consumer-asks', 2);
  main.grant(1);
  const first = await opening;
  await first.at(101);
  const bytes = main.log.append(10);
  main.consumers.publish(bytes, 10);
  main.replace(1);
  main.grant(2);
  const second = await next;
  await second.at(111);
  assert.equal(second.positions[0], 101);
  assert.equal(second.lines.length, 10);
  assert.equal((await first.gone()).code, 4001);
});

test('whoever comes when nobody has the name any more begins where main says', async (t) => {
  const main = new LateMain(t);
  const first = await main.reading();
  first.ack(60);
  await main.said('consumer-acked', 1);
  await first.end();
  await main.said('consumer-gone', 1);
  const next = main.open();
  await main.said('consumer-asks', 2);
  main.grant(2, 30);
  const second = await next;
  await second.at(101);
  assert.equal(second.positions[0], 30);
});
