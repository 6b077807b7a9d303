/** What Core says to files it cannot use: which one, why, and with which exit code. */
import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { test } from 'node:test';
import { pino } from 'pino';
import { Authority } from '../bench/x509.js';
import type { Config } from '../src/config/config.js';
import { EXIT, FatalError } from '../src/errors.js';
import { Certificates } from '../src/tls/certificates.js';
import { CoreProcess } from './core-process.js';
import { NodeClient } from './node-client.js';
import { get } from './rest-client.js';
import { CORE_NAMES, TlsFiles } from './tls-files.js';

const NO_TLS: Config['tls'] = {
  cert_file: '',
  key_file: '',
  ca_file: '',
  crl_file: '',
  require_client_cert: false,
  match_node_name: false,
  plain_text: false,
  backend: true,
  proxy: true,
};

test('files that cannot be used end the start with 78, and the setting, the file and the reason', async (t) => {
  const files = new TlsFiles(t);
  const other = files.authority.issue(CORE_NAMES);
  const write = (name: string, text: string) => files.write(name, text);
  const damaged = files.issued.cert.replace(/\n[^\n]{20}/, '\nAAAAAAAAAAAAAAAAAAAA');
  const encrypted = `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${'A'.repeat(64)}\n-----END ENCRYPTED PRIVATE KEY-----\n`;
  const chain = files.authority.cert + files.issued.cert;
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['cert_file', `${files.folder}/no-such.pem`, /is not there/],
    ['cert_file', files.folder, /is not a file/],
    ['cert_file', write('empty.pem', ''), /holds no certificate in PEM/],
    ['cert_file', write('junk.pem', 'junk\n'.repeat(100)), /holds no certificate in PEM/],
    ['cert_file', write('damaged.pem', damaged), /is damaged: certificate 1 of 1/],
    ['cert_file', write('order.pem', chain), /must hold the certificate of the key first/],
    ['key_file', `${files.folder}/no-such.pem`, /is not there/],
    ['key_file', files.certFile, /holds no private key in PEM/],
    ['key_file', write('encrypted.pem', encrypted), /is encrypted; allowed: a key without a passphrase/],
    ['key_file', write('other.pem', other.key), /does not fit the certificate in tls\.cert_file/],
    ['ca_file', files.keyFile, /holds no certificate in PEM/],
    ['crl_file', write('not-crl.pem', files.authority.cert), /holds no CRL in PEM/],
    ['crl_file', write('bad-crl.pem', files.authority.revoke([]).replace(/\nM/, '\nA')), /CRL 1 of 1/],
    ['cert_file', write('large.pem', 'x'.repeat(4 * 1024 * 1024 + 1)), /is larger than 4194304 bytes/],
  ];
  for (const [key, file, reason] of cases) {
    const ca = { ca_file: write('ca.pem', files.authority.cert) };
    const settings = { ...NO_TLS, ...files.paths, ...(key === 'crl_file' ? ca : {}), [key]: file };
    await assert.rejects(Certificates.open(settings, pino({ level: 'silent' })), (error) => {
      assert.ok(error instanceof FatalError);
      assert.equal(error.exitCode, EXIT.config);
      assert.ok(error.message.startsWith(`tls.${key} = "${file}" `), error.message);
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /PRIVATE KEY/, 'nothing of a key is told');
      return true;
    });
  }
  const core = CoreProcess.launch(t, { settings: { ...files.settings, 'tls.key_file': files.certFile } });
  assert.deepEqual(await core.exit(), { code: 78, signal: null });
  assert.ok(
    core.stderr.includes(`tls.key_file = "${files.certFile}" holds no private key in PEM`),
    core.stderr,
  );
});

test('a file that may not be read', { skip: process.getuid?.() === 0 && 'root may read all' }, async (t) => {
  const files = new TlsFiles(t);
  chmodSync(files.keyFile, 0o000);
  const core = CoreProcess.launch(t, { settings: files.settings });
  assert.deepEqual(await core.exit(), { code: 78, signal: null });
  assert.match(core.stderr, /tls\.key_file = ".*" may not be read by this user/);
});

test('a certificate that has expired is no reason not to start, but is said', async (t) => {
  const day = 86_400_000;
  const files = new TlsFiles(t, { ...CORE_NAMES, notAfter: new Date(Date.now() - day / 2) });
  const settings = { ...files.settings, 'tls.backend': false, 'tls.ca_file': '' };
  const core = await CoreProcess.start(t, { settings });
  const { warning, level } = await core.line('certificate');
  assert.match(String(warning), /expired/);
  assert.equal(level, 40);
  const node = await NodeClient.connectTls(core.ports.node_port, { rejectUnauthorized: false });
  await node.register({ id: 1n, name: 'careless' });
  const { text } = await get(core.ports.backend_port, '/metrics');
  const [, expiry] = /^honeybee_tls_certificate_expiry_timestamp_seconds (\S+)$/m.exec(text)!;
  assert.ok(Math.abs(Number(expiry) - (Date.now() - day / 2) / 1000) < 60);
  await node.end();
});

test('a CA file with what is no CA, and a chain that is none, are said', async (t) => {
  const files = new TlsFiles(t);
  files.write('cert.pem', files.issued.cert + new Authority('no relation').cert);
  const settings = { ...files.settings, 'tls.ca_file': files.write('ca.pem', files.issued.cert) };
  const core = await CoreProcess.start(t, { settings });
  await core.line('certificate', { warning: 'in tls.ca_file: CN=core.example is not a CA' });
  await core.line('certificate', {
    warning: 'in tls.cert_file: CN=no relation did not issue CN=core.example, which it follows',
  });
});

test('SIGHUP without TLS does not end Core', async (t) => {
  const core = await CoreProcess.start(t);
  core.signal('SIGHUP');
  await core.line('nothing to reload: TLS is not configured');
  const { text } = await get(core.ports.backend_port, '/metrics');
  assert.doesNotMatch(text, /tls_certificate/, 'an expiry of 0 would be an alarm');
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
});
