/**
 * What a registration asks of the registry, and what can be decided about it.
 *
 * Owned by main (control plane): shapes and constant answers only. The texts go to strangers, so they never say who
 * else is connected.
 */
import type { ErrorCode } from '../errors.js';
import type { NodeType } from '../protocol/node-registration.js';
import type { NodeRecord } from './record.js';

/** A registration that the protocol layer has already found well formed (name length, port, type). */
export interface RegistrationRequest {
  readonly nodeId: bigint;
  readonly nodeName: string;
  readonly address: string;
  readonly port: number;
  readonly nodeType: NodeType;
  readonly session: number;
  readonly shard: number;
  readonly remote: string;
  /** The name was proven to be this node's: it stands for one node only, and the one that proves it last is that. */
  readonly isIdentity?: boolean;
  /** It numbers its events (EventAck), and numbers count for the name: so it, too, says that the name is its own. */
  readonly isNumbered?: boolean;
  readonly nowMs: number;
  /** The number that the next record in the log gets. Absent: not known. */
  readonly nextSeq?: number;
}

export type RegistrationDecision =
  /** `takesOver`: an earlier record goes on; `formerId`: its id until now, when that was another one. */
  | {
      readonly kind: 'accept';
      readonly record: NodeRecord;
      readonly takesOver: boolean;
      readonly formerId: bigint | null;
    }
  /** Close that session, report it with `disconnected`, and call `register` again. Nothing has changed yet. */
  | { readonly kind: 'supersede'; readonly session: number; readonly shard: number }
  | { readonly kind: 'refuse'; readonly code: RefusalCode; readonly message: string };

export type RefusalCode = Extract<
  ErrorCode,
  'NODE_ALREADY_REGISTERED' | 'NODE_REGISTRATION_FAILED' | 'INVALID_NODE_ID'
>;

export const ALREADY_REGISTERED: RegistrationDecision = {
  kind: 'refuse',
  code: 'NODE_ALREADY_REGISTERED',
  message: 'this node id is in use by another node that is connected',
};

export const NOT_THIS_CONNECTION: RegistrationDecision = {
  kind: 'refuse',
  code: 'INVALID_NODE_ID',
  message: 'this connection has registered another node id',
};

export const REGISTRY_FULL: RegistrationDecision = {
  kind: 'refuse',
  code: 'NODE_REGISTRATION_FAILED',
  message: 'as many nodes are connected as Core can keep',
};
