/** What is remembered of a dead letter that is tried again is what became of it, also where Core ends in the middle. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ReplayMarks } from '../src/dead-letters/marks.js';
import type { DeadLetterReader } from '../src/dead-letters/reader.js';
import { Replays } from '../src/dead-letters/replays.js';
import { createLedgerTable } from '../src/memory/ledger-table.js';
import type { NodeRecord } from '../src/registry/record.js';
import type { MainToShard } from '../src/shard/messages.js';
import { poll } from './deadline.js';
import { temporaryFolder } from './log-files.js';

const LETTER = {
  id: 1,
  nodeId: '7',
  nodeName: 'n',
  code: 'INVALID_MESSAGE_FORMAT',
  bytes: Buffer.from('{}'),
};
const NODE = { id: 7n, name: 'n', serial: 1, shard: null, pots: new Map() } as unknown as NodeRecord;

function start(
  t: TestContext,
  nodes = { byId: (_id: bigint): NodeRecord | undefined => NODE, latestNamed: () => NODE },
) {
  const folder = temporaryFolder(t);
  const marks = new ReplayMarks(folder);
  const ids: string[] = [];
  const ring = { published: 0, taken: 0, passed: (published: number) => ring.taken >= published };
  const replays = new Replays({
    reader: {
      findAnyway: async () => ({ letter: LETTER, line: '' }),
      oldest: async () => 1,
    } as unknown as DeadLetterReader,
    marks,
    nodes,
    shards: {
      runningSlots: () => [0],
      ring: () => ring,
      post(_slot, message: MainToShard) {
        assert.equal(message.type, 'replay');
        const { replay, dryRun, node } = message as Extract<MainToShard, { type: 'replay' }>;
        ids.push(node!.id);
        if (!dryRun) ring.published++;
        const verdict = { kind: 'accepted', records: ['PotEvent'], events: 1 } as const;
        setImmediate(() => replays.receive({ type: 'replayed', replay, verdict }));
      },
    },
    ledger: { table: createLedgerTable(1), rowFor: () => 1 },
    mustProve: () => false,
  });
  t.after(() => replays.close());
  return { folder, ring, replays, ids };
}

test('a letter counts as accepted when the log has it: what is in a ring is lost with the process', async (t) => {
  const { folder, ring, replays } = start(t);
  let outcome: string | undefined;
  const done = replays.replay({ id: 1, frame: undefined, force: false, dryRun: false }).then((result) => {
    outcome = result.outcome;
  });
  await poll('it is in the ring', () => (ring.published === 1 ? true : undefined));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(outcome, undefined);
  // What a Core finds that is started behind a kill -9.
  assert.equal((await new ReplayMarks(folder).of(1))?.outcome, 'unknown');
  assert.equal(replays.isUnderWay(7n, 'n'), false, 'no shard writes to its row any more');
  ring.taken = 1;
  await poll('it is accepted', () => (outcome === 'accepted' ? true : undefined));
  await done;
  assert.equal((await new ReplayMarks(folder).of(1))?.outcome, 'accepted');
});

test('a frame bears the id that it was sent under, unless that is another node by now', async (t) => {
  const moved = { ...NODE, id: 8n } as NodeRecord;
  const stranger = { ...NODE, name: 'other', serial: 2 } as NodeRecord;
  for (const [holder, wanted] of [
    [undefined, '7'],
    [stranger, '8'],
  ] as const) {
    const { replays, ids } = start(t, { byId: () => holder, latestNamed: () => moved });
    await replays.replay({ id: 1, frame: undefined, force: false, dryRun: true });
    assert.deepEqual(ids, [wanted]);
  }
});
