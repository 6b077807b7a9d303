/**
 * `/api/v1/dead-letters`: what nodes sent and Core refused, and trying it again. Whoever reads it sees the bytes that
 * attackers chose: as base64, or as a download that no browser opens.
 */
import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import type { AuditEntry, AuditTrail } from '../../access/audit.js';
import { TooManyReaders } from '../../dead-letters/reader.js';
import {
  type DeadLetterService,
  type NotTried,
  ReplayError,
  type ReplayMark,
  type ReplayResult,
} from '../../dead-letters/service.js';
import { actorOf } from '../actor.js';
import type { RestApp } from '../app.js';
import {
  DEFAULT_LETTERS,
  DeadLetterList,
  DeadLetterParams,
  DeadLetterQuery,
  DeadLetterRow,
  ReplayAnswer,
  ReplayContent,
  ReplayQuery,
} from '../dead-letter-schemas.js';
import { RestError, type RestErrorCode } from '../errors.js';
import { sendJsonText } from '../json-text.js';

const tags = ['dead letters'];

const NOT_TRIED: Readonly<Record<NotTried, RestErrorCode>> = {
  'not-found': 'DEAD_LETTER_NOT_FOUND',
  never: 'NOT_REPLAYABLE',
  before: 'REPLAYED_BEFORE',
  unproven: 'REPLAY_UNPROVEN',
  'under-way': 'CONFLICT',
  busy: 'UNAVAILABLE',
  unknown: 'REPLAY_UNKNOWN',
};

export function deadLetterRoutes(app: RestApp, letters: DeadLetterService, audit: AuditTrail): void {
  // No scope: refused frames of all nodes and types, with what attackers sent.
  app.get(
    '/api/v1/dead-letters',
    {
      config: { access: 'read', errors: ['TOO_MANY_LISTS'] },
      schema: {
        operationId: 'listDeadLetters',
        tags,
        summary: 'refused frames',
        description:
          'What nodes sent that could not be processed, with the reason and its bytes, newest first.',
        querystring: DeadLetterQuery,
        response: { 200: DeadLetterList },
      },
    },
    async (request, reply) => {
      const { limit = DEFAULT_LETTERS, after, order, code, node, since, until } = request.query;
      const page = await read(reply, () =>
        letters.page({
          limit,
          after,
          oldestFirst: order === 'oldest',
          codes: code?.split(','),
          node,
          sinceMs: timeOf('since', since),
          untilMs: timeOf('until', until),
        }),
      );
      const marks = await letters.marks(page.rows.map(({ head }) => head.id));
      const rows = page.rows.map(({ line }, at) => withMark(line, marks[at]));
      // Lines of the log are JSON texts; put together as they are, every id keeps its digits.
      return sendJsonText(reply, `{"dead_letters":[${rows.join(',')}],"next":${page.next}}`);
    },
  );

  app.get(
    '/api/v1/dead-letters/:id',
    {
      config: { access: 'read', errors: ['DEAD_LETTER_NOT_FOUND', 'TOO_MANY_LISTS'] },
      schema: {
        operationId: 'getDeadLetter',
        tags,
        summary: 'one refused frame',
        description: 'The row of the list.',
        params: DeadLetterParams,
        response: { 200: DeadLetterRow },
      },
    },
    async (request, reply) => {
      const id = Number(request.params.id);
      const { line } = await one(letters, reply, id);
      return sendJsonText(reply, withMark(line, (await letters.marks([id]))[0]));
    },
  );

  app.get(
    '/api/v1/dead-letters/:id/bytes',
    {
      config: { access: 'read', errors: ['DEAD_LETTER_NOT_FOUND', 'TOO_MANY_LISTS'] },
      schema: {
        operationId: 'getDeadLetterBytes',
        tags,
        summary: 'the bytes of a refused frame',
        description: 'As they came, as a file to be saved: attackers chose them.',
        params: DeadLetterParams,
        produces: ['application/octet-stream'],
        response: { 200: { type: 'string', format: 'binary', description: 'the bytes' } },
      },
    },
    async (request, reply) => {
      const { letter } = await one(letters, reply, Number(request.params.id));
      return sendBytes(reply, letter.bytes, `dead-letter-${letter.id}.bin`);
    },
  );

  app.post(
    '/api/v1/dead-letters/:id/replay',
    {
      config: {
        access: 'admin',
        takesBytes: true,
        errors: [
          'DEAD_LETTER_NOT_FOUND',
          'NOT_REPLAYABLE',
          'REPLAYED_BEFORE',
          'REPLAY_UNPROVEN',
          'CONFLICT',
          'REPLAY_UNKNOWN',
          'UNAVAILABLE',
          'TOO_MANY_LISTS',
        ],
      },
      schema: {
        operationId: 'replayDeadLetter',
        tags,
        summary: 'try a refused frame again',
        description:
          'The frame, or the corrected one in the body, is judged as if its node had sent it now. Accepted, it goes into the log and the stream like any other; `refused` says why it is still no good.',
        params: DeadLetterParams,
        querystring: ReplayQuery,
        body: ReplayContent,
        response: { 200: ReplayAnswer },
      },
    },
    async (request, reply) => {
      const id = Number(request.params.id);
      const { force = false, dry_run: dryRun = false } = request.query;
      const frame = frameOf(request.body);
      const entry = {
        actor: actorOf(request),
        action: 'dead-letter.replay',
        target: String(id),
      };
      const detail = {
        force,
        ...(frame === undefined ? {} : { sha256: createHash('sha256').update(frame).digest('hex') }),
      };
      const record = (outcome: AuditEntry['outcome'], code?: string) => {
        if (!dryRun)
          audit.record({ ...entry, outcome, detail: { ...detail, ...(code === undefined ? {} : { code }) } });
      };
      let result: ReplayResult;
      try {
        result = await read(reply, () => letters.replay({ id, frame, force, dryRun }));
      } catch (error) {
        if (!(error instanceof ReplayError)) throw error;
        const code = NOT_TRIED[error.kind];
        record(error.kind === 'unknown' || error.kind === 'busy' ? 'failed' : 'refused', code);
        throw new RestError(code, { detail: error.message });
      }
      if (result.outcome === 'accepted') record('done');
      else record('refused', result.code);
      return sendJsonText(reply, answerOf(id, dryRun, result));
    },
  );
}

/** As JSON: a serialiser would round the id. */
function answerOf(id: number, dryRun: boolean, result: ReplayResult): string {
  const refused = result.outcome === 'refused' ? result : undefined;
  const accepted = result.outcome === 'accepted' ? result : undefined;
  return (
    `{"id":${id},"outcome":"${result.outcome}","dry_run":${dryRun},"node_id":${accepted?.nodeId ?? null},` +
    `"records":${JSON.stringify(accepted?.records ?? [])},"events":${accepted?.events ?? 0},` +
    `"code":${JSON.stringify(refused?.code ?? null)},"reason":${JSON.stringify(refused?.reason ?? null)}}`
  );
}

async function read<T>(reply: FastifyReply, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TooManyReaders)) throw error;
    reply.header('retry-after', '1');
    throw new RestError('TOO_MANY_LISTS');
  }
}

async function one(letters: DeadLetterService, reply: FastifyReply, id: number) {
  const found = await read(reply, () => letters.find(id));
  if (found === undefined) throw new RestError('DEAD_LETTER_NOT_FOUND');
  return found;
}

function withMark(line: string, mark: ReplayMark | undefined): string {
  const replayed =
    mark === undefined
      ? 'null'
      : JSON.stringify({ time: new Date(mark.timeMs).toISOString(), outcome: mark.outcome });
  return `${line.slice(0, -1)},"replayed":${replayed}}`;
}

function frameOf(body: unknown): Buffer | undefined {
  if (body === undefined || body === null) return undefined;
  return Buffer.isBuffer(body) ? body : Buffer.from((body as { frame: string }).frame, 'utf8');
}

function timeOf(field: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const timeMs = Date.parse(text);
  if (!Number.isNaN(timeMs)) return timeMs;
  throw new RestError('BAD_REQUEST', { field, detail: `${field} is no time` });
}

/** Takes a reply of any route. */
function sendBytes(reply: FastifyReply, bytes: Buffer, name: string): FastifyReply {
  return reply
    .header('content-type', 'application/octet-stream')
    .header('content-disposition', `attachment; filename="${name}"`)
    .send(bytes);
}
