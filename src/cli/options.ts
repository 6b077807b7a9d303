/**
 * The options of the command line beside the settings: what each takes, and which commands know it. And the splitting of
 * a command line into commands and options, with what nobody knows refused.
 *
 * Pure; nothing is read or written.
 */
import { parseArgs } from 'node:util';
import { nearest } from '../config/nearest.js';
import { findSetting, SETTINGS, settingName } from '../config/settings.js';
import { cut, printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';

export const COMMANDS = {
  run: 'runs Core; what happens when no command is given',
  status: 'prints what a running Core reports over REST',
  tail: 'prints the live stream of a running Core, one record a line',
  ledger: 'prints what a running Core took from its nodes, and what became of it',
  token: 'makes, lists and revokes API tokens',
  enroll: 'gives nodes their secrets for one-time codes',
  deadletter: 'shows refused frames, and tries them again',
  log: 'prints, checks, mends and describes the event log on this disk, with a Core that runs or none',
  help: 'prints this text',
  version: 'prints the version',
} as const;

export type Command = keyof typeof COMMANDS;

/** Commands that settings concern: all but `run` find the data directory by them. */
export const WITH_SETTINGS: readonly Command[] = [
  'run',
  'status',
  'ledger',
  'token',
  'enroll',
  'log',
  'deadletter',
];

interface Option {
  readonly commands: readonly Command[];
  /** Stands alone. */
  readonly flag?: true;
  readonly short?: string;
}

const EVERYWHERE = Object.keys(COMMANDS) as Command[];

const OPTIONS = {
  config: { commands: WITH_SETTINGS },
  url: { commands: ['status', 'tail'] },
  'token-file': { commands: ['status', 'tail'] },
  name: { commands: ['token'] },
  role: { commands: ['token'] },
  expires: { commands: ['token'] },
  nodes: { commands: ['token'] },
  'event-type': { commands: ['tail', 'token', 'log'] },
  rotate: { commands: ['enroll'] },
  revoke: { commands: ['enroll'] },
  open: { commands: ['enroll'] },
  list: { commands: ['enroll'], flag: true },
  close: { commands: ['enroll'], flag: true },
  code: { commands: ['deadletter'] },
  limit: { commands: ['deadletter'] },
  file: { commands: ['deadletter'] },
  output: { commands: ['deadletter'] },
  all: { commands: ['deadletter'], flag: true },
  force: { commands: ['deadletter'], flag: true },
  'dry-run': { commands: ['deadletter'], flag: true },
  node: { commands: ['tail', 'ledger', 'log', 'deadletter'] },
  from: { commands: ['tail', 'log'] },
  to: { commands: ['log'] },
  pot: { commands: ['tail', 'log'] },
  'pot-type': { commands: ['tail', 'log'] },
  text: { commands: ['tail', 'log'] },
  since: { commands: ['tail', 'log', 'deadletter'] },
  until: { commands: ['tail', 'log', 'deadletter'] },
  records: { commands: ['tail', 'log'] },
  numbered: { commands: ['log'], flag: true },
  dir: { commands: ['log'] },
  'public-key': { commands: ['log'] },
  chain: { commands: ['log'] },
  json: { commands: ['ledger', 'token', 'enroll', 'log', 'deadletter'], flag: true },
  help: { commands: EVERYWHERE, flag: true, short: 'h' },
  version: { commands: EVERYWHERE, flag: true, short: 'V' },
} as const satisfies Readonly<Record<string, Option>>;

export type OptionName = keyof typeof OPTIONS;

export interface Given {
  /** The command and what stands behind it. */
  readonly words: readonly string[];
  /** By name, settings too; each with all of its values, in order. */
  readonly options: ReadonlyMap<string, readonly string[]>;
}

/** Splits the command line; refuses options nobody knows and options without their value. */
export function splitArguments(argv: readonly string[]): Given {
  // Not strict: its own messages cannot suggest anything, and a boolean could not stand alone or take a value.
  const { tokens } = parseArgs({
    args: [...argv],
    options: optionTypes(),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const words: string[] = [];
  const options = new Map<string, string[]>();
  const add = (name: string, value: string) => options.set(name, [...(options.get(name) ?? []), value]);
  /** A boolean setting that stood alone takes `true` or `false` when that comes next. */
  let alone: string | undefined;
  for (const token of tokens) {
    const waiting = alone;
    alone = undefined;
    if (token.kind === 'positional') {
      if (waiting !== undefined && (token.value === 'true' || token.value === 'false')) {
        options.get(waiting)!.splice(-1, 1, token.value);
      } else words.push(token.value);
    } else if (token.kind === 'option') {
      const { name, value } = token;
      if (!isKnown(name)) throw unknownOption(token.rawName);
      if (isFlag(name)) {
        if (value !== undefined) throw usage(`${token.rawName} takes no value`);
        add(name, '');
      } else if (isBoolean(name)) {
        add(name, value ?? 'true');
        if (value === undefined) alone = name;
      } else {
        const missing = value === undefined || (!token.inlineValue && /^-[^\d]/.test(value));
        if (missing || (value === '' && isOption(name))) throw usage(`${token.rawName} needs a value`);
        add(name, value);
      }
    }
  }
  return { words, options };
}

/** Refuses options that belong to other commands. */
export function checkOptions(command: Command, { options }: Given): void {
  for (const name of options.keys()) {
    const commands: readonly Command[] = isOption(name) ? OPTIONS[name].commands : WITH_SETTINGS;
    if (commands.includes(command)) continue;
    const owners =
      commands.length === 1
        ? `the command ${commands[0]}`
        : `the commands ${commands.slice(0, -1).join(', ')} and ${commands.at(-1)}`;
    throw usage(`--${name} belongs to ${owners}, not to ${command}`);
  }
}

export function isOption(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name);
}

function isFlag(name: string): boolean {
  return isOption(name) && 'flag' in OPTIONS[name];
}

function isBoolean(name: string): boolean {
  return findSetting(name)?.kind === 'boolean';
}

function optionTypes(): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  const types: Record<string, { type: 'string' | 'boolean'; short?: string }> = {};
  for (const [name, option] of Object.entries<Option>(OPTIONS)) {
    types[name] = {
      type: option.flag ? 'boolean' : 'string',
      ...(option.short === undefined ? {} : { short: option.short }),
    };
  }
  for (const setting of SETTINGS) {
    types[settingName(setting)] = { type: setting.kind === 'boolean' ? 'boolean' : 'string' };
  }
  return types;
}

function knownOptions(): string[] {
  return [...SETTINGS.map(settingName), ...Object.keys(OPTIONS)];
}

function isKnown(name: string): boolean {
  return knownOptions().includes(name);
}

function unknownOption(rawName: string): FatalError {
  if (rawName === '--token')
    return usage(
      'a token on the command line would be seen by everybody here: --token-file FILE, or HONEYBEE_TOKEN',
    );
  const near = nearest(rawName.replace(/^-+/, ''), knownOptions());
  return usage(`unknown option ${readable(rawName)}${near ? `, did you mean --${near}?` : ''}`);
}

export function readable(text: string): string {
  return cut(printable(text));
}

export function usage(message: string): FatalError {
  return new FatalError(EXIT.usage, `${message}\nhoneybee-core help lists every command and option`);
}
