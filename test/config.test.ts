/** Configuration: every layer, every kind of mistake, with real files in temporary folders. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'smol-toml';
import type { Config } from '../src/config/config.js';
import { defaultFile } from '../src/config/default-file.js';
import { type Loaded, loadConfig } from '../src/config/load.js';
import { nearest } from '../src/config/nearest.js';
import { overlap } from '../src/config/rules.js';
import { environmentName, SECTIONS, SETTINGS, settingName } from '../src/config/settings.js';
import { lineOf, linesOf, readToml } from '../src/config/toml.js';
import { checkArgument, checkToml } from '../src/config/values.js';
import { EXIT, FatalError } from '../src/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'honeybee-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

function write(text: string | Uint8Array): string {
  const file = join(folder, `${files++}.toml`);
  writeFileSync(file, text);
  return file;
}

function load(
  text: string | Uint8Array,
  { env = {}, flags = {} }: { env?: NodeJS.ProcessEnv; flags?: Record<string, string> } = {},
): Loaded {
  return loadConfig({ file: write(text), explicit: true, env, flags });
}

/** The problems reported, without the path of the temporary file and without the headline. */
function problems(
  text: string | Uint8Array,
  layers: { env?: NodeJS.ProcessEnv; flags?: Record<string, string> } = {},
): string[] {
  const file = write(text);
  try {
    loadConfig({ file, explicit: true, env: {}, flags: {}, ...layers });
  } catch (error) {
    assert.ok(error instanceof FatalError, String(error));
    assert.equal(error.exitCode, EXIT.config);
    const [, ...lines] = error.message.replaceAll(file, 'FILE').split('\n');
    return lines.map((line) => line.trim());
  }
  return [];
}

describe('defaults', () => {
  test('an empty file gives the defaults of the table', () => {
    const { config, created, notes } = load('');
    const expected: Config = {
      server: {
        host: '127.0.0.1',
        node_port: 9001,
        backend_host: '',
        backend_port: 9002,
        debug: false,
        shutdown_timeout_ms: 10_000,
      },
      logging: { level: 'info', folder: '', force_color: false },
      proxy: { enabled: true, host: '127.0.0.1', port: 9003 },
      ingest: {
        mode: 'auto',
        shards: 0,
        max_frame_bytes: 1_048_576,
        max_connections: 16_384,
        ring_bytes: 8_388_608,
        error_replies: true,
        registration_timeout_seconds: 10,
        unknown_after_seconds: 90,
        close_after_seconds: 300,
      },
      storage: {
        dir: join(process.cwd(), 'data'),
        segment_bytes: 268_435_456,
        segment_seconds: 3600,
        fsync: 'interval',
        fsync_interval_ms: 50,
        compress: 'off',
        retention_bytes: 0,
        retention_seconds: 0,
        retention_free_bytes: 0,
        retention_force: false,
        signing_key_file: '',
        dead_letter_bytes: 268_435_456,
      },
      stream: { max_consumers: 256, consumer_buffer_bytes: 67_108_864 },
      auth: { totp: 'optional', allow_anonymous: false, allowed_origins: '', key_file: '' },
      tls: {
        cert_file: '',
        key_file: '',
        ca_file: '',
        crl_file: '',
        require_client_cert: false,
        match_node_name: false,
        plain_text: false,
        backend: true,
        proxy: true,
      },
      rest: { requests_per_minute: 60_000 },
      commands: { ttl_seconds: 3600, timeout_seconds: 300 },
      admission: { accepts_per_second: 2000, connections_per_address: 0, max_errors_per_minute: 10_000 },
    };
    assert.deepEqual(config, expected);
    assert.equal(created, false);
    assert.deepEqual(notes, []);
  });

  test('the result is frozen in depth and survives the way to another thread', () => {
    const { config } = load('');
    assert.ok(Object.isFrozen(config));
    for (const section of Object.values(config)) assert.ok(Object.isFrozen(section));
    assert.deepEqual(structuredClone(config), config);
  });

  test('every default and every example passes its own check, from TOML and as text', () => {
    for (const setting of SETTINGS) {
      for (const value of [setting.default, setting.example]) {
        const typed = typeof value === 'number' ? BigInt(value) : value;
        assert.deepEqual(checkToml(setting, typed), { ok: true, value }, settingName(setting));
        assert.deepEqual(checkArgument(setting, String(value)), { ok: true, value }, settingName(setting));
      }
    }
  });

  test('names are unique, and every section has settings', () => {
    assert.equal(new Set(SETTINGS.map(settingName)).size, SETTINGS.length);
    assert.equal(new Set(SETTINGS.map(environmentName)).size, SETTINGS.length);
    for (const section of Object.keys(SECTIONS))
      assert.ok(SETTINGS.some((setting) => setting.section === section));
  });
});

describe('the file that is written when there is none', () => {
  test('holds every default, commented, and is not written twice', () => {
    const file = join(folder, 'absent.toml');
    const first = loadConfig({ file, explicit: true, env: {}, flags: {} });
    assert.equal(first.created, true);
    assert.equal(first.file, file);
    assert.equal(statSync(file).mode & 0o777 & ~0o644, 0);
    const text = readFileSync(file, 'utf8');
    assert.equal(text, defaultFile());
    const table = parse(text) as Record<string, Record<string, unknown>>;
    for (const setting of SETTINGS) {
      assert.equal(table[setting.section]?.[setting.key], setting.default);
      assert.ok(text.includes(`# ${setting.summary}\n`), setting.summary);
    }
    const second = loadConfig({ file, explicit: true, env: {}, flags: {} });
    assert.equal(second.created, false);
    assert.deepEqual(second.config, first.config);
  });

  test('is bee_config.toml in the current folder when none is named', () => {
    const before = process.cwd();
    const place = mkdtempSync(join(folder, 'cwd-'));
    process.chdir(place);
    try {
      const { config, file, created } = loadConfig({ explicit: false, env: {}, flags: {} });
      assert.equal(created, true);
      assert.equal(file, join(process.cwd(), 'bee_config.toml'));
      assert.ok(existsSync(join(place, 'bee_config.toml')));
      assert.equal(config.storage.dir, join(process.cwd(), 'data'));
      writeFileSync('bee_config.toml', '[server]\nnode_port = 1.5\n');
      assert.throws(
        () => loadConfig({ explicit: false, env: {}, flags: {} }),
        /\n {2}bee_config\.toml:2: server\.node_port/,
      );
    } finally {
      process.chdir(before);
    }
  });

  test('cannot be written: Core runs on defaults and says so', () => {
    const file = join(folder, 'no', 'such', 'folder.toml');
    const { config, created, notes } = loadConfig({
      file,
      explicit: true,
      env: {},
      flags: { 'proxy.port': '0' },
    });
    assert.equal(created, false);
    assert.equal(config.proxy.port, 0);
    assert.match(notes.join(), /named by --config.*cannot be written \(ENOENT\).*defaults/);
  });

  test('a read-only folder is the same', {
    skip: process.getuid?.() === 0 && 'root may write anywhere',
  }, () => {
    const place = join(folder, 'read-only');
    mkdirSync(place);
    chmodSync(place, 0o555);
    const { notes } = loadConfig({ file: join(place, 'x.toml'), explicit: true, env: {}, flags: {} });
    assert.match(notes.join(), /EACCES/);
  });

  test('a link that leads nowhere is the same', () => {
    const file = join(folder, 'dangling.toml');
    symlinkSync(join(folder, 'nowhere.toml'), file);
    const { created, notes } = loadConfig({ file, explicit: true, env: {}, flags: {} });
    assert.equal(created, false);
    assert.match(notes.join(), /EEXIST/);
  });

  test('what is there and is no file is refused', () => {
    assert.throws(
      () => loadConfig({ file: folder, explicit: true, env: {}, flags: {} }),
      (error) =>
        error instanceof FatalError && error.exitCode === EXIT.config && error.message.includes('EISDIR'),
    );
  });
});

const CERTIFICATE = { 'tls.cert_file': '/c.pem', 'tls.key_file': '/k.pem' };

/** Settings that are of no use alone. */
const NEEDED_BESIDE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'tls.cert_file': { 'tls.key_file': '/k.pem' },
  'tls.key_file': { 'tls.cert_file': '/c.pem' },
  'tls.ca_file': CERTIFICATE,
  'tls.crl_file': { ...CERTIFICATE, 'tls.ca_file': '/ca.pem' },
  'tls.require_client_cert': { ...CERTIFICATE, 'tls.ca_file': '/ca.pem' },
  'tls.match_node_name': { ...CERTIFICATE, 'tls.ca_file': '/ca.pem' },
};

describe('layers', () => {
  const toml = '[server]\nnode_port = 1000\nbackend_port = 1001\n[proxy]\nport = 1002\n';

  test('environment overrides file, flags override both', () => {
    const { config } = load(toml, {
      env: { HONEYBEE_SERVER_BACKEND_PORT: '2001', HONEYBEE_PROXY_PORT: '2002', PATH: '/bin' },
      flags: { 'proxy.port': '3002' },
    });
    assert.equal(config.server.node_port, 1000);
    assert.equal(config.server.backend_port, 2001);
    assert.equal(config.proxy.port, 3002);
  });

  test('every setting can be given in every layer', () => {
    for (const setting of SETTINGS) {
      const name = settingName(setting);
      const read = ({ config }: Loaded) =>
        (config as unknown as Record<string, Record<string, unknown>>)[setting.section]?.[setting.key];
      const value = setting.example;
      // Paths are made absolute; the examples already are.
      const written = typeof value === 'string' ? JSON.stringify(value) : value;
      const file = `[${setting.section}]\n${setting.key} = ${written}\n`;
      const beside = NEEDED_BESIDE[name] ?? {};
      assert.equal(read(load(file, { flags: beside })), value, name);
      assert.equal(
        read(load('', { env: { [environmentName(setting)]: String(value) }, flags: beside })),
        value,
        name,
      );
      assert.equal(read(load('', { flags: { ...beside, [name]: String(value) } })), value, name);
    }
  });

  test('dotted keys, inline tables and quoted keys are as good as sections', () => {
    const { config } = load(
      'server.node_port = 1\nproxy = { port = 2, "host" = "::1" }\n"ingest"."shards" = 3\n',
    );
    assert.equal(config.server.node_port, 1);
    assert.deepEqual(config.proxy, { enabled: true, host: '::1', port: 2 });
    assert.equal(config.ingest.shards, 3);
  });

  test('relative folders are resolved once', () => {
    const { config } = load('[storage]\ndir = "a/../b"\n[logging]\nfolder = "logs"\n');
    assert.equal(config.storage.dir, join(process.cwd(), 'b'));
    assert.equal(config.logging.folder, join(process.cwd(), 'logs'));
  });

  test('a mistake is reported even where a stronger layer would hide it', () => {
    assert.deepEqual(problems('[proxy]\nport = "9003"\n', { flags: { 'proxy.port': '0' } }), [
      'FILE:2: proxy.port = "9003" is a string; allowed: an integer from 0 to 65535',
    ]);
  });
});

describe('mistakes in the file name line, key, value and what is allowed', () => {
  const cases: [string, string, string[]][] = [
    [
      'out of range',
      '# first\n\n[server]\nnode_port = 65_536\n',
      ['FILE:4: server.node_port = 65536 is out of range; allowed: an integer from 0 to 65535'],
    ],
    [
      'an integer above 2^53 keeps its digits',
      '[server]\nnode_port = 9007199254740993\nbackend_port = -99999999999999999999999999\n',
      [
        'FILE:2: server.node_port = 9007199254740993 is out of range; allowed: an integer from 0 to 65535',
        'FILE:3: server.backend_port = -99999999999999999999999999 is out of range; allowed: an integer from 0 to 65535',
      ],
    ],
    [
      'a float is no integer, not even a whole one',
      '[server]\nnode_port = 9001.0\nbackend_port = inf\n',
      [
        'FILE:2: server.node_port = 9001.0 is a float; allowed: an integer from 0 to 65535',
        'FILE:3: server.backend_port = Infinity is a float; allowed: an integer from 0 to 65535',
      ],
    ],
    [
      'wrong types',
      '[server]\ndebug = "yes"\nhost = 1\nnode_port = [\n  1,\n]\nbackend_port = { a = 1 }\nshutdown_timeout_ms = 2020-01-01\n',
      [
        'FILE:2: server.debug = "yes" is a string; allowed: true or false',
        'FILE:3: server.host = 1 is an integer; allowed: an IP address or a host name',
        'FILE:4: server.node_port = [...] is an array; allowed: an integer from 0 to 65535',
        'FILE:7: server.backend_port = {...} is a table; allowed: an integer from 0 to 65535',
        'FILE:8: server.shutdown_timeout_ms = 2020-01-01 is a date or time; allowed: an integer from 100 to 600000 ms',
      ],
    ],
    [
      'unknown choices',
      '[logging]\nlevel = "loud"\n[auth]\ntotp = "always"\n',
      [
        'FILE:2: logging.level = "loud" is not known; allowed: "trace", "debug", "info", "warn", "error"',
        'FILE:4: auth.totp = "always" is not known; allowed: "off", "optional", "required"',
      ],
    ],
    [
      'an unknown key, with the one that was meant',
      '[server]\nnode_prot = 1\n[ingest]\nport = 1\nxyzzy = true\n',
      [
        'FILE:2: server.node_prot = 1 is an unknown key, did you mean server.node_port?; allowed in [server]: host, node_port, backend_host, backend_port, debug, shutdown_timeout_ms',
        'FILE:4: ingest.port = 1 is an unknown key, did you mean proxy.port?; allowed in [ingest]: mode, shards, max_frame_bytes, max_connections, ring_bytes, error_replies, registration_timeout_seconds, unknown_after_seconds, close_after_seconds',
        'FILE:5: ingest.xyzzy = true is an unknown key; allowed in [ingest]: mode, shards, max_frame_bytes, max_connections, ring_bytes, error_replies, registration_timeout_seconds, unknown_after_seconds, close_after_seconds',
      ],
    ],
    [
      'unknown sections, and keys outside of any',
      'node_port = 1\nproxy = 5\n[sever]\nhost = "x"\n[[server]]\n',
      [
        'FILE:1: node_port = 1 is an unknown key outside every section, did you mean server.node_port?; allowed: [server], [logging], [proxy], [ingest], [storage], [stream], [auth], [tls], [rest], [commands], [admission]',
        'FILE:2: proxy = 5 is an integer; allowed: a section, [proxy]',
        'FILE:3: [sever] is an unknown section, did you mean [server]?; allowed: [server], [logging], [proxy], [ingest], [storage], [stream], [auth], [tls], [rest], [commands], [admission]',
        'FILE:5: server = [...] is an array; allowed: a section, [server]',
      ],
    ],
    [
      'names that mean something to JavaScript are plain unknown ones',
      '[__proto__]\nx = 1\n[server]\n__proto__ = 1\nconstructor = 2\n[toString]\n',
      [
        'FILE:1: [__proto__] is an unknown section; allowed: [server], [logging], [proxy], [ingest], [storage], [stream], [auth], [tls], [rest], [commands], [admission]',
        'FILE:4: server.__proto__ = 1 is an unknown key; allowed in [server]: host, node_port, backend_host, backend_port, debug, shutdown_timeout_ms',
        'FILE:5: server.constructor = 2 is an unknown key; allowed in [server]: host, node_port, backend_host, backend_port, debug, shutdown_timeout_ms',
        'FILE:6: [toString] is an unknown section; allowed: [server], [logging], [proxy], [ingest], [storage], [stream], [auth], [tls], [rest], [commands], [admission]',
      ],
    ],
    [
      "the original's MongoDB settings",
      '[database]\nurl = "mongodb://x"\n\nname = """\ny"""\n[server]\nhost = "::"\n[logging]\nmongodb = true\n[logging.mongodb_]\na=1\n[database.more]\nz=1\n',
      [
        'FILE:1: [database]: Core does not log to MongoDB (its log goes to [logging], events to [storage]); remove lines 1-5, 12-13',
        'FILE:9: logging.mongodb: Core does not log to MongoDB (its log goes to [logging], events to [storage]); remove this line',
        'FILE:10: logging.mongodb_ = {...} is an unknown key; allowed in [logging]: level, folder, force_color',
      ],
    ],
    [
      'hosts and paths',
      '[server]\nhost = "256.1.1.1"\n[proxy]\nhost = "a b"\n[storage]\ndir = ""\n[logging]\nfolder = "a\\u0000b"\n',
      [
        'FILE:2: server.host = "256.1.1.1" is neither an IP address nor a host name; allowed: an IP address or a host name',
        'FILE:4: proxy.host = "a b" is neither an IP address nor a host name; allowed: an IP address or a host name',
        'FILE:6: storage.dir = "" is empty; allowed: a path',
        'FILE:8: logging.folder = "a\\u0000b" holds a NUL character; allowed: a path, or "" for none',
      ],
    ],
    [
      'no power of two',
      '[ingest]\nring_bytes = 8388609\n',
      [
        'FILE:2: ingest.ring_bytes = 8388609 is no power of two; allowed: a power of two from 1048576 to 536870912 bytes',
      ],
    ],
    [
      'not TOML',
      '[server]\nhost = "a\n',
      ['FILE:2:10: not valid TOML: control characters are not allowed in strings'],
    ],
    [
      'a key twice',
      '[proxy]\nport = 1\nport = 2\n',
      ['FILE:3:1: not valid TOML: trying to redefine an already defined table or value'],
    ],
  ];

  for (const [name, toml, expected] of cases) test(name, () => assert.deepEqual(problems(toml), expected));

  test('what a terminal would act on is shown, not sent', () => {
    const [problem = ''] = problems('[server]\nhost = "\\u001b]0;x\\u0007\\u009b\\u202e"\n');
    assert.ok(problem.includes('"\\u001b]0;x\\u0007\\u009b\\u202e"'), problem);
    const [key = ''] = problems('[server]\n"\\u001bc" = 1\n');
    assert.ok(key.includes('server.\\u001bc = 1'), key);
    assert.ok(!/\p{Cc}/u.test(problem + key));
  });

  test('long values are cut', () => {
    const [problem = ''] = problems(`[server]\nhost = "${'x y'.repeat(1000)}"\n`);
    assert.ok(problem.length < 300, problem);
  });

  test('not UTF-8: the line is named', () => {
    assert.throws(
      () => load(Buffer.from('[server]\nhost = "\xe9"\n', 'latin1')),
      /\.toml:2: the configuration file is not UTF-8/,
    );
  });

  test('too long: refused before it is parsed', () => {
    assert.throws(() => load('#'.repeat(300_000)), /is longer than 262144 bytes/);
  });

  test('very many problems are counted, not all listed', () => {
    const lines = problems(Array.from({ length: 1000 }, (_, at) => `unknown_${at} = 1`).join('\n'));
    assert.equal(lines.length, 41);
    assert.equal(lines.at(-1), 'and 960 more');
  });

  test('deep nesting is a syntax error', () => {
    const [problem = ''] = problems(`x = ${'['.repeat(5000)}${']'.repeat(5000)}\n`);
    assert.match(problem, /^FILE:1:\d+: not valid TOML/);
  });
});

describe('mistakes in the environment and in flags name the variable and the flag', () => {
  test('all layers are reported together', () => {
    const env = {
      HONEYBEE_SERVER_NODE_PORT: 'tcp://10.0.0.1:9001',
      HONEYBEE_INGEST_SHARDS: '-1',
      HONEYBEE_SERVER_DEBUG: '1',
      HONEYBEE_STREAM_MAX_CONSUMERS: '',
    };
    const flags = { 'logging.level': 'Info', 'server.shutdown_timeout_ms': '1e4', 'server.nope': '1' };
    assert.deepEqual(problems('[proxy]\nport = -1\n', { env, flags }), [
      'FILE:2: proxy.port = -1 is out of range; allowed: an integer from 0 to 65535',
      'HONEYBEE_SERVER_NODE_PORT: server.node_port = "tcp://10.0.0.1:9001" is not an integer; allowed: an integer from 0 to 65535',
      'HONEYBEE_SERVER_DEBUG: server.debug = 1 is not a boolean; allowed: true or false',
      'HONEYBEE_INGEST_SHARDS: ingest.shards = -1 is out of range; allowed: an integer from 0 to 128',
      'HONEYBEE_STREAM_MAX_CONSUMERS: stream.max_consumers = "" is not an integer; allowed: an integer from 1 to 10000',
      '--logging.level: logging.level = "Info" is not known; allowed: "trace", "debug", "info", "warn", "error"',
      '--server.shutdown_timeout_ms: server.shutdown_timeout_ms = 1e4 is not an integer; allowed: an integer from 100 to 600000 ms',
      '--server.nope: no such setting',
    ]);
  });

  test('an unknown variable is noted, and only when it looks like a setting', () => {
    const { notes } = load('', {
      env: {
        HONEYBEE_SERVER_NODE_PROT: '1',
        HONEYBEE_PROXY_SERVICE_HOST: 'x',
        HONEYBEE_SKIP_NATIVE: '1',
        HOME: '/',
      },
    });
    assert.deepEqual(notes, [
      'HONEYBEE_SERVER_NODE_PROT is no setting and has no effect, did you mean HONEYBEE_SERVER_NODE_PORT?',
      'HONEYBEE_PROXY_SERVICE_HOST is no setting and has no effect',
    ]);
  });
});

describe('combinations that cannot work', () => {
  test('one port twice is said at the setting given last, with the place of the other', () => {
    assert.deepEqual(problems('[server]\nnode_port = 9002\n'), [
      'FILE:2: server.node_port = 9002 with server.backend_port = 9002 (default): the same port twice on 127.0.0.1; allowed: different ports, or 0 for any free one',
    ]);
    assert.deepEqual(
      problems('[server]\nnode_port = 7\nhost = "0.0.0.0"\n', { env: { HONEYBEE_PROXY_PORT: '7' } }),
      [
        'HONEYBEE_PROXY_PORT: proxy.port = 7 with server.node_port = 7 (FILE:2): the same port twice on 0.0.0.0 and 127.0.0.1, which overlap; allowed: different ports, or 0 for any free one',
      ],
    );
  });

  test('no conflict: port 0, another address, a WebSocket that is off', () => {
    assert.deepEqual(problems('[server]\nnode_port = 0\nbackend_port = 0\n[proxy]\nport = 0\n'), []);
    assert.deepEqual(problems('[proxy]\nport = 9001\nhost = "127.0.0.2"\n'), []);
    assert.deepEqual(problems('[proxy]\nport = 9001\nenabled = false\n'), []);
  });

  test('hosts overlap when they are one address, a wildcard over it, or names of loopback', () => {
    const overlapping: [string, string][] = [
      ['127.0.0.1', '127.0.0.1'],
      ['0.0.0.0', '10.1.2.3'],
      ['0.0.0.0', 'some.host'],
      ['::', '10.1.2.3'],
      ['::', '0.0.0.0'],
      ['0:0::0', '::1'],
      ['::1', '0:0:0:0:0:0:0:1'],
      ['::ffff:127.0.0.1', '127.0.0.1'],
      ['localhost', '127.0.0.1'],
      ['LOCALHOST', '::1'],
      ['fe80::1%eth0', 'fe80::1'],
    ];
    const apart: [string, string][] = [
      ['127.0.0.1', '127.0.0.2'],
      ['0.0.0.0', '::1'],
      ['localhost', '10.0.0.1'],
      ['a.host', 'b.host'],
      ['::1', '127.0.0.1'],
    ];
    for (const [a, b] of overlapping) assert.ok(overlap(a, b) && overlap(b, a), `${a} ${b}`);
    for (const [a, b] of apart) assert.ok(!overlap(a, b) && !overlap(b, a), `${a} ${b}`);
  });

  test('sizes and times', () => {
    assert.deepEqual(problems('[ingest]\nmax_frame_bytes = 4190209\nunknown_after_seconds = 300\n'), [
      'FILE:2: ingest.max_frame_bytes = 4190209 with ingest.ring_bytes = 8388608 (default): a ring must hold two longest frames; allowed: max_frame_bytes up to 4190208 with this ring_bytes',
      'FILE:3: ingest.unknown_after_seconds = 300 with ingest.close_after_seconds = 300 (default): a node would be disconnected before it reads Unknown; allowed: unknown_after_seconds below close_after_seconds',
    ]);
    assert.deepEqual(problems('[ingest]\nmax_frame_bytes = 4190208\n'), []);
    assert.deepEqual(
      problems('[stream]\nconsumer_buffer_bytes = 4194304\n[ingest]\nmax_frame_bytes = 4190208\n'),
      [
        'FILE:4: ingest.max_frame_bytes = 4190208 with stream.consumer_buffer_bytes = 4194304 (FILE:2): a consumer must be able to take a longest frame behind a batch; allowed: consumer_buffer_bytes from 5238784 with this max_frame_bytes',
      ],
    );
  });

  test('fault injection only on loopback', () => {
    assert.deepEqual(problems('[server]\ndebug = true\nhost = "0.0.0.0"\n'), [
      'FILE:3: server.host = "0.0.0.0" with server.debug = true (FILE:2): fault injection must not be open to the network; allowed: debug only with REST on 127.0.0.1, ::1 or localhost',
    ]);
    for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', '::ffff:127.0.0.1']) {
      assert.deepEqual(problems(`[server]\ndebug = true\nhost = "${host}"\n`), [], host);
    }
  });

  test('a setting that is wrong by itself is in no conflict', () => {
    assert.equal(problems('[server]\nnode_port = 70000\nbackend_port = 9001\n').length, 1);
    assert.equal(problems('[server]\nnode_port = 9003\n[proxy]\nhost = ""\n').length, 1);
  });
});

describe('places in TOML', () => {
  test('multi-line strings and arrays hold no keys', () => {
    const document = readToml(
      [
        'a = """', // 1
        '[server]', // 2
        'b = 1 # \\"""', // 3
        '"""""', // 4
        "c = '''", // 5
        "x = '' = '''", // 6
        'd = [ # ]', // 7
        '  { e = 1, f = [ "]", \'}\' ] },', // 8
        ']', // 9
        '[ s . "t.u" ] # [v]', // 10
        'g.h = { "i" = 1, j = { k = "}" } }', // 11
        '"\\u006c" = 07:32:00', // 12
        '"" = 1', // 13
      ].join('\r\n'),
    );
    const line = (...path: string[]) => lineOf(document, path);
    assert.deepEqual(
      [
        line('a'),
        line('c'),
        line('d'),
        line('s', 't.u'),
        line('s', 't.u', 'g', 'h', 'i'),
        line('s', 't.u', 'g', 'h', 'j', 'k'),
      ],
      [1, 5, 7, 10, 11, 11],
    );
    assert.deepEqual([line('s', 't.u', 'l'), line('s', 't.u', '')], [12, 13]);
    assert.deepEqual(
      [line('server'), line('b'), line('d', 'e'), line('s', 't')],
      [undefined, undefined, undefined, undefined],
    );
    assert.equal(linesOf(document, ['d']), '7-9');
    assert.equal(linesOf(document, ['s']), '10-13');
  });

  test('of any document, every key is found on the line where it was put', () => {
    const noise = fc.constantFrom(
      '1',
      'true',
      '-1_000.5e3',
      '0xff',
      '1979-05-27T07:32:00Z',
      '"a # [b] \\" = c"',
      "'\\'",
      '""',
      "''",
      '"""x = 1\n[y]\\"""z"""',
      "'''\n'x' = 1\n[[y]]'''",
      '"""\n\n"""""',
      '[]',
      '[1, 2,\n # ]\n 3]',
      "[[1], [\"]\"],\n\n['''\n]''']]",
      '{}',
      '{ q = 1, "r.r" = [ { s = "}" } ] }',
    );
    const quoting = fc.constantFrom<(name: string) => string>(
      (name) => name,
      (name) => `"${name}"`,
      (name) => `'${name}'`,
      (name) => ` ${name} . "in.ner"`,
    );
    const blank = fc.constantFrom('', '\n', '# [x] y = 1\n', '\t \n\n', '#\r\n');
    const statement = fc.record({ header: fc.constantFrom('', '', '', '[]', '[[]]'), quoting, blank, noise });
    fc.assert(
      fc.property(fc.array(statement, { maxLength: 12 }), (statements) => {
        let text = '';
        let section: string[] = [];
        const expected: { path: string[]; line: number }[] = [];
        for (const [at, { header, quoting, blank, noise }] of statements.entries()) {
          const name = `k${at}`;
          const inner = quoting(name).includes('in.ner') ? ['in.ner'] : [];
          text += blank;
          const line = text.split('\n').length;
          if (header === '') {
            text += `${quoting(name)} = ${noise} # end\n`;
            expected.push({ path: [...section, name, ...inner], line });
          } else {
            text += `${header.slice(0, header.length / 2)}${quoting(name)}${header.slice(header.length / 2)}\n`;
            section = [name, ...inner];
            expected.push({ path: section, line });
          }
        }
        const document = readToml(text);
        for (const { path, line } of expected)
          assert.equal(lineOf(document, path), line, `${path} in\n${text}`);
      }),
      { numRuns: 300, seed: 20_250_101 },
    );
  });

  test('no text makes it throw anything but a syntax error with a place', () => {
    const piece = fc.constantFrom(
      '[',
      ']',
      '{',
      '}',
      '=',
      '"',
      "'",
      '"""',
      "'''",
      '\\',
      '#',
      '\n',
      '.',
      ',',
      'a',
      '1',
      ' ',
      '\0',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const text = pieces.join('');
        for (const problem of problems(text)) assert.match(problem, /^FILE(:\d+)+: /, text);
      }),
      { numRuns: 500, seed: 20_250_102 },
    );
  });
});

test('the nearest name is found through swaps, case, dashes and a missing section, and none is forced', () => {
  const names = SETTINGS.map(settingName);
  assert.equal(nearest('server.node-port', names), 'server.node_port');
  assert.equal(nearest('NODE_PROT', names), 'server.node_port');
  assert.equal(nearest('ring_byte', names), 'ingest.ring_bytes');
  assert.equal(nearest('xyzzy', names), undefined);
  assert.equal(nearest('', names), undefined);
  assert.equal(nearest('x'.repeat(100_000), names), undefined);
});
