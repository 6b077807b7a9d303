/**
 * Frames written by hand, good and bad, with the verdict that each must get: kind or error code.
 */

import type { ErrorCode } from '../src/errors.js';
import { LIMITS } from '../src/limits.js';
import type { KindName } from './frame-oracle.js';

/** Ids that one double cannot hold, and their neighbours. */
export const EDGE_IDS = [
  '1',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '9223372036854775808',
  '18446744073709551615',
] as const;

export const NODE_ID = '9007199254740993';

export interface TableFrame {
  readonly name: string;
  readonly bytes: Buffer;
  readonly verdict: KindName | ErrorCode;
}

export function nested(depth: number, open = '[', close = ']'): string {
  return open.repeat(depth) + close.repeat(depth);
}

/** `{"version":2,"message":{name:body}}` */
export function frame(name: string, body: string): string {
  return `{"version":2,"message":{"${name}":${body}}}`;
}

/** With whose it is in the envelope, as Core writes it. */
export function owned(nodeId: string, name: string, body: string): string {
  return `{"node_id":${nodeId},${frame(name, body).slice(1)}`;
}

/** A documented event; `data` is JSON text. */
export function event(data = '{"n":1}', nodeId = NODE_ID, potId = 'ssh-1'): string {
  return frame(
    'PotEvent',
    `{"node_id":${nodeId},"pot_id":"${potId}","pot_type":"cowrie","event_type":"login",` +
      `"timestamp":"2026-11-20T12:00:00.123Z","data":${data}}`,
  );
}

export function registration(nodeId = NODE_ID, name = 'bee', version = '2'): string {
  return `{"version":${version},"message":{"NodeRegistration":{"node_id":${nodeId},"node_name":"${name}","address":"10.0.0.1","port":8080,"node_type":"Full"}}}`;
}

const ID = `"node_id":${NODE_ID}`;
const POT = `${ID},"pot_id":"p","pot_type":"t"`;
const REST = '"event_type":"e","timestamp":"2026-11-20 12:00:00","data":{}';

const GOOD: [string, KindName, string][] = [
  ['documented event', 'potEvent', event()],
  ['event without pot_type', 'potEvent', frame('PotEvent', `{${ID},"pot_id":"p",${REST}}`)],
  [
    'event with other keys',
    'potEvent',
    frame('PotEvent', `{"__proto__":{"a":1},${POT},"constructor":[],${REST}}`),
  ],
  ['event, keys backwards', 'potEvent', `{"message":{"PotEvent":{${REST},${POT}}},"version":2}`],
  [
    'event with white space',
    'potEvent',
    ` \t{ "version" : 2 ,"message":\t{"PotEvent":{${POT} , ${REST} } } }\t \r`,
  ],
  [
    'event over several lines',
    'potEvent',
    `{\n  "version": 2,\r\n  "message": {"PotEvent": {${POT},\n${REST}}}\n}`,
  ],
  ['version 2.0', 'potEvent', `{"version":2.0,"message":{"PotEvent":{${POT},${REST}}}}`],
  ['version 20e-1', 'potEvent', `{"version":20e-1,"message":{"PotEvent":{${POT},${REST}}}}`],
  ['escaped key', 'potEvent', `{"versio\\u006e":2,"message":{"PotEvent":{${POT},${REST}}}}`],
  ['escaped message name', 'potEvent', `{"version":2,"message":{"Pot\\u0045vent":{${POT},${REST}}}}`],
  [
    'escaped time',
    'potEvent',
    frame('PotEvent', `{${POT},"event_type":"e","timestamp":"2026-11-20\\u002012:00:00","data":{}}`),
  ],
  [
    'leap day, leap second, zone',
    'potEvent',
    frame('PotEvent', `{${POT},"event_type":"e","timestamp":"2024-02-29T23:59:60.123456789-0930","data":{}}`),
  ],
  ['data at the nesting limit', 'potEvent', event(`{"a":${nested(LIMITS.nestingDepth - 4)}}`)],
  ['lone surrogate as an escape', 'potEvent', event('{"s":"\\ud800\\u0000\\/"}')],
  ['numbers no double holds', 'potEvent', event('{"n":[1e999,-0,123456789012345678901234567890,5e-324]}')],
  ['the same key twice in data', 'potEvent', event('{"a":1,"a":2,"node_id":7}')],
  ['a field of another message', 'potEvent', frame('PotEvent', `{${POT},"message":5,${REST}}`)],
  [
    'compiled event',
    'compiledPotEvent',
    frame('PotEvent', `{${POT},"event":"e","timestamp":1700000000,"message":"m","metadata":{"a":"b"}}`),
  ],
  [
    'compiled event, nulls',
    'compiledPotEvent',
    frame(
      'PotEvent',
      `{${ID},"pot_id":"p","event":"e","timestamp":1700000000.25,"message":null,"metadata":null}`,
    ),
  ],
  ['compiled event, bare', 'compiledPotEvent', frame('PotEvent', `{${POT},"event":"e","timestamp":0}`)],
  ['legacy event', 'legacyPotEvent', frame('PotStatusUpdate', `{${POT},"status":"","message":"login"}`)],
  ['pot status', 'potStatusUpdate', frame('PotStatusUpdate', `{${POT},"status":"Running"}`)],
  [
    'pot status with null',
    'potStatusUpdate',
    frame('PotStatusUpdate', `{${POT},"status":"Failed","message":null}`),
  ],
  ['node status', 'nodeStatusUpdate', frame('NodeStatusUpdate', `{${ID},"status":"Running"}`)],
  ['node event', 'nodeEvent', frame('NodeEvent', '{"type":"Error","message":"m","description":null}')],
  ['node event, bare', 'nodeEvent', frame('NodeEvent', '"Started"')],
  ['node event, tagged', 'nodeEvent', frame('NodeEvent', '{"Alarm":{"description":"d"}}')],
  ['node event, tagged null', 'nodeEvent', frame('NodeEvent', '{"Stopped":null}')],
  ['node event, id in the envelope', 'nodeEvent', owned(NODE_ID, 'NodeEvent', '"Started"')],
  [
    'node event, id behind it, another one inside',
    'nodeEvent',
    `{"version":2,"message":{"NodeEvent":{"type":"Alarm","node_id":7}}, "node\\u005fid" : ${NODE_ID} }`,
  ],
  [
    'node status, id in the envelope',
    'nodeStatusUpdate',
    owned(NODE_ID, 'NodeStatusUpdate', `{${ID},"status":"Failed"}`),
  ],
  ['event, id in the envelope', 'potEvent', owned(NODE_ID, 'PotEvent', `{${POT},${REST}}`)],
  ['goodbye, id in the envelope', 'nodeDrop', `{"node_id":${NODE_ID},"version":2,"message":"NodeDrop"}`],
  ['goodbye', 'nodeDrop', frame('NodeDrop', '{}')],
  ['goodbye, null', 'nodeDrop', frame('NodeDrop', 'null')],
  ['goodbye, bare', 'nodeDrop', '{"version":2,"message":"NodeDrop"}'],
  ['registration', 'nodeRegistration', registration()],
  [
    'registration with a code',
    'nodeRegistration',
    frame(
      'NodeRegistration',
      `{${ID},"node_name":"${'é'.repeat(255)}","address":"","port":0,"node_type":"Agent","totp_code":"123456"}`,
    ),
  ],
];

const BAD: [string, ErrorCode, string | Buffer][] = [
  ['nothing in braces', 'INVALID_MESSAGE_FORMAT', '{}'],
  ['an array', 'INVALID_MESSAGE_FORMAT', '[{"version":2}]'],
  ['a number', 'INVALID_MESSAGE_FORMAT', '2'],
  ['a torn event', 'MESSAGE_PARSE_FAILED', event().slice(0, 70)],
  ['an event and more', 'MESSAGE_PARSE_FAILED', `${event()}]`],
  ['a comma too many', 'MESSAGE_PARSE_FAILED', event('{"a":1,}')],
  ['a leading zero', 'MESSAGE_PARSE_FAILED', event('{"a":01}')],
  ['a bad escape', 'MESSAGE_PARSE_FAILED', event('{"a":"\\x"}')],
  ['a short unicode escape', 'MESSAGE_PARSE_FAILED', event('{"a":"\\u12g4"}')],
  ['a tab in a string', 'MESSAGE_PARSE_FAILED', event('{"a":"b\tc"}')],
  ['NUL in a string', 'MESSAGE_PARSE_FAILED', event('{"a":"\u0000"}')],
  ['NUL between tokens', 'MESSAGE_PARSE_FAILED', event('{"a":1\u0000}')],
  ['a form feed as white space', 'MESSAGE_PARSE_FAILED', event('{"a":1\f}')],
  ['bytes that are not UTF-8', 'MESSAGE_PARSE_FAILED', latin(event('{"a":"\xff"}'))],
  ['an overlong slash', 'MESSAGE_PARSE_FAILED', latin(event('{"a":"\xc0\xaf"}'))],
  ['a raw surrogate', 'MESSAGE_PARSE_FAILED', latin(event('{"a":"\xed\xa0\x80"}'))],
  ['a cut sequence', 'MESSAGE_PARSE_FAILED', latin(event('{"a":"\xf0\x9f\x90"}'))],
  ['a byte order mark inside', 'MESSAGE_PARSE_FAILED', latin(`{\xef\xbb\xbf${event().slice(1)}`)],
  ['version 3', 'PROTOCOL_VERSION_MISMATCH', `{"version":3,"message":{"PotEvent":{${POT},${REST}}}}`],
  ['version 1e999', 'PROTOCOL_VERSION_MISMATCH', '{"version":1e999,"message":"NodeDrop"}'],
  ['version as a string', 'INVALID_MESSAGE_FORMAT', '{"version":"2","message":"NodeDrop"}'],
  ['version twice', 'INVALID_MESSAGE_FORMAT', '{"version":2,"version":2,"message":"NodeDrop"}'],
  ['event, version twice', 'INVALID_MESSAGE_FORMAT', `{"version":2,${event().slice(1)}`],
  [
    'event, message twice',
    'INVALID_MESSAGE_FORMAT',
    `${event().slice(0, -1)},"message":${event().slice(event().indexOf('{"PotEvent'))}`,
  ],
  ['no message', 'INVALID_MESSAGE_FORMAT', '{"version":2}'],
  ['message twice', 'INVALID_MESSAGE_FORMAT', '{"version":2,"message":"NodeDrop","message":"NodeDrop"}'],
  [
    'two names in message',
    'INVALID_MESSAGE_FORMAT',
    '{"version":2,"message":{"NodeDrop":{},"NodeEvent":"Started"}}',
  ],
  ['an unknown message', 'INVALID_MESSAGE_FORMAT', frame('constructor', '{}')],
  ['node_id twice', 'INVALID_MESSAGE_FORMAT', frame('PotEvent', `{${ID},${POT},${REST}}`)],
  [
    'node_id twice, once escaped',
    'INVALID_MESSAGE_FORMAT',
    frame('PotEvent', `{"node\\u005fid":1,${POT},${REST}}`),
  ],
  ['data twice', 'INVALID_MESSAGE_FORMAT', frame('PotEvent', `{"data":{},${POT},${REST}}`)],
  [
    'a field of another message twice',
    'INVALID_MESSAGE_FORMAT',
    frame('PotEvent', `{${POT},"status":1,"status":1,${REST}}`),
  ],
  ['data is null', 'INVALID_MESSAGE_FORMAT', event('null')],
  [
    'no such day',
    'INVALID_MESSAGE_FORMAT',
    frame('PotEvent', `{${POT},"event_type":"e","timestamp":"2026-02-29T12:00:00Z","data":{}}`),
  ],
  [
    'too many digits of a second',
    'INVALID_MESSAGE_FORMAT',
    frame('PotEvent', `{${POT},"event_type":"e","timestamp":"2026-02-28T12:00:00.1234567890Z","data":{}}`),
  ],
  ['nested one too deep', 'INVALID_MESSAGE_FORMAT', event(`{"a":${nested(LIMITS.nestingDepth - 3)}}`)],
  ['nested ten thousand deep', 'INVALID_MESSAGE_FORMAT', event(`{"a":${nested(10_000)}}`)],
  ['ten thousand open objects', 'MESSAGE_PARSE_FAILED', event(`{"a":${'{"b":'.repeat(10_000)}1}`)],
  ['id zero', 'INVALID_NODE_ID', event('{}', '0')],
  ['id negative', 'INVALID_NODE_ID', event('{}', '-1')],
  ['id negative zero', 'INVALID_NODE_ID', event('{}', '-0')],
  ['id with a fraction', 'INVALID_NODE_ID', event('{}', '1.0')],
  ['id with an exponent', 'INVALID_NODE_ID', event('{}', '1e3')],
  ['id of 2^64', 'INVALID_NODE_ID', event('{}', '18446744073709551616')],
  ['id as a string', 'INVALID_MESSAGE_FORMAT', event('{}', '"7"')],
  [
    'compiled, metadata of numbers',
    'INVALID_MESSAGE_FORMAT',
    frame('PotEvent', `{${POT},"event":"e","timestamp":1,"metadata":{"__proto__":1}}`),
  ],
  [
    'compiled, time in the year 10000',
    'INVALID_MESSAGE_FORMAT',
    frame('PotEvent', `{${POT},"event":"e","timestamp":253402300800}`),
  ],
  ['node event, tagged twice', 'INVALID_MESSAGE_FORMAT', frame('NodeEvent', '{"Error":7,"Error":{}}')],
  ['node event of no type', 'INVALID_MESSAGE_FORMAT', frame('NodeEvent', '"started"')],
  [
    'node event, two ids in the envelope',
    'INVALID_MESSAGE_FORMAT',
    `{${ID},${owned(NODE_ID, 'NodeEvent', '"Started"').slice(1)}`,
  ],
  [
    'node event, two ids in the envelope, one escaped',
    'INVALID_MESSAGE_FORMAT',
    `{"node\\u005fid":7,${owned(NODE_ID, 'NodeEvent', '"Started"').slice(1)}`,
  ],
  ['event, two ids in the envelope', 'INVALID_MESSAGE_FORMAT', `{${ID},${ID},${event().slice(1)}`],
  ['node event of id zero', 'INVALID_NODE_ID', owned('0', 'NodeEvent', '"Started"')],
  ['node event of an id that is no number', 'INVALID_MESSAGE_FORMAT', owned('"7"', 'NodeEvent', '"Started"')],
  ['event of two nodes', 'INVALID_NODE_ID', owned('7', 'PotEvent', `{${POT},${REST}}`)],
  [
    'node status of two nodes',
    'INVALID_NODE_ID',
    owned('7', 'NodeStatusUpdate', `{${ID},"status":"Running"}`),
  ],
  ['registration of two nodes', 'INVALID_NODE_ID', `{"node_id":7,${registration().slice(1)}`],
  ['goodbye with a list', 'INVALID_MESSAGE_FORMAT', frame('NodeDrop', '[]')],
  [
    'registration, port 65536',
    'INVALID_MESSAGE_FORMAT',
    frame('NodeRegistration', `{${ID},"node_name":"n","address":"","port":65536,"node_type":"Full"}`),
  ],
  ['registration, name too long', 'INVALID_MESSAGE_FORMAT', registration(NODE_ID, 'n'.repeat(256))],
  ['registration, name empty', 'INVALID_MESSAGE_FORMAT', registration(NODE_ID, '')],
  ['registration of version 1', 'PROTOCOL_VERSION_MISMATCH', registration(NODE_ID, 'bee', '1')],
];

/** One byte a character: for texts that are not UTF-8. */
function latin(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function tableOf(rows: readonly [string, KindName | ErrorCode, string | Buffer][]): TableFrame[] {
  return rows.map(([name, verdict, bytes]) => ({ name, verdict, bytes: Buffer.from(bytes) }));
}

export const GOOD_FRAMES: readonly TableFrame[] = tableOf(GOOD);
export const BAD_FRAMES: readonly TableFrame[] = tableOf(BAD);
