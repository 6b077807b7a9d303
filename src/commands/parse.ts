/**
 * The grammar of commands, as somebody gives them to Core: over REST, over the backend conversation.
 *
 *   command:   unit | { name: body }                        exactly one name
 *   unit:      "GetInstalledPots" | "Restart" | "UpdateConfig", also { unit: {} } and { unit: null }
 *   pot:       { "DeployPot" | "StopPot" | "RestartPot" | "GetPotStatus" | "GetPotLogs" | "GetPotMetrics" | "GetPotInfo": pot id }
 *   install:   { "InstallPot": { pot_id, honeypot_type, git_url?, git_branch?, config? {name: text}, auto_start } }
 *
 * A field that is not in the grammar is refused by its name: a mistyped `autostart` that is dropped in silence would start
 * a pot nobody wanted started. Owned by main; pure; never throws for input.
 */
import { LIMITS } from '../limits.js';
import {
  COMMAND_NAMES,
  type Command,
  commandJson,
  type InstallPot,
  isPotCommandName,
  isUnitName,
} from './command.js';

/** `field` is a path from `command` on: `command.InstallPot.pot_id`. */
export type ParsedCommand =
  | { readonly ok: true; readonly command: Command; readonly json: string }
  | { readonly ok: false; readonly field: string; readonly reason: string };

const PATH_LENGTH = 2048;
const INSTALL_FIELDS = ['pot_id', 'honeypot_type', 'git_url', 'git_branch', 'config', 'auto_start'];

/** Carries the field that is wrong out of the grammar; caught in parseCommand. */
class Wrong extends Error {
  readonly field: string;
  constructor(field: string, reason: string) {
    super(reason);
    this.field = field;
  }
}

export function parseCommand(value: unknown): ParsedCommand {
  try {
    const command = read(value);
    const json = commandJson(command);
    if (Buffer.byteLength(json) > LIMITS.commandBytes)
      return wrong(`command.${command.name}`, `is larger than ${LIMITS.commandBytes} bytes`);
    return { ok: true, command, json };
  } catch (error) {
    if (error instanceof Wrong) return wrong(error.field, error.message);
    throw error;
  }
}

function wrong(field: string, reason: string): ParsedCommand {
  return { ok: false, field, reason };
}

function read(value: unknown): Command {
  if (typeof value === 'string') {
    if (isUnitName(value)) return { name: value };
    throw new Wrong(
      'command',
      isKnown(value) ? `${value} needs its fields: {"${value}": ...}` : unknownName(value),
    );
  }
  if (!isObject(value)) throw new Wrong('command', 'is neither an object nor the name of a command');
  const names = Object.keys(value);
  const name = names[0];
  if (name === undefined || names.length > 1)
    throw new Wrong('command', `holds ${names.length} names instead of one`);
  const field = `command.${shown(name)}`;
  const body = value[name];
  if (isUnitName(name)) {
    const extra = isObject(body) ? Object.keys(body)[0] : undefined;
    if (extra !== undefined) throw new Wrong(`${field}.${shown(extra)}`, 'is not a field of this command');
    if (body !== null && !isObject(body)) throw new Wrong(field, 'has no fields: {} or null is expected');
    return { name };
  }
  if (isPotCommandName(name)) return { name, potId: text(field, body, 1, LIMITS.potFieldLength) };
  if (name === 'InstallPot') return { name, install: readInstall(field, body) };
  throw new Wrong('command', unknownName(name));
}

function readInstall(field: string, body: unknown): InstallPot {
  if (!isObject(body)) throw new Wrong(field, 'is not an object');
  const extra = Object.keys(body).find((name) => !INSTALL_FIELDS.includes(name));
  if (extra !== undefined) throw new Wrong(`${field}.${shown(extra)}`, 'is not a field of this command');
  const own = (name: string): unknown => (Object.hasOwn(body, name) ? body[name] : undefined);
  const autoStart = own('auto_start');
  const install = {
    potId: text(`${field}.pot_id`, own('pot_id'), 1, LIMITS.potFieldLength),
    honeypotType: text(`${field}.honeypot_type`, own('honeypot_type'), 1, LIMITS.potFieldLength),
    gitUrl: gitArgument(`${field}.git_url`, own('git_url'), PATH_LENGTH),
    gitBranch: gitArgument(`${field}.git_branch`, own('git_branch'), LIMITS.potFieldLength),
    config: readConfig(`${field}.config`, own('config')),
  };
  if (autoStart === undefined) throw new Wrong(`${field}.auto_start`, 'is missing');
  if (typeof autoStart !== 'boolean') throw new Wrong(`${field}.auto_start`, 'is not true or false');
  return { ...install, autoStart };
}

/** Nodes hand it to git, where a leading dash would make it an option. */
function gitArgument(field: string, value: unknown, maxLength: number): string | null {
  if (value === undefined || value === null) return null;
  const found = text(field, value, 1, maxLength);
  if (found.startsWith('-')) throw new Wrong(field, 'must not start with a dash');
  return found;
}

function readConfig(field: string, value: unknown): ReadonlyMap<string, string> | null {
  if (value === undefined || value === null) return null;
  if (!isObject(value)) throw new Wrong(field, 'is not an object of texts');
  return new Map(
    Object.entries(value).map(([name, entry]) => {
      text(field, name, 1, LIMITS.potFieldLength, 'has a name that');
      return [name, text(`${field}.${shown(name)}`, entry, 0, LIMITS.commandBytes)];
    }),
  );
}

/** `whose` starts the reason where the text is not the value of the field itself. */
function text(field: string, value: unknown, minLength: number, maxLength: number, whose = ''): string {
  const refuse = (reason: string): Wrong => new Wrong(field, `${whose} ${reason}`.trim());
  if (value === undefined) throw refuse('is missing');
  if (typeof value !== 'string') throw refuse('is not a text');
  if (value.length < minLength) throw refuse('is empty');
  if (value.length > maxLength) throw refuse(`is longer than ${maxLength} characters`);
  // It would reach the node as another text than the one that was asked for.
  if (Buffer.from(value, 'utf8').toString('utf8') !== value) throw refuse('is not valid Unicode');
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isKnown(name: string): boolean {
  return (COMMAND_NAMES as readonly string[]).includes(name);
}

function unknownName(name: string): string {
  return `${shown(name)} is not a command; there are ${COMMAND_NAMES.join(', ')}`;
}

/** A name that somebody chose, for a message: short, and nothing but plain characters. */
function shown(name: string): string {
  const plain = name.replace(/[^\x21-\x7e]/g, '?');
  return plain.length > 64 ? `${plain.slice(0, 64)}...` : plain;
}
