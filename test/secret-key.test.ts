/** The key of secrets: where it is found, what is refused and in which words, and that only the right one opens anything. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { EnrolmentError } from '../src/enrolment/errors.js';
import { findKey, type KeySource, makeKey } from '../src/enrolment/key.js';
import { SecretBox } from '../src/enrolment/secret-box.js';
import { CHECK_KEY, openVault } from '../src/enrolment/vault.js';
import { EXIT, FatalError } from '../src/errors.js';
import { temporaryFolder } from './core-process.js';

const KEY = Buffer.alloc(32, 7);
const TEXT = KEY.toString('base64');

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof FatalError, String(error));
    assert.equal(error.exitCode, EXIT.config);
    assert.ok(!error.message.includes(TEXT.slice(0, 8)), 'a key in the text');
    return error.message;
  }
  return assert.fail('not refused');
}

test('the environment is asked first, then the file, then the data directory', (t) => {
  const dataDir = temporaryFolder(t);
  const keyFile = join(dataDir, 'given.key');
  const [fromFile, own] = [Buffer.alloc(32, 8), Buffer.alloc(32, 9)];
  const source = { env: {}, keyFile: '', dataDir };
  assert.equal(findKey(source), undefined, 'Core makes one when it needs one');
  writeFileSync(join(dataDir, 'secret.key'), own.toString('base64'), { mode: 0o600 });
  writeFileSync(keyFile, `${fromFile.toString('base64')}\n`, { mode: 0o600 });
  assert.ok(findKey(source)!.equals(own));
  assert.ok(findKey({ ...source, keyFile })!.equals(fromFile));
  assert.ok(findKey({ ...source, keyFile, env: { HONEYBEE_SECRET_KEY: TEXT } })!.equals(KEY));
  assert.ok(findKey({ ...source, keyFile, env: { HONEYBEE_SECRET_KEY: '' } })!.equals(fromFile));
});

test('what is no key, or anybody’s, is refused with what to do about it', (t) => {
  const dataDir = temporaryFolder(t);
  const keyFile = join(dataDir, 'given.key');
  const source: KeySource = { env: {}, keyFile, dataDir };
  for (const text of [
    'x',
    TEXT.slice(0, -1),
    `${TEXT}A`,
    TEXT.replace('B', '-'),
    Buffer.alloc(31, 7).toString('base64'),
  ])
    assert.match(
      refusal(() => findKey({ ...source, env: { HONEYBEE_SECRET_KEY: text } })),
      /^HONEYBEE_SECRET_KEY is not 32 bytes in base64; make one: openssl rand -base64 32$/,
    );
  assert.match(
    refusal(() => findKey(source)),
    /auth\.key_file .*given\.key is not there; make one: \(umask 077; openssl/,
  );
  for (const mode of [0o644, 0o640, 0o604, 0o660, 0o601]) {
    writeFileSync(keyFile, TEXT, { mode: 0o600 });
    chmodSync(keyFile, mode);
    const octal = `0${mode.toString(8)}`;
    assert.match(
      refusal(() => findKey(source)),
      new RegExp(`mode ${octal}\\); allowed: 0600 or 0400: chmod 600`),
    );
  }
  chmodSync(keyFile, 0o400);
  assert.ok(findKey(source)!.equals(KEY));
  chmodSync(keyFile, 0o600);
  writeFileSync(keyFile, `${TEXT} ${TEXT}`);
  assert.match(
    refusal(() => findKey(source)),
    /does not hold 32 bytes in base64/,
  );
  assert.match(
    refusal(() => findKey({ ...source, keyFile: dataDir })),
    /is not a file|others/,
  );
  mkdirSync(join(dataDir, 'folder'));
  writeFileSync(join(dataDir, 'secret.key'), TEXT, { mode: 0o600 });
  chmodSync(join(dataDir, 'secret.key'), 0o644);
  assert.match(
    refusal(() => findKey({ ...source, keyFile: '' })),
    /the key of the data directory .*0644/,
  );
});

test('Core’s own key is made whole, for its owner alone, and never twice', (t) => {
  const dataDir = temporaryFolder(t);
  // Left by a Core that was killed while it made one.
  writeFileSync(join(dataDir, 'secret.key.new'), 'half', { mode: 0o666 });
  const key = makeKey(dataDir);
  assert.equal(statSync(join(dataDir, 'secret.key')).mode & 0o777, 0o600);
  assert.equal(existsSync(join(dataDir, 'secret.key.new')), false);
  assert.ok(findKey({ env: {}, keyFile: '', dataDir })!.equals(key));
  assert.equal(readFileSync(join(dataDir, 'secret.key'), 'latin1'), `${key.toString('base64')}\n`);
});

test('the first secret leaves a check value: with another key, or none, Core does not start', (t) => {
  const dataDir = temporaryFolder(t);
  const source = { env: {}, keyFile: '', dataDir };
  const vault = openVault(source, new Map());
  assert.equal(existsSync(join(dataDir, 'secret.key')), false, 'no key before it is needed');
  const { sealed, changes } = vault.seal('bee', KEY);
  assert.equal(changes.length, 1);
  const meta = new Map([[CHECK_KEY, changes[0]!.value!]]);
  const again = openVault(source, meta);
  assert.ok(again.open('bee', sealed)!.equals(KEY));
  assert.deepEqual(again.seal('wasp', KEY).changes, []);
  const other = { ...source, env: { HONEYBEE_SECRET_KEY: TEXT } };
  assert.match(
    refusal(() => openVault(other, meta)),
    /another key than HONEYBEE_SECRET_KEY holds/,
  );
  assert.match(
    refusal(() => openVault({ ...source, dataDir: temporaryFolder(t) }, meta)),
    /a key that is not there: .*secret\.key; put it back/,
  );
  const unwritable = openVault({ ...source, dataDir: join(dataDir, 'nowhere') }, new Map());
  assert.throws(() => unwritable.seal('bee', KEY), new EnrolmentError('NO_KEY'));
});

test('what is sealed opens with its key, for its context, unchanged; anything else is undefined', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 40 }),
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.nat(),
      (secret, context, at) => {
        const box = new SecretBox(KEY);
        const sealed = box.seal(context, secret);
        assert.ok(box.open(context, sealed)!.equals(secret));
        assert.notEqual(box.seal(context, secret), sealed, 'a nonce of its own');
        assert.equal(new SecretBox(Buffer.alloc(32, 8)).open(context, sealed), undefined);
        assert.equal(box.open(`${context}x`, sealed), undefined);
        const bytes = Buffer.from(sealed, 'base64');
        bytes[at % bytes.length]! ^= 1 + (at % 255);
        assert.equal(box.open(context, bytes.toString('base64')), undefined, 'one changed byte');
        assert.equal(box.open(context, bytes.subarray(0, at % bytes.length).toString('base64')), undefined);
      },
    ),
    { seed: 20_261_121, numRuns: 200 },
  );
  for (const text of ['', 'x', '\u0000', 'AAAA']) assert.equal(new SecretBox(KEY).open('a', text), undefined);
});
