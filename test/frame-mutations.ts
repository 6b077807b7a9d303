/** Ways to break the bytes of a frame: change, insert, leave out, repeat, cut off. For frames.ts. */
import fc from 'fast-check';
import { texts } from './json-texts.js';

export type Mutation = (bytes: Buffer) => Buffer;

const INSERTS = [
  ...texts('"|\\|{|}|[|]|,|:|0|-|.|e| |\r|\t|\u0000|\u0001|\u001f|\u007f|\\u12|\\u00zz|\\"|\\/'),
  ...texts('\ufeff|\u00a0|\u2028|\f|\v|\u001a|//|"node_id":1,|"version":2,|"__proto__":1,|,"a":1'),
].map((inserted) => Buffer.from(inserted));
/** In hexadecimal: stray and cut sequences, overlong ones, surrogates, beyond the last code point, UTF-16. */
const RAW_INSERTS = texts('ff|80|c3|c0af|e080af|eda080|edb080|f09f90|f4908080|feff').map((bytes) =>
  Buffer.from(bytes, 'hex'),
);
const insert = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...INSERTS) },
  { weight: 1, arbitrary: fc.constantFrom(...RAW_INSERTS) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }).map((byte) => Buffer.from([byte])) },
);
const place = fc.double({ min: 0, max: 1, noNaN: true });
const at = (bytes: Buffer, fraction: number) =>
  Math.min(bytes.length, Math.floor(fraction * (bytes.length + 1)));

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(place, insert).map(
    ([where, inserted]): Mutation =>
      (bytes) => {
        const i = at(bytes, where);
        return Buffer.concat([bytes.subarray(0, i), inserted, bytes.subarray(i)]);
      },
  ),
  fc.tuple(place, insert).map(
    ([where, inserted]): Mutation =>
      (bytes) => {
        const i = at(bytes, where);
        return Buffer.concat([
          bytes.subarray(0, i),
          inserted,
          bytes.subarray(Math.min(bytes.length, i + inserted.length)),
        ]);
      },
  ),
  fc.tuple(place, fc.nat(7)).map(
    ([where, bit]): Mutation =>
      (bytes) => {
        const flipped = Buffer.from(bytes);
        const i = at(bytes, where);
        if (i < bytes.length) flipped[i]! ^= 1 << bit;
        return flipped;
      },
  ),
  fc.tuple(place, fc.oneof(fc.constant(1), fc.nat(20))).map(
    ([where, length]): Mutation =>
      (bytes) => {
        const i = at(bytes, where);
        return Buffer.concat([bytes.subarray(0, i), bytes.subarray(Math.min(bytes.length, i + length))]);
      },
  ),
  fc.tuple(place, fc.nat(30), place).map(
    ([from, length, to]): Mutation =>
      (bytes) => {
        const i = at(bytes, from);
        const j = at(bytes, to);
        return Buffer.concat([bytes.subarray(0, j), bytes.subarray(i, i + length), bytes.subarray(j)]);
      },
  ),
  place.map(
    (where): Mutation =>
      (bytes) =>
        bytes.subarray(0, at(bytes, where)),
  ),
);
/** None for half of the frames, for the others one or a few. */
export const mutations = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Mutation[]>([]) },
  { weight: 3, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 1 }) },
  { weight: 1, arbitrary: fc.array(mutation, { minLength: 2, maxLength: 4 }) },
);
