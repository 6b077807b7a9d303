/**
 * What a frame is, said a second time and in another way: TextDecoder for the encoding, JSON.parse for the grammar,
 * then the rules of Protocol v2 over an outline of the text. Slow, plain, and without a line of the code it judges;
 * only constants are shared. The tests hold the frame reader, the scanner and its twin against it.
 */
import type { ErrorCode } from '../src/errors.js';
import { LIMITS } from '../src/limits.js';

export type KindName =
  | 'potEvent'
  | 'compiledPotEvent'
  | 'legacyPotEvent'
  | 'nodeRegistration'
  | 'nodeStatusUpdate'
  | 'potStatusUpdate'
  | 'nodeEvent'
  | 'nodeDrop';

export interface Accepted {
  readonly kind: KindName;
  /** The digits, where the frame says whose it is: in the message, or in the envelope of one that has no id. */
  readonly nodeId: string | undefined;
  /** A unit value was spelt as a bare string. */
  readonly bareString: boolean;
  /** A documented event that names its pot's type: what a scanner may pass on without the reader. */
  readonly complete: boolean;
  /** Such an event, spelt in a way that the fast scanner leaves to the reader. */
  readonly unusual: boolean;
}

export type Verdict = Accepted | { readonly kind: 'refused'; readonly code: ErrorCode };

interface Value {
  readonly type: 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array';
  readonly start: number;
  end: number;
  readonly entries: { readonly rawKey: string; readonly key: string; readonly value: Value }[];
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const MESSAGES = [
  'NodeRegistration',
  'NodeStatusUpdate',
  'PotStatusUpdate',
  'PotEvent',
  'NodeEvent',
  'NodeDrop',
];
const FIELDS_OF_EVENT = ['node_id', 'pot_id', 'pot_type', 'event_type', 'timestamp', 'data'];
const OTHER_FIELDS = [
  'node_name',
  'address',
  'port',
  'node_type',
  'totp_code',
  'status',
  'message',
  'event',
  'metadata',
  'type',
  'description',
];
const EVENT_TYPES = ['Started', 'Stopped', 'Alarm', 'Error'];

export function judge(bytes: Uint8Array): Verdict {
  let text: string;
  try {
    text = decoder.decode(bytes);
    JSON.parse(text);
  } catch {
    return refused('MESSAGE_PARSE_FAILED');
  }
  const { root, deepest } = outline(text);
  return new Judge(text).frame(root, deepest);
}

/** Digits of a node id: 1 to 2^64-1, nothing else. */
export function isId(digits: string): boolean {
  return /^[1-9]\d*$/.test(digits) && BigInt(digits) <= 2n ** 64n - 1n;
}

export function isIsoTime(text: string): boolean {
  const match = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:Z|[+-](\d\d):?(\d\d))?$/.exec(
    text,
  );
  if (match === null) return false;
  const [year, month, day, hour, minute, second, zoneHour, zoneMinute] = match
    .slice(1)
    .map((part) => Number(part ?? 0));
  const date = new Date(0);
  date.setUTCFullYear(year!, month! - 1, day!);
  const exists =
    date.getUTCFullYear() === year && date.getUTCMonth() === month! - 1 && date.getUTCDate() === day;
  return exists && hour! <= 23 && minute! <= 59 && second! <= 60 && zoneHour! <= 23 && zoneMinute! <= 59;
}

export function isUnixSeconds(raw: string): boolean {
  const whole = raw.split('.')[0]!;
  return /^\d+(\.\d+)?$/.test(raw) && BigInt(whole) < BigInt(Date.UTC(10_000, 0, 1) / 1000);
}

function refused(code: ErrorCode): Verdict {
  return { kind: 'refused', code };
}

const WRONG = refused('INVALID_MESSAGE_FORMAT');

class Judge {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  frame(root: Value, deepest: number): Verdict {
    if (root.type !== 'object' || deepest > LIMITS.nestingDepth) return WRONG;
    const versions = values(root, 'version');
    const messages = values(root, 'message');
    // A repeated field anywhere is judged before the version is.
    const owners = values(root, 'node_id');
    if (versions.length > 1 || messages.length > 1 || owners.length > 1) return WRONG;
    const [version] = versions;
    const [message] = messages;
    const bodies = message?.type === 'object' ? message.entries : [];
    const names = bodies
      .filter(({ value: body }) => body.type === 'object')
      .flatMap(({ value: body }) => body.entries.map((entry) => entry.key))
      .filter((name) => FIELDS_OF_EVENT.includes(name) || OTHER_FIELDS.includes(name));
    if (new Set(names).size < names.length) return WRONG;
    if (version?.type !== 'number') return WRONG;
    if (this.#value(version) !== 2) return refused('PROTOCOL_VERSION_MISMATCH');
    const [owner] = owners;
    if (owner !== undefined && owner.type !== 'number') return WRONG;
    const ownerId = owner && this.#raw(owner);
    if (ownerId !== undefined && !isId(ownerId)) return refused('INVALID_NODE_ID');
    if (message?.type === 'string') {
      if (this.#value(message) !== 'NodeDrop') return WRONG;
      return accepted('nodeDrop', { bareString: true, nodeId: ownerId });
    }
    const [only] = bodies;
    if (bodies.length !== 1 || only === undefined || !MESSAGES.includes(only.key)) return WRONG;
    const { value: body } = only;
    if (only.key === 'NodeDrop') {
      return body.type === 'object' || body.type === 'null'
        ? accepted('nodeDrop', { nodeId: ownerId })
        : WRONG;
    }
    if (only.key === 'NodeEvent') {
      const verdict = this.#nodeEvent(body);
      return verdict.kind === 'refused' ? verdict : { ...verdict, nodeId: ownerId };
    }
    if (body.type !== 'object') return WRONG;
    const id = field(body, 'node_id');
    if (id?.type !== 'number') return WRONG;
    const nodeId = this.#raw(id);
    if (!isId(nodeId) || (ownerId ?? nodeId) !== nodeId) return refused('INVALID_NODE_ID');
    const kind = this.#kind(only.key, body);
    if (kind === undefined) return WRONG;
    const complete = kind === 'potEvent' && field(body, 'pot_type') !== undefined;
    const rawKeys = [root, message!, body].flatMap((object) => object.entries.map((entry) => entry.rawKey));
    const unusual =
      complete &&
      (rawKeys.some((key) => key.includes('\\')) ||
        owner !== undefined ||
        this.#raw(version) !== '2' ||
        this.#raw(field(body, 'timestamp')!).includes('\\') ||
        body.entries.filter((entry) => OTHER_FIELDS.includes(entry.key)).length > 1);
    return accepted(kind, { nodeId, complete, unusual });
  }

  /** What a message with a node id is, or undefined where a field of it is missing or wrong. */
  #kind(message: string, body: Value): KindName | undefined {
    const text = (name: string) => this.#string(field(body, name));
    switch (message) {
      case 'NodeRegistration': {
        const nameLength = Array.from(text('node_name') ?? '').length;
        const port = field(body, 'port');
        const good =
          nameLength >= 1 &&
          nameLength <= 255 &&
          text('address') !== undefined &&
          port?.type === 'number' &&
          /^\d+$/.test(this.#raw(port)) &&
          Number(this.#raw(port)) < 65_536 &&
          ['Full', 'Agent'].includes(text('node_type') ?? '') &&
          this.#isOptionalString(field(body, 'totp_code'));
        return good ? 'nodeRegistration' : undefined;
      }
      case 'NodeStatusUpdate':
        return ['Connected', 'Deploying', 'Running', 'Stopped', 'Failed', 'Unknown'].includes(
          text('status') ?? '',
        )
          ? 'nodeStatusUpdate'
          : undefined;
      case 'PotStatusUpdate': {
        if (text('pot_id') === undefined || text('pot_type') === undefined) return undefined;
        if (!this.#isOptionalString(field(body, 'message'))) return undefined;
        const status = text('status');
        if (status === '') return 'legacyPotEvent';
        return ['Installing', 'Running', 'Stopped', 'Failed'].includes(status ?? '')
          ? 'potStatusUpdate'
          : undefined;
      }
      default:
        return this.#potEvent(body);
    }
  }

  #potEvent(body: Value): KindName | undefined {
    const text = (name: string) => this.#string(field(body, name));
    if (text('pot_id') === undefined) return undefined;
    if (field(body, 'pot_type') !== undefined && text('pot_type') === undefined) return undefined;
    if (field(body, 'event_type') === undefined && field(body, 'event') !== undefined) {
      const timestamp = field(body, 'timestamp');
      const metadata = field(body, 'metadata');
      const good =
        text('event') !== undefined &&
        timestamp?.type === 'number' &&
        isUnixSeconds(this.#raw(timestamp)) &&
        this.#isOptionalString(field(body, 'message')) &&
        (metadata === undefined ||
          metadata.type === 'null' ||
          (metadata.type === 'object' &&
            Object.values(this.#value(metadata) as object).every((value) => typeof value === 'string')));
      return good ? 'compiledPotEvent' : undefined;
    }
    const good =
      text('event_type') !== undefined &&
      isIsoTime(text('timestamp') ?? '') &&
      field(body, 'data')?.type === 'object';
    return good ? 'potEvent' : undefined;
  }

  #nodeEvent(body: Value): Verdict {
    if (body.type === 'string')
      return EVENT_TYPES.includes(this.#value(body) as string)
        ? accepted('nodeEvent', { bareString: true })
        : WRONG;
    if (body.type !== 'object') return WRONG;
    const type = field(body, 'type');
    const texts = (from: Value) =>
      this.#isOptionalString(field(from, 'message')) && this.#isOptionalString(field(from, 'description'));
    if (type !== undefined) {
      const good = EVENT_TYPES.includes(this.#string(type) ?? '') && texts(body);
      return good ? accepted('nodeEvent') : WRONG;
    }
    const [tagged] = body.entries;
    if (body.entries.length !== 1 || !EVENT_TYPES.includes(tagged!.key)) return WRONG;
    const inner = tagged!.value;
    return inner.type === 'null' || (inner.type === 'object' && texts(inner)) ? accepted('nodeEvent') : WRONG;
  }

  #isOptionalString(value: Value | undefined): boolean {
    return value === undefined || value.type === 'null' || value.type === 'string';
  }

  #string(value: Value | undefined): string | undefined {
    return value?.type === 'string' ? (this.#value(value) as string) : undefined;
  }

  #raw(value: Value): string {
    return this.#text.slice(value.start, value.end);
  }

  #value(value: Value): unknown {
    return JSON.parse(this.#raw(value));
  }
}

function accepted(kind: KindName, more: Partial<Accepted> = {}): Verdict {
  return { kind, nodeId: undefined, bareString: false, complete: false, unusual: false, ...more };
}

function values(object: Value, name: string): Value[] {
  return object.entries.filter((entry) => entry.key === name).map((entry) => entry.value);
}

/** The last one, as JSON.parse has it. */
function field(object: Value, name: string): Value | undefined {
  return values(object, name).at(-1);
}

/** The structure of a text that JSON.parse has accepted, repeated keys included. */
function outline(text: string): { root: Value; deepest: number } {
  const open: Value[] = [];
  let root: Value | undefined;
  let rawKey: string | undefined;
  let deepest = 0;
  const put = (value: Value) => {
    const parent = open.at(-1);
    root ??= value;
    if (parent?.type === 'object') {
      parent.entries.push({ rawKey: rawKey!, key: JSON.parse(rawKey!) as string, value });
      rawKey = undefined;
    }
  };
  for (let at = 0; at < text.length; ) {
    const c = text[at]!;
    if (' \t\r\n,:'.includes(c)) {
      at++;
    } else if (c === '{' || c === '[') {
      const value: Value = { type: c === '{' ? 'object' : 'array', start: at, end: 0, entries: [] };
      put(value);
      open.push(value);
      deepest = Math.max(deepest, open.length);
      at++;
    } else if (c === '}' || c === ']') {
      open.pop()!.end = ++at;
    } else {
      const end = c === '"' ? stringEnd(text, at) : scalarEnd(text, at);
      if (c === '"' && open.at(-1)?.type === 'object' && rawKey === undefined) rawKey = text.slice(at, end);
      else put({ type: scalarType(c), start: at, end, entries: [] });
      at = end;
    }
  }
  return { root: root!, deepest };
}

function scalarType(first: string): Value['type'] {
  if (first === '"') return 'string';
  if (first === 't' || first === 'f') return 'boolean';
  return first === 'n' ? 'null' : 'number';
}

function stringEnd(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); ; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return at + 1;
  }
}

function scalarEnd(text: string, start: number): number {
  const rest = /[^\s,\]}]+/y;
  rest.lastIndex = start;
  rest.exec(text);
  return rest.lastIndex;
}
