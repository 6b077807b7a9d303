/**
 * The command line: which command, and what it is told. Values of settings stay text here; `config/load.ts` checks them
 * together with the file and the environment, so that all mistakes are reported at once.
 *
 * Pure; nothing is read or written.
 */
import { ROLES, type Role } from '../access/principal.js';
import { nearest } from '../config/nearest.js';
import { type DeadLetterAction, deadLetterAction } from './deadletter-arguments.js';
import { type LogAction, logAction } from './log-arguments.js';
import {
  COMMANDS,
  type Command,
  checkOptions,
  type Given,
  isOption,
  readable,
  splitArguments,
  usage,
} from './options.js';
import { streamQuery } from './stream-arguments.js';
import { parseDuration, parseExpiry } from './times.js';

/** Where the configuration is: for Core itself, and for what looks for the data directory. */
export interface ConfigArguments {
  /** The file named by `--config`. */
  readonly config?: string;
  /** By setting name, unchecked: `{ 'server.node_port': '0' }`. */
  readonly flags: Readonly<Record<string, string>>;
}

export interface RunArguments extends ConfigArguments {
  readonly command: 'run';
}

/** Commands that talk to a Core that is running. */
export interface StatusArguments extends ConfigArguments {
  readonly command: 'status';
  /** Absent: the Core of this machine. */
  readonly url?: string;
  readonly tokenFile?: string;
}

export interface TailArguments {
  readonly command: 'tail';
  readonly url: string;
  readonly tokenFile?: string;
  /** Parameters of the WebSocket: where to start, and a filter. Absent where there are none. */
  readonly query?: readonly (readonly [name: string, value: string])[];
}

export interface LedgerArguments extends ConfigArguments {
  readonly command: 'ledger';
  /** Pattern of names, or an id. */
  readonly node?: string;
  readonly json: boolean;
}

export type TokenAction =
  | {
      readonly do: 'create';
      readonly name: string;
      readonly roles: readonly Role[];
      /** As `parseExpiry` takes it. */
      readonly expires?: string;
      readonly nodes?: string;
      readonly eventTypes: readonly string[];
    }
  | { readonly do: 'list' }
  | { readonly do: 'revoke'; readonly id: string };

export interface TokenArguments extends ConfigArguments {
  readonly command: 'token';
  readonly action: TokenAction;
  readonly json: boolean;
}

export type EnrollAction =
  | { readonly do: 'enroll' | 'rotate' | 'revoke'; readonly name: string }
  | { readonly do: 'open'; readonly seconds: number }
  | { readonly do: 'list' | 'close' };

export interface EnrollArguments extends ConfigArguments {
  readonly command: 'enroll';
  readonly action: EnrollAction;
  readonly json: boolean;
}

export interface DeadLetterArguments extends ConfigArguments {
  readonly command: 'deadletter';
  readonly action: DeadLetterAction;
  readonly json: boolean;
}

export interface LogArguments extends ConfigArguments {
  readonly command: 'log';
  readonly action: LogAction;
  /** A data directory, or the log's folder itself; absent: that of the configuration. */
  readonly dir?: string;
  readonly json: boolean;
}

export interface PlainArguments {
  readonly command: 'help' | 'version';
}

export type Arguments =
  | RunArguments
  | StatusArguments
  | TailArguments
  | LedgerArguments
  | TokenArguments
  | EnrollArguments
  | DeadLetterArguments
  | LogArguments
  | PlainArguments;

export const DEFAULT_URL = { status: 'http://127.0.0.1:9002', tail: 'ws://127.0.0.1:9003' } as const;

const PROTOCOLS = { status: ['http:', 'https:'], tail: ['ws:', 'wss:'] } as const;

/** Commands that have words behind them. */
const WITH_WORDS: readonly Command[] = ['token', 'enroll', 'log', 'deadletter'];

/** @throws {FatalError} with {@link EXIT.usage} */
export function parseArguments(argv: readonly string[]): Arguments {
  const given = splitArguments(argv);
  if (given.options.has('help')) return { command: 'help' };
  if (given.options.has('version')) return { command: 'version' };
  const command = commandOf(given.words);
  // `help status` is as good as `help`.
  if (command === 'help' || command === 'version') {
    if (command === 'version') noMoreWords(given, 1);
    return { command };
  }
  if (!WITH_WORDS.includes(command)) noMoreWords(given, 1);
  checkOptions(command, given);
  switch (command) {
    case 'run':
      return { command, ...configOf(given) };
    case 'status':
      return status(given);
    case 'tail':
      return {
        command,
        url: urlOf('tail', given) ?? DEFAULT_URL.tail,
        ...tokenFileOf(given),
        ...streamQuery(given, Date.now()),
      };
    case 'ledger': {
      const node = lastOf(given, 'node');
      const json = given.options.has('json');
      return { command, json, ...(node === undefined ? {} : { node }), ...configOf(given) };
    }
    case 'token':
      return { command, action: tokenAction(given), json: given.options.has('json'), ...configOf(given) };
    case 'enroll':
      return { command, action: enrollAction(given), json: given.options.has('json'), ...configOf(given) };
    case 'deadletter':
      return {
        command,
        action: deadLetterAction(given),
        json: given.options.has('json'),
        ...configOf(given),
      };
    case 'log':
      return log(given);
  }
}

function status(given: Given): StatusArguments {
  const url = urlOf('status', given);
  const { config, flags } = configOf(given);
  const local = config === undefined ? Object.keys(flags)[0] : 'config';
  if (url !== undefined && local !== undefined)
    throw usage(`--url asks a Core anywhere, --${local} finds the one of this machine: one of the two`);
  return {
    command: 'status',
    flags,
    ...(config === undefined ? {} : { config }),
    ...(url === undefined ? {} : { url }),
    ...tokenFileOf(given),
  };
}

function tokenAction(given: Given): TokenAction {
  const [, verb, id] = given.words;
  const verbs = ['create', 'list', 'revoke'];
  if (verb === undefined) throw usage('token needs one of create, list, revoke');
  const unwanted = ['name', 'role', 'expires', 'nodes', 'event-type'].find((name) => given.options.has(name));
  if (verb !== 'create' && verbs.includes(verb) && unwanted !== undefined)
    throw usage(`--${unwanted} belongs to token create`);
  switch (verb) {
    case 'create':
      noMoreWords(given, 2);
      return newToken(given);
    case 'list':
      noMoreWords(given, 2);
      return { do: 'list' };
    case 'revoke':
      if (id === undefined) throw usage('token revoke needs the id of a token; token list shows them');
      noMoreWords(given, 3);
      // Never repeated: it may be the whole token.
      if (!/^[a-z2-7]{8}$/.test(id)) throw usage('token revoke takes the id alone, 8 letters and digits');
      return { do: 'revoke', id };
    default: {
      const near = nearest(verb, verbs);
      throw usage(
        `unknown: token ${readable(verb)}${near ? `, did you mean ${near}?` : `; one of ${verbs.join(', ')}`}`,
      );
    }
  }
}

function newToken(given: Given): TokenAction {
  const name = lastOf(given, 'name');
  if (name === undefined) throw usage('token create needs --name NAME: what the token is for');
  const roles = given.options.get('role') ?? [];
  if (roles.length === 0) throw usage(`token create needs --role ROLE, one of ${ROLES.join(', ')}`);
  for (const role of roles) {
    if (isRole(role)) continue;
    const near = nearest(role, ROLES);
    throw usage(
      `--role ${readable(role)} is no role${near ? `, did you mean ${near}?` : ''}; roles: ${ROLES.join(', ')}`,
    );
  }
  const expires = lastOf(given, 'expires');
  if (expires !== undefined && parseExpiry(expires, Date.now()) === undefined)
    throw usage(
      `--expires ${readable(expires)} is neither a time such as 30d or 12h nor a day such as 2027-01-01`,
    );
  const nodes = lastOf(given, 'nodes');
  return {
    do: 'create',
    name,
    roles: [...new Set(roles.filter(isRole))],
    eventTypes: given.options.get('event-type') ?? [],
    ...(expires === undefined ? {} : { expires }),
    ...(nodes === undefined ? {} : { nodes }),
  };
}

function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}

function enrollAction(given: Given): EnrollAction {
  const actions: EnrollAction[] = [];
  const [, name] = given.words;
  noMoreWords(given, 2);
  if (name !== undefined) actions.push({ do: 'enroll', name });
  for (const option of ['rotate', 'revoke'] as const) {
    const other = lastOf(given, option);
    if (other !== undefined) actions.push({ do: option, name: other });
  }
  const open = lastOf(given, 'open');
  if (open !== undefined) {
    const seconds = parseDuration(open);
    if (seconds === undefined) throw usage(`--open ${readable(open)} is no time such as 10m or 2h`);
    actions.push({ do: 'open', seconds });
  }
  for (const option of ['list', 'close'] as const)
    if (given.options.has(option)) actions.push({ do: option });
  const [action, another] = actions;
  if (action === undefined || another !== undefined)
    throw usage('enroll needs one of NAME, --list, --rotate NAME, --revoke NAME, --open TIME, --close');
  return action;
}

function log(given: Given): LogArguments {
  noMoreWords(given, 2);
  const dir = lastOf(given, 'dir');
  const { config, flags } = configOf(given);
  if (dir !== undefined && flags['storage.dir'] !== undefined)
    throw usage('--dir and --storage.dir say the same: one of the two');
  return {
    command: 'log',
    action: logAction(given, Date.now()),
    json: given.options.has('json'),
    flags,
    ...(config === undefined ? {} : { config }),
    ...(dir === undefined ? {} : { dir }),
  };
}

function configOf({ options }: Given): ConfigArguments {
  const config = options.get('config')?.at(-1);
  const flags: Record<string, string> = {};
  for (const [name, values] of options) if (!isOption(name)) flags[name] = values.at(-1)!;
  return { flags, ...(config === undefined ? {} : { config }) };
}

function tokenFileOf(given: Given): { tokenFile?: string } {
  const tokenFile = lastOf(given, 'token-file');
  return tokenFile === undefined ? {} : { tokenFile };
}

function urlOf(command: 'status' | 'tail', given: Given): string | undefined {
  const url = lastOf(given, 'url');
  if (url === undefined) return undefined;
  const protocols: readonly string[] = PROTOCOLS[command];
  if (!URL.canParse(url) || !protocols.includes(new URL(url).protocol)) {
    const wanted = protocols.map((protocol) => `${protocol}//`).join(' or ');
    throw usage(
      `--url ${readable(url)} is no URL that starts with ${wanted}, such as ${DEFAULT_URL[command]}`,
    );
  }
  return url;
}

function lastOf({ options }: Given, name: string): string | undefined {
  return options.get(name)?.at(-1);
}

function commandOf([name = 'run']: readonly string[]): Command {
  const known = Object.keys(COMMANDS);
  if (known.includes(name)) return name as Command;
  const near = nearest(name, known);
  throw usage(
    `unknown command ${readable(name)}${near ? `, did you mean ${near}?` : `; commands: ${known.join(', ')}`}`,
  );
}

function noMoreWords({ words }: Given, count: number): void {
  if (words.length > count)
    throw usage(`unexpected argument ${readable(words[count]!)} behind ${words.slice(0, count).join(' ')}`);
}
