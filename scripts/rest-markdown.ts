/** The reference page for REST, made of the OpenAPI document that a running Core serves. Pure: text from a document. */

/** What is looked at of a schema. */
interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly additionalProperties?: boolean | Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
}

interface Parameter {
  readonly $ref?: string;
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

type Content = Readonly<Record<string, { readonly schema?: Schema }>>;

interface Operation {
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<
    Record<
      string,
      { readonly description: string; readonly content?: Content; readonly 'x-codes'?: readonly string[] }
    >
  >;
  readonly 'x-roles'?: readonly string[];
}

export interface OpenApi {
  readonly info: { readonly description: string };
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly parameters: Readonly<Record<string, Parameter>> };
  readonly 'x-error-codes': Readonly<Record<string, { readonly status: number; readonly meaning: string }>>;
}

interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

export function restMarkdown(document: OpenApi): string {
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, operation]): Route => ({ method: method.toUpperCase(), path, operation }),
    ),
  );
  const parts = [
    '# REST',
    '<!-- Made by `npm run docs` of what Core serves at /openapi.json; do not edit. -->',
    'Port 9002. A running Core serves this as an OpenAPI 3.1 document at `/openapi.json`, and as a page to try it at `/docs`.',
    document.info.description,
    table(
      ['route', '', 'role'],
      routes.map(({ method, path, operation }) => [
        link(method, path),
        operation.summary,
        operation['x-roles']?.[0] ?? '',
      ]),
    ),
  ];
  for (const tag of document.tags) {
    const tagged = routes.filter(({ operation }) => operation.tags[0] === tag.name);
    if (tagged.length === 0) continue;
    parts.push(`## ${tag.name}: ${tag.description}`, ...tagged.map((route) => section(route, document)));
  }
  parts.push(
    '## Error codes',
    table(
      ['code', 'status', ''],
      Object.entries(document['x-error-codes']).map(([code, { status, meaning }]) => [
        `\`${code}\``,
        String(status),
        meaning,
      ]),
    ),
  );
  return `${parts.join('\n\n')}\n`;
}

function link(method: string, path: string): string {
  const anchor = `${method} ${path}`
    .toLowerCase()
    .replace(/[^a-z0-9 _-]/g, '')
    .replaceAll(' ', '-');
  return `[\`${method} ${path}\`](#${anchor})`;
}

function section({ method, path, operation }: Route, document: OpenApi): string {
  const parts = [`### ${method} ${path}`, operation.description ?? ''];
  const parameters = (operation.parameters ?? []).map((parameter) => resolve(parameter, document));
  if (parameters.length > 0) {
    parts.push(
      table(
        ['parameter', 'in', 'type', ''],
        parameters.map((one) => [
          `\`${one.name}\`${one.required ? ' *' : ''}`,
          one.in,
          typeOf(one.schema),
          one.description ?? '',
        ]),
      ),
    );
  }
  const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  if (body !== undefined) parts.push('Body:', fields(body));
  for (const [status, answer] of Object.entries(operation.responses)) {
    if (!status.startsWith('2')) continue;
    const [type, content] = Object.entries(answer.content ?? {})[0] ?? [];
    parts.push(
      `${status}${type === undefined || type === 'application/json' ? '' : `, \`${type}\``}: ${answer.description}`,
    );
    if (content?.schema?.properties !== undefined && Object.keys(content.schema.properties).length > 0)
      parts.push(fields(content.schema));
  }
  const codes = Object.entries(operation.responses).flatMap(([status, answer]) =>
    (answer['x-codes'] ?? []).map((code) => `${status} \`${code}\``),
  );
  const empty = operation.responses['304'] === undefined ? [] : ['304'];
  parts.push(`Else: ${[...empty, ...codes].join(', ')}.`);
  return parts.filter((part) => part !== '').join('\n\n');
}

function resolve(parameter: Parameter, document: OpenApi): Parameter {
  if (parameter.$ref === undefined) return parameter;
  return document.components.parameters[parameter.$ref.split('/').at(-1)!]!;
}

function fields(schema: Schema): string {
  const rows = [...rowsOf(schema, '')];
  return rows.length === 0 ? typeOf(schema) : table(['field', 'type', ''], rows);
}

function* rowsOf(schema: Schema, before: string): Generator<string[]> {
  for (const branch of schema.anyOf ?? schema.oneOf ?? []) yield* rowsOf(branch, before);
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const path = `${before}${name}`;
    const required = schema.required?.includes(name) ?? false;
    yield [`\`${path}\`${required ? '' : '?'}`, typeOf(field), field.description ?? ''];
    yield* rowsOf(field, `${path}.`);
    if (field.items !== undefined) yield* rowsOf(field.items, `${path}[].`);
  }
}

function typeOf(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches !== undefined) return [...new Set(branches.map(typeOf))].join(' or ');
  const type = [schema.type ?? 'any'].flat().join(' or ');
  if (type === 'array' && schema.items !== undefined) return `array of ${typeOf(schema.items)}`;
  const { minimum, maximum } = schema;
  return minimum !== undefined && maximum !== undefined ? `${type}, ${minimum} to ${maximum}` : type;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
