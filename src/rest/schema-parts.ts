/**
 * Pieces that the schemas of all routes are put together from.
 *
 * Owned by main: constants only. A schema validates, serialises and documents at once, so every piece asks for a
 * description.
 */
import { Type } from 'typebox';

/** An unsigned 64-bit number with exactly its digits; the serialiser takes bigint for `integer`. */
export function u64(description: string) {
  return Type.Unsafe<bigint>({ type: 'integer', minimum: 1, description, examples: [4242] });
}

/** A moment as text. */
export function moment(description: string) {
  return Type.String({
    description: `${description}; ISO 8601, UTC`,
    examples: ['2026-11-20T12:00:00.000Z'],
  });
}

export function momentOrNull(description: string) {
  return Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: `${description}; ISO 8601, UTC`,
    examples: ['2026-11-20T12:00:00.000Z'],
  });
}

export function textOrNull(description: string) {
  return Type.Unsafe<string | null>({ type: ['string', 'null'], description });
}

export function integerOrNull(description: string) {
  return Type.Unsafe<number | null>({ type: ['integer', 'null'], description });
}

/** One of a list of words. */
export function choice<const W extends string>(words: readonly W[], description: string) {
  return Type.Unsafe<W>({ type: 'string', enum: [...words], description });
}

/** `{a: number, b: number}` for a list of names, each with what it means. */
export function numbers<K extends string>(
  names: readonly K[],
  description: string,
  meaning?: Readonly<Partial<Record<K, string>>>,
) {
  return Type.Unsafe<Record<K, number>>({
    type: 'object',
    description,
    properties: Object.fromEntries(
      names.map((name) => [
        name,
        { type: 'number', description: meaning?.[name] ?? name.replaceAll('_', ' ') },
      ]),
    ),
    required: [...names],
  });
}

/** A query, of which every parameter may be left out, and no other is taken. */
export function query<P extends Parameters<typeof Type.Object>[0]>(parameters: P) {
  return Type.Object(parameters, { additionalProperties: false });
}
