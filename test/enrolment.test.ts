/**
 * Who gets in, in every mode: names, codes, repetitions, lock-outs, clocks that are set back, restarts. The store is a real
 * one on the disk, the clock is the test's.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EnrolmentError } from '../src/enrolment/errors.js';
import { LIMITS } from '../src/limits.js';
import { ADDRESS, EnrolmentRun, STEP } from './enrolment-run.js';

const ELSEWHERE = '198.51.100.7:4000';
const HOUR = 3_600_000;

type State = 'unknown' | 'active' | 'revoked';
type Code = 'none' | 'empty' | 'good' | 'wrong' | 'malformed';

const FAILED = {
  unknown: 'the name is not enrolled',
  revoked: 'the enrolment was revoked',
  none: 'the registration carries no code',
  wrong: 'the code is wrong',
};

/** The table of PROTOCOL.md section 7, written down again. */
function expected(mode: string, windowOpen: boolean, state: State, code: Code): string {
  const carries = code !== 'none' && code !== 'empty';
  if (mode === 'off') return 'anyone';
  if (state === 'revoked') return FAILED.revoked;
  if (state === 'active') {
    if (code === 'good') return 'proven';
    return carries ? FAILED.wrong : FAILED.none;
  }
  if (mode === 'optional') return carries ? 'newcomer' : 'anyone';
  return windowOpen && carries ? 'newcomer' : FAILED.unknown;
}

for (const mode of ['off', 'optional', 'required'] as const) {
  test(`${mode}: every state of a name, every kind of code, with the window open and closed`, async (t) => {
    const run = await EnrolmentRun.start(t, mode);
    let number = 0;
    for (const windowOpen of [false, true]) {
      if (windowOpen) await run.enrolments.window.open(HOUR);
      for (const state of ['unknown', 'active', 'revoked'] as const) {
        for (const kind of ['none', 'empty', 'good', 'wrong', 'malformed'] as const) {
          // Another name and address each time: no lock-out of one case may decide another.
          const name = `node ${number++}`;
          let secret = 'A'.repeat(32);
          if (state !== 'unknown') ({ secret } = await run.enrolments.enrol(name));
          if (state === 'revoked') await run.enrolments.revoke(name);
          const good = run.code(secret);
          const wrong = good === '000000' ? '111111' : '000000';
          const code = { none: null, empty: '', good, wrong, malformed: 'x'.repeat(16) }[kind];
          const remote = `10.0.${number >> 8}.${number & 255}:1`;
          const what = `${mode}, window ${windowOpen}, ${state}, ${kind}`;
          assert.equal(run.outcome(name, code, remote), expected(mode, windowOpen, state, kind), what);
        }
      }
    }
  });
}

test('all refusals read the same to the node', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  const { secret } = await run.enrolments.enrol('known');
  await run.enrolments.enrol('revoked');
  await run.enrolments.revoke('revoked');
  const code = run.code(secret);
  run.admit('known', code);
  const refusals = [
    run.admit('unknown', null, '10.0.0.1:1'),
    run.admit('unknown', '123456', '10.0.0.2:1'),
    run.admit('known', null, '10.0.0.3:1'),
    run.admit('known', code, '10.0.0.4:1'),
    run.admit('revoked', '123456', '10.0.0.6:1'),
  ];
  for (let failure = 0; failure < 5; failure++) run.admit('locked', '123456', '10.0.0.7:1');
  refusals.push(run.admit('locked', '123456', '10.0.0.8:1'), run.admit('other', '123456', '10.0.0.7:2'));
  const texts = refusals.map((refusal) => {
    assert.equal(refusal.kind, 'refused');
    const { code, message } = refusal as Extract<typeof refusal, { kind: 'refused' }>;
    return `${code}: ${message}`;
  });
  assert.equal(new Set(texts).size, 1, texts.join('\n'));
  assert.match(texts[0]!, /^AUTHENTICATION_FAILED: /);
  assert.equal(new Set(refusals.map((one) => (one as { why: string }).why)).size, 6, 'the log knows why');
});

test('a node enrols itself once, and needs a code of its secret for ever after', async (t) => {
  const run = await EnrolmentRun.start(t, 'optional');
  assert.equal(run.outcome('bee', null), 'anyone', 'not enrolled');
  const secret = await run.selfEnrol('bee');
  assert.equal(run.outcome('bee', '000000'), FAILED.wrong);
  assert.equal(run.outcome('bee', null), FAILED.none);
  assert.equal(run.outcome('bee', run.code(secret)), 'proven');
  await run.restart();
  run.pass(STEP);
  assert.equal(run.outcome('bee', null), FAILED.none);
  assert.equal(run.outcome('bee', run.code(secret)), 'proven');
  assert.equal(run.outcome('Bee', null), 'anyone', 'names are compared to the byte');
  await run.restart('off');
  assert.equal(run.outcome('bee', null), 'anyone');
  await run.restart('required');
  run.pass(STEP);
  assert.equal(run.outcome('bee', run.code(secret)), 'proven', 'enrolments outlive the mode');
});

test('a code is good once; the same address may repeat it for 30 s, nobody else may', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  const { secret } = await run.enrolments.enrol('bee');
  const { secret: other } = await run.enrolments.enrol('wasp');
  const code = run.code(secret, 1);
  assert.equal(run.outcome('bee', code), 'proven');
  assert.equal(run.outcome('bee', code, ELSEWHERE), 'the code was used before');
  assert.equal(run.outcome('wasp', code, ADDRESS), FAILED.wrong, 'it is the code of one name');
  run.pass(5_000);
  assert.equal(run.outcome('bee', code, '192.0.2.1:4001'), 'proven', 'another port of the same address');
  run.pass(25_000);
  assert.equal(run.outcome('bee', code), 'proven', '30 s later');
  run.pass(1);
  assert.equal(run.outcome('bee', code), 'the code was used before', 'later than that, though still valid');
  assert.equal(run.outcome('bee', run.code(secret, 1)), 'proven');
  assert.equal(run.outcome('wasp', run.code(other)), 'proven', 'one name spends nothing of another');
});

test('a spent code stays spent over a restart, and a repetition stays allowed', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  const { secret } = await run.enrolments.enrol('bee');
  const pass = run.admit('bee', run.code(secret));
  assert.equal(pass.kind, 'proven');
  await run.doorkeeper.enter(pass as Extract<typeof pass, { kind: 'proven' }>).durable;
  await run.restart();
  run.pass(5_000);
  assert.equal(run.outcome('bee', run.code(secret), ELSEWHERE), 'the code was used before');
  assert.equal(run.outcome('bee', run.code(secret)), 'proven');
});

test('five failures of a name lock it out for a minute, then two, up to an hour; success forgets', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  const { secret } = await run.enrolments.enrol('bee');
  let address = 0;
  const fresh = () => `10.1.${(address >> 8) & 255}.${address++ & 255}:1`;
  const fail = () => assert.equal(run.outcome('bee', 'wrong', fresh()), FAILED.wrong);
  for (const seconds of [60, 120, 240, 480, 960, 1920, 3600, 3600]) {
    for (let failure = 0; failure < 5; failure++) fail();
    assert.equal(
      run.outcome('bee', run.code(secret), fresh()),
      'the name is locked out',
      'even with a good code',
    );
    run.pass(seconds * 1000 - 1);
    assert.equal(
      run.outcome('bee', run.code(secret), fresh()),
      'the name is locked out',
      `within ${seconds} s`,
    );
    run.pass(1);
  }
  assert.equal(run.outcome('bee', run.code(secret), fresh()), 'proven');
  for (let failure = 0; failure < 5; failure++) fail();
  run.pass(60_000);
  fail();
  for (let failure = 0; failure < 4; failure++) {
    run.pass(15_001);
    fail();
  }
  run.pass(STEP);
  assert.equal(run.outcome('bee', run.code(secret), fresh()), 'proven', 'five within more than a minute');
  const locks = run.logLines.filter((line) => line.includes('"locked out after failed codes"'));
  assert.equal(locks.length, 9);
});

test('five failures of an address lock it out whatever the names, and nobody else; nodes without codes are let by', async (t) => {
  const run = await EnrolmentRun.start(t, 'optional');
  const { secret } = await run.enrolments.enrol('bee');
  for (let n = 0; n < 5; n++) {
    await run.enrolments.enrol(`victim ${n}`);
    assert.equal(run.outcome(`victim ${n}`, '000000', `203.0.113.9:${n}`), FAILED.wrong);
  }
  assert.equal(run.outcome('bee', run.code(secret), '203.0.113.9:77'), 'the address is locked out');
  assert.equal(run.outcome('unheard of', '123456', '203.0.113.9:77'), 'the address is locked out');
  assert.equal(run.outcome('unheard of', null, '203.0.113.9:77'), 'anyone');
  assert.equal(run.outcome('bee', run.code(secret), '203.0.113.10:77'), 'proven');
  run.pass(60_000);
  assert.equal(run.outcome('bee', run.code(secret), '203.0.113.9:77'), 'proven');
});

test('addresses of one IPv6 network count as one, and IPv4 in IPv6 as IPv4', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  for (let n = 0; n < 5; n++) run.outcome(`name ${n}`, '000000', `[2001:db8:0:1::${n}]:4000`);
  assert.equal(
    run.outcome('bee', '000000', '[2001:0db8:0000:0001:ffff:1:2:3]:9'),
    'the address is locked out',
  );
  assert.equal(run.outcome('bee', '000000', '[2001:db8:0:2::1]:9'), FAILED.unknown);
  for (let n = 0; n < 5; n++) run.outcome(`more ${n}`, '000000', `[::ffff:10.9.8.7]:4000`);
  assert.equal(run.outcome('bee', '000000', '10.9.8.7:1'), 'the address is locked out');
  assert.equal(run.outcome('bee', '000000', '10.9.8.8:1'), FAILED.unknown);
});

test('a clock that was set back neither opens spent codes nor locks the node out, and is said once', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  const { secret } = await run.enrolments.enrol('bee');
  run.pass(HOUR);
  const later = run.code(secret);
  assert.equal(run.outcome('bee', later), 'proven');
  run.nowMs -= HOUR;
  assert.equal(run.outcome('bee', run.code(secret)), 'proven', 'at the right time again');
  run.pass(STEP);
  assert.equal(run.outcome('bee', run.code(secret)), 'proven');
  run.pass(HOUR - STEP);
  assert.equal(run.outcome('bee', later, ELSEWHERE), 'the code was used before', 'when its time comes again');
  assert.equal(run.logLines.filter((line) => line.includes('set back')).length, 1);
});

test('revoked: in no mode does a name get in or enrol itself, until an administrator enrols it again', async (t) => {
  const run = await EnrolmentRun.start(t, 'optional');
  const secret = await run.selfEnrol('bee');
  await run.enrolments.revoke('bee');
  await run.enrolments.revoke('bee');
  for (const mode of ['optional', 'required'] as const) {
    await run.restart(mode);
    if (mode === 'required') await run.enrolments.window.open(HOUR);
    for (const code of [run.code(secret), '123456', null])
      assert.equal(run.outcome('bee', code, `10.0.0.${mode.length}:1`), FAILED.revoked);
  }
  const issued = await run.enrolments.enrol('bee');
  run.pass(STEP);
  assert.equal(run.outcome('bee', run.code(secret)), FAILED.wrong, 'the old secret');
  assert.equal(run.outcome('bee', run.code(issued.secret)), 'proven');
  await run.restart('optional');
  await run.enrolments.forget('bee');
  assert.equal(run.outcome('bee', '123456'), 'newcomer', 'forgotten is as if it had never been');
});

test('rotation: the old secret is worth nothing at once, and what was used of it does not count', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  const { secret } = await run.enrolments.enrol('bee');
  const pass = run.admit('bee', run.code(secret));
  assert.equal(pass.kind, 'proven');
  const rotated = await run.enrolments.rotate('bee');
  assert.notEqual(rotated.secret, secret);
  assert.equal(run.doorkeeper.holds(pass as Extract<typeof pass, { kind: 'proven' }>), false);
  assert.equal(run.outcome('bee', run.code(secret, 1)), FAILED.wrong);
  assert.equal(run.outcome('bee', run.code(rotated.secret)), 'proven');
  await assert.rejects(run.enrolments.rotate('wasp'), new EnrolmentError('NOT_ENROLLED'));
  await assert.rejects(run.enrolments.enrol('bee'), new EnrolmentError('ALREADY_ENROLLED'));
  await assert.rejects(run.enrolments.revoke('wasp'), new EnrolmentError('NOT_ENROLLED'));
});

test('a window closes by itself, survives a restart, can be closed early, and not be longer than a day', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  assert.equal(run.outcome('a', '123456'), FAILED.unknown);
  await run.enrolments.window.open(10_000);
  run.pass(4_000);
  await run.restart();
  const pass = run.admit('a', '123456');
  assert.equal(pass.kind, 'newcomer');
  assert.equal(run.outcome('b', null), FAILED.unknown, 'a code is asked for all the same');
  run.pass(6_000);
  assert.equal(run.outcome('a', '123456'), FAILED.unknown);
  assert.equal(run.doorkeeper.holds(pass as Extract<typeof pass, { kind: 'newcomer' }>), false);
  await run.enrolments.window.open(10_000);
  await run.enrolments.window.close();
  await run.restart();
  assert.equal(run.enrolments.window.openUntilMs, null);
  await assert.rejects(run.enrolments.window.open(LIMITS.enrolmentWindowMs + 1));
  await run.enrolments.window.open(LIMITS.enrolmentWindowMs);
  run.nowMs -= HOUR;
  assert.equal(run.enrolments.window.openUntilMs, null, 'a clock set back does not prolong it');
});

test('a name whose node was not told its secret is unknown again', async (t) => {
  const run = await EnrolmentRun.start(t, 'optional');
  const pass = run.admit('bee', '123456');
  const entry = run.doorkeeper.enter(pass as Extract<typeof pass, { kind: 'newcomer' }>);
  await entry.durable;
  const second = run.admit('bee', '123456', ELSEWHERE);
  assert.equal(second.kind, 'refused');
  entry.withdraw();
  await run.restart();
  assert.equal(run.outcome('bee', '123456'), 'newcomer');
});

test('names that come by themselves are bounded, and leave room for administrators', async (t) => {
  const run = await EnrolmentRun.start(t, 'optional');
  const enrolments = run.enrolments as unknown as Record<string, unknown>;
  assert.ok(LIMITS.selfEnrolledNames < LIMITS.enrolmentNames);
  await run.selfEnrol('bee');
  Object.defineProperty(enrolments, 'hasRoomForNode', { get: () => false });
  const refusal = run.admit('wasp', '123456');
  assert.equal(refusal.kind === 'refused' && refusal.code, 'NODE_REGISTRATION_FAILED');
  await run.enrolments.enrol('wasp');
});

test('names are listed page by page, each once, in their order, and without secrets', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  const names = ['b', 'a', 'ä', 'B', '\u{1f41d}', 'a b', '__proto__', 'constructor', 'z'.repeat(255)];
  const secrets: string[] = [];
  for (const name of names) secrets.push((await run.enrolments.enrol(name)).secret);
  await run.restart();
  const listed: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = run.enrolments.list(2, after);
    if (page.length === 0) break;
    for (const row of page) for (const secret of secrets) assert.ok(!JSON.stringify(row).includes(secret));
    listed.push(...page.map(({ name }) => name));
    after = page.at(-1)!.name;
  }
  assert.deepEqual(listed, [...names].sort());
  for (const name of ['', 'z'.repeat(256), 'half \ud800'])
    await assert.rejects(run.enrolments.enrol(name), new EnrolmentError('BAD_NAME'));
});

test('no secret stands on the disk in clear, and a sealed one opens for its own name alone', async (t) => {
  const run = await EnrolmentRun.start(t, 'required');
  const { secret, enrolment } = await run.enrolments.enrol('bee');
  await run.enrolments.enrol('wasp');
  await run.store.write([{ section: 'enrolment', key: 'damaged', value: '{"v":1,"state":"act' }]);
  const wasp = JSON.stringify({
    v: 1,
    state: 'active',
    by: 'admin',
    created: 1,
    changed: 1,
    used: null,
    secret: enrolment.sealed,
    floor: -1,
    steps: [],
    recent: [],
  });
  await run.store.write([{ section: 'enrolment', key: 'wasp', value: wasp }]);
  await run.restart();
  assert.equal(run.damaged, 1);
  assert.equal(run.outcome('damaged', '123456'), FAILED.revoked, 'nobody gets in by a damaged record');
  assert.equal(run.outcome('wasp', run.code(secret)), 'the secret of the name cannot be decrypted');
  assert.equal(run.outcome('bee', run.code(secret)), 'proven');
  const files = readdirSync(run.folder, { recursive: true, withFileTypes: true }).filter((one) =>
    one.isFile(),
  );
  assert.ok(files.length >= 3);
  for (const file of files) {
    const content = readFileSync(join(file.parentPath ?? file.path, file.name));
    for (const form of [secret, Buffer.from(secret).toString('base64')])
      assert.ok(!content.includes(form), file.name);
  }
  assert.equal(statSync(join(run.folder, 'secret.key')).mode & 0o777, 0o600);
  for (const line of run.logLines) assert.ok(!line.includes(secret));
});
