/** The command line: commands, flags, suggestions, and the help text made from the table of settings. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseArguments } from '../src/cli/arguments.js';
import { helpText } from '../src/cli/help.js';
import { parseExpiry } from '../src/cli/times.js';
import { environmentName, SETTINGS, settingName } from '../src/config/settings.js';
import { EXIT, FatalError } from '../src/errors.js';

function refusal(...argv: string[]): string {
  try {
    parseArguments(argv);
  } catch (error) {
    assert.ok(error instanceof FatalError, String(error));
    assert.equal(error.exitCode, EXIT.usage);
    const [first = '', second] = error.message.split('\n');
    assert.equal(second, 'honeybee-core help lists every command and option');
    return first;
  }
  assert.fail(`accepted: ${argv.join(' ')}`);
}

describe('run', () => {
  test('is the default, without flags', () => {
    assert.deepEqual(parseArguments([]), { command: 'run', flags: {} });
    assert.deepEqual(parseArguments(['run']), { command: 'run', flags: {} });
  });

  test('takes every setting as a flag, in both spellings', () => {
    for (const setting of SETTINGS) {
      const name = settingName(setting);
      const text = String(setting.example);
      const expected = { command: 'run', flags: { [name]: text } };
      assert.deepEqual(parseArguments([`--${name}`, text]), expected);
      assert.deepEqual(parseArguments(['run', `--${name}=${text}`]), expected);
      assert.deepEqual(parseArguments([`--${name}`, text, 'run']), expected);
    }
  });

  test('a boolean may stand alone, before anything', () => {
    assert.deepEqual(parseArguments(['--server.debug']), {
      command: 'run',
      flags: { 'server.debug': 'true' },
    });
    assert.deepEqual(parseArguments(['--server.debug', 'run', '--proxy.port', '0']), {
      command: 'run',
      flags: { 'server.debug': 'true', 'proxy.port': '0' },
    });
    assert.deepEqual(parseArguments(['--proxy.enabled', 'false', '--server.debug=']), {
      command: 'run',
      flags: { 'proxy.enabled': 'false', 'server.debug': '' },
    });
  });

  test('the last of several wins; values are not checked here', () => {
    assert.deepEqual(parseArguments(['--proxy.port', '1', '--proxy.port=-2', '--logging.folder=']), {
      command: 'run',
      flags: { 'proxy.port': '-2', 'logging.folder': '' },
    });
    assert.deepEqual(parseArguments(['--proxy.port', '-2']), {
      command: 'run',
      flags: { 'proxy.port': '-2' },
    });
  });

  test('--config names the file', () => {
    assert.deepEqual(parseArguments(['--config', 'a.toml']), { command: 'run', config: 'a.toml', flags: {} });
    assert.equal(refusal('--config'), '--config needs a value');
    assert.equal(refusal('--config='), '--config needs a value');
    assert.equal(refusal('--config', '--server.debug'), '--config needs a value');
    assert.equal(refusal('--proxy.port'), '--proxy.port needs a value');
  });
});

describe('other commands', () => {
  test('status and tail take a URL and have a default', () => {
    assert.deepEqual(parseArguments(['status']), { command: 'status', flags: {} });
    assert.deepEqual(parseArguments(['status', '--storage.dir', 'd', '--config', 'f', '--token-file', 't']), {
      command: 'status',
      config: 'f',
      flags: { 'storage.dir': 'd' },
      tokenFile: 't',
    });
    assert.deepEqual(parseArguments(['ledger', '--node', 'eu-*', '--json', '--storage.dir', 'd']), {
      command: 'ledger',
      node: 'eu-*',
      json: true,
      flags: { 'storage.dir': 'd' },
    });
    assert.deepEqual(parseArguments(['status', '--url', 'http://h', '--token-file', 't']), {
      command: 'status',
      url: 'http://h',
      flags: {},
      tokenFile: 't',
    });
    assert.deepEqual(parseArguments(['tail']), { command: 'tail', url: 'ws://127.0.0.1:9003' });
    assert.deepEqual(parseArguments(['tail', '--url', 'wss://h/ws']), { command: 'tail', url: 'wss://h/ws' });
    assert.equal(
      refusal('tail', '--url', 'http://h'),
      '--url http://h is no URL that starts with ws:// or wss://, such as ws://127.0.0.1:9003',
    );
    assert.match(refusal('status', '--url=x'), /^--url x is no URL/);
    assert.match(refusal('status', '--url', 'http://h', '--storage.dir=d'), /^--url asks .* --storage\.dir /);
  });

  test('help and version, also as options, win over everything that is known', () => {
    for (const argv of [
      ['help'],
      ['--help'],
      ['-h'],
      ['help', 'status'],
      ['status', '-h', '--proxy.port', '1'],
    ]) {
      assert.deepEqual(parseArguments(argv), { command: 'help' }, argv.join(' '));
    }
    for (const argv of [['version'], ['--version'], ['-V']])
      assert.deepEqual(parseArguments(argv), { command: 'version' });
  });

  test('options of another command are refused', () => {
    assert.equal(refusal('--url', 'http://h'), '--url belongs to the commands status and tail, not to run');
    assert.equal(
      refusal('tail', '--proxy.port', '1'),
      '--proxy.port belongs to the commands run, status, ledger, token, enroll, log and deadletter, not to tail',
    );
  });
});

test('log takes one of its verbs, and where the log is', () => {
  const plain = { command: 'log', json: false, flags: {} };
  assert.deepEqual(parseArguments(['log', 'stat']), { ...plain, action: { do: 'stat' } });
  assert.deepEqual(parseArguments(['log', 'repair', '--dir', 'd', '--json']), {
    ...plain,
    action: { do: 'repair' },
    dir: 'd',
    json: true,
  });
  const chain = 'a'.repeat(64);
  assert.deepEqual(parseArguments(['log', 'verify', '--public-key=a', '--public-key=b', '--chain', chain]), {
    ...plain,
    action: { do: 'verify', publicKeys: ['a', 'b'], chain },
  });
  assert.equal(
    refusal('log', 'stat', '--dir', 'd', '--storage.dir', 'e'),
    '--dir and --storage.dir say the same: one of the two',
  );
});

describe('token', () => {
  const create = ['token', 'create', '--name', 'ci', '--role', 'read'];

  test('create takes a name, roles, and limits', () => {
    const action = { do: 'create', name: 'ci', roles: ['read'], eventTypes: [] };
    assert.deepEqual(parseArguments(create), { command: 'token', action, json: false, flags: {} });
    assert.deepEqual(
      parseArguments([
        ...create,
        ...['--role', 'stream', '--role=read', '--expires', '30d', '--nodes', 'eu-*'],
        ...['--event-type', 'cowrie.*', '--event-type', 'x', '--json', '--config=c', '--storage.dir=d'],
      ]),
      {
        command: 'token',
        action: {
          do: 'create',
          name: 'ci',
          roles: ['read', 'stream'],
          expires: '30d',
          nodes: 'eu-*',
          eventTypes: ['cowrie.*', 'x'],
        },
        json: true,
        config: 'c',
        flags: { 'storage.dir': 'd' },
      },
    );
  });

  test('list and revoke', () => {
    const plain = { command: 'token', json: false, flags: {} };
    assert.deepEqual(parseArguments(['token', 'list']), { ...plain, action: { do: 'list' } });
    const action = { do: 'revoke', id: 'abcdef23' };
    assert.deepEqual(parseArguments(['token', 'revoke', 'abcdef23']), { ...plain, action });
  });

  const refused: [string[], RegExp][] = [
    [['token'], /one of create, list, revoke/],
    [['token', 'crate'], /did you mean create/],
    [['token', 'create', '--role', 'read'], /needs --name/],
    [['token', 'create', '--name', 'x'], /needs --role ROLE, one of read, stream, command, admin/],
    [['token', 'create', '--name', 'x', '--role', 'reed'], /--role reed is no role, did you mean read/],
    [[...create, '--expires', 'soon'], /--expires soon is neither/],
    [[...create, '--expires', '2027-02-31'], /--expires/],
    [[...create, '--expires', '0d'], /--expires/],
    [[...create, '--expires', '999999999w'], /--expires/],
    [[...create, '--name='], /--name needs a value/],
    [[...create, 'more'], /unexpected argument more behind token create/],
    [[...create, '--list'], /--list belongs to the command enroll, not to token/],
    [['token', 'list', '--name', 'x'], /--name belongs to token create/],
    [['token', 'revoke'], /needs the id/],
    [['run', '--name', 'x'], /--name belongs to the command token, not to run/],
  ];
  for (const [argv, message] of refused) {
    test(`refused: ${argv.join(' ')}`, () => assert.match(refusal(...argv), message));
  }

  test('a token given by mistake is not repeated', () => {
    const token = 'hb_abcdefgh_ijklmnopqrstuvwxyz';
    for (const argv of [
      ['token', 'revoke', token],
      ['status', '--token', token],
      ['tail', `--token=${token}`],
    ]) {
      const message = refusal(...argv);
      assert.ok(!message.includes('ijkl'), message);
    }
    assert.match(refusal('tail', '--token', token), /--token-file FILE, or HONEYBEE_TOKEN/);
  });
});

test('enroll does one thing', () => {
  const cases: [string[], object][] = [
    [['eu-1'], { do: 'enroll', name: 'eu-1' }],
    [['--', '--strange name'], { do: 'enroll', name: '--strange name' }],
    [['--rotate', 'eu-1'], { do: 'rotate', name: 'eu-1' }],
    [['--revoke=-x'], { do: 'revoke', name: '-x' }],
    [['--open', '10m'], { do: 'open', seconds: 600 }],
    [['--open', '2h'], { do: 'open', seconds: 7200 }],
    [['--list'], { do: 'list' }],
    [['--close'], { do: 'close' }],
  ];
  for (const [argv, action] of cases) {
    const expected = { command: 'enroll', action, json: false, flags: {} };
    assert.deepEqual(parseArguments(['enroll', ...argv]), expected, argv.join(' '));
    assert.deepEqual(parseArguments(['enroll', '--json', ...argv]), { ...expected, json: true });
  }
  for (const argv of [[], ['a', '--list'], ['--open', '1m', '--close'], ['--rotate', 'a', '--revoke', 'a']])
    assert.match(refusal('enroll', ...argv), /^enroll needs one of NAME, --list/);
  assert.match(refusal('enroll', 'a', 'b'), /unexpected argument b behind enroll a/);
  assert.match(refusal('enroll', '--open', 'x'), /--open x is no time/);
});

describe('what nobody knows is refused, with a suggestion where one is near', () => {
  const cases: [string[], string][] = [
    [['--server.node_prot', '1'], 'unknown option --server.node_prot, did you mean --server.node_port?'],
    [['--node-port=1'], 'unknown option --node-port, did you mean --server.node_port?'],
    [['--confg', 'x'], 'unknown option --confg, did you mean --config?'],
    [['--no-server.debug'], 'unknown option --no-server.debug, did you mean --server.debug?'],
    [['--xyzzy'], 'unknown option --xyzzy'],
    [['--__proto__=1'], 'unknown option --__proto__'],
    [['--toString'], 'unknown option --toString'],
    [['-x'], 'unknown option -x'],
    [['--help=1'], '--help takes no value'],
    [['stats'], 'unknown command stats, did you mean status?'],
    [
      ['\u001b[2J'],
      'unknown command \\u001b[2J; commands: run, status, tail, ledger, token, enroll, deadletter, log, help, version',
    ],
    [['run', 'fast'], 'unexpected argument fast behind run'],
    [['run', '--', '--proxy.port'], 'unexpected argument --proxy.port behind run'],
    [
      ['constructor'],
      'unknown command constructor; commands: run, status, tail, ledger, token, enroll, deadletter, log, help, version',
    ],
  ];
  for (const [argv, message] of cases) {
    test(JSON.stringify(argv), () => assert.equal(refusal(...argv), message));
  }
});

describe('help', () => {
  const lines = helpText().split('\n');

  test('fits 100 columns of plain ASCII without trailing blanks', () => {
    for (const line of lines) {
      assert.ok(line.length <= 100, line);
      assert.match(line, /^([ -~]*[!-~])?$/);
    }
  });

  test('names every setting with its flag, its variable and its default', () => {
    for (const setting of SETTINGS) {
      const at = lines.findIndex((line) => line.startsWith(`  --${settingName(setting)} `));
      assert.ok(at >= 0, settingName(setting));
      assert.ok(lines[at]?.endsWith(`  ${environmentName(setting)}`), lines[at]);
      const text = lines
        .slice(at + 1, at + 3)
        .map((line) => line.trim())
        .join(' ');
      const value =
        typeof setting.default === 'string' ? JSON.stringify(setting.default) : String(setting.default);
      assert.ok(text.includes(setting.summary) && text.includes(`default ${value}`), text);
    }
  });
});

test('times: durations from now, days in UTC, times with their zone, and nothing else', () => {
  const now = Date.UTC(2026, 10, 21, 12);
  const cases: [string, number | undefined][] = [
    ['45s', now + 45_000],
    ['10m', now + 600_000],
    ['30d', now + 30 * 86_400_000],
    ['2w', now + 14 * 86_400_000],
    ['2027-01-01', Date.UTC(2027, 0, 1)],
    ['2028-02-29', Date.UTC(2028, 1, 29)],
    ['2027-02-29', undefined],
    ['2027-01-01T12:30+01:00', Date.UTC(2027, 0, 1, 11, 30)],
    ['2027-01-01T12:30:15Z', Date.UTC(2027, 0, 1, 12, 30, 15)],
    ['2027-01-01T12:30', undefined],
    ['10', undefined],
    ['-1d', undefined],
    ['1.5h', undefined],
    ['', undefined],
    ['10M', undefined],
  ];
  for (const [text, expected] of cases) assert.equal(parseExpiry(text, now), expected, text);
});
