/**
 * The oracle: nodes that number their events and consumers that keep the books, while everything breaks around them, at
 * random, for a while. What was acknowledged is an obligation. At the end:
 *
 *   every acknowledged event is in the log, once, as the bytes that were sent, in the order of its node
 *   nothing is in the log that nobody sent, and no sequence number is left out or used twice
 *   every consumer that resumes was given all of it, in order, nothing twice
 *
 * And so that this can be believed: faults planted in the evidence are found, and a Core whose files are cut behind its back is caught.
 *
 *   HONEYBEE_ORACLE_SECONDS=3600 HONEYBEE_ORACLE_SEED=7 npm test -- oracle --test-timeout=7200000
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { truncateSync } from 'node:fs';
import { test } from 'node:test';
import { poll } from './deadline.js';
import type { ConsumerPlan } from './oracle/consumer.js';
import {
  type ConsumerEvidence,
  countEvents,
  type Evidence,
  judge,
  judgeAccounts,
  judgeConsumer,
  judgeDeadLetters,
  judgeLog,
  type NodeEvidence,
} from './oracle/judge.js';
import { newestEvents, World } from './oracle/world.js';

const seconds = Number(process.env.HONEYBEE_ORACLE_SECONDS ?? 25);
const seed = Number(process.env.HONEYBEE_ORACLE_SEED ?? randomInt(2 ** 31));

const cowrie = (line: string) => /^\{"version":2,"message":\{"PotEvent":.*?"pot_type":"cowrie"/.test(line);

const CONSUMERS: readonly ConsumerPlan[] = [
  { name: 'live-batch', kind: 'live', batch: true, stalls: false },
  { name: 'live-event', kind: 'live', batch: false, stalls: false },
  { name: 'resuming-batch', kind: 'resuming', batch: true, stalls: false },
  { name: 'resuming-event', kind: 'resuming', batch: false, stalls: true },
  { name: 'resuming-slow', kind: 'resuming', batch: true, stalls: true },
  { name: 'named', kind: 'named', batch: true, stalls: true },
  {
    name: 'filtered',
    kind: 'resuming',
    batch: true,
    stalls: true,
    filter: { query: 'pot_type=cowrie', passes: cowrie },
  },
];

test(`everything breaks for ${seconds} s, and nothing is lost (seed ${seed})`, async (t) => {
  const story: string[] = [];
  const world = await World.start(t, {
    seed,
    breakMs: seconds * 1000,
    nodes: 6,
    consumers: CONSUMERS,
    compress: seed % 2 === 1,
    onRound: (_round, fault) => story.push(fault),
  });
  await world.breakThings();
  const evidence = await world.settle();
  const events = [...countEvents(evidence).values()].reduce((sum, count) => sum + count, 0);
  t.diagnostic(
    `seed ${seed}: ${evidence.lines.length} records, ${events} events; ${JSON.stringify([...world.happened])}`,
  );
  for (const { plan, records, connections, positions } of world.consumers)
    t.diagnostic(`${plan.name}: ${records} records, ${connections} connections, ${positions} positions`);
  for (const { name, acked, acks, resent, babbled } of world.nodes)
    t.diagnostic(`${name}: ${acked} acknowledged by ${acks} acks, ${resent} sent again, ${babbled} refused`);

  await t.test('the books agree', () => {
    const complaints = [...world.complaints, ...judge(evidence)];
    assert.equal(complaints.length, 0, `seed ${seed}: ${story.join(', ')}\n${complaints.join('\n')}`);
  });
  await t.test('and they are about something', () => {
    assert.ok(events > 500, `${events} events`);
    assert.ok(world.nodes.every(({ acks }) => acks > 0));
    assert.ok(world.consumers.every(({ records }) => records > 100));
  });
  for (const { name, plant } of PLANTED) {
    await t.test(`planted: ${name}`, () => {
      assert.notDeepEqual(plant(evidence), [], 'not found');
    });
  }
});

/** Faults in the evidence, each of which must be found. */
const PLANTED: readonly { readonly name: string; readonly plant: (evidence: Evidence) => string[] }[] = [
  {
    name: 'an acknowledged event is not in the log',
    plant: (evidence) => withLines(evidence, (lines) => lines.toSpliced(anEvent(lines), 1)),
  },
  {
    name: 'an event is in the log twice',
    plant: (evidence) =>
      withLines(evidence, (lines) => lines.toSpliced(anEvent(lines), 0, lines[anEvent(lines)]!)),
  },
  {
    name: 'two events of a node are exchanged',
    plant: (evidence) =>
      withLines(evidence, (lines) => {
        const first = anEvent(lines);
        const id = /"node_id":\d+,"seq":/.exec(lines[first]!)![0];
        const second = lines.findIndex((line, at) => at > first && line.includes(id));
        return lines.with(first, lines[second]!).with(second, lines[first]!);
      }),
  },
  {
    name: 'a byte of an event is another one',
    plant: (evidence) =>
      withLines(evidence, (lines) =>
        lines.with(anEvent(lines), lines[anEvent(lines)]!.replace('"filler":"', '"filler":"x')),
      ),
  },
  {
    name: 'a record that nobody sent',
    plant: (evidence) =>
      withLines(evidence, (lines) => [...lines, '{"version":2,"message":{"NodeEvent":{}}}']),
  },
  {
    name: 'an event was acknowledged that is not there',
    plant: (evidence) => {
      const more = (node: NodeEvidence) => ({
        ...node,
        acked: node.acked + 200,
        highest: node.highest + 200,
      });
      return judgeLog({ ...evidence, nodes: evidence.nodes.map(more) });
    },
  },
  {
    name: 'a refused event is not kept',
    plant: (evidence) =>
      judgeDeadLetters({
        ...evidence,
        deadLetters: evidence.deadLetters.filter((frame) => !/"seq":106,/.test(frame)),
      }),
  },
  ...(['accepted', 'duplicates', 'refused', 'logged_events', 'logged_records', 'durable_seq'] as const).map(
    (field) => ({
      name: `the ledger is wrong about ${field}`,
      plant: (evidence: Evidence) =>
        judgeAccounts({
          ...evidence,
          accounts: evidence.accounts.map((account, at) =>
            at === 0 ? { ...account, [field]: account[field] - 1 } : account,
          ),
        }),
    }),
  ),
  ...CONSUMERS.flatMap(({ name, kind }, consumer) => [
    {
      name: `${name} was not given a record`,
      plant: (evidence: Evidence) =>
        withStretch(evidence, consumer, (checksums) => checksums.splice(checksums.length >> 1, 1)),
    },
    {
      name: `${name} was given a record twice`,
      plant: (evidence: Evidence) =>
        withStretch(evidence, consumer, (checksums) =>
          checksums.splice(checksums.length >> 1, 0, checksums[checksums.length >> 1]!),
        ),
    },
    {
      name: `${name} was given another byte`,
      plant: (evidence: Evidence) =>
        withStretch(evidence, consumer, (checksums) =>
          checksums.splice(checksums.length >> 1, 1, checksums[checksums.length >> 1]! ^ 1),
        ),
    },
    ...(kind === 'live'
      ? []
      : [
          {
            name: `${name} did not get to the end`,
            plant: (evidence: Evidence) =>
              withConsumer(evidence, consumer, (one) => ({ ...one, stretches: one.stretches.slice(0, -1) })),
          },
        ]),
  ]),
];

function withLines(evidence: Evidence, change: (lines: readonly string[]) => readonly string[]): string[] {
  return judgeLog({ ...evidence, lines: change(evidence.lines) });
}

/** Which of the lines is an event, somewhere in the middle. */
function anEvent(lines: readonly string[]): number {
  return lines.findIndex((line, at) => at > lines.length / 2 && line.includes('{"PotEvent":'));
}

function withConsumer(
  { consumers, lines }: Evidence,
  at: number,
  change: (consumer: ConsumerEvidence) => ConsumerEvidence,
): string[] {
  return judgeConsumer(change(consumers[at]!), lines);
}

/** Changes the longest stretch of a consumer. */
function withStretch(evidence: Evidence, at: number, change: (checksums: number[]) => unknown): string[] {
  return withConsumer(evidence, at, (consumer) => {
    const longest = consumer.stretches.reduce((one, other) =>
      other.checksums.length > one.checksums.length ? other : one,
    );
    const checksums = [...longest.checksums];
    change(checksums);
    const stretches = consumer.stretches.map((stretch) =>
      stretch === longest ? { ...stretch, checksums } : stretch,
    );
    return { ...consumer, stretches };
  });
}

test(`a Core that loses what it acknowledged is caught (seed ${seed})`, async (t) => {
  const world = await World.start(t, { seed, breakMs: 0, nodes: 3, consumers: [], compress: false });
  await poll('enough is acknowledged', () =>
    world.nodes.every(({ acked }) => acked > 300) ? true : undefined,
  );
  await Promise.all(world.nodes.map((node) => node.drain()));
  await world.kill(() => {
    // The newest file that has events loses its last one, and all behind it.
    const { path, content } = newestEvents(world.dataDir);
    truncateSync(path, content.lastIndexOf('{"version":2,"message":{"PotEvent":'));
  });
  const evidence = await world.settle();
  const complaints = [...world.complaints, ...judge(evidence)];
  assert.ok(
    complaints.some((text) => /then Core knows only|acknowledged and is lost/.test(text)),
    `nobody noticed: ${complaints.join('\n')}`,
  );
});
