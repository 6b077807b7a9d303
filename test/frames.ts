/**
 * Frames of every message in every spelling, good ones and broken ones, as arbitraries. One seed for all tests of the
 * data plane, so that a failure can be met again.
 */
import fc from 'fast-check';
import { extraKey, extras, idText, isoTime, oneOf, stringOf, unixTime, version } from './field-values.js';
import { mutations } from './frame-mutations.js';
import { event, NODE_ID } from './frame-table.js';
import {
  anyStyle,
  anyValue,
  brokenValue,
  type Entry,
  jsonString,
  objectOf,
  plainStyle,
  space,
  spaceWithNewlines,
  spell,
  text,
  tree,
  withSpace,
} from './json-texts.js';

/** All randomness of the tests of the data plane starts here; fast-check prints it with every failure. */
export const SEED = 20_261_120;

interface Field {
  readonly name: string;
  readonly value: fc.Arbitrary<string>;
  /** How often, of 16, the field is left out. */
  readonly absent?: number;
}

function f(name: string, value: fc.Arbitrary<string>, absent = 0): Field {
  return { name, value, absent };
}
const rareStyle = fc.oneof({ weight: 30, arbitrary: plainStyle }, { weight: 1, arbitrary: anyStyle });

/** An object with these fields, in any order, with others between them; seldom with one missing or of a wrong type. */
function object(fields: readonly Field[]): fc.Arbitrary<string> {
  const entries = fields.map(({ name, value, absent = 0 }) =>
    fc
      .tuple(
        rareStyle,
        fc.oneof(
          { weight: 60, arbitrary: value },
          { weight: 1, arbitrary: anyValue },
          { weight: 1, arbitrary: brokenValue },
        ),
        fc.nat(159),
        fc.nat(15),
      )
      .map(([styles, spelt, missing, left]): Entry | undefined =>
        missing === 0 || left < absent ? undefined : [spell(name, styles), spelt],
      ),
  );
  return fc
    .tuple(fc.tuple(...entries), extras, fc.array(fc.nat(99), { minLength: 12, maxLength: 12 }), fc.nat(2))
    .map(([own, more, order, shuffled]) => {
      const all = [...own.filter((entry) => entry !== undefined), ...more];
      if (shuffled === 0) {
        const place = new Map(all.map((entry, i) => [entry, order[i % order.length]!]));
        all.sort((a, b) => place.get(a)! - place.get(b)!);
      }
      return objectOf(all);
    });
}
const nodeId = f('node_id', idText);
const potId = f('pot_id', jsonString);
const data = f('data', fc.array(fc.tuple(jsonString, anyValue), { maxLength: 4 }).map(objectOf));
const optionalText = (name: string) => f(name, fc.oneof(jsonString, jsonString, fc.constant('null')), 8);

const BODIES: Record<string, fc.Arbitrary<Entry>> = {
  documented: object([
    nodeId,
    potId,
    f('pot_type', jsonString, 1),
    f('event_type', jsonString),
    f('timestamp', stringOf(isoTime)),
    data,
  ]).map((body) => ['PotEvent', body]),
  compiled: object([
    nodeId,
    potId,
    f('pot_type', jsonString, 4),
    f('event', jsonString),
    f('timestamp', unixTime),
    optionalText('message'),
    f(
      'metadata',
      fc.oneof(
        { weight: 6, arbitrary: fc.array(fc.tuple(jsonString, jsonString), { maxLength: 3 }).map(objectOf) },
        { weight: 1, arbitrary: fc.array(fc.tuple(jsonString, tree), { maxLength: 3 }).map(objectOf) },
        { weight: 1, arbitrary: fc.constant('null') },
      ),
      6,
    ),
  ]).map((body) => ['PotEvent', body]),
  potStatus: object([
    nodeId,
    potId,
    f('pot_type', jsonString),
    f('status', oneOf('Installing', 'Running', 'Stopped', 'Failed', '', '', 'running')),
    optionalText('message'),
  ]).map((body) => ['PotStatusUpdate', body]),
  nodeStatus: object([
    nodeId,
    f('status', oneOf('Connected', 'Deploying', 'Running', 'Stopped', 'Failed', 'Unknown', 'Up')),
  ]).map((body) => ['NodeStatusUpdate', body]),
  nodeEvent: fc
    .oneof(
      object([
        f('type', oneOf('Started', 'Stopped', 'Alarm', 'Error', 'Other')),
        optionalText('message'),
        optionalText('description'),
      ]),
      oneOf('Started', 'Stopped', 'Alarm', 'Error', 'Other'),
      fc
        .tuple(
          oneOf('Started', 'Stopped', 'Alarm', 'Error', 'Other'),
          fc.oneof(
            object([optionalText('message'), optionalText('description')]),
            fc.constantFrom('null', '{}', '[]', '""'),
          ),
          extras,
        )
        .map(([name, inner, more]) => objectOf([[name, inner], ...more])),
    )
    .map((body) => ['NodeEvent', body]),
  registration: object([
    nodeId,
    f(
      'node_name',
      fc.oneof(
        { weight: 5, arbitrary: jsonString },
        { weight: 1, arbitrary: fc.constantFrom(255, 256).map((n) => `"${'🐝'.repeat(n)}"`) },
      ),
    ),
    f('address', jsonString),
    f(
      'port',
      fc.oneof(
        fc.nat(65_535).map(String),
        fc.constantFrom('65535', '65536', '0', '80.0', '8e1', '-1', '"80"'),
      ),
    ),
    f('node_type', oneOf('Full', 'Full', 'Agent', 'full')),
    optionalText('totp_code'),
  ]).map((body) => ['NodeRegistration', body]),
  nodeDrop: fc
    .oneof(fc.constantFrom('{}', 'null'), object([]), fc.constantFrom('[]', '""', '0', 'true'))
    .map((body) => ['NodeDrop', body]),
};

const namedBody: fc.Arbitrary<Entry> = fc.oneof(
  { weight: 8, arbitrary: BODIES.documented! },
  { weight: 2, arbitrary: BODIES.compiled! },
  { weight: 2, arbitrary: BODIES.potStatus! },
  { weight: 1, arbitrary: BODIES.nodeStatus! },
  { weight: 1, arbitrary: BODIES.nodeEvent! },
  { weight: 2, arbitrary: BODIES.registration! },
  { weight: 1, arbitrary: BODIES.nodeDrop! },
);

function message(body: fc.Arbitrary<Entry>): fc.Arbitrary<string> {
  const named = fc
    .tuple(body, rareStyle)
    .map(([[name, value], styles]): Entry => [spell(name, styles), value]);
  return fc.oneof(
    { weight: 40, arbitrary: named.map((entry) => objectOf([entry])) },
    { weight: 1, arbitrary: oneOf('NodeDrop', 'NodeDrop', 'Started') },
    { weight: 1, arbitrary: fc.tuple(named, named).map(objectOf) },
    { weight: 1, arbitrary: fc.tuple(stringOf(extraKey), anyValue).map((entry) => objectOf([entry])) },
    { weight: 1, arbitrary: anyValue },
  );
}

function envelope(body: fc.Arbitrary<Entry>): fc.Arbitrary<string> {
  return object([f('version', version), f('message', message(body)), f('node_id', idText, 13)]);
}
function bytesOf(spelt: fc.Arbitrary<string>, spaces: fc.Arbitrary<string[]>): fc.Arbitrary<Buffer> {
  return fc
    .tuple(spelt, spaces, mutations)
    .map(([frameText, gaps, broken]) =>
      broken.reduce<Buffer>((bytes, mutate) => mutate(bytes), Buffer.from(withSpace(frameText, gaps))),
    );
}

/** A frame as it may come, good or bad; may hold newlines. */
export const anyFrame: fc.Arbitrary<Buffer> = bytesOf(envelope(namedBody), spaceWithNewlines);

/** A line without its newline: mostly events; sometimes blank, sometimes with white space around it. */
export const anyLine: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: bytesOf(envelope(BODIES.documented!), space) },
      { weight: 2, arbitrary: bytesOf(envelope(namedBody), space) },
      { weight: 2, arbitrary: fc.constant(Buffer.from(event())) },
      {
        weight: 1,
        arbitrary: fc.constantFrom('', '', ' ', '\t \r', '\r\r').map((blank) => Buffer.from(blank)),
      },
    ),
    fc.constantFrom('', '', '', '', ' ', '\t', '  \t '),
    fc.constantFrom('', '', '', '\r', '\r', ' ', ' \t\r'),
  )
  .map(([bytes, before, behind]) => {
    const line = Buffer.concat([Buffer.from(before), bytes, Buffer.from(behind)]);
    for (let i = line.indexOf(10); i >= 0; i = line.indexOf(10, i)) line[i] = 0x20;
    return line;
  });

const plainString = fc.oneof(
  jsonString,
  jsonString,
  text.map((value) => JSON.stringify(value)),
);
const plainTree = fc.array(fc.tuple(plainString, tree), { maxLength: 4 }).map(objectOf);

/** Documented events of NODE_ID, compact, keys in any order, on one line: what a scanner must never leave to others. */
export const plainEvent: fc.Arbitrary<string> = fc
  .tuple(
    plainString,
    plainString,
    plainString,
    fc.constantFrom(
      '2026-11-20T12:00:00Z',
      '2024-02-29 23:59:60',
      '0000-01-01T00:00:00.1+1400',
      '9999-12-31T23:59:59.123456789-00:00',
    ),
    plainTree,
    fc.array(fc.nat(99), { minLength: 6, maxLength: 6 }),
    fc.boolean(),
  )
  .map(([pot, type, name, time, values, order, versionFirst]) => {
    const entries: Entry[] = [
      ['"node_id"', NODE_ID],
      ['"pot_id"', pot],
      ['"pot_type"', type],
      ['"event_type"', name],
      ['"timestamp"', `"${time}"`],
      ['"data"', values],
    ];
    const place = new Map(entries.map((entry, i) => [entry, order[i]!]));
    entries.sort((a, b) => place.get(a)! - place.get(b)!);
    const both: Entry[] = [
      ['"version"', '2'],
      ['"message"', objectOf([['"PotEvent"', objectOf(entries)]])],
    ];
    return withSpace(objectOf(versionFirst ? both : both.reverse()), ['']);
  });
