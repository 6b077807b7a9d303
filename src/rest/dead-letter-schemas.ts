/** What the routes of dead letters take and answer. Owned by main: constants only. */
import { Type } from 'typebox';
import { REPLAY_OUTCOMES } from '../dead-letters/service.js';
import { ERROR_CODES } from '../errors.js';
import { REST_LIMITS } from './limits.js';
import { choice, moment, query, textOrNull } from './schema-parts.js';

export const DEFAULT_LETTERS = 100;

const CODE = ERROR_CODES.join('|');
const NODE_LENGTH = 255;

const time = (description: string) =>
  Type.Optional(
    Type.String({
      pattern: '^\\d{4}-\\d\\d-\\d\\d(T\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,9})?)?(Z|[+-]\\d\\d:\\d\\d))?$',
      description: `${description}; a day, or ISO 8601 with its zone`,
      examples: ['2026-11-20T12:00:00Z'],
    }),
  );

export const DeadLetterQuery = query({
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: REST_LIMITS.pageRows,
      description: `how many of them at most; ${DEFAULT_LETTERS} without it`,
    }),
  ),
  after: Type.Optional(
    Type.Integer({ minimum: 0, description: '`next` of the page before: goes on behind it' }),
  ),
  order: Type.Optional(choice(['newest', 'oldest'], 'which come first; `newest` without it')),
  code: Type.Optional(
    Type.String({
      pattern: `^(${CODE})(,(${CODE}))*$`,
      description: 'only those refused with this error code, or one of several with commas between them',
      examples: ['INVALID_NODE_ID'],
    }),
  ),
  node: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: NODE_LENGTH,
      description: 'only those of this node: its id, or its name with * for any run of characters',
    }),
  ),
  since: time('only those refused at this time or later'),
  until: time('only those refused before this time'),
});

export const DeadLetterParams = Type.Object({
  id: Type.String({ pattern: '^[1-9][0-9]{0,15}$', description: 'number of the dead letter' }),
});

/** Lines of the log with one more field, sent as they are: this is for the reader, nothing is serialised with it. */
export const DeadLetterRow = Type.Object(
  {
    id: Type.Integer({ description: 'its number: counts up, and is never given twice' }),
    time: moment('when it was refused'),
    code: Type.String({ description: 'error code', examples: ['INVALID_MESSAGE_FORMAT'] }),
    reason: Type.String({ description: 'what is wrong with it' }),
    node_id: Type.Unsafe<bigint | null>({
      type: ['integer', 'null'],
      description: 'node that sent it, all digits of its id; null before it registered',
    }),
    node_name: textOrNull('its name; null before it registered'),
    node_serial: Type.Optional(
      Type.Integer({ description: 'number of its record, which stays when its id changes; only with `seq`' }),
    ),
    seq: Type.Optional(
      Type.Integer({
        description: 'number of the event (`event_ack`), where it counts as taken because it is kept here',
      }),
    ),
    remote: Type.String({ description: 'address and port it came from' }),
    size: Type.Integer({
      description: 'bytes of the frame; of one above the limit, those that had come when it was refused',
    }),
    truncated: Type.Boolean({ description: 'only its first 64 KiB were kept' }),
    masked: Type.Boolean({ description: 'one-time codes in it were overwritten with asterisks' }),
    bytes: Type.String({ description: 'the frame in base64' }),
    replayed: Type.Unsafe<{ time: string; outcome: string } | null>({
      type: ['object', 'null'],
      description: 'when it was tried again, and what came of it; null: never',
      properties: {
        time: { type: 'string', description: 'ISO 8601, UTC' },
        outcome: {
          type: 'string',
          enum: [...REPLAY_OUTCOMES],
          description: '`unknown`: Core ended over it; it may be in the log',
        },
      },
    }),
  },
  { description: 'a refused frame' },
);

export const DeadLetterList = Type.Object({
  dead_letters: Type.Array(DeadLetterRow, { description: 'in the order that was asked for' }),
  next: Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    description:
      '`after` of the next page; null where there is no more. A page may be shorter than asked for, also empty.',
  }),
});

export const ReplayQuery = query({
  force: Type.Optional(
    Type.Boolean({
      description: 'also one that was accepted before, and one that nothing shows to be of the node it names',
    }),
  ),
  dry_run: Type.Optional(Type.Boolean({ description: 'only say what would become of it' })),
});

const ReplayBody = Type.Object(
  { frame: Type.String({ minLength: 1, description: 'the text of the frame to try instead' }) },
  { additionalProperties: false, description: 'a corrected frame; without a body the one that was refused' },
);

export const ReplayContent = {
  content: {
    'application/json': { schema: ReplayBody },
    'application/octet-stream': { schema: Type.Unknown({ description: 'the bytes of the frame' }) },
  },
};

export const ReplayAnswer = Type.Object({
  id: Type.Integer({ description: 'number of the dead letter' }),
  outcome: choice(['accepted', 'refused'], 'what became of it'),
  dry_run: Type.Boolean({ description: 'nothing was done' }),
  node_id: Type.Unsafe<bigint | null>({
    type: ['integer', 'null'],
    description: 'accepted: the node that it is of, by the id it has now',
  }),
  records: Type.Array(Type.String({ examples: ['PotEvent'] }), {
    description: 'accepted: the messages that it became in the log and the stream',
  }),
  events: Type.Integer({ description: 'how many of them are events' }),
  code: textOrNull('refused: error code'),
  reason: textOrNull('refused: what is wrong with it'),
});
