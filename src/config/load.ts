/**
 * From file, environment and flags to one complete configuration, or to a list of everything that is wrong with
 * them. Each layer overrides the one before; a mistake in a layer is reported even where a later one overrides it.
 *
 * Owned by main, called once at start.
 */
import { resolve } from 'node:path';
import { EXIT, FatalError } from '../errors.js';
import type { Config } from './config.js';
import { readOrCreate, readOrDefaults } from './file.js';
import { nearest } from './nearest.js';
import { type Conflict, conflicts } from './rules.js';
import type { Setting, SettingValue } from './setting.js';
import {
  environmentName,
  findSetting,
  isSection,
  SECTIONS,
  SETTINGS,
  type SettingName,
  settingName,
  settingsOf,
} from './settings.js';
import { lineOf, linesOf, readToml, type TomlDocument, TomlSyntaxError } from './toml.js';
import {
  allowed,
  type Checked,
  checkArgument,
  checkToml,
  cut,
  printable,
  show,
  showToml,
  typeName,
} from './values.js';

export const DEFAULT_FILE = 'bee_config.toml';

/** Variables of ours that are no settings: secrets have no place in a file of settings, or among arguments. */
const SECRET_NAMES = new Set(['HONEYBEE_SECRET_KEY', 'HONEYBEE_TOKEN']);

/** Problems listed before the rest is only counted. */
const listedProblems = 40;

export interface Sources {
  /** Path of the file; {@link DEFAULT_FILE} in the current folder when absent. */
  readonly file?: string | undefined;
  /** The operator named the file. */
  readonly explicit: boolean;
  /** Write the file with all defaults where there is none; true unless said otherwise. */
  readonly create?: boolean;
  readonly env: NodeJS.ProcessEnv;
  /** By setting name: `server.node_port`. */
  readonly flags: Readonly<Record<string, string>>;
}

export interface Loaded {
  readonly config: Config;
  /** Absolute path of the file. */
  readonly file: string;
  /** The file was not there and has been written. */
  readonly created: boolean;
  /** For the log: what the operator may want to know and what is no reason not to start. */
  readonly notes: readonly string[];
}

/** @throws {FatalError} with {@link EXIT.config}; the message has one line per problem. */
export function loadConfig(sources: Sources): Loaded {
  const path = sources.file ?? DEFAULT_FILE;
  const layers = new Layers();
  const notes: string[] = [];

  const file = sources.create === false ? readOrDefaults(path) : readOrCreate(path);
  if (file.kind === 'absent') {
    if (sources.explicit)
      throw new FatalError(EXIT.config, `${printable(path)}, named by --config, is not there`);
  } else if (file.kind === 'missing') {
    const who = sources.explicit ? 'named by --config' : 'looked for in the current folder';
    notes.push(
      `${printable(path)}, ${who}, is not there and cannot be written (${file.reason}): running on defaults`,
    );
  } else {
    readFileLayer(layers, file.text, printable(path));
  }
  readEnvironmentLayer(layers, sources.env, notes);
  readFlagLayer(layers, sources.flags);

  const config = layers.config();
  for (const conflict of conflicts(config)) layers.refuse(conflict);
  if (layers.problems.length > 0) throw new FatalError(EXIT.config, describe(layers.problems));
  return { config: absolute(config), file: resolve(path), created: file.kind === 'created', notes };
}

/** The values in force, where each comes from, and what is wrong. */
class Layers {
  readonly problems: string[] = [];
  readonly #values = new Map<SettingName, SettingValue>();
  /** Absent: the default. A later layer counts as stronger. */
  readonly #origins = new Map<SettingName, { where: string; strength: number }>();
  readonly #wrong = new Set<SettingName>();
  #strength = 0;

  /** `found` is the value as it is written in messages. */
  take(setting: Setting, checked: Checked, found: string, where: string): void {
    const name = settingName(setting);
    this.#origins.set(name, { where, strength: ++this.#strength });
    if (checked.ok) {
      this.#values.set(name, checked.value);
      return;
    }
    this.#wrong.add(name);
    this.problems.push(`${where}: ${name} = ${found} ${checked.reason}; allowed: ${allowed(setting)}`);
  }

  /** Said at the setting that was set last, with the others beside it. */
  refuse({ settings, given = [], reason, allowed: wanted }: Conflict): void {
    // One that is wrong by itself has been replaced by its default, and the conflict may be none.
    if ([...settings, ...given].some((name) => this.#wrong.has(name))) return;
    const strength = (name: SettingName) => this.#origins.get(name)?.strength ?? 0;
    const [head, ...others] = [...settings].sort((a, b) => strength(b) - strength(a));
    const where = this.#origins.get(head!)?.where ?? 'default';
    const beside = others.map(
      (name) => `${this.#show(name)} (${this.#origins.get(name)?.where ?? 'default'})`,
    );
    this.problems.push(
      `${where}: ${this.#show(head!)} with ${beside.join(' and ')}: ${reason}; allowed: ${wanted}`,
    );
  }

  #show(name: SettingName): string {
    return `${name} = ${show(this.#values.get(name) ?? findSetting(name)?.default)}`;
  }

  config(): Config {
    const sections = Object.keys(SECTIONS).map((section) => {
      const entries = settingsOf(section).map((setting) => {
        return [setting.key, this.#values.get(settingName(setting)) ?? setting.default] as const;
      });
      return [section, Object.freeze(Object.fromEntries(entries))] as const;
    });
    // The table is held against Config by the compiler, see settings.ts.
    return Object.freeze(Object.fromEntries(sections)) as unknown as Config;
  }
}

function readFileLayer(layers: Layers, text: string, path: string): void {
  let document: TomlDocument;
  try {
    document = readToml(text);
  } catch (error) {
    const place = error instanceof TomlSyntaxError ? `${path}:${error.line}:${error.column}` : path;
    layers.problems.push(
      `${place}: not valid TOML: ${printable(error instanceof Error ? error.message : String(error))}`,
    );
    return;
  }
  const at = (...keys: string[]) => {
    const line = lineOf(document, keys);
    return line === undefined ? path : `${path}:${line}`;
  };
  for (const [section, content] of Object.entries(document.table)) {
    if (section === 'database') {
      layers.problems.push(mongo(at(section), '[database]', linesOf(document, [section])));
    } else if (!isSection(section)) {
      layers.problems.push(unknownSection(at(section), section, content));
    } else if (!isTable(content)) {
      layers.problems.push(
        `${at(section)}: ${section} = ${showToml(content)} is ${typeName(content)}; allowed: a section, [${section}]`,
      );
    } else {
      for (const [key, value] of Object.entries(content)) {
        const where = at(section, key);
        const setting = findSetting(`${section}.${key}`);
        if (setting) layers.take(setting, checkToml(setting, value), showToml(value), where);
        else if (section === 'logging' && key === 'mongodb') {
          layers.problems.push(mongo(where, 'logging.mongodb', linesOf(document, [section, key])));
        } else layers.problems.push(unknownKey(where, section, key, value));
      }
    }
  }
}

function isTable(content: unknown): content is Record<string, unknown> {
  return (
    typeof content === 'object' && content !== null && !Array.isArray(content) && !(content instanceof Date)
  );
}

function mongo(where: string, what: string, lines: string): string {
  const remove = /[-,]/.test(lines) ? `lines ${lines}` : 'this line';
  return `${where}: ${what}: Core does not log to MongoDB (its log goes to [logging], events to [storage]); remove ${remove}`;
}

function unknownSection(where: string, section: string, content: unknown): string {
  const sections = Object.keys(SECTIONS);
  const list = `allowed: ${sections.map((name) => `[${name}]`).join(', ')}`;
  if (isTable(content) || Array.isArray(content)) {
    const near = nearest(section, sections);
    return `${where}: [${readable(section)}] is an unknown section${near ? `, did you mean [${near}]?` : ''}; ${list}`;
  }
  const near = nearest(section, SETTINGS.map(settingName));
  const hint = near ? `, did you mean ${near}?` : '';
  return `${where}: ${readable(section)} = ${showToml(content)} is an unknown key outside every section${hint}; ${list}`;
}

function unknownKey(where: string, section: string, key: string, value: unknown): string {
  const keys = settingsOf(section).map((setting) => setting.key);
  const near = nearest(key, keys);
  const elsewhere = near ?? nearest(key, SETTINGS.map(settingName));
  const hint = elsewhere ? `, did you mean ${near ? `${section}.${near}` : elsewhere}?` : '';
  return `${where}: ${section}.${readable(key)} = ${showToml(value)} is an unknown key${hint}; allowed in [${section}]: ${keys.join(', ')}`;
}

function readEnvironmentLayer(layers: Layers, env: NodeJS.ProcessEnv, notes: string[]): void {
  const names = new Set<string>();
  for (const setting of SETTINGS) {
    const name = environmentName(setting);
    names.add(name);
    const text = env[name];
    if (text !== undefined) layers.take(setting, checkArgument(setting, text), quoted(setting, text), name);
  }
  // No reason not to start: container platforms put variables of their own into the environment.
  for (const name of Object.keys(env)) {
    if (!name.startsWith('HONEYBEE_') || names.has(name) || SECRET_NAMES.has(name)) continue;
    const near = nearest(name, names);
    const inSection = Object.keys(SECTIONS).some((section) =>
      name.startsWith(`HONEYBEE_${section.toUpperCase()}_`),
    );
    if (!near && !inSection) continue;
    notes.push(`${readable(name)} is no setting and has no effect${near ? `, did you mean ${near}?` : ''}`);
  }
}

function readFlagLayer(layers: Layers, flags: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(flags)) {
    const setting = findSetting(name);
    if (setting) layers.take(setting, checkArgument(setting, text), quoted(setting, text), `--${name}`);
    else layers.problems.push(`--${readable(name)}: no such setting`);
  }
}

/** Text for an integer or a boolean is shown bare, as it would stand in the file, unless it is none. */
function quoted(setting: Setting, text: string): string {
  const bare = (setting.kind === 'integer' || setting.kind === 'boolean') && /^[+-]?\w+$/.test(text);
  return bare ? cut(text) : show(text);
}

function readable(name: string): string {
  return cut(printable(name));
}

function describe(problems: readonly string[]): string {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  const listed = problems.slice(0, listedProblems).map((problem) => `  ${problem}`);
  if (problems.length > listedProblems) listed.push(`  and ${problems.length - listedProblems} more`);
  return [`the configuration has ${count}:`, ...listed].join('\n');
}

/** Threads and later calls must not depend on what the current folder is then. */
function absolute(config: Config): Config {
  const { logging, storage, auth, tls } = config;
  return Object.freeze({
    ...config,
    logging: Object.freeze({ ...logging, folder: absolutePath(logging.folder) }),
    storage: Object.freeze({
      ...storage,
      dir: resolve(storage.dir),
      signing_key_file: absolutePath(storage.signing_key_file),
    }),
    auth: Object.freeze({ ...auth, key_file: absolutePath(auth.key_file) }),
    tls: Object.freeze({
      ...tls,
      cert_file: absolutePath(tls.cert_file),
      key_file: absolutePath(tls.key_file),
      ca_file: absolutePath(tls.ca_file),
      crl_file: absolutePath(tls.crl_file),
    }),
  });
}

function absolutePath(path: string): string {
  return path === '' ? '' : resolve(path);
}
