/** The grammar of commands, walked as a table; ids and deadlines against what they promise. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../bench/random.js';
import { commandJson, UNIT_COMMANDS } from '../src/commands/command.js';
import { Deadlines } from '../src/commands/deadlines.js';
import { IdSource, isId } from '../src/commands/id.js';
import { matchesPattern } from '../src/commands/name-pattern.js';
import { parseCommand } from '../src/commands/parse.js';
import { LIMITS } from '../src/limits.js';

const INSTALL = { pot_id: 'p', honeypot_type: 'cowrie', auto_start: true };
const install = (more: Record<string, unknown>) => ({ InstallPot: { ...INSTALL, ...more } });
const without = (name: string) => ({
  InstallPot: Object.fromEntries(Object.entries(INSTALL).filter(([key]) => key !== name)),
});

/** What is given, and what goes out. */
const GOOD: readonly (readonly [unknown, string])[] = [
  ...UNIT_COMMANDS.flatMap((name) => [
    [name, `{"${name}":{}}`] as const,
    [{ [name]: {} }, `{"${name}":{}}`] as const,
    [{ [name]: null }, `{"${name}":{}}`] as const,
  ]),
  ...['DeployPot', 'StopPot', 'RestartPot', 'GetPotStatus', 'GetPotLogs', 'GetPotMetrics', 'GetPotInfo'].map(
    (name) => [{ [name]: 'pot-1' }, `{"${name}":"pot-1"}`] as const,
  ),
  [{ StopPot: 'x'.repeat(255) }, `{"StopPot":"${'x'.repeat(255)}"}`],
  [{ StopPot: '\u{1f41d} "\n' }, '{"StopPot":"\u{1f41d} \\"\\n"}'],
  [install({}), '{"InstallPot":{"pot_id":"p","honeypot_type":"cowrie","auto_start":true}}'],
  [
    install({ auto_start: false, git_url: null, git_branch: null, config: null }),
    '{"InstallPot":{"pot_id":"p","honeypot_type":"cowrie","auto_start":false}}',
  ],
  [
    install({ config: { port: '22', empty: '' }, git_branch: 'main', git_url: 'https://example.org/x.git' }),
    '{"InstallPot":{"pot_id":"p","honeypot_type":"cowrie","git_url":"https://example.org/x.git","git_branch":"main","config":{"port":"22","empty":""},"auto_start":true}}',
  ],
];

/** What is given, and which field is named. */
const BAD: readonly (readonly [unknown, field: string, reason: RegExp])[] = [
  [undefined, 'command', /neither an object/],
  [null, 'command', /neither an object/],
  [7, 'command', /neither an object/],
  [['Restart'], 'command', /neither an object/],
  [{}, 'command', /0 names/],
  [{ Restart: {}, UpdateConfig: {} }, 'command', /2 names/],
  ['restart', 'command', /^restart is not a command; there are InstallPot, /],
  ['', 'command', /is not a command/],
  ['StopPot', 'command', /StopPot needs its fields/],
  [{ Reboot: {} }, 'command', /Reboot is not a command/],
  [{ ['x'.repeat(500)]: {} }, 'command', /^x{64}\.\.\. is not a command/],
  [{ '\u001b[31m': {} }, 'command', /^\?\[31m is not a command/],
  [{ toString: {} }, 'command', /toString is not a command/],
  [{ Restart: { force: true } }, 'command.Restart.force', /not a field/],
  [{ Restart: 'now' }, 'command.Restart', /no fields/],
  [{ Restart: [] }, 'command.Restart', /no fields/],
  [{ Restart: undefined }, 'command.Restart', /no fields/],
  [{ StopPot: {} }, 'command.StopPot', /not a text/],
  [{ StopPot: null }, 'command.StopPot', /not a text/],
  [{ StopPot: '' }, 'command.StopPot', /empty/],
  [{ StopPot: 'x'.repeat(256) }, 'command.StopPot', /longer than 255/],
  [{ StopPot: 'a\ud800' }, 'command.StopPot', /Unicode/],
  [{ InstallPot: 'p' }, 'command.InstallPot', /not an object/],
  [{ InstallPot: null }, 'command.InstallPot', /not an object/],
  [without('pot_id'), 'command.InstallPot.pot_id', /missing/],
  [without('honeypot_type'), 'command.InstallPot.honeypot_type', /missing/],
  [without('auto_start'), 'command.InstallPot.auto_start', /missing/],
  [install({ auto_start: 'true' }), 'command.InstallPot.auto_start', /true or false/],
  [install({ autostart: true }), 'command.InstallPot.autostart', /not a field/],
  [install({ 'git url': 'x' }), 'command.InstallPot.git?url', /not a field/],
  [install({ pot_id: 5 }), 'command.InstallPot.pot_id', /not a text/],
  [install({ git_url: '' }), 'command.InstallPot.git_url', /empty/],
  [install({ git_url: '--upload-pack=x' }), 'command.InstallPot.git_url', /dash/],
  [install({ git_branch: '-f' }), 'command.InstallPot.git_branch', /dash/],
  [install({ git_url: 'x'.repeat(2049) }), 'command.InstallPot.git_url', /longer than 2048/],
  [install({ config: [] }), 'command.InstallPot.config', /not an object/],
  [install({ config: { port: 22 } }), 'command.InstallPot.config.port', /not a text/],
  [install({ config: { '': 'x' } }), 'command.InstallPot.config', /has a name that is empty/],
  [
    install({ config: { a: 'x'.repeat(40_000), b: 'x'.repeat(40_000) } }),
    'command.InstallPot',
    /larger than/,
  ],
  [install({ config: { a: '\u0001'.repeat(11_000) } }), 'command.InstallPot', /larger than/],
];

test('every command is taken in each of its spellings, and goes out in one', () => {
  for (const [given, json] of GOOD) {
    const parsed = parseCommand(given);
    assert.ok(parsed.ok, `${JSON.stringify(given)}: ${JSON.stringify(parsed)}`);
    assert.equal(parsed.json, json);
    assert.equal(commandJson(parsed.command), json);
    const again = parseCommand(JSON.parse(json));
    assert.ok(again.ok && again.json === json, 'what goes out is taken, too');
  }
});

test('a bad command is refused by the path of its field', () => {
  for (const [given, field, reason] of BAD) {
    const parsed = parseCommand(given);
    assert.ok(!parsed.ok, JSON.stringify(given));
    assert.equal(parsed.field, field);
    assert.match(parsed.reason, reason);
    assert.match(`${parsed.field} ${parsed.reason}`, /^[\x20-\x7e]{1,400}$/, 'harmless to a terminal');
  }
});

test('a field called __proto__ is a field like any other', () => {
  const own = parseCommand(JSON.parse('{"InstallPot":{"__proto__":{"pot_id":"p"},"pot_id":"p"}}'));
  assert.ok(!own.ok && own.field === 'command.InstallPot.__proto__');
  const inherited = parseCommand({ InstallPot: Object.create(INSTALL) });
  assert.ok(!inherited.ok && inherited.field === 'command.InstallPot.pot_id');
  const config = parseCommand(
    JSON.parse(JSON.stringify(install({})).replace('}}', ',"config":{"__proto__":"x"}}}')),
  );
  assert.ok(config.ok && config.json.includes('"config":{"__proto__":"x"}'));
});

test('the largest command is taken', () => {
  const room = LIMITS.commandBytes - Buffer.byteLength(commandJsonOf(install({ config: { a: '' } })));
  assert.ok(parseCommand(install({ config: { a: 'x'.repeat(room) } })).ok);
  assert.ok(!parseCommand(install({ config: { a: 'x'.repeat(room + 1) } })).ok);
});

function commandJsonOf(given: unknown): string {
  const parsed = parseCommand(given);
  assert.ok(parsed.ok);
  return parsed.json;
}

test('ids sort by the order they were given out in, whatever the clock and chance do, and over restarts', () => {
  const random = new Random(7);
  let bytes = (count: number) => Uint8Array.from({ length: count }, () => random.below(256));
  let source = new IdSource((count) => bytes(count));
  let nowMs = Date.UTC(2026, 10, 20);
  let last = '';
  for (let step = 0; step < 20_000; step++) {
    if (random.below(50) === 0) nowMs += random.between(-5_000, 5_000);
    if (random.below(500) === 0) {
      source = new IdSource((count) => bytes(count));
      source.seen(`cmd_${last}`);
    }
    // Chance that is used up at once.
    if (random.below(200) === 0) bytes = (count) => new Uint8Array(count).fill(255);
    const id = source.next(random.below(2) === 0 ? 'cmd' : 'rol', nowMs);
    assert.ok(isId(id.startsWith('cmd') ? 'cmd' : 'rol', id), id);
    assert.ok(id.slice(4) > last, `${id} behind ${last}`);
    last = id.slice(4);
  }
});

test('deadlines come out in order, moved and deleted ones too: against a sorted list', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Random(seed);
    const deadlines = new Deadlines<number>();
    const model = new Map<number, number>();
    for (let step = 0; step < 500; step++) {
      const thing = random.below(60);
      if (random.below(3) > 0) {
        const atMs = random.below(1000);
        deadlines.set(thing, atMs);
        model.set(thing, atMs);
      } else if (random.below(2) === 0) {
        deadlines.delete(thing);
        model.delete(thing);
      } else {
        const nowMs = random.below(1000);
        const due = deadlines.takeDue(nowMs);
        const earliest = Math.min(...model.values());
        if (due === undefined) assert.ok(!(earliest <= nowMs));
        else {
          assert.equal(model.get(due), earliest);
          model.delete(due);
        }
      }
      assert.equal(deadlines.size, model.size);
    }
  }
});

test('a pattern of names matches as a regular expression would', () => {
  const random = new Random(3);
  const draw = (letters: string, length: number) =>
    Array.from({ length: random.below(length) }, () => letters[random.below(letters.length)]).join('');
  for (let step = 0; step < 20_000; step++) {
    const pattern = draw('ab*.', 7);
    const name = draw('ab.', 9);
    const expected = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`, 's').test(name);
    assert.equal(matchesPattern(pattern, name), expected, `${pattern} on ${name}`);
  }
});
