/**
 * Rows of long lists as JSON, compiled from their schema: what is not in the schema does not leave.
 *
 * Owned by main.
 */
import type { JsonBytes } from './json-bytes.js';

/** The part of a row's schema that is looked at. */
export interface RowSchema {
  readonly properties: Readonly<Record<string, unknown>>;
}

const CLOSING = 0x7d;

/** Appends `,{...}`; the comma in front of a list's first row is the sender's to leave out. */
export type RowWriter<R> = (row: R, json: JsonBytes) => void;

export function rowWriter<R extends object>(schema: RowSchema): RowWriter<R> {
  const names = Object.keys(schema.properties) as (keyof R & string)[];
  const openings = names.map((name, at) => Buffer.from(`${at === 0 ? ',{' : ','}${JSON.stringify(name)}:`));
  return (row, json) => {
    for (let at = 0; at < names.length; at++) {
      json.raw(openings[at]!);
      json.value(row[names[at]!]);
    }
    json.byte(CLOSING);
  };
}
