/**
 * The shapes of events, as REST answers them. What is sent is put together of bytes of the log; these are for the reader.
 *
 * Owned by main: constants only.
 */
import { Type } from 'typebox';
import { choice, integerOrNull, moment } from './schema-parts.js';

const Gap = Type.Object(
  {
    first_seq: Type.Integer({ description: 'the first number that is not there' }),
    last_seq: Type.Integer({ description: 'the last one' }),
    records: Type.Integer({ description: 'how many numbers that are' }),
    reason: choice(
      ['retention', 'damaged', 'lost'],
      'retention: deleted; damaged: on the disk and not readable; lost: Core lost power before they were on the disk',
    ),
  },
  { description: 'numbers without a record' },
);

const StoredEvent = Type.Object(
  {
    seq: Type.Integer({ description: 'sequence number' }),
    received: moment(
      'when Core received it, or what was written with it: as exact as storage.fsync_interval_ms',
    ),
    event: Type.Object({}, { description: 'the record as it is in the log', additionalProperties: true }),
  },
  { description: 'a record of the log' },
);

export const EventPage = Type.Object({
  events: Type.Array(StoredEvent, { description: 'in the order that was asked for' }),
  next: integerOrNull(
    '`before` of the next page, or `after` where the oldest come first; null where there is nothing more',
  ),
  first_seq: Type.Integer({ description: 'everything from this number on' }),
  last_seq: Type.Integer({ description: 'up to this one has been looked at; `after` of what comes later' }),
  gaps: Type.Array(Gap, { description: 'what of it is not there' }),
});

export const NdjsonLines = Type.String({
  description:
    'a line per record, {"seq":..,"received":..,"event":{..}}; {"gap":{..}} where records are not there; at the end {"end":{"next":..,"first_seq":..,"last_seq":..}}',
});

export const ServerSentEvents = Type.String({
  description: 'id: sequence number, data: the record; event: gap with {"first_seq":..,"last_seq":..,..}',
});
