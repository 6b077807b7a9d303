/** Requests made of an OpenAPI document: valid, nearly valid and wild, the same for the same seed. */
import type { Random } from '../bench/random.js';
import {
  type Document,
  type JsonSchema,
  type Parameter,
  parametersOf,
  type Route,
  resolveRef,
} from './openapi-document.js';

/** Stands in every text that is made up: no answer may repeat it but as a value that was asked for. */
export const MARK = 'zqxj';

const WILD_TEXTS = [
  '',
  ' ',
  '0',
  '-1',
  '1e3',
  'NaN',
  'null',
  'true',
  '[]',
  '{}',
  `${MARK}`,
  `${MARK}<script>`,
  `${MARK}"\\'`,
  `${MARK}\u0000\u001b[31m`,
  `${MARK}\ud83d\udc1d`,
  '../../etc/passwd',
  '%00',
  '*',
  '****************',
  '__proto__',
  'constructor',
  '18446744073709551615',
  '18446744073709551616',
  '9'.repeat(400),
];

export interface MadeRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

/** `known`: values worth trying for names of parameters: ids that exist. */
export function makeRequest(
  document: Document,
  route: Route,
  random: Random,
  known: Readonly<Record<string, readonly string[]>>,
): MadeRequest {
  const value = ({ name, schema, example }: Parameter): string => {
    const choice = random.below(10);
    const found = known[name];
    if (choice === 9 && example !== undefined) return textOf(example);
    if (choice < 4 && found !== undefined && found.length > 0) return random.pick(found);
    if (choice < 7) return textOf(validValue(document, schema, random));
    return random.pick(WILD_TEXTS);
  };
  let path = route.path;
  const query: string[] = [];
  const headers: Record<string, string> = {};
  for (const parameter of parametersOf(document, route.operation)) {
    const { name } = parameter;
    if (parameter.in === 'path') {
      // An empty step would be another path.
      path = path.replace(`{${name}}`, encodeURIComponent(value(parameter) || 'x'));
    } else if (parameter.in === 'query') {
      if (random.below(3) === 0) query.push(`${name}=${encodeURIComponent(value(parameter))}`);
    } else if (random.below(4) === 0) {
      headers[name] = value(parameter)
        .replace(/[^\x20-\x7e]/g, '?')
        .trim();
    }
  }
  if (random.below(12) === 0)
    query.push(`${random.pick(['x', MARK, '__proto__', 'limit', '%zz', ''])}=${random.below(9)}`);
  let body: string | undefined;
  const content = Object.values(route.operation.requestBody?.content ?? {})[0];
  if (content !== undefined) {
    body = bodyOf(document, content.schema, random);
    headers['content-type'] =
      random.below(12) === 0 ? random.pick(['text/plain', 'x', '']) : 'application/json';
    if (headers['content-type'] === '') delete headers['content-type'];
  }
  const url = query.length === 0 ? path : `${path}?${query.join('&')}`;
  return { method: route.method, url, headers, body };
}

function bodyOf(document: Document, schema: JsonSchema, random: Random): string {
  const valid = validValue(document, schema, random);
  switch (random.below(6)) {
    case 0:
    case 1:
      return JSON.stringify(valid);
    case 2:
    case 3:
      return JSON.stringify(spoiled(valid, random));
    case 4:
      return random.pick([
        '',
        '{',
        'null',
        '[]',
        '"x"',
        '0',
        '{"a":1}',
        '\ufeff{}',
        `{"${MARK}":1}`,
        '{"__proto__":{}}',
      ]);
    default: {
      const text = JSON.stringify(valid);
      const at = random.below(text.length + 1);
      return (
        text.slice(0, at) +
        random.pick(['', '"', '}', ',', '\u0000', MARK]) +
        text.slice(at + random.below(3))
      );
    }
  }
}

/** One thing in the value is another than it should be. */
function spoiled(value: unknown, random: Random): unknown {
  if (typeof value !== 'object' || value === null || random.below(5) === 0) {
    return random.pick([
      null,
      0,
      -1,
      1.5,
      2 ** 60,
      '',
      MARK,
      'x'.repeat(3000),
      true,
      [],
      {},
      [[]],
      { [MARK]: MARK },
    ]);
  }
  const copy: Record<string, unknown> = Array.isArray(value) ? ([...value] as never) : { ...value };
  const names = Object.keys(copy);
  const name = names.length === 0 || random.below(5) === 0 ? MARK : random.pick(names);
  if (random.below(4) === 0) delete copy[name];
  else copy[name] = spoiled(copy[name], random);
  return copy;
}

export function validValue(document: Document, schema: JsonSchema, random: Random): unknown {
  if (schema.$ref !== undefined) return validValue(document, resolveRef(document, schema.$ref), random);
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches !== undefined) return validValue(document, random.pick(branches), random);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return random.pick(schema.enum);
  if (schema.examples !== undefined && random.below(2) === 0) return random.pick(schema.examples);
  switch (random.pick([schema.type].flat())) {
    case 'boolean':
      return random.below(2) === 0;
    case 'integer':
    case 'number': {
      const low = schema.minimum ?? 0;
      return random.pick([
        low,
        schema.maximum ?? low + 1000,
        random.between(low, schema.maximum ?? low + 1000),
      ]);
    }
    case 'null':
      return null;
    case 'array': {
      const count = random.between(
        schema.minItems ?? 0,
        Math.min(schema.maxItems ?? 3, (schema.minItems ?? 0) + 3),
      );
      return Array.from({ length: count }, () => validValue(document, schema.items ?? {}, random));
    }
    case 'object': {
      const value: Record<string, unknown> = {};
      for (const [name, field] of Object.entries<JsonSchema>(schema.properties ?? {}))
        if (schema.required?.includes(name) || random.below(2) === 0)
          value[name] = validValue(document, field, random);
      if (typeof schema.additionalProperties === 'object' && random.below(2) === 0)
        value[`${MARK}-key`] = validValue(document, schema.additionalProperties, random);
      return value;
    }
    default: {
      const length = random.between(
        schema.minLength ?? 0,
        Math.min(schema.maxLength ?? 12, (schema.minLength ?? 0) + 12),
      );
      return Array.from({ length }, () => random.pick(['a', 'b', '-', '1', '*', 'é'])).join('');
    }
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** A request as bytes, with some of them changed, doubled or gone. */
export function brokenBytes({ method, url, headers, body = '' }: MadeRequest, random: Random): Buffer {
  const lines = Object.entries({
    host: 'core',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  });
  const head = `${method} ${url} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  const bytes = Buffer.from(head + body);
  for (let change = random.between(1, 6); change > 0; change--) {
    const at = random.below(bytes.length);
    bytes[at] = random.below(3) === 0 ? random.below(256) : random.pick([0, 10, 13, 32, 58, 255, 47, 63]);
  }
  return random.below(4) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
}
