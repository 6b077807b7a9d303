/** The command line: commands, flags, suggestions, and the help text made from the table of settings. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseArguments } from '../src/cli/arguments.js';
import { helpText } from '../src/cli/help.js';
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
    assert.deepEqual(parseArguments(['status']), { command: 'status', url: 'http://127.0.0.1:9002' });
    assert.deepEqual(parseArguments(['tail', '--url', 'wss://h/ws']), { command: 'tail', url: 'wss://h/ws' });
    assert.equal(
      refusal('tail', '--url', 'http://h'),
      '--url http://h is no URL that starts with ws:// or wss://, such as ws://127.0.0.1:9003',
    );
    assert.match(refusal('status', '--url=x'), /^--url x is no URL/);
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
      '--proxy.port belongs to the command run, not to tail',
    );
  });
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
    [['\u001b[2J'], 'unknown command \\u001b[2J; commands: run, status, tail, help, version'],
    [['run', 'fast'], 'unexpected argument fast behind run'],
    [['run', '--', '--proxy.port'], 'unexpected argument --proxy.port behind run'],
    [['constructor'], 'unknown command constructor; commands: run, status, tail, help, version'],
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
