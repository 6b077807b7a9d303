/**
 * `/api/v1/enrolments` and `/api/v1/enrolment-window`: gives names of nodes their secrets, and takes them away. A secret
 * is in the answer that makes it, and nowhere else, ever.
 */
import { type Static, Type } from 'typebox';
import type { AuditTrail } from '../../access/audit.js';
import type { EnrolmentDesk } from '../../enrolment/desk.js';
import type { IssuedSecret } from '../../enrolment/enrolments.js';
import { EnrolmentError, type EnrolmentErrorCode } from '../../enrolment/errors.js';
import type { Enrolment } from '../../enrolment/record.js';
import { LIMITS } from '../../limits.js';
import { actorOf } from '../actor.js';
import type { RestApp } from '../app.js';
import { RestError, type RestErrorCode } from '../errors.js';
import { isoTime } from '../iso-time.js';

const TAGS = ['enrolment'];
const PAGE = 100;
const WINDOW_SECONDS_MAX = LIMITS.enrolmentWindowMs / 1000;
/** Bytes of a name, of 255 characters, in the escapes of a path: what is longer is no name. */
const NAME_UNITS = LIMITS.nodeNameLength * 2;

const momentOrNull = (description: string) =>
  Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: `${description}; ISO 8601, UTC`,
    examples: ['2026-11-20T12:00:00.000Z'],
  });

const name = Type.String({
  minLength: 1,
  maxLength: NAME_UNITS,
  description: 'node_name, exactly as the node sends it',
  examples: ['eu-west-1'],
});

const enrolmentFields = {
  name,
  state: Type.Unsafe<Enrolment['state']>({
    type: 'string',
    enum: ['active', 'revoked'],
    description: 'active: the node must show a valid code; revoked: it gets in no more',
  }),
  by: Type.Unsafe<Enrolment['by']>({
    type: 'string',
    enum: ['admin', 'node'],
    description: 'who enrolled it: an administrator, or the node itself by registering with a code',
  }),
  created: momentOrNull('when the name was enrolled'),
  changed: momentOrNull('when its secret was made or revoked'),
  last_used: momentOrNull('when a code of this secret was last accepted; null for never'),
};
const EnrolmentRow = Type.Object(enrolmentFields, { description: 'a name; never its secret' });
const EnrolmentList = Type.Object({
  enrolments: Type.Array(EnrolmentRow, { description: 'in the order of their names' }),
  next: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: '`after` of the next page; null on the last one',
  }),
});
const Issued = Type.Object(
  {
    name,
    secret: Type.String({
      description: '160 bits in base32 without padding, shown this once',
      examples: ['JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'],
    }),
    otpauth_uri: Type.String({ description: 'the same for authenticator programs, shown this once' }),
  },
  { description: 'the secret that the codes of this name are made of from now on' },
);
const Window = Type.Object({
  open: Type.Boolean({ description: 'unknown names that send a code are enrolled now' }),
  until: momentOrNull('when it closes; null where it is closed'),
  totp: Type.Unsafe<EnrolmentDesk['mode']>({
    type: 'string',
    enum: ['off', 'optional', 'required'],
    description: 'auth.totp in force; the window matters only in required',
  }),
});

/** Text of a query is never coerced, so the number is a pattern. */
const ListQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.String({
        pattern: '^([1-9][0-9]{0,2}|1000)$',
        description: `rows of a page, 1 to 1000; ${PAGE} without it`,
      }),
    ),
    after: Type.Optional(
      Type.String({ maxLength: NAME_UNITS, description: 'where to go on: `next` of the page before' }),
    ),
  },
  { additionalProperties: false },
);
const DeleteQuery = Type.Object(
  {
    forget: Type.Optional(
      Type.Unsafe<'true' | 'false'>({
        type: 'string',
        enum: ['true', 'false'],
        description: 'true: the name becomes as unknown as any other, and may be enrolled by a node again',
      }),
    ),
  },
  { additionalProperties: false },
);
const NameParams = Type.Object({ name });
const NewEnrolment = Type.Object({ name }, { additionalProperties: false });
const NewWindow = Type.Object(
  {
    seconds: Type.Integer({
      minimum: 1,
      maximum: WINDOW_SECONDS_MAX,
      description: 'for how long, from now',
      examples: [600],
    }),
  },
  { additionalProperties: false },
);

const REST_CODES: Record<EnrolmentErrorCode, RestErrorCode> = {
  BAD_NAME: 'BAD_REQUEST',
  ALREADY_ENROLLED: 'CONFLICT',
  NOT_ENROLLED: 'ENROLMENT_NOT_FOUND',
  FULL: 'CONFLICT',
  NOT_SAVED: 'STATE_UNAVAILABLE',
  NO_KEY: 'STATE_UNAVAILABLE',
};

export function enrolmentRoutes(app: RestApp, desk: EnrolmentDesk, audit: AuditTrail): void {
  app.get(
    '/api/v1/enrolments',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'listEnrolments',
        tags: TAGS,
        summary: 'names that have a secret, and names whose secret was revoked',
        description: 'A page at a time, in the order of their names. Secrets are never shown.',
        querystring: ListQuery,
        response: { 200: EnrolmentList },
      },
    },
    async ({ query }) => {
      const limit = Number(query.limit ?? PAGE);
      const rows = desk.list(limit + 1, query.after);
      const page = rows.slice(0, limit);
      return {
        enrolments: page.map(rowOf),
        next: rows.length > limit ? page.at(-1)!.name : null,
      };
    },
  );

  app.post(
    '/api/v1/enrolments',
    {
      config: { access: 'admin', errors: ['CONFLICT', 'STATE_UNAVAILABLE'] },
      schema: {
        operationId: 'enrolNode',
        tags: TAGS,
        summary: 'enrol a name',
        description:
          'Makes the secret that the one-time codes of this name are made of. From now on a node of this name must show a valid code. A name that was revoked can be enrolled again.',
        body: NewEnrolment,
        response: { 201: Issued },
      },
    },
    async (request, reply) => {
      const { name } = request.body;
      const issued = await audited(request, 'enrolment.create', name, () => desk.enrol(name));
      return reply.code(201).send(shownOnce(issued));
    },
  );

  app.post(
    '/api/v1/enrolments/:name/rotate',
    {
      config: { access: 'admin', errors: ['ENROLMENT_NOT_FOUND', 'STATE_UNAVAILABLE'] },
      schema: {
        operationId: 'rotateEnrolment',
        tags: TAGS,
        summary: 'give an enrolled name a new secret',
        description: 'The old secret is worth nothing at once. A connection that stands is not closed.',
        params: NameParams,
        response: { 200: Issued },
      },
    },
    async (request) => {
      const { name } = request.params;
      return shownOnce(await audited(request, 'enrolment.rotate', name, () => desk.rotate(name)));
    },
  );

  app.delete(
    '/api/v1/enrolments/:name',
    {
      config: { access: 'admin', errors: ['ENROLMENT_NOT_FOUND', 'STATE_UNAVAILABLE'] },
      schema: {
        operationId: 'revokeEnrolment',
        tags: TAGS,
        summary: 'revoke the secret of a name',
        description:
          'A node of this name is disconnected and gets in no more, with or without a code, until the name is enrolled again by an administrator; it cannot enrol itself.',
        params: NameParams,
        querystring: DeleteQuery,
        response: { 204: Type.Null({ description: 'it is revoked' }) },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      if (request.query.forget === 'true')
        await audited(request, 'enrolment.forget', name, () => desk.forget(name));
      else await audited(request, 'enrolment.revoke', name, () => desk.revoke(name));
      return reply.code(204).send(null);
    },
  );

  app.get(
    '/api/v1/enrolment-window',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'getEnrolmentWindow',
        tags: TAGS,
        summary: 'whether unknown nodes may enrol themselves now',
        description: 'The window that lets nodes enrol themselves although auth.totp is required.',
        response: { 200: Window },
      },
    },
    async () => windowOf(),
  );

  app.put(
    '/api/v1/enrolment-window',
    {
      config: { access: 'admin', errors: ['STATE_UNAVAILABLE'] },
      schema: {
        operationId: 'openEnrolmentWindow',
        tags: TAGS,
        summary: 'let unknown nodes enrol themselves for some time',
        description:
          'While it is open a node of an unknown name that sends a code, whatever it is, gets a secret in its ack. It closes by itself, and a restart neither closes nor prolongs it.',
        body: NewWindow,
        response: { 200: Window },
      },
    },
    async (request) => {
      const { seconds } = request.body;
      const work = () => desk.openWindow(seconds * 1000);
      await audited(request, 'enrolment-window.open', `${seconds} seconds`, work);
      return windowOf();
    },
  );

  app.delete(
    '/api/v1/enrolment-window',
    {
      config: { access: 'admin', errors: ['STATE_UNAVAILABLE'] },
      schema: {
        operationId: 'closeEnrolmentWindow',
        tags: TAGS,
        summary: 'let unknown nodes enrol themselves no more',
        description: 'Closes the window before its time. Nodes that have enrolled themselves stay enrolled.',
        response: { 204: Type.Null({ description: 'it is closed' }) },
      },
    },
    async (request, reply) => {
      await audited(request, 'enrolment-window.close', 'enrolment-window', () => desk.closeWindow());
      return reply.code(204).send(null);
    },
  );

  function windowOf(): Static<typeof Window> {
    const untilMs = desk.windowOpenUntilMs();
    return { open: untilMs !== null, until: isoTime(untilMs), totp: desk.mode };
  }

  /** Does it, leaves a trace whatever came of it, and turns what went wrong into an answer. */
  async function audited<T>(
    request: Parameters<typeof actorOf>[0],
    action: string,
    target: string,
    work: () => Promise<T>,
  ): Promise<T> {
    const entry = { actor: actorOf(request), action, target };
    try {
      const done = await work();
      audit.record({ ...entry, outcome: 'done' });
      return done;
    } catch (error) {
      if (!(error instanceof EnrolmentError)) {
        audit.record({ ...entry, outcome: 'failed' });
        throw error;
      }
      audit.record({ ...entry, outcome: 'refused', detail: { code: error.code } });
      const options =
        error.code === 'BAD_NAME' ? { detail: error.message, field: 'name' } : { detail: error.message };
      throw new RestError(REST_CODES[error.code], options);
    }
  }
}

function rowOf({
  name,
  state,
  by,
  createdMs,
  changedMs,
  lastUsedMs,
}: Enrolment): Static<typeof EnrolmentRow> {
  return {
    name,
    state,
    by,
    created: isoTime(createdMs),
    changed: isoTime(changedMs),
    last_used: isoTime(lastUsedMs),
  };
}

function shownOnce({ enrolment, secret, otpauthUri }: IssuedSecret): Static<typeof Issued> {
  return { name: enrolment.name, secret, otpauth_uri: otpauthUri };
}
