/** Who is let in: tokens, open access, wrong tokens, scopes. On a real state store, with a clock of the test's own. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { Access, type AccessChange, type AccessContext } from '../src/access/access.js';
import { matchesPattern, matchesPrefixPattern } from '../src/access/pattern.js';
import { permits, ROLES, type Role } from '../src/access/principal.js';
import { eventTypeInScope, nodeInScope } from '../src/access/scope.js';
import { checkListeners } from '../src/access/start-rule.js';
import { parseToken } from '../src/access/token-text.js';
import { TokenNotSaved, TokenTableFull } from '../src/access/tokens.js';
import { hostAllowed, originAllowed } from '../src/access/web.js';
import { addressKey } from '../src/addresses.js';
import type { Config } from '../src/config/config.js';
import { FatalError } from '../src/errors.js';
import { LIMITS } from '../src/limits.js';
import { openStateStore, type StateStore } from '../src/state/store.js';

type Settings = Pick<Config, 'server' | 'proxy' | 'auth' | 'storage'>;

function settings(change: {
  host?: string;
  backendHost?: string;
  proxyHost?: string;
  proxy?: boolean;
  anonymous?: boolean;
  origins?: string;
}): Settings {
  return {
    server: { host: change.host ?? '127.0.0.1', backend_host: change.backendHost ?? '' },
    proxy: { enabled: change.proxy ?? true, host: change.proxyHost ?? '127.0.0.1' },
    auth: { allow_anonymous: change.anonymous ?? false, allowed_origins: change.origins ?? '' },
    storage: { dir: '/var/lib/honeybee' },
  } as unknown as Settings;
}

const START_MS = Date.UTC(2026, 10, 21);
const FROM: AccessContext = { listener: 'rest', address: '192.0.2.7' };
const NEW = {
  name: 'n',
  roles: ['read'] as Role[],
  scope: { nodes: null, eventTypes: null },
  expiresMs: null,
  createdBy: 'test',
};

class Bench {
  nowMs = START_MS;
  access!: Access;
  state!: StateStore;
  readonly locked: string[] = [];
  readonly changes: AccessChange[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'honeybee-access-'));

  static async open(t: TestContext, change: Parameters<typeof settings>[0] = {}): Promise<Bench> {
    const bench = new Bench();
    await bench.reopen(change);
    t.after(async () => {
      await bench.close();
      rmSync(bench.#folder, { recursive: true });
    });
    return bench;
  }

  async reopen(change: Parameters<typeof settings>[0] = {}): Promise<void> {
    if (this.state !== undefined) await this.close();
    this.state = await openStateStore(this.#folder, { onTrouble() {} });
    const hooks = { onLocked: (address: string) => void this.locked.push(address) };
    this.access = await Access.open(settings(change), this.state, hooks, () => this.nowMs);
    this.access.onChange((event) => this.changes.push(event));
  }

  async close(): Promise<void> {
    this.access.close();
    await this.state.close(Date.now() + 5_000);
  }

  refusal(token?: string, context: Partial<AccessContext> = {}): string {
    return this.access.check(token, { ...FROM, ...context }).refusal ?? 'none';
  }

  roles(token?: string, context: Partial<AccessContext> = {}): string {
    return [...(this.access.check(token, { ...FROM, ...context }).principal?.roles ?? [])].sort().join(' ');
  }
}

test('with no token made, loopback is open to everybody there and nothing else is', async (t) => {
  const bench = await Bench.open(t, { host: '127.0.0.1', proxyHost: '0.0.0.0' });
  assert.equal(bench.roles(), 'admin command read stream');
  assert.equal(bench.refusal(undefined, { listener: 'proxy' }), 'missing');
  assert.equal(bench.refusal('hb_aaaaaaaa_x'), 'invalid', 'a wrong token is not taken for none');
  const { record } = await bench.access.createToken(NEW);
  assert.deepEqual(bench.changes, [{ kind: 'no-longer-open' }]);
  assert.equal(bench.refusal(), 'missing', 'the first token closes it');
  await bench.access.revokeToken(record.id);
  assert.equal(bench.refusal(), 'missing', 'and a revoked one was made, too');
  await bench.reopen();
  assert.equal(bench.refusal(), 'missing');
});

test('an expired token was made, too; so was one whose record is damaged', async (t) => {
  const bench = await Bench.open(t);
  await bench.access.createToken({ ...NEW, expiresMs: START_MS + 1 });
  bench.nowMs += 10;
  await bench.reopen();
  assert.equal(bench.refusal(), 'missing');
  const damaged = await Bench.open(t);
  for (const value of [
    '',
    '{',
    'null',
    '[]',
    '{"v":2}',
    '{"v":1,"name":"x","roles":["root"],"sha256":"00"}',
  ]) {
    await damaged.state.write([{ section: 'token', key: 'aaaaaaaa', value }]);
    await damaged.reopen();
    assert.equal(damaged.refusal(), 'missing', value);
    assert.deepEqual(damaged.access.summary(), { active: 0, expired: 0, revoked: 0, damaged: 1 });
  }
});

test('allow_anonymous lets everybody read, stream and command, and nobody administer, on loopback neither', async (t) => {
  for (const host of ['0.0.0.0', '127.0.0.1']) {
    const bench = await Bench.open(t, { host, anonymous: true });
    assert.equal(bench.roles(), 'command read stream');
    const { text } = await bench.access.createToken({ ...NEW, roles: ['admin'] });
    assert.equal(bench.roles(), 'command read stream');
    assert.equal(bench.roles(text), 'admin command read stream');
    assert.equal(bench.refusal('hb_wrong'), 'invalid');
    assert.deepEqual(bench.changes, [], 'nobody loses what everybody has');
  }
});

test('roles: command includes read, admin includes all, the others stand alone', async (t) => {
  const bench = await Bench.open(t);
  const expected: Record<Role, string> = {
    read: 'read',
    stream: 'stream',
    command: 'command read',
    admin: 'admin command read stream',
  };
  for (const role of ROLES) {
    const { text } = await bench.access.createToken({ ...NEW, roles: [role] });
    assert.equal(bench.roles(text), expected[role]);
    const { principal } = bench.access.check(text, FROM);
    for (const asked of ROLES)
      assert.equal(permits(principal!, asked), expected[role].split(' ').includes(asked));
    assert.equal(permits(principal!, 'any'), true);
  }
});

test('a token is right in every character or wrong; expired and revoked ones let nobody in', async (t) => {
  const bench = await Bench.open(t);
  const { text, record } = await bench.access.createToken({ ...NEW, expiresMs: START_MS + 60_000 });
  assert.match(text, /^hb_[a-z2-7]{8}_[A-Za-z0-9_-]{43}$/);
  assert.equal(bench.refusal(text), 'none');
  for (let at = 0; at < text.length; at++) {
    const other = text[at] === 'a' ? 'b' : 'a';
    const wrong = text.slice(0, at) + other + text.slice(at + 1);
    // Each from an address of its own, so that none is locked out.
    assert.equal(bench.refusal(wrong, { address: `10.0.0.${at}` }), 'invalid', `character ${at}`);
  }
  for (const wrong of ['', text.slice(0, -1), `${text}a`, ` ${text}`, text.toUpperCase(), 'hb__', '\0', 'é'])
    assert.equal(bench.refusal(wrong, { address: '10.0.1.1' }), 'invalid', JSON.stringify(wrong));
  bench.nowMs = START_MS + 59_999;
  assert.equal(bench.refusal(text), 'none');
  bench.nowMs = START_MS + 60_000;
  assert.equal(bench.refusal(text), 'expired');
  bench.access.sweep();
  bench.access.sweep();
  assert.deepEqual(bench.changes.slice(1), [{ kind: 'expired', tokenId: record.id }], 'said once');
  const second = await bench.access.createToken(NEW);
  assert.equal(await bench.access.revokeToken(second.record.id), true);
  assert.equal(bench.refusal(second.text), 'invalid');
  assert.equal(await bench.access.revokeToken(second.record.id), false);
  assert.deepEqual(bench.changes.slice(2), [{ kind: 'revoked', tokenId: second.record.id }]);
});

test('tokens are there after a restart with all they may; their secrets are not kept', async (t) => {
  const bench = await Bench.open(t);
  const scope = { nodes: 'eu-*', eventTypes: ['cowrie.*', 'ssh.login'] };
  const { text, record } = await bench.access.createToken({
    name: 'ci',
    roles: ['read', 'stream'],
    scope,
    expiresMs: START_MS + 1e9,
    createdBy: 'local',
  });
  bench.nowMs += 5_000;
  bench.access.check(text, FROM);
  await bench.reopen();
  assert.deepEqual(bench.access.check(text, FROM).principal, {
    kind: 'token',
    tokenId: record.id,
    name: 'ci',
    roles: new Set(['read', 'stream']),
    scope,
    expiresMs: START_MS + 1e9,
  });
  assert.equal(bench.access.token(record.id)!.lastUsedMs, START_MS + 5_000);
  for await (const [, value] of bench.state.read('token'))
    assert.ok(!value.includes(parseToken(text)!.secret));
});

test('when a token was last used is saved once a minute at most', async (t) => {
  const bench = await Bench.open(t);
  const { text, record } = await bench.access.createToken(NEW);
  const saved = async () => {
    await bench.state.write([{ section: 'meta', key: 'x', value: '' }]);
    for await (const [, value] of bench.state.read('token')) return JSON.parse(value).last_used as number;
    return undefined;
  };
  bench.nowMs += 1_000;
  bench.access.check(text, FROM);
  bench.access.sweep();
  assert.equal(await saved(), null);
  assert.equal(bench.access.token(record.id)!.lastUsedMs, START_MS + 1_000);
  bench.nowMs = START_MS + LIMITS.tokenUseSaveMs;
  bench.access.sweep();
  assert.equal(await saved(), START_MS + 1_000);
});

test('wrong tokens lock their address for a minute, a right one from there included, and no other address', async (t) => {
  const bench = await Bench.open(t);
  const { text } = await bench.access.createToken(NEW);
  const wrong = `${text.slice(0, -4)}AAAA`;
  for (let n = 1; n <= LIMITS.accessFailuresPerMinute; n++) {
    assert.equal(bench.refusal(text), 'none', `before failure ${n}`);
    assert.equal(bench.refusal(wrong), 'invalid');
  }
  assert.equal(bench.refusal(wrong), 'locked');
  assert.equal(bench.refusal(text), 'locked');
  assert.equal(bench.refusal(undefined), 'missing', 'without a token there is nothing to guess');
  assert.deepEqual(bench.locked, ['192.0.2.7'], 'said once');
  assert.equal(bench.refusal(text, { address: '192.0.2.8' }), 'none');
  bench.nowMs += 59_999;
  assert.equal(bench.refusal(text), 'locked');
  bench.nowMs += 1;
  assert.equal(bench.refusal(text), 'none');
});

test('failures that are spread out lock nobody; expired and revoked tokens are no guesses', async (t) => {
  const bench = await Bench.open(t);
  const { text, record } = await bench.access.createToken(NEW);
  const limit = LIMITS.accessFailuresPerMinute;
  for (let n = 0; n < limit * 3; n++) {
    bench.nowMs += 60_000 / (limit - 2);
    assert.equal(bench.refusal('wrong'), 'invalid', `failure ${n}`);
  }
  await bench.access.revokeToken(record.id);
  for (let n = 0; n < limit * 2; n++) assert.equal(bench.refusal(text, { address: '10.9.9.9' }), 'invalid');
});

test('the failures of an IPv6 network count together, and many addresses cost bounded memory', async (t) => {
  const bench = await Bench.open(t);
  await bench.access.createToken(NEW);
  for (let n = 0; n < LIMITS.accessFailuresPerMinute; n++)
    bench.refusal('wrong', { address: `2001:db8:1:2::${n.toString(16)}` });
  assert.equal(bench.refusal('wrong', { address: '2001:db8:1:2:ffff::1' }), 'locked');
  assert.equal(bench.refusal('wrong', { address: '2001:db8:1:3::1' }), 'invalid');
  // The locked one is the one heard of longest ago.
  for (let n = 0; n < LIMITS.accessFailureAddresses; n++)
    bench.refusal('wrong', { address: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}` });
  assert.equal(bench.refusal('wrong', { address: '2001:db8:1:2::1' }), 'invalid', 'it was forgotten');
});

test('addresses: IPv6 by network however it is spelled, mapped IPv4 as IPv4', () => {
  const same = [
    ['2001:db8::1', '2001:DB8:0:0::ffff', '2001:0db8:0000:0000:1:2:3:4', '2001:db8:0:0:1:2:1.2.3.4'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['fe80::1%eth0', 'fe80::2'],
    ['::1', '::', '0:0:0:0:0:0:0:1'],
  ];
  for (const group of same) assert.equal(new Set(group.map(addressKey)).size, 1, group.join(' '));
  assert.equal(new Set(same.map(([first]) => addressKey(first!))).size, same.length);
});

test('the table of tokens is bounded: dead ones give way, active ones do not', async (t) => {
  const bench = await Bench.open(t);
  const first = await bench.access.createToken(NEW);
  const others = await Promise.all(
    Array.from({ length: LIMITS.apiTokens - 1 }, () => bench.access.createToken(NEW)),
  );
  await assert.rejects(bench.access.createToken(NEW), TokenTableFull);
  await bench.access.revokeToken(others[5]!.record.id);
  const last = await bench.access.createToken(NEW);
  await assert.rejects(bench.access.createToken(NEW), TokenTableFull);
  await bench.reopen();
  assert.equal(bench.access.tokens().length, LIMITS.apiTokens);
  assert.equal(bench.refusal(first.text), 'none');
  assert.equal(bench.refusal(last.text), 'none');
  assert.equal(bench.access.token(others[5]!.record.id), undefined);
});

test('a token that does not reach the disk is nobody’s', async (t) => {
  const bench = await Bench.open(t);
  const real = bench.state.write.bind(bench.state);
  bench.state.write = () => Promise.reject(new TokenNotSaved());
  await assert.rejects(bench.access.createToken(NEW), TokenNotSaved);
  assert.equal(bench.access.tokens().length, 0);
  assert.equal(bench.refusal(), 'none', 'and access is open as before');
  bench.state.write = real;
});

test('anonymous requests are refused when Host or Origin tell of a page of a stranger', () => {
  const hosts: [string | undefined, boolean][] = [
    [undefined, true],
    ['127.0.0.1:9002', true],
    ['localhost', true],
    ['LOCALHOST:9002', true],
    ['localhost.', true],
    ['[::1]:9002', true],
    ['192.0.2.1', true],
    ['core.lan:9002', true],
    ['soc.example.org', true],
    ['evil.example:9002', false],
    ['localhost.evil.example', false],
    ['127.0.0.1.evil.example', false],
    ['evil.example/localhost', false],
    ['localhost@evil.example', false],
    ['127.0.0.1:9002:1', false],
    ['', false],
    ['[evil]', false],
  ];
  for (const [host, allowed] of hosts)
    assert.equal(hostAllowed(host, 'core.lan', ['https://soc.example.org']), allowed, host);
  const origins: [string | undefined, string | undefined, boolean][] = [
    [undefined, '127.0.0.1:9002', true],
    ['http://127.0.0.1:9002', '127.0.0.1:9002', true],
    ['http://localhost', 'localhost:80', true],
    ['https://localhost', 'localhost:443', true],
    ['https://soc.example.org', '127.0.0.1:9002', true],
    ['https://soc.example.org:444', '127.0.0.1:9002', false],
    ['http://127.0.0.1:8080', '127.0.0.1:9002', false],
    ['http://evil.example', '127.0.0.1:9002', false],
    ['null', '127.0.0.1:9002', false],
    ['file://', '127.0.0.1:9002', false],
    ['', '127.0.0.1:9002', false],
    ['http://127.0.0.1:9002', undefined, false],
  ];
  for (const [origin, host, allowed] of origins)
    assert.equal(originAllowed(origin, host, ['https://soc.example.org']), allowed, `${origin} ${host}`);
});

test('Host and Origin are looked at where access is open, not where a token is shown', async (t) => {
  const bench = await Bench.open(t);
  assert.equal(bench.refusal(undefined, { host: 'evil.example:9002' }), 'host');
  assert.equal(bench.refusal(undefined, { host: '127.0.0.1', origin: 'http://evil.example' }), 'origin');
  const { text } = await bench.access.createToken(NEW);
  assert.equal(bench.refusal(text, { host: 'core.example', origin: 'http://evil.example' }), 'none');
});

test('patterns mean what a regular expression of them would, and hard ones are quick', () => {
  const part = fc.constantFrom('a', 'b', '*', '.', 'ab', '\\', '(', '€');
  const text = fc.array(part, { maxLength: 12 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, text, (pattern, name) => {
      const source = pattern.split('*').map((one) => one.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
      assert.equal(matchesPattern(pattern, name), new RegExp(`^${source.join('[^]*')}$`).test(name));
    }),
    { seed: 3, numRuns: 3000 },
  );
  const startedMs = performance.now();
  assert.equal(matchesPattern(`${'a*'.repeat(120)}b`, 'a'.repeat(255)), false);
  assert.ok(performance.now() - startedMs < 200);
  assert.equal(matchesPrefixPattern('cowrie.*', 'cowrie.login'), true);
  assert.equal(matchesPrefixPattern('cowrie.*', 'cowrie'), false);
  assert.equal(matchesPrefixPattern('*', ''), true);
  assert.equal(matchesPrefixPattern('a', 'ab'), false);
  assert.equal(nodeInScope({ nodes: 'eu-*', eventTypes: null }, 'us-1'), false);
  assert.equal(nodeInScope({ nodes: null, eventTypes: ['x'] }, 'us-1'), true);
  assert.equal(eventTypeInScope({ nodes: 'x', eventTypes: ['a.*', 'b'] }, 'b'), true);
  assert.equal(eventTypeInScope({ nodes: 'x', eventTypes: ['a.*', 'b'] }, 'c'), false);
});

test('Core listens to strangers with a token only, or when told to; the node port may be anywhere', () => {
  const none = { active: 0, expired: 0 };
  const ok: [Parameters<typeof settings>[0], typeof none][] = [
    [{}, none],
    [{ host: 'localhost', proxyHost: '::1' }, none],
    [{ host: '0.0.0.0', backendHost: '127.0.0.1' }, none],
    [
      { host: '0.0.0.0', proxyHost: '0.0.0.0' },
      { active: 1, expired: 0 },
    ],
    [{ host: '0.0.0.0', proxyHost: '0.0.0.0', anonymous: true }, none],
    [{ proxyHost: '0.0.0.0', proxy: false }, none],
  ];
  for (const [change, tokens] of ok)
    assert.equal(checkListeners(settings(change), tokens), undefined, JSON.stringify(change));
  assert.match(checkListeners(settings({ host: '::' }), { active: 0, expired: 2 })!, /have expired/);
  const refused: [Parameters<typeof settings>[0], RegExp][] = [
    [{ host: '0.0.0.0' }, /^REST on 0\.0\.0\.0 \(server\.host\) could .*[\s\S]*server\.backend_host = "127/],
    [{ backendHost: 'core.lan' }, /^REST on core\.lan \(server\.backend_host\)/],
    [
      { proxyHost: '10.0.0.1' },
      /^WebSocket on 10\.0\.0\.1 \(proxy\.host\)[\s\S]*loopback: +proxy\.host = "127/,
    ],
    [{ host: '::', proxyHost: '::' }, /^REST on :: .* and WebSocket on ::/],
  ];
  for (const [change, text] of refused) {
    assert.throws(
      () => checkListeners(settings(change), none),
      (error: unknown) => {
        assert.ok(error instanceof FatalError && error.exitCode === 78);
        assert.match(error.message, text);
        assert.match(
          error.message,
          /token create --name admin --role admin --storage\.dir \/var\/lib\/honeybee/,
        );
        assert.match(error.message, /auth\.allow_anonymous = true/);
        return true;
      },
    );
  }
});
