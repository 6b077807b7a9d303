/**
 * What a connection is seen to speak: noted from its frames alone, shown over REST, and kept when the node has gone.
 */
import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import { SESSION, SESSION_STRIDE } from '../src/memory/session-table.js';
import { type Dialect, describeDialect } from '../src/protocol/dialect.js';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { event, frame, NODE_ID, registration } from './frame-table.js';
import { NodeClient } from './node-client.js';
import { get } from './rest-client.js';
import { MODES, skipped } from './scanner-run.js';
import { TestShard } from './shard-run.js';

const POT = `"node_id":${NODE_ID},"pot_id":"p","pot_type":"cowrie"`;
const COMPILED = frame('PotEvent', `{${POT},"event":"e","timestamp":1,"message":"m","metadata":{"a":"b"}}`);
const LEGACY = frame('PotStatusUpdate', `{${POT},"status":"","message":"m"}`);
const UNTYPED = event().replace('"pot_type":"cowrie",', '');
const HEARTBEAT = frame('NodeStatusUpdate', `{"node_id":${NODE_ID},"status":"Running"}`);

const nodeEvent = (body: string) => frame('NodeEvent', body);

/** What is sent behind the registration, each frame followed by the separator; what is to be seen by then. */
const KINDS: readonly (readonly [what: string, separator: string, frames: readonly string[], Dialect])[] = [
  ['a registration and no newline', '', [], { framing: 'objects', events: [], units: null }],
  ['a registration and a newline', '\n', [], { framing: 'lines', events: [], units: null }],
  ['CRLF', '\r\n', [HEARTBEAT], { framing: 'lines', events: [], units: null }],
  ['objects on several lines', '', ['{\n"version":2,"message":{"PotEvent":\n', `{${POT},"event_type":"e","timestamp":"2026-11-20T12:00:00Z","data":{}}}}\n`], { framing: 'objects', events: ['documented'], units: null }],
  ['documented events', '\n', [event(), event()], { framing: 'lines', events: ['documented'], units: null }],
  ['documented events, back to back', '', [event(), event()], { framing: 'objects', events: ['documented'], units: null }],
  ['an event without pot_type', '\n', [UNTYPED], { framing: 'lines', events: ['documented'], units: null }],
  ['compiled events', '\n', [COMPILED], { framing: 'lines', events: ['compiled'], units: null }],
  ['forwarded events', '', [LEGACY], { framing: 'objects', events: ['legacy'], units: null }],
  ['all forms', '\n', [LEGACY, COMPILED, event()], { framing: 'lines', events: ['documented', 'compiled', 'legacy'], units: null }],
  ['"Started"', '\n', [nodeEvent('"Started"')], { framing: 'lines', events: [], units: 'bare' }],
  ['Started with a type', '\n', [nodeEvent('{"type":"Started"}')], { framing: 'lines', events: [], units: 'object' }],
  ['an Error by its name, which has fields in every family', '\n', [nodeEvent('{"Error":{"message":"m"}}')], { framing: 'lines', events: [], units: null }],
  ['both spellings', '\n', [nodeEvent('{"type":"Started"}'), nodeEvent('"Stopped"')], { framing: 'lines', events: [], units: 'bare' }],
  ['"NodeDrop"', '\n', ['{"version":2,"message":"NodeDrop"}'], { framing: 'lines', events: [], units: 'bare' }],
  ['NodeDrop as an object', '', ['{"version":2,"message":{"NodeDrop":{}}}'], { framing: 'objects', events: [], units: 'object' }],
  ['refused frames, which tell nothing', '\n', ['{"version":2,"message":"Started"}', nodeEvent('"Gone"'), COMPILED.replace('"e"', '1')], { framing: 'lines', events: [], units: null }],
]; // biome-ignore format: a table

for (const mode of MODES) {
  describe(`the dialect of a connection, ${mode}`, { skip: skipped(mode) }, () => {
    for (const [what, separator, frames, dialect] of KINDS) {
      it(`is seen from ${what}`, () => {
        const shard = new TestShard(mode);
        const node = shard.open();
        const bits = () => shard.table[node.session.number * SESSION_STRIDE + SESSION.dialect]!;
        assert.deepEqual(describeDialect(bits()), { framing: null, events: [], units: null });
        node.send(`${registration()}${separator}`);
        node.accept();
        for (const text of frames) node.send(`${text}${separator}`);
        assert.deepEqual(describeDialect(bits()), dialect);
        assert.equal(node.session.bareUnits, dialect.units === 'bare');
      });
    }
  });
}

test('REST shows how a node speaks, also after it has gone, and anew when it speaks otherwise', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port } = core.ports;
  const shows = (connected: boolean, dialect: unknown) =>
    poll(`REST shows ${JSON.stringify(dialect)}`, async () => {
      const { json } = await get(backend_port, '/api/v1/nodes/7');
      const [row] = (await get(backend_port, '/api/v1/nodes')).json.nodes;
      const says = (node: { dialect: unknown; connected: boolean }) =>
        node.connected === connected && JSON.stringify(node.dialect) === JSON.stringify(dialect);
      return says(json) && says(row) ? json : undefined;
    });
  const bare = await NodeClient.register(node_port, { id: 7n, name: 'bee' }, '');
  await shows(true, { framing: 'objects', events: [], units: null });
  await bare.send(nodeEvent('"Started"'));
  const spoken = { framing: 'objects', events: [], units: 'bare' };
  await shows(true, spoken);
  await bare.end();
  await shows(false, spoken);
  const documented = await NodeClient.register(node_port, { id: 7n, name: 'bee' });
  await shows(true, { framing: 'lines', events: [], units: null });
  await documented.end();
});
