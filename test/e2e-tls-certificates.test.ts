/** Certificates of nodes: which are taken, what the others are told, and that a node is who its certificate says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { Authority, type CertificateOptions } from '../bench/x509.js';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { NodeClient } from './node-client.js';
import { registration } from './node-frames.js';
import { get } from './rest-client.js';
import { shows, TlsFiles } from './tls-files.js';

const NODES_ONLY = { 'tls.backend': false, 'tls.proxy': false };
const DAY_MS = 86_400_000;
const NODE: CertificateOptions = { name: 'node-1', use: 'client' };

class Nodes {
  readonly ca = new Authority('CA of nodes');
  readonly intermediate = new Authority('site CA', this.ca);
  readonly good = this.ca.issue(NODE);
  readonly revoked = this.ca.issue({ ...NODE, name: 'stolen' });
  readonly expired = this.ca.issue({ ...NODE, notAfter: new Date(Date.now() - DAY_MS / 2) });
  readonly early = this.ca.issue({ ...NODE, notBefore: new Date(Date.now() + DAY_MS) });
  readonly ofServer = this.ca.issue({ ...NODE, use: 'server' });
  readonly foreign = new Authority('another CA').issue(NODE);
  /** Its CA bears the right name, but has another key. */
  readonly forged = new Authority('CA of nodes').issue(NODE);
  readonly bySite = this.intermediate.issue({ ...NODE, name: 'node-2' });

  files(files: TlsFiles): Record<string, string> {
    const crls = [this.ca.revoke([this.revoked]), this.intermediate.revoke([])];
    return {
      'tls.ca_file': files.write('ca.pem', `Whose nodes we take.\n${this.ca.cert}`),
      'tls.crl_file': files.write('crl.pem', crls.join('')),
    };
  }

  /** What the table below calls `certificate refused`, and why. */
  get bad(): readonly (readonly [string, ConnectionOptions, RegExp])[] {
    return [
      ['expired', shows(this.expired), /CERT_HAS_EXPIRED/],
      ['not valid yet', shows(this.early), /CERT_NOT_YET_VALID/],
      ['revoked', shows(this.revoked), /CERT_REVOKED/],
      ['made for servers', shows(this.ofServer), /INVALID_PURPOSE/],
      // With CRLs OpenSSL says last that it has none of that CA.
      ['of another CA', shows(this.foreign), /UNABLE_TO_GET_ISSUER_CERT_LOCALLY|UNABLE_TO_GET_CRL/],
      ['of a CA that only has the name', shows(this.forged), /CERT_SIGNATURE_FAILURE/],
    ];
  }
}

/** Connects and registers; what came of it, and the answer. */
async function attempt(
  port: number,
  options: ConnectionOptions,
  name = 'node-1',
): Promise<{ message: 'RegistrationAck' | 'Error'; text: string; accepted: boolean }> {
  const node = await NodeClient.connectTls(port, options);
  await node.send(`${registration({ id: 1n, name })}\n`);
  const text = await Promise.race([node.answer('RegistrationAck'), node.answer('Error')]);
  const accepted = text.includes('"accepted":true');
  if (accepted) await node.end();
  else await node.gone();
  return { message: text.includes('RegistrationAck') ? 'RegistrationAck' : 'Error', text, accepted };
}

test('certificates are required', async (t) => {
  const files = new TlsFiles(t);
  const nodes = new Nodes();
  const core = await CoreProcess.start(t, {
    settings: {
      ...files.settings,
      ...NODES_ONLY,
      ...nodes.files(files),
      'tls.require_client_cert': true,
    },
  });
  const { node_port, backend_port } = core.ports;

  await t.test('a good one is taken, also with an intermediate CA between', async () => {
    const direct = await attempt(node_port, { ...files.client, ...shows(nodes.good) });
    assert.equal(direct.accepted, true, direct.text);
    const chain = { cert: nodes.bySite.cert + nodes.intermediate.cert, key: nodes.bySite.key };
    const bySite = await attempt(node_port, { ...files.client, ...chain }, 'another');
    assert.equal(bySite.accepted, true, bySite.text);
  });

  await t.test('none is not, nor is a bad one; each is told, logged and counted', async () => {
    const none = ['none', {}, /no certificate was shown/] as const;
    for (const [what, shown, reason] of [none, ...nodes.bad]) {
      const { message, text, accepted } = await attempt(node_port, { ...files.client, ...shown });
      assert.deepEqual([message, accepted], ['Error', false], what);
      const { code, message: words } = JSON.parse(text).message.Error;
      assert.equal(code, 'AUTHENTICATION_FAILED', what);
      assert.match(words, reason, what);
    }
    const lines = core.lines.all.filter(({ msg }) => msg === 'TLS connection refused');
    assert.ok(lines.length >= 5, 'a few lines a second are written');
    assert.equal(lines.find(({ reason }) => /EXPIRED/.test(String(reason)))?.subject, 'CN=node-1');
    const { text } = await get(backend_port, '/metrics');
    assert.match(
      text,
      new RegExp(`^honeybee_tls_failures_total\\{shard="0"\\} ${nodes.bad.length + 1}$`, 'm'),
    );
  });

  await t.test('a session is not resumed, because that would show no certificate', async () => {
    const first = await NodeClient.connectTls(node_port, { ...files.client, ...shows(nodes.good) });
    const sessions: Buffer[] = [];
    first.socket.on('session', (session: Buffer) => sessions.push(session));
    await first.register({ id: 1n, name: 'node-1' });
    await poll('a ticket', () => (sessions.length > 0 ? true : undefined));
    await first.end();
    const again = await NodeClient.connectTls(node_port, {
      ...files.client,
      ...shows(nodes.good),
      session: sessions[0]!,
    });
    assert.equal((again.socket as unknown as { isSessionReused(): boolean }).isSessionReused(), false);
    await again.end();
  });

  await t.test('a revoked one is refused once the new list is there; who is connected stays', async () => {
    const before = await NodeClient.connectTls(node_port, { ...files.client, ...shows(nodes.good) });
    await before.register({ id: 1n, name: 'node-1' });
    const crls = [nodes.ca.revoke([nodes.revoked, nodes.good]), nodes.intermediate.revoke([])];
    files.write('crl.pem', crls.join(''));
    core.signal('SIGHUP');
    await core.line('certificate reloaded');
    await poll('it is refused', async () => {
      const { accepted, text } = await attempt(node_port, { ...files.client, ...shows(nodes.good) });
      return !accepted && /CERT_REVOKED/.test(text) ? true : undefined;
    });
    assert.equal(before.isClosed, false);
    assert.match(await before.register({ id: 1n, name: 'node-1' }), /already registered/);
    await before.end();
  });
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
});

test('certificates are asked for, but not required, and there is no list of revoked ones', async (t) => {
  const files = new TlsFiles(t);
  const nodes = new Nodes();
  const core = await CoreProcess.start(t, {
    settings: { ...files.settings, ...NODES_ONLY, ...nodes.files(files), 'tls.crl_file': '' },
  });
  const { node_port } = core.ports;
  assert.equal((await attempt(node_port, files.client)).accepted, true, 'none');
  assert.equal((await attempt(node_port, { ...files.client, ...shows(nodes.good) })).accepted, true);
  for (const [what, shown, reason] of nodes.bad) {
    if (what === 'revoked') continue;
    const { accepted, text } = await attempt(node_port, { ...files.client, ...shown });
    assert.equal(accepted, false, what);
    assert.match(text, reason, what);
  }
});

test('the certificate must bear the node_name', async (t) => {
  const files = new TlsFiles(t);
  const nodes = new Nodes();
  const core = await CoreProcess.start(t, {
    settings: { ...files.settings, ...NODES_ONLY, ...nodes.files(files), 'tls.match_node_name': true },
  });
  const { node_port } = core.ports;
  const issue = (options: Partial<CertificateOptions>) => shows(nodes.ca.issue({ ...NODE, ...options }));
  const table: readonly (readonly [string, ConnectionOptions, string, boolean])[] = [
    ['common name', shows(nodes.good), 'node-1', true],
    ['common name, not in ASCII', issue({ name: 'Würzburg 蜂 "1"' }), 'Würzburg 蜂 "1"', true],
    ['a DNS name', issue({ name: 'other', dns: ['x.example', 'node-1'] }), 'node-1', true],
    ['neither', issue({ name: 'other', dns: ['x.example'] }), 'node-1', false],
    ['no certificate', {}, 'node-1', false],
    ['another case', shows(nodes.good), 'Node-1', false],
    ['a longer name', shows(nodes.good), 'node-1.example', false],
    ['part of the name', shows(nodes.good), 'node', false],
    ['two common names', issue({ name: ['node-1', 'node-2'] }), 'node-1', false],
    ['a wildcard', issue({ name: 'other', dns: ['*.example'] }), 'node-1.example', false],
    ['a DNS name that looks like two', issue({ name: 'o', dns: ['a, DNS:node-1'] }), 'node-1', false],
    ['a DNS name that looks quoted', issue({ name: 'o', dns: ['"node-1"'] }), 'node-1', false],
    ['an NUL in a DNS name', issue({ name: 'o', dns: ['node-1\0.evil.example'] }), 'node-1', false],
    ['an NUL in the common name', issue({ name: 'node-1\0.evil' }), 'node-1', false],
  ];
  for (const [what, shown, name, accepted] of table) {
    const answer = await attempt(node_port, { ...files.client, ...shown }, name);
    assert.equal(answer.accepted, accepted, `${what}: ${answer.text}`);
    if (!accepted) assert.match(answer.text, /RegistrationAck.*AUTHENTICATION_FAILED/, what);
  }
});
