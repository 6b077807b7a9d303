/**
 * What a backend may say, PROTOCOL.md section 6, in every spelling that is around:
 *
 *   envelope   {"version":2,"message":M}
 *   M          {"BackendRegistration":{"backend_name":TEXT,"backend_type":T,"token":TEXT?}}
 *              {"Authenticate":{"token":TEXT}}
 *              {"BackendCommand":C}
 *              "BackendDrop", {"BackendDrop":{}}, {"BackendDrop":null}
 *   T          "Web", "Api", "Monitoring", "Cli", {"Custom":TEXT}
 *   C          {NAME:{...}}; those without fields also "NAME" and {NAME:null}
 *
 * Unknown fields are ignored, key order and white space are free. A node id is a number; a client that cannot write
 * large numbers may send it as a string of digits.
 *
 * Owned by main; pure, never throws for input.
 */
import { parseNodeId } from '../protocol/node-id.js';
import { NODE_STATUSES, type NodeStatus } from '../protocol/node-status-update.js';
import type { BackendFailureCode } from './failure.js';
import { asObject, asString, type JsonText, jsonText } from './json-text.js';

export type BackendCommand =
  | { readonly name: 'NodeCommand'; readonly nodeId: bigint; readonly command: unknown }
  | { readonly name: 'BroadcastCommand'; readonly command: unknown }
  | { readonly name: 'GetNodes' | 'GetNodeCount' | 'GetActiveConnections' }
  | { readonly name: 'GetNode' | 'RemoveNode'; readonly nodeId: bigint }
  | { readonly name: 'GetNodesByStatus'; readonly status: NodeStatus }
  | { readonly name: 'SubscribeEvents' | 'UnsubscribeEvents' };

export type BackendMessage =
  | {
      readonly kind: 'register';
      readonly name: string;
      readonly type: string;
      readonly token: string | undefined;
    }
  | { readonly kind: 'authenticate'; readonly token: string }
  | { readonly kind: 'command'; readonly command: BackendCommand }
  | { readonly kind: 'drop' }
  | { readonly kind: 'refused'; readonly code: BackendFailureCode; readonly reason: string };

const TYPES: readonly string[] = ['Web', 'Api', 'Monitoring', 'Cli'];

type Refused = Extract<BackendMessage, { kind: 'refused' }>;

export function readBackendMessage(text: string): BackendMessage {
  const value = jsonText(text);
  if (value === undefined) return refuse('MESSAGE_PARSE_FAILED', 'the message is not JSON text');
  const envelope = asObject(value);
  if (envelope === undefined) return malformed('the message is not an object, or a name stands twice in it');
  const version = envelope.get('version');
  if (version === undefined) return malformed('version is missing');
  if (Number(version) !== 2 || version.startsWith('"'))
    return refuse('PROTOCOL_VERSION_MISMATCH', 'the version is another one than 2');
  const message = variant(envelope.get('message'));
  if (message === undefined) return malformed('message does not hold exactly one name');
  switch (message.name) {
    case 'BackendRegistration':
      return readRegistration(message.body);
    case 'Authenticate': {
      const token = asString(asObject(message.body)?.get('token'));
      return token === undefined
        ? malformed('Authenticate.token is not a string')
        : { kind: 'authenticate', token };
    }
    case 'BackendCommand':
      return readCommand(message.body);
    case 'BackendDrop':
      return isUnit(message.body) ? { kind: 'drop' } : malformed('BackendDrop has no fields');
    default:
      return malformed(
        'message is none of BackendRegistration, BackendCommand, BackendDrop and Authenticate',
      );
  }
}

function readRegistration(body: JsonText | undefined): BackendMessage {
  const fields = asObject(body);
  if (fields === undefined) return malformed('BackendRegistration is not an object');
  const name = asString(fields.get('backend_name'));
  if (name === undefined) return malformed('BackendRegistration.backend_name is not a string');
  const type = readType(fields.get('backend_type'));
  if (type === undefined)
    return malformed(
      'BackendRegistration.backend_type is none of Web, Api, Monitoring, Cli and {"Custom":"..."}',
    );
  const shown = fields.get('token');
  const token = asString(shown);
  if (shown !== undefined && shown !== 'null' && token === undefined)
    return malformed('BackendRegistration.token is not a string');
  return { kind: 'register', name, type, token };
}

function readType(value: JsonText | undefined): string | undefined {
  const name = asString(value);
  if (name !== undefined) return TYPES.includes(name) ? name : undefined;
  const members = asObject(value);
  return members?.size === 1 ? asString(members.get('Custom')) : undefined;
}

function readCommand(body: JsonText | undefined): BackendMessage {
  const command = variant(body);
  if (command === undefined)
    return refuse('INVALID_COMMAND', 'BackendCommand does not hold exactly one name');
  const { name, body: value } = command;
  const fields = asObject(value);
  switch (name) {
    case 'GetNodes':
    case 'GetNodeCount':
    case 'GetActiveConnections':
    case 'SubscribeEvents':
    case 'UnsubscribeEvents':
      return isUnit(value)
        ? { kind: 'command', command: { name } }
        : refuse('INVALID_COMMAND', `${name} has no fields`);
    case 'GetNode':
    case 'RemoveNode': {
      const nodeId = readNodeId(fields);
      return typeof nodeId === 'bigint'
        ? { kind: 'command', command: { name, nodeId } }
        : refuseId(name, nodeId);
    }
    case 'GetNodesByStatus': {
      const text = asString(fields?.get('status'));
      const status = NODE_STATUSES.find((known) => known === text);
      return status === undefined
        ? refuse('INVALID_COMMAND', `GetNodesByStatus.status is none of ${NODE_STATUSES.join(', ')}`)
        : { kind: 'command', command: { name, status } };
    }
    case 'NodeCommand': {
      const nodeId = readNodeId(fields);
      if (typeof nodeId !== 'bigint') return refuseId(name, nodeId);
      const given = fields?.get('command');
      if (given === undefined) return refuse('INVALID_COMMAND', 'NodeCommand.command is missing');
      return { kind: 'command', command: { name, nodeId, command: JSON.parse(given) } };
    }
    case 'BroadcastCommand': {
      const given = fields?.get('command');
      if (given === undefined) return refuse('INVALID_COMMAND', 'BroadcastCommand.command is missing');
      return { kind: 'command', command: { name, command: JSON.parse(given) } };
    }
    default:
      return refuse('INVALID_COMMAND', 'BackendCommand holds a name that Core does not know');
  }
}

/** What serde calls an externally tagged variant: `"Name"`, or an object with one name. */
function variant(value: JsonText | undefined): { name: string; body: JsonText | undefined } | undefined {
  const name = asString(value);
  if (name !== undefined) return { name, body: undefined };
  const members = asObject(value);
  if (members?.size !== 1) return undefined;
  const [[only, body]] = [...members] as [[string, JsonText]];
  return { name: only, body };
}

/** Absent, null, or an object, in which whatever may stand is ignored. */
function isUnit(body: JsonText | undefined): boolean {
  return body === undefined || body === 'null' || asObject(body) !== undefined;
}

function readNodeId(fields: ReadonlyMap<string, JsonText> | undefined): bigint | 'missing' | 'wrong' {
  const value = fields?.get('node_id');
  if (value === undefined) return 'missing';
  return parseNodeId(asString(value) ?? value) ?? 'wrong';
}

function refuseId(command: string, why: 'missing' | 'wrong'): Refused {
  return why === 'missing'
    ? refuse('INVALID_COMMAND', `${command}.node_id is missing`)
    : refuse('INVALID_NODE_ID', `${command}.node_id is not an integer from 1 to 18446744073709551615`);
}

function malformed(reason: string): Refused {
  return refuse('INVALID_MESSAGE_FORMAT', reason);
}

function refuse(code: BackendFailureCode, reason: string): Refused {
  return { kind: 'refused', code, reason };
}
