/**
 * What all routes share in the OpenAPI document: the problem and the headers.
 *
 * Owned by main: constants only.
 */
import { REST_ERRORS } from './errors.js';

/** What holds for every route; the page and the reference both begin with it. */
export const ABOUT = `Nodes, honeypots, commands and the state of a HoneyBee Core.

**Ids.** A node id is an unsigned 64-bit number. \`node_id\` has all its digits, which most JSON parsers round; \`id\` is the same as text.

**Access.** \`Authorization: Bearer TOKEN\`. On loopback no token is needed until the first one is made (\`honeybee-core token create\`).

**Errors** are problem details (RFC 9457), \`application/problem+json\`: compare \`code\`, show \`detail\`; \`errors\` names the fields to blame.

**Lists.** With \`limit\` the answer is a page: \`next\`, and a \`Link\` header with \`rel="next"\`, say where the following one starts. What is there all the time is on exactly one page, whoever else comes and goes. Without \`limit\` the whole list comes, however long. A parameter that is not known is an error.

**Events.** Pages and lines of the log at \`/api/v1/events\`, as they come at \`/api/v1/events/stream\`; cursors are sequence numbers, name the last record that was seen, and stay good over restarts. The same filters as on the WebSocket: \`node\`, \`pot\`, \`pot_type\`, \`event_type\` (patterns with \`*\`, several with commas), \`text\`, \`since\`, \`until\`.

**ETags.** Lists and single nodes have one; sent back in \`If-None-Match\` it saves the answer while nothing in it has changed (304).

**Request ids.** Every answer has \`X-Request-Id\`: the one of the request where that is 1 to 128 of \`A-Z a-z 0-9 . _ -\`, else a new one. It stands in the problem, in the log and in the audit trail.

**Rate limit.** Requests are counted per token, or per address (of IPv6: its /64) without one: \`RateLimit-Policy\` and \`RateLimit\` say how many are allowed and left; beyond, 429 with \`Retry-After\`.

**Bodies** are JSON, \`Content-Type: application/json\`; another type only where a route takes it.`;

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
  RequestId: {
    description: 'id of the request: its own where that is 1 to 128 of A-Z a-z 0-9 . _ -, else a new one',
    schema: { type: 'string' },
  },
  RateLimit: {
    description: 'requests left (r) and seconds until the count starts again (t)',
    schema: { type: 'string', examples: ['"default";r=59871;t=42'] },
  },
  RateLimitPolicy: {
    description: 'requests allowed (q) in so many seconds (w)',
    schema: { type: 'string', examples: ['"default";q=60000;w=60'] },
  },
  ETag: { description: 'for If-None-Match of the next request', schema: { type: 'string' } },
} as const;

export const REQUEST_HEADERS = {
  IfNoneMatch: {
    name: 'If-None-Match',
    in: 'header',
    required: false,
    description: 'ETag of the answer that is there already: 304 if nothing has changed',
    schema: { type: 'string' },
  },
} as const;

export const COMMON_HEADER_REFS = { 'X-Request-Id': { $ref: '#/components/headers/RequestId' } } as const;

export const RATE_HEADER_REFS = {
  RateLimit: { $ref: '#/components/headers/RateLimit' },
  'RateLimit-Policy': { $ref: '#/components/headers/RateLimitPolicy' },
} as const;
