/** Codes are taken out of frames that are kept, whatever the frame looks like, and nothing else is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maskCodes } from '../src/protocol/mask.js';

const CODE = '428915';
const masked = (text: string) => Buffer.from(maskCodes(Buffer.from(text))).toString();

test('the value goes, in every spelling of the name and every shape of the value', () => {
  const cases: [string, string][] = [
    ['{"totp_code":"428915","x":"y"}', '{"totp_code":"******","x":"y"}'],
    ['{"totp_code" :\n 428915 ,"x":1}', '{"totp_code" :\n ****** ,"x":1}'],
    ['{"totp\\u005fcode":"428915"}', '{"totp\\u005fcode":"******"}'],
    ['{"\\u0074\\u006F\\u0074p_code":"428915"}', '{"\\u0074\\u006F\\u0074p_code":"******"}'],
    ['{"TOTP_Code":"428915"}', '{"TOTP_Code":"******"}'],
    ["{'totp_code':'428915','a':1}", "{'totp_code':'******','a':1}"],
    ['totp_code=428915 and on', 'totp_code=****** and on'],
    ['{"totp_code":"42\\"8915","x":1}', '{"totp_code":"********","x":1}'],
    ['{"totp_code":"4289', '{"totp_code":"****'],
    ['{"totp_code":["428915",{"a":428915}],"b":2}', '{"totp_code":["******"*{"*"*******}],"b":2}'],
    ['{"totp_code":"428915","totp_code":"428915"}', '{"totp_code":"******","totp_code":"******"}'],
    [
      '{"message":{"RegistrationAck":{"totp_key":"JBSWY3DP"}}}',
      '{"message":{"RegistrationAck":{"totp_key":"********"}}}',
    ],
    ['{"totp_code"}', '{"totp_code"}'],
    ['{"totp_code":,"428915","x":"y"}', '{"totp_code":,"******","x":"y"}'],
    ['{"totp_code":"","x":"y"}', '{"totp_code":"","x":"y"}'],
    ['{"totp_cod":"428915"}', '{"totp_cod":"428915"}'],
  ];
  for (const [text, expected] of cases) assert.equal(masked(text), expected);
});

test('a frame without such a name is the same bytes, not a copy', () => {
  for (const bytes of [Buffer.from('{"version":2}'), Buffer.alloc(0), Buffer.from([0xff, 0xfe, 0x00])])
    assert.equal(maskCodes(bytes), bytes);
});

test('a registration that was damaged anywhere behind the name of its code never shows the code', () => {
  const text = `{"version":2,"message":{"NodeRegistration":{"node_id":1,"totp_code":"${CODE}","node_name":"bee"}}}`;
  const nameEnd = text.indexOf('totp_code') + 'totp_code'.length;
  const valueStart = text.indexOf(CODE);
  fc.assert(
    fc.property(
      fc.nat(text.length),
      fc.constantFrom('cut', 'drop', 'replace', 'insert'),
      fc.constantFrom('"', "'", '{', '}', ',', ':', ' ', '\n', '\\', '\u00ff', 'x'),
      (at, how, character) => {
        // A code that is not whole any more may show what is left of it; and a name that is broken is none.
        if (at > nameEnd - 10 && at < nameEnd) return;
        if (how !== 'cut' && at >= valueStart && at <= valueStart + CODE.length) return;
        const damaged =
          how === 'cut'
            ? text.slice(0, at)
            : text.slice(0, at) +
              (how === 'drop' ? '' : character) +
              text.slice(how === 'insert' ? at : at + 1);
        const kept = masked(damaged);
        assert.ok(!kept.includes(CODE), `${damaged}\n${kept}`);
        assert.equal(Buffer.byteLength(kept), Buffer.byteLength(damaged));
      },
    ),
    { seed: 20_261_121, numRuns: 1500 },
  );
});

test('a long frame full of names takes no longer than its bytes', () => {
  for (const part of ['{"totp_code":[', '"totp_code":"', 'totp_code', '\\u0074']) {
    const bytes = Buffer.alloc(4096, part);
    const startMs = performance.now();
    for (let round = 0; round < 200; round++) maskCodes(bytes);
    assert.ok(performance.now() - startMs < 1000, part);
  }
});
