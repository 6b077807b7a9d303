/**
 * Everything that crosses between main and a shard, both ways, over one MessagePort per shard. A session is a
 * connection of a node; its number is its row in the session table. Node ids cross as digits.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Config } from '../config/config.js';
import type { ErrorCode } from '../errors.js';
import type { RingMemory } from '../memory/ring.js';
import type { Mode } from '../native/addon.js';
import type { NodeRegistration } from '../protocol/node-registration.js';
import type { NodeStatus } from '../protocol/node-status-update.js';
import type { PotStatus } from '../protocol/pot-status-update.js';
import type { TlsMaterial } from '../tls/material.js';

/** What a shard is given when it starts: the argument of its piscina task. */
export interface ShardStart {
  readonly slot: number;
  readonly mode: Mode;
  readonly config: Config;
  readonly port: MessagePort;
  /** A message on it wakes the aggregator. One from there says that `durable_seq` of some nodes has moved. */
  readonly aggregatorPort: MessagePort;
  readonly ring: RingMemory;
  readonly counters: Float64Array;
  readonly sessions: Float64Array;
  /** memory/ledger-table.ts */
  readonly ledger: Float64Array;
  /** Undefined: TLS is not configured. */
  readonly tls: TlsMaterial | undefined;
  /** Sessions of the shard that died in this slot: their notices are still owed to the stream. */
  readonly orphans: readonly Orphan[];
}

export interface Orphan {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly serial: number;
}

export interface ReplayOrder {
  readonly frame: Uint8Array;
  /** The node that it is of. Null: the one that it names itself; that is answered first. */
  readonly node: ReplayNode | null;
  /** It is judged, and nothing else happens. */
  readonly dryRun: boolean;
}

/** The shard that is asked has the node's connection, or there is none and none is let in before it has answered: so it
 *  may write to the node's row. */
export interface ReplayNode {
  /** Digits. */
  readonly id: string;
  /** In the ledger; NO_ROW: it has none. */
  readonly row: number;
  /** It numbers its events. */
  readonly numbered: boolean;
  readonly potTypes: readonly (readonly [string, string])[];
}

export type ReplayVerdict =
  /** Its records are in the ring, unless that was not asked for. */
  | { readonly kind: 'accepted'; readonly records: readonly string[]; readonly events: number }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly reason: string }
  /** It makes no record: a registration, a farewell. */
  | { readonly kind: 'never'; readonly reason: string }
  /** No node was given, and the frame names this one. */
  | { readonly kind: 'names'; readonly nodeId: string };

export type MainToShard =
  /** Native mode: the shard now owns the descriptor. */
  | { readonly type: 'open'; readonly session: number; readonly remote: string; readonly fd: number }
  /** Portable mode: main reads, and sends what it read. A relay has a number of its own, given out once: with TLS the
   *  last words come after the session is over, and its number may be another's by then. */
  | {
      readonly type: 'relay-open';
      readonly session: number;
      readonly remote: string;
      readonly relay: number;
    }
  | { readonly type: 'relay-data'; readonly relay: number; readonly data: Uint8Array }
  | { readonly type: 'relay-end'; readonly relay: number; readonly reason: EndReason }
  | {
      readonly type: 'accept';
      readonly session: number;
      readonly message: string;
      readonly potTypes: readonly (readonly [string, string])[];
      /** The secret that the name has from now on; nobody but the node is told. */
      readonly totpKey?: string | undefined;
      /** Of the node in the ledger, and its record in the registry. */
      readonly row: number;
      readonly serial: number;
    }
  | { readonly type: 'refuse'; readonly session: number; readonly code: ErrorCode; readonly message: string }
  /** For a registered node, or one whose acceptance is on its way. Answered by `command-sent`, or by `closed`. */
  | {
      readonly type: 'command';
      readonly session: number;
      readonly command: string;
      /** The command as an object. */
      readonly json: string;
      /** What a connection that spells unit values as bare strings gets instead. */
      readonly unit: string | null;
    }
  | { readonly type: 'close'; readonly session: number; readonly reason: CloseReason }
  /** A frame that was refused is to be tried again (frame-replay.ts). Answered by `replayed`. */
  | ({ readonly type: 'replay'; readonly replay: number } & ReplayOrder)
  /** For new connections. */
  | { readonly type: 'tls'; readonly material: TlsMaterial }
  /** Close every connection, write what was read, answer `drained`. */
  | { readonly type: 'drain' }
  /** Fault injection, only with server.debug. */
  | { readonly type: 'die' };

/** Why a connection ended; stands in the NodeDisconnected notice. */
export type CloseReason =
  | 'node closed the connection'
  | 'connection lost'
  | 'node said goodbye'
  | 'taken over by a new connection'
  | 'removed from the registry'
  | 'silent for too long'
  | 'did not register in time'
  | 'registration refused'
  | 'enrolment revoked'
  | 'not a node'
  | 'frame too large'
  | 'too many errors'
  | 'TLS handshake failed'
  | 'certificate refused'
  | 'TLS is required'
  | 'does not read its answers'
  | 'Core is stopping'
  | 'shard failed';

/** What a transport notices by itself. */
export type EndReason = Extract<
  CloseReason,
  'node closed the connection' | 'connection lost' | 'does not read its answers'
>;

export type ShardToMain =
  | { readonly type: 'ready' }
  /** The descriptor of the session was taken over. */
  | { readonly type: 'opened'; readonly session: number }
  | {
      readonly type: 'register';
      readonly session: number;
      readonly registration: NodeRegistration;
      /** That the node's certificate bears; undefined: it has shown none. */
      readonly certificateNames: readonly string[] | undefined;
      readonly totpCode: string | null;
      /** It asks for EventAck, and gets it. */
      readonly isNumbered: boolean;
    }
  | { readonly type: 'status'; readonly session: number; readonly status: NodeStatus }
  | {
      readonly type: 'pot';
      readonly session: number;
      readonly potId: string;
      readonly potType: string;
      readonly status: PotStatus;
      readonly message: string | null;
    }
  | { readonly type: 'replayed'; readonly replay: number; readonly verdict: ReplayVerdict }
  /** The operating system has all of the command. */
  | { readonly type: 'command-sent'; readonly session: number; readonly command: string }
  /** The session is over; a command without a `command-sent` has not reached its node. Everything the node sent is in the ring before `published`. */
  | {
      readonly type: 'closed';
      readonly session: number;
      readonly status: 'Stopped' | 'Unknown';
      readonly reason: CloseReason;
      readonly published: number;
    }
  /** For the log, which main writes: a frame was refused. At most a few a second; `linesHeldBack` were not sent. */
  | {
      readonly type: 'refused';
      readonly code: ErrorCode;
      readonly reason: string;
      readonly remote: string;
      readonly node: string | undefined;
      /** Refusals of this connection since its last line. */
      readonly heldBack: number;
      /** Lines of this shard that were not sent since the last one. */
      readonly linesHeldBack: number;
    }
  /** For the log: no connection came about over TLS. At most a few a second; `linesHeldBack` were not sent. */
  | {
      readonly type: 'tls-failed';
      readonly reason: string;
      readonly remote: string;
      /** Of the certificate that was refused. */
      readonly subject: string | undefined;
      readonly linesHeldBack: number;
    }
  | { readonly type: 'relay-consumed'; readonly relay: number; readonly bytes: number }
  /** `command`: main keeps account of when the socket has all of it. */
  | {
      readonly type: 'relay-write';
      readonly relay: number;
      readonly data: string | Uint8Array;
      readonly command: { readonly session: number; readonly id: string } | null;
    }
  /** Nothing more is said of this relay. */
  | { readonly type: 'relay-close'; readonly relay: number }
  | { readonly type: 'drained' };
