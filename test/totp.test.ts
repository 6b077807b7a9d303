/**
 * Codes: the vectors of RFC 6238, Debian's oathtool, and every step around the clock. And what is remembered of those that
 * were used, against a list that forgets nothing.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  judge,
  NOTHING_SPENT,
  type SpentCodes,
  spend,
  withoutWrongFloor,
} from '../src/enrolment/spent-codes.js';
import {
  matchingStep,
  newSecret,
  otpauthUri,
  SECRET_BYTES,
  secretText,
  stepAt,
} from '../src/enrolment/totp.js';
import { LIMITS } from '../src/limits.js';
import { codeAt, fromBase32 } from './totp-code.js';

const STEP_MS = 30_000;
const NOW_MS = 1_700_000_015_000;

test('the vectors of RFC 6238, at 6 digits', () => {
  const secret = Buffer.from('12345678901234567890');
  const vectors: [number, string][] = [
    [59, '287082'],
    [1_111_111_109, '081804'],
    [1_111_111_111, '050471'],
    [1_234_567_890, '005924'],
    [2_000_000_000, '279037'],
    [20_000_000_000, '353130'],
  ];
  for (const [seconds, code] of vectors)
    assert.equal(matchingStep(secret, code, seconds * 1000), Math.floor(seconds / 30), code);
});

const hasOathtool = spawnSync('oathtool', ['--version']).status === 0;

test('oathtool makes the codes that are taken', {
  skip: hasOathtool ? false : 'oathtool is not installed',
}, () => {
  for (let round = 0; round < 20; round++) {
    const secret = newSecret();
    const timeMs = Math.floor(Math.random() * 4_000_000_000) * 1000;
    const { stdout } = spawnSync(
      'oathtool',
      ['--totp', '--base32', `--now=@${timeMs / 1000}`, secretText(secret)],
      { encoding: 'utf8' },
    );
    assert.equal(matchingStep(secret, stdout.trim(), timeMs), stepAt(timeMs), `${timeMs} ${stdout}`);
  }
});

test('a code is good in its step and the ones beside it, at each of their seconds, and never else', () => {
  const secret = newSecret();
  const code = codeAt(secretText(secret), NOW_MS);
  const step = stepAt(NOW_MS);
  for (let ms = -4 * STEP_MS; ms <= 4 * STEP_MS; ms += 500) {
    const at = NOW_MS + ms;
    const expected = Math.abs(stepAt(at) - step) <= 1 ? step : undefined;
    assert.equal(matchingStep(secret, code, at), expected, `${ms} ms away`);
  }
});

test('what is no code is never good, and never throws', () => {
  const secret = newSecret();
  const good = codeAt(secretText(secret), NOW_MS);
  const bad = [
    '',
    ' ',
    good.slice(1),
    `${good}0`,
    ` ${good}`,
    `${good}\n`,
    'abcdef',
    '１２３４５６',
    '-12345',
    '1e5',
  ];
  for (const code of bad) assert.equal(matchingStep(secret, code, NOW_MS), undefined, JSON.stringify(code));
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 12 }), (code) => {
      assert.equal(matchingStep(secret, code, NOW_MS), undefined);
    }),
    { seed: 20_261_121, numRuns: 300 },
  );
});

test('secrets have 160 bits, and their text and URI give them back', () => {
  const secret = newSecret();
  assert.equal(secret.length, SECRET_BYTES);
  const text = secretText(secret);
  assert.match(text, /^[A-Z2-7]{32}$/);
  assert.ok(fromBase32(text).equals(secret));
  assert.notEqual(secretText(newSecret()), text);
  const name = 'eu/west: 1 & "x" \u{1f41d}';
  const uri = new URL(otpauthUri(name, secret));
  assert.equal(uri.protocol, 'otpauth:');
  assert.equal(uri.host, 'totp');
  assert.equal(uri.searchParams.get('secret'), text);
  assert.equal(uri.searchParams.get('issuer'), 'HoneyBee');
  assert.match(decodeURIComponent(uri.pathname), /eu\/west: 1 & "x" \u{1f41d}$/u);
});

/** Remembers every use; says what PROTOCOL.md says. */
class Model {
  readonly uses: { step: number; atMs: number; address: string }[] = [];

  judge(step: number, nowMs: number, address: string): string {
    const first = this.uses.find((use) => use.step === step);
    if (first === undefined) return 'fresh';
    const repeats = first.address === address && nowMs - first.atMs >= 0 && nowMs - first.atMs <= 30_000;
    return repeats ? 'repeated' : 'spent';
  }
}

test('while the clock goes forward, what is forgotten is never taken again and nothing fresh is refused', () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          waitMs: fc.oneof(fc.nat(5_000), fc.nat(60_000), fc.nat(3_600_000)),
          skew: fc.integer({ min: -1, max: 1 }),
          address: fc.constantFrom('a', 'b'),
        }),
        { maxLength: 150, size: 'max' },
      ),
      (attempts) => {
        const model = new Model();
        let spent: SpentCodes = NOTHING_SPENT;
        let nowMs = NOW_MS;
        for (const { waitMs, skew, address } of attempts) {
          nowMs += waitMs;
          const step = stepAt(nowMs) + skew;
          const verdict = judge(spent, step, nowMs, address);
          assert.equal(verdict, model.judge(step, nowMs, address));
          seen.set(verdict, (seen.get(verdict) ?? 0) + 1);
          if (verdict === 'fresh') {
            spent = spend(spent, step, nowMs, address);
            model.uses.push({ step, atMs: nowMs, address });
          }
          assert.ok(spent.steps.length <= LIMITS.spentStepsKept && spent.recent.length <= 4);
        }
      },
    ),
    { seed: 20_261_121, numRuns: 200 },
  );
  for (const verdict of ['fresh', 'repeated', 'spent'])
    assert.ok((seen.get(verdict) ?? 0) > 50, `${verdict} was met`);
});

test('wherever the clock is set, no code is taken twice but as a repetition', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ nowMs: fc.nat(3_600_000), skew: fc.integer({ min: -1, max: 1 }) }), {
        maxLength: 200,
        size: 'max',
      }),
      (attempts) => {
        const used = new Set<number>();
        let spent: SpentCodes = NOTHING_SPENT;
        for (const { nowMs, skew } of attempts) {
          const at = NOW_MS + nowMs;
          const step = stepAt(at) + skew;
          spent = withoutWrongFloor(spent, at);
          if (judge(spent, step, at, randomBytes(4).toString('hex')) !== 'fresh') continue;
          assert.ok(!used.has(step), 'a spent code was taken');
          used.add(step);
          spent = spend(spent, step, at, 'a');
        }
      },
    ),
    { seed: 20_261_122, numRuns: 200 },
  );
});

test('a clock that ran years ahead does not lock a name out when it is right again', () => {
  const aheadMs = NOW_MS + 5 * 365 * 86_400_000;
  let spent: SpentCodes = NOTHING_SPENT;
  for (let use = 0; use < LIMITS.spentStepsKept + 5; use++) {
    const atMs = aheadMs + use * STEP_MS;
    assert.equal(judge(withoutWrongFloor(spent, atMs), stepAt(atMs), atMs, 'a'), 'fresh');
    spent = spend(spent, stepAt(atMs), atMs, 'a');
  }
  assert.equal(judge(spent, stepAt(NOW_MS), NOW_MS, 'a'), 'spent', 'the floor lies ahead');
  spent = withoutWrongFloor(spent, NOW_MS);
  for (let use = 0; use < LIMITS.spentStepsKept + 5; use++) {
    const atMs = NOW_MS + use * STEP_MS;
    assert.equal(judge(spent, stepAt(atMs), atMs, 'a'), 'fresh');
    spent = spend(spent, stepAt(atMs), atMs, 'a');
    assert.equal(judge(spent, stepAt(atMs), atMs, 'b'), 'spent');
  }
  const newestAhead = stepAt(aheadMs) + LIMITS.spentStepsKept + 4;
  assert.equal(judge(spent, newestAhead, aheadMs, 'b'), 'spent', 'what was used then stays spent');
});

test('a clock set back by less than a day keeps the floor: refused until it has caught up', () => {
  let spent: SpentCodes = NOTHING_SPENT;
  for (let use = 0; use <= LIMITS.spentStepsKept; use++)
    spent = spend(spent, stepAt(NOW_MS) + use, NOW_MS + use * STEP_MS, 'a');
  const backMs = NOW_MS - 3_600_000;
  assert.equal(judge(withoutWrongFloor(spent, backMs), stepAt(backMs), backMs, 'a'), 'spent');
});
