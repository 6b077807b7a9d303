/** The help text, made from the table of settings. Plain ASCII: it must read the same on every terminal and in a file. */
import { ROLES } from '../access/principal.js';
import { DEFAULT_FILE } from '../config/load.js';
import type { Setting } from '../config/setting.js';
import { environmentName, SECTIONS, SETTINGS, settingName, settingsOf } from '../config/settings.js';
import { humanBytes, show } from '../config/values.js';
import { EXIT } from '../errors.js';
import { DEFAULT_URL } from './arguments.js';
import { COMMANDS } from './options.js';

const columns = 100;

const TOGETHER =
  'token and enroll go to the Core that holds the data directory, or to the directory itself where none runs; deadletter ' +
  'reads the directory, and asks the Core to try a frame again. They find it as Core does: --config, the settings below, ' +
  'the environment.';

const PLACEHOLDERS: Readonly<Record<(Setting & { kind: 'string' })['format'], string>> = {
  host: 'HOST',
  'optional-host': 'HOST',
  path: 'DIR',
  folder: 'DIR',
  file: 'FILE',
  origins: 'ORIGINS',
};

/** Where the environment names start: behind the longest flag. */
const secondColumn = 2 + Math.max(...SETTINGS.map((setting) => flagOf(setting).length)) + 2;

const EXIT_MEANING: Partial<Record<keyof typeof EXIT, string>> = {
  ok: 'stopped in order, everything that was read is on disk',
  faults: 'log verify found faults; log repair could not mend all of them',
  usage: 'the command line is wrong',
  dataError: 'a command could not do all that it was asked to: something was refused, or is not there',
  unavailable: 'a port is in use; or there is no Core that answers',
  software: 'a thread that Core cannot live without died',
  cannotCreate: 'the data directory or the log folder cannot be written',
  ioError: 'not everything could be written before the shutdown time was over',
  locked: 'another Core uses the data directory',
  noPermission: 'no token, a wrong one, or one that may not do this; or another user owns the data directory',
  config: 'the configuration is wrong',
};

export function helpText(): string {
  return `${[usage(), commands(), options(), settings(), exitCodes()].join('\n\n')}\n`;
}

function usage(): string {
  return [
    'HoneyBee Core: takes the events of honeypot nodes, writes them down, streams them on.',
    '',
    'Usage: honeybee-core [run] [--config FILE] [--SECTION.KEY VALUE]...',
    '       honeybee-core status [--url URL] [--token-file FILE]',
    '       honeybee-core tail [--url URL] [--token-file FILE] [--from SEQ|TIME] [--event-type TYPE]...',
    '       honeybee-core ledger [--node NAME|ID] [--json]',
    '       honeybee-core token create --name NAME --role ROLE... [--expires TIME] [--nodes PATTERN]',
    '                                  [--event-type TYPE]... [--json]',
    '       honeybee-core token list [--json]',
    '       honeybee-core token revoke ID',
    '       honeybee-core enroll NAME [--json]',
    '       honeybee-core enroll --list | --rotate NAME | --revoke NAME | --open TIME | --close [--json]',
    '       honeybee-core log cat [--dir DIR] [--from SEQ|TIME] [--to SEQ|TIME] [--numbered]',
    '                             [--node, --pot, --pot-type, --event-type PATTERN]... [--text TEXT]',
    '                             [--records events|all]',
    '       honeybee-core log verify [--dir DIR] [--public-key FILE]... [--chain HEX] [--json]',
    '       honeybee-core log repair [--dir DIR] [--json]',
    '       honeybee-core log stat [--dir DIR] [--json]',
    '       honeybee-core deadletter list [--code CODE]... [--node NODE] [--since TIME] [--until TIME]',
    '                                     [--limit N] [--json]',
    '       honeybee-core deadletter show ID [--json]',
    '       honeybee-core deadletter export [--code CODE]... [--node NODE] ... [--output FILE]',
    '       honeybee-core deadletter replay ID... [--file FILE] [--force] [--dry-run] [--json]',
    '       honeybee-core deadletter replay --all --code CODE... | --node NODE | ... [--dry-run]',
    '',
    ...wrap(TOGETHER, columns),
  ].join('\n');
}

function commands(): string {
  return block('Commands', Object.entries(COMMANDS));
}

function options(): string {
  return block('Options', [
    ['--config FILE', `configuration file (default ${DEFAULT_FILE}); written with all defaults when absent`],
    [
      '--url URL',
      `status: REST of the running Core (without it the one of this machine: its control socket, or ${DEFAULT_URL.status})`,
    ],
    ['', `tail: its WebSocket (default ${DEFAULT_URL.tail})`],
    ['--token-file FILE', 'status, tail: the API token to show; or the environment variable HONEYBEE_TOKEN'],
    ['--node NAME|ID', 'ledger, deadletter: only this node; * in a name stands for any run of characters'],
    ['--name NAME', 'token create: what the token is for'],
    ['--role ROLE', `token create: ${ROLES.join(', ')}; more than once for several`],
    ['--expires TIME', 'token create: 30d, 12h, ... from now, or a day such as 2027-01-01; default never'],
    ['--nodes PATTERN', 'token create: only nodes whose names match, * for any run of characters'],
    [
      '--event-type TYPE',
      'token create, tail, log cat: only events of this type, which may end in *; more than once',
    ],
    ['--list', 'enroll: the nodes that have a secret'],
    ['--rotate NAME', 'enroll: a new secret; the old one is of no use at once'],
    ['--revoke NAME', 'enroll: the node cannot register any more'],
    ['--open TIME', 'enroll: unknown nodes may enroll themselves for 10m, 2h, ...'],
    ['--close', 'enroll: ends that'],
    ['--code CODE', 'deadletter: only frames refused with this error code; more than once for several'],
    ['--limit N', 'deadletter list: so many, the newest (default 50)'],
    ['--output FILE', 'deadletter export: where to, instead of standard output'],
    ['--file FILE', 'deadletter replay: a corrected frame to try instead'],
    [
      '--all',
      'deadletter replay: all of a --code, a --node or a time that were not accepted before, the oldest first',
    ],
    ['--force', 'deadletter replay: also frames that were accepted before, or whose node is not sure'],
    ['--dry-run', 'deadletter replay: only say what would become of them'],
    [
      '--from SEQ|TIME',
      'tail, log cat: first record; a sequence number, earliest, 2026-11-21T16:00:00Z, or 15m ago',
    ],
    ['--to SEQ|TIME', 'log cat: up to there, without it'],
    ['--numbered', 'log cat: each record with its sequence number and when it was received'],
    [
      '--node, --pot, --pot-type',
      'tail, log cat: patterns, * for any run of characters; more than once, or with commas',
    ],
    ['--text TEXT', 'tail, log cat: stands in the data of the event'],
    ['--since, --until TIME', 'tail, log cat, deadletter: when Core received it'],
    ['--records events|all', 'tail, log cat: without notices and status updates, or with them'],
    ['--dir DIR', 'log: the data directory, without looking for a configuration'],
    [
      '--public-key FILE',
      'log verify: every segment that is sealed must be signed with this key; more than once',
    ],
    ['--chain HEX', 'log verify: a chain that was noted elsewhere, and must be part of this log'],
    ['--json', 'ledger, token, enroll, log, deadletter: JSON on standard output'],
    ['-h, --help', 'prints this text'],
    ['-V, --version', 'prints the version'],
  ]);
}

function settings(): string {
  const sections = Object.entries(SECTIONS).map(([section, headline]) => {
    return [`[${section}] ${headline}`, ...settingsOf(section).flatMap(describe)].join('\n');
  });
  const explanation =
    'Each is a key of the file, an environment variable and a flag. The environment overrides the file, flags ' +
    'override both. A flag for true or false means true when it stands alone.';
  return ['Settings', ...wrap(explanation, columns), '', sections.join('\n\n')].join('\n');
}

function describe(setting: Setting): string[] {
  const first = `  ${flagOf(setting)}`.padEnd(secondColumn) + environmentName(setting);
  const text = wrap(`${setting.summary} (${facts(setting)})`, columns - 6);
  return [first, ...text.map((line) => `      ${line}`)];
}

function exitCodes(): string {
  return block(
    'Exit codes',
    Object.entries(EXIT_MEANING).map(([name, meaning]) => [String(EXIT[name as keyof typeof EXIT]), meaning]),
  );
}

function flagOf(setting: Setting): string {
  return `--${settingName(setting)} ${placeholder(setting)}`;
}

function placeholder(setting: Setting): string {
  switch (setting.kind) {
    case 'integer':
      return { bytes: 'BYTES', ms: 'MS', seconds: 'SECONDS', none: 'N' }[setting.unit ?? 'none'];
    case 'boolean':
      return '[true|false]';
    case 'choice':
      return setting.choices.length > 3 ? 'NAME' : setting.choices.join('|');
    case 'string':
      return PLACEHOLDERS[setting.format];
  }
}

function facts(setting: Setting): string {
  const human =
    setting.kind === 'integer' && setting.unit === 'bytes' ? humanBytes(setting.default) : undefined;
  const choices =
    setting.kind === 'choice' && setting.choices.length > 3 ? `${setting.choices.join(', ')}; ` : '';
  return `${choices}default ${show(setting.default)}${human ? `, ${human}` : ''}`;
}

/** Names on the left, their texts on the right, continued below themselves. */
function block(title: string, rows: readonly (readonly [string, string])[]): string {
  const indent = 2 + Math.max(...rows.map(([name]) => name.length)) + 2;
  const lines = rows.flatMap(([name, text]) => {
    return wrap(text, columns - indent).map(
      (line, at) => (at === 0 ? `  ${name}` : '').padEnd(indent) + line,
    );
  });
  return [title, ...lines].join('\n');
}

function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const current = lines.at(-1)!;
    if (current !== '' && current.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = current === '' ? word : `${current} ${word}`;
  }
  return lines;
}
