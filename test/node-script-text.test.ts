/** The node that people copy (scripts/node.ts): what it makes of a honeypot's line. No process, no sockets. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { totpCode as benchCode } from '../bench/totp.js';
import { linesOf, splitMembers, toIso, totpCode, wrapLine } from '../scripts/node.js';
import { type Fields, MAX_ID, upTo } from './node-double.js';

const own = { nodeId: 2n ** 64n - 1n, potId: 'p', potType: 't' };
const wrapped = (line: string) =>
  (JSON.parse(String(wrapLine(line, own)!.frame)).message as { PotEvent: Fields }).PotEvent;

describe('a line becomes a PotEvent', () => {
  it('keeps the text of every value: digits, escapes, order', () => {
    const kept = [
      '"a":12345678901234567890123',
      '"b" :-0',
      '"c":1e999',
      '"d":1.10',
      String.raw`"e":"\ud800 \u0041 \/ }\"{"`,
      '"a":[{"eventid":"inner"},"]"]',
      '"__proto__":{"x":{}}',
      '"":null',
      '"ü":"é→🐝"',
    ];
    const line = `{ "timestamp": "2024-01-26 21:59:42" ,${kept.join(' , ')},\t"eventid":"x.y"}`;
    assert.equal(
      String(wrapLine(line, own)!.frame),
      `{"version":2,"message":{"PotEvent":{"node_id":${MAX_ID},"pot_id":"p","pot_type":"t","event_type":"x.y",` +
        `"timestamp":"2024-01-26 21:59:42","data":{${kept.join(',')}}}}}\n`,
    );
  });

  it('for each honeypot finds the type of event and the time, and loses no member', () => {
    const iso = '2024-01-26T21:59:42Z';
    const cases: [object, string, string | undefined, string[]][] = [
      [{ eventid: 'cowrie.x', timestamp: iso, event_type: 'kept' }, 'cowrie.x', iso, ['event_type']],
      [
        { eventid: 'honnypotter.login.failed', timestamp: 1706306382 },
        'honnypotter.login.failed',
        '2024-01-26T21:59:42.000Z',
        ['timestamp'],
      ],
      [
        { event_type: 'NEW_CONNECTION', data_type: 'modbus', timestamp: '2024-01-26T21:59:42.1' },
        'NEW_CONNECTION',
        '2024-01-26T21:59:42.1',
        ['data_type'],
      ],
      [{ event_type: null, data_type: 'modbus', timestamp: iso }, 'modbus', iso, ['event_type', 'data_type']],
      [
        { connection: { transport: 'tcp', type: 'accept' }, timestamp: iso },
        'dionaea.connection.tcp.accept',
        iso,
        ['connection'],
      ],
      [
        { origin: 'dionaea.connection.tcp.connect', timestamp: iso },
        'dionaea.connection.tcp.connect',
        iso,
        ['origin'],
      ],
      [
        { auth_attempts: [], timestamp: '2024-01-26 21:59:42.123456' },
        'heralding.session',
        '2024-01-26 21:59:42.123456',
        ['auth_attempts'],
      ],
      [
        { logtype: 3000, utc_time: '2024-01-26 21:59:42.1', local_time: 'x' },
        'opencanary.3000',
        '2024-01-26 21:59:42.1',
        ['logtype', 'utc_time', 'local_time'],
      ],
      [
        { category: 'ssh', type: 'connect', date: iso, 'source-ip': '' },
        'ssh.connect',
        iso,
        ['category', 'type', 'date', 'source-ip'],
      ],
      [{ attack_connection: {}, timestamp: iso }, 'honeytrap.attack_connection', iso, ['attack_connection']],
      [{ eventid: 7, timestamp: 'yesterday' }, 'unknown', undefined, ['eventid', 'timestamp']],
      [{ event_type: 'x', timestamp: iso, data: { a: 1 } }, 'x', iso, ['a']],
    ];
    for (const [line, type, time, kept] of cases) {
      const event = wrapped(JSON.stringify(line));
      assert.equal(event.event_type, type);
      if (time !== undefined) assert.equal(event.timestamp, time);
      else
        assert.ok(
          Math.abs(Date.parse(String(event.timestamp)) - Date.now()) < 60_000,
          'now, where there is no usable time',
        );
      assert.deepEqual(Object.keys(event.data as Fields), kept);
    }
  });

  it('takes pot_id and pot_type from the line, else from the options', () => {
    const { pot_id, pot_type, data } = wrapped('{"pot_id":"web-1","pot_type":"webtrap"}');
    assert.deepEqual([pot_id, pot_type, data], ['web-1', 'webtrap', {}]);
    const plugin = wrapped('{"honeybee_honeypot_id":"c-2","pot_id":5,"pot_type":""}');
    assert.deepEqual([plugin.pot_id, plugin.pot_type], ['c-2', 't']);
  });

  it('refuses what is no JSON object', () => {
    for (const line of ['', '{', 'null', '[]', '"x"', '1', '{"a":1}x', '{"a":1}{"a":2}'])
      assert.equal(wrapLine(line, own), undefined);
  });

  it('copes with hostile shapes', () => {
    const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    const escapes = `{"a":"${'\\"'.repeat(500_000)}"}`;
    const keys = `{${upTo(10_000)
      .map((n) => `"${n}":${n}`)
      .join(',')}}`;
    for (const line of [deep, escapes, keys])
      assert.ok(String(wrapLine(line, own)!.frame).endsWith(`"data":${line}}}}\n`));
  });

  it('cuts any object at the same places as JSON.parse', () => {
    const space = fc.constantFrom(undefined, 1, '\t');
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()), space, (object, indent) => {
        const members = splitMembers(JSON.stringify(object, null, indent));
        assert.deepEqual(
          members.map(({ key, value }) => [key, JSON.parse(value)]),
          Object.entries(JSON.parse(JSON.stringify(object))),
        );
        for (const { key, text, value } of members)
          assert.ok(text.startsWith(JSON.stringify(key)) && text.endsWith(value));
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it('takes the times the protocol takes, and epochs in any unit', () => {
    for (const time of [
      '2024-02-29T00:00:00Z',
      '2024-01-01 23:59:60.123456789+0530',
      '1970-01-01T00:00:00-00:00',
    ])
      assert.equal(toIso(time), time);
    for (const epoch of [1706306382.5, 1706306382500, 1706306382500000, '1706306382500000000'])
      assert.equal(toIso(epoch), '2024-01-26T21:59:42.500Z');
    for (const bad of [
      '2023-02-29T00:00:00Z',
      '2024-01-01T24:00:00Z',
      '2024-01-01',
      'x',
      '',
      0,
      -1,
      null,
      true,
      {},
      ['1706306382'],
      '2024-01-01T00:00:00.1234567890Z',
      '2024-01-01T00:00:00+24:00',
    ]) {
      assert.equal(toIso(bad), undefined, String(bad));
    }
  });

  it('cuts lines at every split point, and skips a line above the limit', async () => {
    const bytes = Buffer.from('a\n\nüü\r\nlast');
    const cut = async (...chunks: (Buffer | 'new file')[]) => {
      const found: (string | null)[] = [];
      const source = async function* () {
        yield* chunks;
      };
      for await (const line of linesOf(source())) found.push(line === null ? null : String(line));
      return found;
    };
    for (let at = 0; at <= bytes.length; at++)
      assert.deepEqual(await cut(bytes.subarray(0, at), bytes.subarray(at)), ['a', '', 'üü\r', 'last']);
    assert.deepEqual(await cut(Buffer.from('torn'), 'new file', Buffer.from('x\n')), ['torn', 'x', '']);
    const large = Buffer.alloc(700_000, 'x');
    assert.deepEqual(await cut(large, large, Buffer.from('\nnext\n')), [null, 'next', '']);
  });
});

describe('one-time codes', () => {
  const base32 = (bytes: Buffer) =>
    (
      [...bytes]
        .map((byte) => byte.toString(2).padStart(8, '0'))
        .join('')
        .match(/.{5}/g) ?? []
    )
      .map((digit) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(digit, 2)])
      .join('');
  const codes = { "the script's": totpCode, "the bench's": benchCode };

  // RFC 6238, appendix B, SHA-1; the last six of its eight digits.
  for (const [seconds, code] of [
    [59, '287082'],
    [1_111_111_109, '081804'],
    [1_111_111_111, '050471'],
    [1_234_567_890, '005924'],
    [2_000_000_000, '279037'],
    [20_000_000_000, '353130'],
  ] as const) {
    it(`are those of RFC 6238 at ${seconds} s`, () => {
      const key = base32(Buffer.from('12345678901234567890'));
      for (const of of Object.values(codes)) assert.equal(of(key, seconds * 1000), code);
    });
  }

  const oathtool = spawnSync('oathtool', ['--version']).status === 0;

  it('are those of oathtool', { skip: oathtool ? false : 'oathtool is not installed' }, () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 20, maxLength: 20 }),
        fc.integer({ min: 0, max: 4_000_000_000 }),
        (bytes, seconds) => {
          const key = base32(Buffer.from(bytes));
          const { stdout } = spawnSync('oathtool', ['--totp', '-b', '-N', `@${seconds}`, key], {
            encoding: 'utf8',
          });
          for (const of of Object.values(codes)) assert.equal(of(key, seconds * 1000), stdout.trim());
        },
      ),
      { seed: 6238, numRuns: 20 },
    );
  });
});
