/**
 * Requests against their schemas: texts of the query become what the schema says, and what does not fit is told by
 * field, in our words. Names and values that a stranger made up are never repeated.
 *
 * Owned by main. Pure.
 */
import type { FieldError } from './errors.js';

/** The part of a JSON schema that is looked at. */
interface SchemaPart {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, SchemaPart>>;
  readonly items?: SchemaPart;
  readonly additionalProperties?: boolean | SchemaPart;
}

/** What the validator says of one mistake. */
interface Mistake {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: Record<string, unknown>;
}

/** How a request is written in the schema of a route; the word for a field that cannot be named. */
const PLACES = { querystring: 'query', params: 'path', body: 'body', headers: 'headers' } as const;

const MAX_ERRORS = 16;

/**
 * Numbers, booleans and lists of a query, which come as texts. Strict: `1e3`, ` 5`, `0x10` and an empty text stay texts, and
 * the validator refuses them. (Its own coercion would take them all.)
 */
export function convertQuery(query: Record<string, unknown>, schema: unknown): void {
  const properties = (schema as SchemaPart | undefined)?.properties;
  if (properties === undefined) return;
  for (const name of Object.keys(query)) {
    const text = query[name];
    if (typeof text !== 'string' || !Object.hasOwn(properties, name)) continue;
    const { type } = properties[name]!;
    if (type === 'integer' && /^(0|-?[1-9][0-9]{0,14})$/.test(text)) query[name] = Number(text);
    else if (type === 'boolean' && (text === 'true' || text === 'false')) query[name] = text === 'true';
    // One of a parameter that may be repeated.
    else if (type === 'array') query[name] = [text];
  }
}

export function fieldErrorsOf(
  mistakes: readonly unknown[],
  context: string | undefined,
  routeSchema: unknown,
): FieldError[] {
  const place = context !== undefined && context in PLACES ? (context as keyof typeof PLACES) : 'body';
  const schema = (routeSchema as Record<string, SchemaPart> | undefined)?.[place];
  const errors: FieldError[] = [];
  for (const mistake of mistakes as readonly Mistake[]) {
    // Follows from the mistakes inside the branches.
    if (mistake.keyword === 'if') continue;
    const error = { field: fieldOf(mistake, schema, PLACES[place]), reason: reasonOf(mistake) };
    if (!errors.some(({ field, reason }) => field === error.field && reason === error.reason))
      errors.push(error);
    if (errors.length === MAX_ERRORS) break;
  }
  return errors;
}

/** As far as the path's steps are names of the schema; what lies deeper was named by the client. */
function fieldOf(
  { keyword, instancePath, params }: Mistake,
  schema: SchemaPart | undefined,
  whole: string,
): string {
  const known: string[] = [];
  let at = schema;
  for (const step of instancePath.split('/').slice(1)) {
    const properties = at?.properties;
    if (properties !== undefined && Object.hasOwn(properties, step)) at = properties[step];
    else if (at?.items !== undefined && /^[0-9]{1,6}$/.test(step)) at = at.items;
    else break;
    known.push(step);
  }
  const missing = params.missingProperty;
  if (keyword === 'required' && typeof missing === 'string') known.push(missing);
  return known.length === 0 ? whole : known.join('.');
}

function reasonOf({ keyword, params }: Mistake): string {
  const { limit, type, allowedValues, allowedValue, multipleOf } = params;
  switch (keyword) {
    case 'required':
      return 'is missing';
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return 'has a field that is not known here';
    case 'type':
      return `is not of type ${[type].flat().join(' or ')}`;
    case 'enum':
      return `is none of ${(allowedValues as readonly unknown[]).map((value) => JSON.stringify(value)).join(', ')}`;
    case 'const':
      return `is not ${JSON.stringify(allowedValue)}`;
    case 'minimum':
    case 'exclusiveMinimum':
      return `is less than ${keyword === 'minimum' ? '' : 'or equal to '}${String(limit)}`;
    case 'maximum':
    case 'exclusiveMaximum':
      return `is more than ${keyword === 'maximum' ? '' : 'or equal to '}${String(limit)}`;
    case 'minLength':
      return `is shorter than ${String(limit)}`;
    case 'maxLength':
      return `is longer than ${String(limit)}`;
    case 'minItems':
    case 'minProperties':
      return `has fewer than ${String(limit)} entries`;
    case 'maxItems':
    case 'maxProperties':
      return `has more than ${String(limit)} entries`;
    case 'uniqueItems':
      return 'has an entry twice';
    case 'multipleOf':
      return `is not a multiple of ${String(multipleOf)}`;
    case 'pattern':
    case 'format':
      return 'is not in the form that is asked for';
    default:
      return 'is not as the documentation says';
  }
}
