/**
 * What all routes share in the OpenAPI document: the problem and the headers.
 *
 * Owned by main: constants only.
 */
import { REST_ERRORS } from './errors.js';

export const PROBLEM_SCHEMA = {
  type: 'object',
  description: 'what went wrong, as problem details (RFC 9457)',
  required: ['type', 'title', 'status', 'detail', 'instance', 'code'],
  properties: {
    type: {
      type: 'string',
      description: 'the code as a URN',
      examples: ['urn:honeybee:error:NODE_NOT_FOUND'],
    },
    title: { type: 'string', description: 'what the code means' },
    status: { type: 'integer', description: 'the HTTP status' },
    detail: { type: 'string', description: 'what is wrong with this request' },
    instance: {
      type: 'string',
      description: 'the request, by its id; the same id stands in X-Request-Id and in the log',
    },
    code: { type: 'string', enum: Object.keys(REST_ERRORS), description: 'for programs to compare' },
    errors: {
      type: 'array',
      description: 'the fields of the request that are to blame',
      items: {
        type: 'object',
        required: ['field', 'reason'],
        properties: {
          field: { type: 'string', description: 'its name; dots lead inside' },
          reason: { type: 'string', description: 'what is wrong with it' },
        },
      },
    },
  },
} as const;

export const RESPONSE_HEADERS = {
  'x-request-id': {
    type: 'string',
    description:
      'id of the request: the one it came with if that is 1 to 128 of A-Z a-z 0-9 . _ -, else a new one',
  },
  ratelimit: {
    type: 'string',
    description: 'requests left (r) and seconds until the count starts again (t)',
  },
  'ratelimit-policy': { type: 'string', description: 'requests allowed (q) in so many seconds (w)' },
  etag: { type: 'string', description: 'for If-None-Match' },
} as const;
