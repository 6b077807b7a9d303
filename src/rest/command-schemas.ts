/**
 * The shapes of commands and rollouts on REST: what is taken and what is answered.
 *
 * Owned by main: constants only. Names on this page are the API; fields may be added, never renamed.
 */
import { type Static, Type } from 'typebox';
import { COMMAND_STATES, type CommandState } from '../commands/record.js';
import { ROLLOUT_STATES, type RolloutState } from '../commands/rollout.js';
import { NODE_STATUSES } from '../protocol/node-status-update.js';

const U64 = Type.Unsafe<bigint>({
  type: 'integer',
  description: 'unsigned 64-bit number, with all its digits',
});
const Moment = Type.String({ description: 'ISO 8601, UTC' });
const MomentOrNull = Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'ISO 8601, UTC' });
const textOrNull = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], description });

const State = Type.Unsafe<CommandState>({
  type: 'string',
  enum: [...COMMAND_STATES],
  description: 'queued and sent wait, in_progress was heard of, the others are final',
});

/** Judged by the grammar of commands, not by the schema: its answers name the field. */
const CommandBody = Type.Unsafe<unknown>({
  description:
    'an object with the name of one command: InstallPot with its fields; DeployPot, StopPot, RestartPot, GetPotStatus, GetPotLogs, GetPotMetrics or GetPotInfo with a pot id; GetInstalledPots, Restart or UpdateConfig with {} (also null, or the name alone)',
  examples: [
    { InstallPot: { pot_id: 'cowrie-01', honeypot_type: 'cowrie', auto_start: true } },
    { GetPotStatus: 'cowrie-01' },
    'Restart',
  ],
});

const times = {
  ttl_seconds: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 31_536_000,
      description: 'how long it waits for a node that is not connected; commands.ttl_seconds where absent',
    }),
  ),
  timeout_seconds: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 86_400,
      description: 'how long the node has for it; commands.timeout_seconds where absent',
    }),
  ),
};

export const NewCommand = Type.Object(
  { command: CommandBody, ...times },
  { additionalProperties: false, description: 'a command to one node' },
);

const Filter = Type.Object(
  {
    node_type: Type.Optional(
      Type.Unsafe<'Full' | 'Agent'>({
        type: 'string',
        enum: ['Full', 'Agent'],
        description: 'type of the nodes',
      }),
    ),
    status: Type.Optional(
      Type.Unsafe<string>({ type: 'string', enum: [...NODE_STATUSES], description: 'status of the nodes' }),
    ),
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'pattern of node names, * for any characters',
      }),
    ),
    connected: Type.Optional(
      Type.Unsafe<boolean | null>({
        type: ['boolean', 'null'],
        description: 'true (where absent): connected nodes; false: the others; null: both',
      }),
    ),
  },
  { additionalProperties: false, description: 'nodes that match everything given' },
);

const RollingBody = Type.Object(
  {
    max_in_flight: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: 'nodes that are told at once; all where absent',
      }),
    ),
    max_failures: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: 'nodes that fail or time out until the rest is cancelled; no limit where absent',
      }),
    ),
  },
  { additionalProperties: false, description: 'so many at a time' },
);

export const NewRollout = Type.Object(
  {
    command: CommandBody,
    filter: Type.Optional(Filter),
    rolling: Type.Optional(RollingBody),
    ...times,
  },
  { additionalProperties: false, description: 'a command to many nodes' },
);

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description: 'the same request with the same key is done once, and answered alike',
    }),
  ),
});

const By = Type.Object(
  {
    kind: Type.String({ description: 'token, local or anonymous' }),
    name: Type.String({ description: 'name of the token' }),
    token_id: textOrNull('id of the token'),
    from: Type.String({ description: 'address it came from' }),
    request_id: textOrNull('of the request'),
  },
  { description: 'who asked for it' },
);

const CommandObject = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  description: 'the command as an object',
});

export const CommandRow = Type.Object({
  id: Type.String({ description: 'sorts by the time it was made' }),
  node: Type.Object(
    {
      node_id: U64,
      id: Type.String({ description: 'node_id as text' }),
      node_name: Type.String({ description: 'what the command belongs to: the id may change' }),
    },
    { description: 'as it was when the command was made' },
  ),
  command: CommandObject,
  state: State,
  created: Moment,
  updated: Moment,
  due: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: 'when Core gives up on it in its present state; ISO 8601, UTC',
  }),
  rollout_id: textOrNull('the rollout it is part of'),
  message: textOrNull('the last word of the node while it goes on'),
  result: Type.Unsafe<Record<string, unknown> | null>({
    type: ['object', 'null'],
    additionalProperties: true,
    description:
      'of one pot: pot_id, pot_type, status, message, truncated; of all: pots, complete; else a note',
  }),
  error: Type.Unsafe<{ code: string; reason: string } | null>({
    type: ['object', 'null'],
    properties: {
      code: { type: 'string', description: 'COMMAND_FAILED, COMMAND_TIMEOUT or COMMAND_CANCELLED' },
      reason: { type: 'string', description: 'in words' },
    },
    description: 'why it did not end well; null where it did, or goes on',
  }),
  history: Type.Array(Type.Object({ state: State, at: Moment, message: textOrNull('said with it') }), {
    description: 'the states it was in, oldest first',
  }),
  by: By,
});
/** The same for serialising row by row: fastify asks for an index signature, which TypeBox types do not have. */
export const COMMAND_ROW_SCHEMA: Record<string, unknown> = { ...CommandRow };

const next = textOrNull('ask with ?after= this for the next page; null at the end');
export const CommandList = Type.Object({
  commands: Type.Array(CommandRow, { description: 'the newest first' }),
  next,
});

export const RolloutRow = Type.Object({
  id: Type.String({ description: 'sorts by the time it was made' }),
  command: CommandObject,
  state: Type.Unsafe<RolloutState>({
    type: 'string',
    enum: [...ROLLOUT_STATES],
    description: 'stopped: after too many failures; what was sent by then goes on to its end',
  }),
  reason: textOrNull('why it was stopped or cancelled'),
  filter: Type.Object(
    {
      node_type: textOrNull('type of the nodes'),
      status: textOrNull('status of the nodes'),
      name: textOrNull('pattern of node names'),
      connected: Type.Unsafe<boolean | null>({
        type: ['boolean', 'null'],
        description: 'null: connected or not',
      }),
    },
    { description: 'which nodes it is for' },
  ),
  rolling: Type.Object(
    {
      max_in_flight: Type.Unsafe<number | null>({
        type: ['integer', 'null'],
        description: 'null: all at once',
      }),
      max_failures: Type.Unsafe<number | null>({ type: ['integer', 'null'], description: 'null: no limit' }),
    },
    { description: 'how it goes about it' },
  ),
  nodes: Type.Integer({ description: 'how many nodes it is for: fixed when it was made' }),
  counts: Type.Unsafe<Record<CommandState, number>>({
    type: 'object',
    properties: Object.fromEntries(
      COMMAND_STATES.map((state) => [state, { type: 'integer', description: `${state} now` }]),
    ),
    required: [...COMMAND_STATES],
    description: 'its commands by state',
  }),
  created: Moment,
  ended: MomentOrNull,
  by: By,
});
export const RolloutList = Type.Object({
  rollouts: Type.Array(RolloutRow, { description: 'the newest first' }),
  next,
});

/** Query values are text: nothing is coerced. */
const Limit = Type.Optional(
  Type.String({
    pattern: '^([1-9][0-9]{0,2}|1000)$',
    description: 'entries of a page, 1 to 1000; 100 where absent',
  }),
);
const After = (prefix: string) =>
  Type.Optional(
    Type.String({ pattern: `^${prefix}_[0-9a-z]{26}$`, description: '`next` of the page before' }),
  );

export const NodeCommandQuery = Type.Object(
  { state: Type.Optional(State), limit: Limit, after: After('cmd') },
  { additionalProperties: false },
);
export const CommandQuery = Type.Object(
  {
    state: Type.Optional(State),
    node: Type.Optional(
      Type.String({ maxLength: 20, description: 'id of a node that is known: commands under its name' }),
    ),
    node_name: Type.Optional(Type.String({ minLength: 1, maxLength: 255, description: 'name of a node' })),
    rollout_id: Type.Optional(Type.String({ maxLength: 64, description: 'commands of this rollout' })),
    limit: Limit,
    after: After('cmd'),
  },
  { additionalProperties: false },
);
export const RolloutQuery = Type.Object(
  { limit: Limit, after: After('rol') },
  { additionalProperties: false },
);
export const CommandParams = Type.Object({ id: Type.String({ description: 'of a command' }) });
export const RolloutParams = Type.Object({ id: Type.String({ description: 'of a rollout' }) });
export const CommandNodeParams = Type.Object({ id: Type.String({ description: 'node_id' }) });

export type CommandRowJson = Static<typeof CommandRow>;
export type RolloutRowJson = Static<typeof RolloutRow>;
