/**
 * The frame reader against a table written by hand, and against the oracle for generated and broken frames: what is
 * accepted, why something is refused, and whose frame it is. Then the texts that Core makes of frames.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ERROR_CODES, type ErrorCode } from '../src/errors.js';
import { FIELD, idFieldOf, VALUE } from '../src/protocol/fields.js';
import { FrameReader, KIND } from '../src/protocol/frame-reader.js';
import { isNodeId, parseNodeId } from '../src/protocol/node-id.js';
import {
  errorReply,
  eventAck,
  nodeDisconnected,
  nodeRegistered,
  registrationAck,
} from '../src/protocol/outbound.js';
import { documentCompiled, withPotType } from '../src/protocol/pot-event.js';
import { documentLegacy } from '../src/protocol/pot-status-update.js';
import { isTimestamp, unixSecondsToIso } from '../src/protocol/timestamp.js';
import { isId, isIsoTime, judge, type KindName, type Verdict } from './frame-oracle.js';
import { BAD_FRAMES, EDGE_IDS, event, frame, GOOD_FRAMES, NODE_ID } from './frame-table.js';
import { anyFrame, SEED } from './frames.js';

const KIND_NAMES = Object.entries(KIND);

function kindName(kind: number): KindName | 'refused' {
  return KIND_NAMES.find(([, number]) => number === kind)![0] as KindName | 'refused';
}

/** What the reader says, in the oracle's words. */
function read(reader: FrameReader, bytes: Uint8Array, start = 0, end = bytes.length): Verdict {
  const kind = kindName(reader.read(bytes, start, end));
  if (kind === 'refused') return { kind, code: reader.code };
  const idField = idFieldOf(reader.message);
  return {
    kind,
    nodeId: reader.type(idField) === VALUE.number ? reader.raw(idField) : undefined,
    bareString: reader.bareString,
    complete: kind === 'potEvent' && reader.type(FIELD.pot_type) !== VALUE.absent,
    unusual: false,
  };
}

/** What the fast scanner would think of it is no matter of the reader. */
function expected(bytes: Uint8Array): Verdict {
  const verdict = judge(bytes);
  return verdict.kind === 'refused' ? verdict : { ...verdict, unusual: false };
}

describe('the frame reader and the table', () => {
  for (const { name, bytes, verdict } of [...GOOD_FRAMES, ...BAD_FRAMES]) {
    it(`says ${verdict}: ${name}`, () => {
      const reader = new FrameReader();
      const found = read(reader, bytes);
      assert.equal(found.kind === 'refused' ? found.code : found.kind, verdict, reader.reason);
      const oracle = judge(bytes);
      assert.equal(oracle.kind === 'refused' ? oracle.code : oracle.kind, verdict, 'the oracle');
    });
  }

  it('names the field that is wrong', () => {
    const reader = new FrameReader();
    const bytes = Buffer.from(frame('PotEvent', '{"node_id":1,"pot_id":"p","event_type":5}'));
    reader.read(bytes, 0, bytes.length);
    assert.equal(reader.code, 'INVALID_MESSAGE_FORMAT');
    assert.match(reader.reason, /PotEvent\.event_type/);
  });
});

describe('the frame reader and the oracle', () => {
  it('agree on acceptance, code and node id of generated and broken frames, wherever they stand in a buffer', (t) => {
    const reader = new FrameReader();
    const buffer = Buffer.alloc(1 << 17);
    const seen = new Map<string, number>();
    // What stands around a frame must not matter: neither quotes and braces, nor digits, nor halves of UTF-8.
    const surroundings = ['"', '}', '7', '\n', ' ', '\\'].map((c) => c.charCodeAt(0)).concat(0xc3, 0x00);
    let frames = 0;
    fc.assert(
      fc.property(anyFrame, (bytes) => {
        const start = frames % 61;
        buffer.fill(surroundings[frames++ % surroundings.length]!, 0, start + bytes.length + 256);
        buffer.set(bytes, start);
        const verdict = expected(bytes);
        assert.deepEqual(read(reader, buffer, start, start + bytes.length), verdict);
        const key = verdict.kind === 'refused' ? verdict.code : verdict.kind;
        seen.set(key, (seen.get(key) ?? 0) + 1);
      }),
      { seed: SEED, numRuns: 6_000 },
    );
    t.diagnostic(`seed ${SEED}: ${JSON.stringify(Object.fromEntries([...seen].sort()))}`);
    // A generator that makes nothing of a kind would prove nothing about it.
    const codes: readonly ErrorCode[] = ERROR_CODES.slice(0, 4);
    for (const kind of [...Object.keys(KIND).filter((name) => name !== 'refused'), ...codes])
      assert.ok((seen.get(kind) ?? 0) >= 20, `only ${seen.get(kind) ?? 0} frames were ${kind}`);
  });

  it('agree on every prefix, every single byte changed and every byte left out of every frame of the table', () => {
    const reader = new FrameReader();
    for (const { name, bytes } of [...GOOD_FRAMES, ...BAD_FRAMES]) {
      if (bytes.length > 250) continue;
      const check = (changed: Buffer, what: string) =>
        assert.deepEqual(
          read(reader, changed),
          expected(changed),
          `${name}: ${what}: ${changed.toString('latin1')}`,
        );
      for (let at = 0; at < bytes.length; at++) {
        check(bytes.subarray(0, at), `cut at ${at}`);
        check(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]), `without ${at}`);
        const changed = Buffer.from(bytes);
        for (const byte of ['"', '\\', '}', '0', ' ', ',', '\u0000']
          .map((c) => c.charCodeAt(0))
          .concat(0xe2)) {
          changed[at] = byte;
          check(changed, `${byte} at ${at}`);
        }
      }
    }
  });
});

describe('node ids', () => {
  it('are 1 to 2^64-1, in digits only', () => {
    const good = [...EDGE_IDS, '9', '10', '18446744073709551614', '9999999999999999999'];
    const bad = [
      '0',
      '-1',
      '1.0',
      '1e3',
      '18446744073709551616',
      '18446744073709551625',
      '99999999999999999999',
      '-',
      '',
    ];
    for (const digits of good) {
      assert.ok(isNodeId(Buffer.from(digits), 0, digits.length), digits);
      assert.ok(isId(digits), digits);
      assert.equal(String(parseNodeId(digits)), digits);
    }
    for (const text of bad) {
      if (text !== '') assert.ok(!isNodeId(Buffer.from(text), 0, text.length), text);
      assert.ok(!isId(text), text);
      assert.equal(parseNodeId(text), undefined, text);
    }
    for (const text of [' 1', '1 ', '01', '0x1', '+1', '1n', '١'])
      assert.equal(parseNodeId(text), undefined, text);
  });

  it('survive every text Core makes, digit for digit', () => {
    const reader = new FrameReader();
    for (const nodeId of EDGE_IDS) {
      const node = { nodeId, nodeName: 'n', address: '', port: 1, nodeType: 'Full' } as const;
      const texts = [
        registrationAck(nodeId, true, 'ok'),
        nodeRegistered(node, 1, false, '127.0.0.1:1', 0),
        nodeDisconnected(nodeId, 'n', 1, 'Stopped', 'bye', 0),
      ];
      const compiled = Buffer.from(
        frame('PotEvent', `{"node_id":${nodeId},"pot_id":"p","event":"e","timestamp":1}`),
      );
      reader.read(compiled, 0, compiled.length);
      texts.push(documentCompiled(reader, 'unknown', 7));
      const legacy = Buffer.from(
        frame('PotStatusUpdate', `{"node_id":${nodeId},"pot_id":"p","pot_type":"t","status":""}`),
      );
      reader.read(legacy, 0, legacy.length);
      texts.push(documentLegacy(reader, 0, 7), eventAck(nodeId, 7));
      for (const text of texts) assert.match(text, new RegExp(`"node_id":${nodeId}[,}]`));
    }
  });
});

describe('timestamps', () => {
  it('of every day from the year 0 to 2400 and of impossible days are told apart', () => {
    const two = (n: number) => String(n).padStart(2, '0');
    for (const year of [0, 4, 100, 1900, 1999, 2000, 2023, 2024, 2100, 2400, 9999]) {
      for (let month = 0; month <= 13; month++) {
        for (let day = 0; day <= 32; day++) {
          const text = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T00:00:00`;
          assert.equal(isTimestamp(Buffer.from(text), 0, text.length), isIsoTime(text), text);
        }
      }
    }
  });

  it('agree with the oracle wherever one character is another', () => {
    const texts = [
      '2026-11-20T12:00:00.123456789+01:30',
      '2024-02-29 23:59:60Z',
      '1999-12-31T00:00:00-0000',
      '2026-11-20T12:00:00',
    ];
    for (const text of texts) {
      for (let at = 0; at < text.length; at++) {
        for (const c of '0123456789-+:.TtZz ,/"') {
          const changed = text.slice(0, at) + c + text.slice(at + 1);
          const cut = text.slice(0, at) + text.slice(at + 1);
          for (const candidate of [changed, cut, text.slice(0, at)])
            assert.equal(
              isTimestamp(Buffer.from(candidate), 0, candidate.length),
              isIsoTime(candidate),
              candidate,
            );
        }
      }
    }
  });

  it('of the compiled form keep their fraction, up to nine digits', () => {
    assert.equal(unixSecondsToIso('0'), '1970-01-01T00:00:00Z');
    assert.equal(unixSecondsToIso('1700000000.1234567891'), '2023-11-14T22:13:20.123456789Z');
    assert.equal(unixSecondsToIso('253402300799'), '9999-12-31T23:59:59Z');
    for (const text of ['253402300800', '-1', '1e9', '1.', ''])
      assert.equal(unixSecondsToIso(text), undefined, text);
  });
});

describe('events that Core documents', () => {
  const reader = new FrameReader();
  const parse = (text: string) => JSON.parse(text).message.PotEvent;

  function document(body: string, potType = 'unknown'): string {
    const bytes = Buffer.from(frame('PotEvent', body));
    assert.equal(kindName(reader.read(bytes, 0, bytes.length)), 'compiledPotEvent', reader.reason);
    return documentCompiled(reader, potType, 0);
  }

  it('are documented, complete events to the reader and the oracle, whatever they were made of', () => {
    let made = 0;
    fc.assert(
      fc.property(anyFrame, fc.string({ unit: 'binary' }), (bytes, potType) => {
        const kind = reader.read(bytes, 0, bytes.length);
        let text: string;
        if (kind === KIND.compiledPotEvent) text = documentCompiled(reader, potType, 0);
        else if (kind === KIND.legacyPotEvent) text = documentLegacy(reader, 1_700_000_000_123, 0);
        else if (kind === KIND.potEvent && reader.type(FIELD.pot_type) === VALUE.absent)
          text = withPotType(reader, potType);
        else return;
        made++;
        const id = reader.raw(FIELD.node_id);
        const potIdText = reader.string(FIELD.pot_id);
        const verdict = judge(Buffer.from(text));
        assert.equal(verdict.kind, 'potEvent', text);
        assert.ok(verdict.kind === 'potEvent' && verdict.complete && verdict.nodeId === id, text);
        assert.equal(parse(text).pot_id, potIdText);
      }),
      { seed: SEED + 1, numRuns: 3_000 },
    );
    assert.ok(made > 60, `only ${made}`);
  });

  it('carry metadata and message in data, and lose neither', () => {
    const base = '"node_id":1,"pot_id":"p","event":"login","timestamp":5';
    assert.deepEqual(parse(document(`{${base}}`, 'ssh')), {
      node_id: 1,
      pot_id: 'p',
      pot_type: 'ssh',
      event_type: 'login',
      timestamp: '1970-01-01T00:00:05Z',
      data: {},
    });
    assert.deepEqual(parse(document(`{${base},"message":"m"}`)).data, { message: 'm' });
    assert.deepEqual(parse(document(`{${base},"metadata":{"a":"b"}}`)).data, { a: 'b' });
    assert.deepEqual(parse(document(`{${base},"message":"m","metadata":{}}`)).data, { message: 'm' });
    assert.deepEqual(parse(document(`{${base},"message":"m","metadata":{"a":"b"}}`)).data, {
      message: 'm',
      a: 'b',
    });
    const both = parse(document(`{${base},"message":"m","metadata":{"message":"other"}}`)).data;
    assert.deepEqual(both, { event_message: 'm', message: 'other' });
    assert.equal(parse(document(`{${base},"pot_type":"own"}`, 'ssh')).pot_type, 'own');
  });

  it('keep every byte of a documented event but the pot_type that was missing', () => {
    const bytes = Buffer.from(event('{"n": 1e999 , "s":"\\u0041"}').replace('"pot_type":"cowrie",', ''));
    assert.equal(kindName(reader.read(bytes, 0, bytes.length)), 'potEvent');
    const text = withPotType(reader, 'a"b\u0000\ud800');
    assert.equal(text.replace('"pot_type":"a\\"b\\u0000\\ud800",', ''), bytes.toString());
  });
});

describe('what Core says', () => {
  it('is one line of JSON, whatever nodes are called', () => {
    const nodeName = 'n"\n\r\u2028\u0000\ud800</script>';
    const node = { nodeId: NODE_ID, nodeName, address: '"\n', port: 1, nodeType: 'Agent' } as const;
    const texts = [
      nodeRegistered(node, 1, true, '[::1]:1', 1),
      nodeDisconnected(NODE_ID, nodeName, 1, 'Unknown', 'connection lost', 1),
      registrationAck(undefined, false, 'because\n"'),
      errorReply('INVALID_NODE_ID', 'the\n"message"', 0),
      errorReply('INVALID_NODE_ID', 'the message', 3),
    ];
    for (const text of texts) {
      assert.equal(text.indexOf('\n'), text.length - 1);
      assert.equal(JSON.parse(text).version, 2);
    }
    assert.equal(JSON.parse(texts[0]!).message.NodeRegistered.node_name, nodeName);
    assert.match(JSON.parse(texts[4]!).message.Error.message, /3 more/);
  });
});
