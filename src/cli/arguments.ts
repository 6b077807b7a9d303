/**
 * The command line: which command, and its options. Values of settings stay text here; `config/load.ts` checks them
 * together with the file and the environment, so that all mistakes are reported at once.
 *
 * Pure; nothing is read or written.
 */
import { parseArgs } from 'node:util';
import { nearest } from '../config/nearest.js';
import { findSetting, SETTINGS, settingName } from '../config/settings.js';
import { cut, printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';

export interface RunArguments {
  readonly command: 'run';
  /** The file named by `--config`. */
  readonly config?: string;
  /** By setting name, unchecked: `{ 'server.node_port': '0' }`. */
  readonly flags: Readonly<Record<string, string>>;
}

/** Commands that talk to a Core that is running. */
export interface ClientArguments {
  readonly command: 'status' | 'tail';
  readonly url: string;
}

export interface PlainArguments {
  readonly command: 'help' | 'version';
}

export type Arguments = RunArguments | ClientArguments | PlainArguments;

type Command = Arguments['command'];

export const COMMANDS: Readonly<Record<Command, string>> = {
  run: 'runs Core; what happens when no command is given',
  status: 'prints what a running Core reports over REST',
  tail: 'prints the live stream of a running Core, one record a line',
  help: 'prints this text',
  version: 'prints the version',
};

export const DEFAULT_URL = { status: 'http://127.0.0.1:9002', tail: 'ws://127.0.0.1:9003' } as const;

const PROTOCOLS = { status: ['http:', 'https:'], tail: ['ws:', 'wss:'] } as const;

/** Options with a value, beside the settings. Which command takes which is checked below. */
const VALUE_OPTIONS = ['config', 'url'] as const;
const PLAIN_OPTIONS = { help: 'h', version: 'V' } as const;

interface Given {
  readonly commands: string[];
  readonly options: Map<string, string>;
}

/** @throws {FatalError} with {@link EXIT.usage} */
export function parseArguments(argv: readonly string[]): Arguments {
  const { commands, options } = collect(argv);
  if (options.has('help')) return { command: 'help' };
  if (options.has('version')) return { command: 'version' };
  const command = commandOf(commands);
  switch (command) {
    case 'run':
      return run(options);
    case 'status':
    case 'tail':
      return client(command, options);
    case 'help':
    case 'version':
      return { command };
  }
}

function run(options: Map<string, string>): RunArguments {
  if (options.has('url')) throw usage('--url belongs to the commands status and tail, not to run');
  const { config, ...flags } = Object.fromEntries(options);
  return { command: 'run', flags, ...(config === undefined ? {} : { config }) };
}

function client(command: 'status' | 'tail', options: Map<string, string>): ClientArguments {
  const other = [...options.keys()].find((name) => name !== 'url');
  if (other !== undefined) throw usage(`--${other} belongs to the command run, not to ${command}`);
  const url = options.get('url') ?? DEFAULT_URL[command];
  const protocols: readonly string[] = PROTOCOLS[command];
  if (!URL.canParse(url) || !protocols.includes(new URL(url).protocol)) {
    const wanted = protocols.map((protocol) => `${protocol}//`).join(' or ');
    throw usage(
      `--url ${readable(url)} is no URL that starts with ${wanted}, such as ${DEFAULT_URL[command]}`,
    );
  }
  return { command, url };
}

function commandOf(commands: readonly string[]): Command {
  const [name = 'run', ...rest] = commands;
  const known = Object.keys(COMMANDS);
  if (!known.includes(name)) {
    const near = nearest(name, known);
    throw usage(
      `unknown command ${readable(name)}${near ? `, did you mean ${near}?` : `; commands: ${known.join(', ')}`}`,
    );
  }
  // `help status` is as good as `help`.
  if (rest.length > 0 && name !== 'help')
    throw usage(`unexpected argument ${readable(rest[0]!)} behind ${name}`);
  return name as Command;
}

/** Splits the command line; refuses options nobody knows and options without their value. */
function collect(argv: readonly string[]): Given {
  // Not strict: its own messages cannot suggest anything, and a boolean could not stand alone or take a value.
  const { tokens } = parseArgs({
    args: [...argv],
    options: optionTypes(),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const commands: string[] = [];
  const options = new Map<string, string>();
  /** A boolean setting that stood alone takes `true` or `false` when that comes next. */
  let alone: string | undefined;
  for (const token of tokens) {
    const waiting = alone;
    alone = undefined;
    if (token.kind === 'positional') {
      if (waiting !== undefined && (token.value === 'true' || token.value === 'false')) {
        options.set(waiting, token.value);
      } else commands.push(token.value);
    } else if (token.kind === 'option') {
      const { name, value } = token;
      if (!isKnown(name)) throw unknownOption(token.rawName);
      if (Object.hasOwn(PLAIN_OPTIONS, name)) {
        if (value !== undefined) throw usage(`${token.rawName} takes no value`);
        options.set(name, '');
      } else if (isBoolean(name)) {
        options.set(name, value ?? 'true');
        if (value === undefined) alone = name;
      } else {
        const missing = value === undefined || (!token.inlineValue && /^-[^\d]/.test(value));
        if (missing || (name === 'config' && value === '')) throw usage(`${token.rawName} needs a value`);
        options.set(name, value);
      }
    }
  }
  return { commands, options };
}

function optionTypes(): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  const types: Record<string, { type: 'string' | 'boolean'; short?: string }> = {};
  for (const name of VALUE_OPTIONS) types[name] = { type: 'string' };
  for (const [name, short] of Object.entries(PLAIN_OPTIONS)) types[name] = { type: 'boolean', short };
  for (const setting of SETTINGS) {
    types[settingName(setting)] = { type: setting.kind === 'boolean' ? 'boolean' : 'string' };
  }
  return types;
}

function knownOptions(): string[] {
  return [...SETTINGS.map(settingName), ...VALUE_OPTIONS, ...Object.keys(PLAIN_OPTIONS)];
}

function isKnown(name: string): boolean {
  return knownOptions().includes(name);
}

function isBoolean(name: string): boolean {
  return findSetting(name)?.kind === 'boolean';
}

function unknownOption(rawName: string): FatalError {
  const near = nearest(rawName.replace(/^-+/, ''), knownOptions());
  return usage(`unknown option ${readable(rawName)}${near ? `, did you mean --${near}?` : ''}`);
}

function readable(text: string): string {
  return cut(printable(text));
}

function usage(message: string): FatalError {
  return new FatalError(EXIT.usage, `${message}\nhoneybee-core help lists every command and option`);
}
