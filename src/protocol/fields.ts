/**
 * The names that Protocol v2 knows, as numbers. The frame reader remembers for each of them where its value stands
 * in the frame; everything else in a frame is checked as JSON and otherwise left alone.
 */

/** Where a name is known: in the envelope, in `message`, or in the body of a message. */
export const SCOPE = { other: 0, envelope: 1, message: 2, body: 3 } as const;

/** One number per remembered value. `none` is for names the protocol does not know. */
export const FIELD = {
  none: 0,
  version: 1,
  message: 2,
  /** The value of the one key in `message`: the body. */
  body: 3,
  node_id: 4,
  node_name: 5,
  address: 6,
  port: 7,
  node_type: 8,
  totp_code: 9,
  status: 10,
  pot_id: 11,
  pot_type: 12,
  text: 13,
  event_type: 14,
  event: 15,
  timestamp: 16,
  data: 17,
  metadata: 18,
  type: 19,
  description: 20,
  /** `node_id` beside `version` and `message`: whose the frame is, whatever it says. */
  envelope_node_id: 21,
  seq: 22,
  features: 23,
} as const;

export const FIELD_COUNT = 24;

/** From this one on fields are known only where the node and Core agreed on them. Elsewhere they are nobody's, so there
 *  they may stand twice. */
export const FIRST_AGREED_FIELD = FIELD.seq;

export type Field = (typeof FIELD)[keyof typeof FIELD];

/** What a JSON value is; `absent` where the frame does not have the field. */
export const VALUE = { absent: 0, string: 1, number: 2, boolean: 3, null: 4, object: 5, array: 6 } as const;

/** The messages a node sends. `unknown` is any other name. */
export const MESSAGE = {
  unknown: 0,
  NodeRegistration: 1,
  NodeStatusUpdate: 2,
  PotStatusUpdate: 3,
  PotEvent: 4,
  NodeEvent: 5,
  NodeDrop: 6,
} as const;

export type Message = (typeof MESSAGE)[keyof typeof MESSAGE];

/** Where a message names its node. Those that do not do it themselves may in the envelope. */
export function idFieldOf(message: Message): Field {
  return message === MESSAGE.NodeEvent || message === MESSAGE.NodeDrop
    ? FIELD.envelope_node_id
    : FIELD.node_id;
}

interface Name {
  readonly bytes: Uint8Array;
  readonly number: number;
}

const encoder = new TextEncoder();

function byLength(names: Record<string, number>): Name[][] {
  const table: Name[][] = [];
  for (const [name, number] of Object.entries(names)) {
    const bytes = encoder.encode(name);
    table[bytes.length] = [...(table[bytes.length] ?? []), { bytes, number }];
  }
  return Array.from(table, (names) => names ?? []);
}

const ENVELOPE_NAMES = byLength({
  version: FIELD.version,
  message: FIELD.message,
  node_id: FIELD.envelope_node_id,
});
const MESSAGE_NAMES = byLength({
  NodeRegistration: MESSAGE.NodeRegistration,
  NodeStatusUpdate: MESSAGE.NodeStatusUpdate,
  PotStatusUpdate: MESSAGE.PotStatusUpdate,
  PotEvent: MESSAGE.PotEvent,
  NodeEvent: MESSAGE.NodeEvent,
  NodeDrop: MESSAGE.NodeDrop,
});
const BODY_NAMES = byLength({
  node_id: FIELD.node_id,
  node_name: FIELD.node_name,
  address: FIELD.address,
  port: FIELD.port,
  node_type: FIELD.node_type,
  totp_code: FIELD.totp_code,
  status: FIELD.status,
  pot_id: FIELD.pot_id,
  pot_type: FIELD.pot_type,
  message: FIELD.text,
  event_type: FIELD.event_type,
  event: FIELD.event,
  timestamp: FIELD.timestamp,
  data: FIELD.data,
  metadata: FIELD.metadata,
  type: FIELD.type,
  description: FIELD.description,
  seq: FIELD.seq,
  features: FIELD.features,
});

function find(table: Name[][], bytes: Uint8Array, start: number, end: number): number {
  const names = table[end - start];
  if (names === undefined) return 0;
  next: for (let n = 0; n < names.length; n++) {
    const { bytes: name, number } = names[n]!;
    for (let i = 0; i < name.length; i++) {
      if (name[i] !== bytes[start + i]) continue next;
    }
    return number;
  }
  return 0;
}

/** The number of the name in bytes[start, end), which carries no escapes: a field, or in `message` a message. */
export function nameNumber(scope: number, bytes: Uint8Array, start: number, end: number): number {
  return find(
    scope === SCOPE.body ? BODY_NAMES : scope === SCOPE.message ? MESSAGE_NAMES : ENVELOPE_NAMES,
    bytes,
    start,
    end,
  );
}

/** The name of a field as it stands on the wire, for error messages. */
export function fieldName(field: Field): string {
  if (field === FIELD.text) return 'message';
  if (field === FIELD.envelope_node_id) return 'node_id';
  return Object.entries(FIELD).find(([, number]) => number === field)![0];
}

export function messageName(message: Message): string {
  return Object.entries(MESSAGE).find(([, number]) => number === message)![0];
}
