/** The OpenAPI document that a Core serves, as tests read it. */
import { Compile } from 'typebox/schema';

// biome-ignore lint/suspicious/noExplicitAny: a schema of whatever keywords
export type JsonSchema = any;

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path' | 'header';
  readonly required?: boolean;
  readonly description?: string;
  readonly example?: unknown;
  readonly schema: JsonSchema;
}

export interface ResponseObject {
  readonly description?: string;
  readonly headers?: Readonly<Record<string, { readonly $ref?: string }>>;
  readonly content?: Readonly<Record<string, { readonly schema?: JsonSchema }>>;
  readonly 'x-codes'?: readonly string[];
}

export interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly unknown[];
  readonly parameters?: readonly (Parameter | { readonly $ref: string })[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> };
  readonly responses: Readonly<Record<string, ResponseObject>>;
  readonly 'x-roles'?: readonly string[];
}

export interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, JsonSchema>>>>;
  readonly 'x-error-codes': Readonly<Record<string, { readonly status: number }>>;
}

export interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

export function routesOf(document: Document): Route[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
}

/** What a `$ref` of the document stands for; throws when it stands for nothing. */
export function resolveRef(document: Document, ref: string): JsonSchema {
  if (!ref.startsWith('#/')) throw new Error(`${ref} leads out of the document`);
  let at: JsonSchema = document;
  for (const step of ref.slice(2).split('/')) {
    at = at?.[step.replaceAll('~1', '/').replaceAll('~0', '~')];
    if (at === undefined) throw new Error(`${ref} leads nowhere`);
  }
  return at;
}

export function parametersOf(document: Document, operation: Operation): Parameter[] {
  return (operation.parameters ?? []).map((parameter) =>
    '$ref' in parameter ? resolveRef(document, parameter.$ref) : parameter,
  );
}

/** A schema with every `$ref` put in place. */
function inlined(document: Document, schema: JsonSchema): JsonSchema {
  if (Array.isArray(schema)) return schema.map((part) => inlined(document, part));
  if (typeof schema !== 'object' || schema === null) return schema;
  if (typeof schema.$ref === 'string') return inlined(document, resolveRef(document, schema.$ref));
  return Object.fromEntries(Object.entries(schema).map(([name, part]) => [name, inlined(document, part)]));
}

const compiled = new WeakMap<object, (value: unknown) => string[]>();

/** What is wrong with a value, by a schema of the document; empty when nothing is. */
export function mistakesIn(document: Document, schema: JsonSchema, value: unknown): string[] {
  let check = compiled.get(schema);
  if (check === undefined) {
    const validator = Compile(inlined(document, schema));
    check = (candidate) => {
      if (validator.Check(candidate)) return [];
      const [, errors] = validator.Errors(candidate);
      return errors.map(({ instancePath, message }) => `${instancePath} ${message}`);
    };
    compiled.set(schema, check);
  }
  return check(value);
}
