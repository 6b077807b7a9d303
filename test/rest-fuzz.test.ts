/**
 * Every route of a real Core, asked with what its own documentation allows, nearly allows and does not. Whatever is
 * asked, Core answers as the document says: a status it names, a body of that shape, a problem when something is wrong,
 * never a 500, never a stranger's text in an error.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Agent, request } from 'undici';
import { Random } from '../bench/random.js';
import { CoreProcess } from './core-process.js';
import { within } from './deadline.js';
import { NodeClient } from './node-client.js';
import { potStatus } from './node-frames.js';
import { type Document, mistakesIn, type Route, routesOf } from './openapi-document.js';
import { brokenBytes, MARK, type MadeRequest, makeRequest } from './request-maker.js';
import { get } from './rest-client.js';

const SEED = 20_261_121;
const ROUNDS_PER_ROUTE = 60;
const RAW_ROUNDS = 150;
const IDS = ['1', '9007199254740993', '18446744073709551615'];

interface Target {
  readonly core: CoreProcess;
  readonly document: Document;
  readonly known: Readonly<Record<string, readonly string[]>>;
  /** Of an administrator, once tokens are asked for. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Where tokens can be made, the first one that the fuzz makes would lock it out: so it begins with one. */
async function credentials(port: number, document: Document): Promise<Record<string, string>> {
  if (document.paths['/api/v1/tokens']?.post === undefined) return {};
  const answer = await request(`http://127.0.0.1:${port}/api/v1/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"name":"fuzz","roles":["admin"]}',
  });
  assert.equal(answer.statusCode, 201);
  const { token } = (await answer.body.json()) as { token: string };
  return { authorization: `Bearer ${token}` };
}

async function target(t: { after(work: () => unknown): void }): Promise<Target> {
  const core = await CoreProcess.start(t, { settings: { 'rest.requests_per_minute': 0 } });
  for (const id of IDS) {
    const node = await NodeClient.register(core.ports.node_port, { id: BigInt(id), name: `node-${id}` });
    await node.send(`${potStatus(BigInt(id), 'pot-1', 'cowrie', 'Running')}\n`);
    t.after(() => node.socket.destroy());
  }
  // A refused frame, so that the list of those is not empty.
  const stranger = await NodeClient.connect(core.ports.node_port);
  await stranger.send('{"version":2,"message":{"NodeStatusUpdate":{}}}\n');
  await stranger.answer('Error');
  stranger.socket.destroy();
  const document: Document = (await get(core.ports.backend_port, '/openapi.json')).json;
  const page = (await get(core.ports.backend_port, '/api/v1/honeypots?limit=1')).json;
  const known = {
    id: IDS,
    after: [...IDS, page.next, '0', '3'],
    before: ['2', '5'],
    node: [...IDS, 'node-*'],
    since: ['1h', '2026-11-20'],
    from: ['earliest', '1'],
    event_type: ['cowrie.*', 'a,b'],
    limit: ['1', '2', '1000'],
    name: ['node-*', 'node-1'],
  };
  return { core, document, known, headers: await credentials(core.ports.backend_port, document) };
}

/** Statuses that a route which exists may have beside its own: they are about HTTP and not about the route. */
function checkAnswer(
  document: Document,
  { method, path, operation }: Route,
  asked: MadeRequest,
  status: number,
  headers: Record<string, string | string[] | undefined>,
  text: string,
): void {
  const where = `${method} ${asked.url} ${asked.body ?? ''} -> ${status} ${text.slice(0, 300)}`;
  const documented = operation.responses[String(status)];
  assert.ok(documented !== undefined, `not documented: ${where}`);
  assert.notEqual(status, 500, where);
  assert.match(String(headers['x-request-id']), /^[A-Za-z0-9._-]{1,128}$/, where);
  assert.equal(headers['x-content-type-options'], 'nosniff', where);
  const type = String(headers['content-type'] ?? '').split(';')[0]!;
  if (status === 204 || status === 304) {
    assert.equal(text, '', where);
    return;
  }
  const content = documented.content?.[type];
  assert.ok(content !== undefined, `${type} is not documented: ${where}`);
  const isJson = /[/+]json$/.test(type);
  if (isJson && content.schema !== undefined) {
    const value = JSON.parse(text);
    assert.deepEqual(mistakesIn(document, content.schema, value), [], where);
    if (type === 'application/problem+json') {
      assert.equal(value.status, status, where);
      assert.ok(documented['x-codes']?.includes(value.code), `${value.code} is not documented: ${where}`);
      assert.ok(!text.includes(MARK), `a stranger's text is repeated: ${where}`);
    }
  }
  if (status >= 400 && path !== '/health') assert.equal(type, 'application/problem+json', where);
}

/** A stream of events has no end of its own. */
async function textOf({ headers, body }: Awaited<ReturnType<typeof request>>): Promise<string> {
  if (headers['content-type'] !== 'text/event-stream') return body.text();
  body.on('error', () => {});
  body.destroy();
  return '';
}

test('whatever is asked, every route answers as its documentation says', { timeout: 120_000 }, async (t) => {
  const { core, document, known, headers } = await target(t);
  const agent = new Agent({ connections: 8 });
  t.after(() => agent.destroy());
  const base = `http://127.0.0.1:${core.ports.backend_port}`;
  const routes = routesOf(document);
  const statuses = new Map<string, number>();
  for (const [number, route] of routes.entries()) {
    const random = new Random(SEED, number);
    for (let round = 0; round < ROUNDS_PER_ROUTE; round++) {
      const asked = makeRequest(document, route, random, known);
      const answer = await request(base + asked.url, {
        method: asked.method as 'GET',
        headers: { ...asked.headers, ...headers },
        dispatcher: agent,
        ...(asked.body === undefined ? {} : { body: asked.body }),
      });
      const text = await textOf(answer);
      checkAnswer(document, route, asked, answer.statusCode, answer.headers, text);
      const kind = `${route.operation.operationId} ${answer.statusCode}`;
      statuses.set(kind, (statuses.get(kind) ?? 0) + 1);
    }
  }
  for (const { operation } of routes) {
    const met = [...statuses.keys()].filter((kind) => kind.startsWith(`${operation.operationId} `));
    assert.ok(met.length > 0, operation.operationId);
  }
  for (const kind of [
    'listNodes 200',
    'listNodes 400',
    'getNode 200',
    'getNode 404',
    'getNode 400',
    'listHoneypots 200',
  ])
    assert.ok((statuses.get(kind) ?? 0) > 3, `${kind} was met: ${JSON.stringify([...statuses])}`);
  assert.equal((await get(core.ports.backend_port, '/health')).text, '{"status":"ok"}');
  assert.ok(!core.lines.all.some(({ msg }) => msg === 'a REST route failed'), core.story());
  await core.stop();
});

test('broken bytes get an answer that is HTTP, or none, and never a 500', { timeout: 120_000 }, async (t) => {
  const { core, document, known } = await target(t);
  const random = new Random(SEED, 999);
  const routes = routesOf(document);
  let answered = 0;
  for (let round = 0; round < RAW_ROUNDS; round++) {
    const asked = makeRequest(document, random.pick(routes), random, known);
    const bytes = brokenBytes(asked, random);
    const socket = connect({ port: core.ports.backend_port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    const closed = once(socket, 'close');
    socket.end(bytes);
    // What is cut may be waited for a while; what is broken is not.
    socket.once('end', () => socket.destroy());
    await within('the connection ends', closed, 20_000, () => JSON.stringify(bytes.toString('latin1')));
    const answer = Buffer.concat(chunks).toString('latin1');
    if (answer === '') continue;
    answered += 1;
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1];
    assert.ok(
      status !== undefined && status !== '500',
      `${JSON.stringify(bytes.toString('latin1'))} -> ${answer}`,
    );
    // A HEAD that is refused has no body to be typed.
    if (Number(status) >= 400) {
      assert.match(answer, /content-type: application\/problem\+json/i, answer);
      assert.ok(!answer.includes(MARK), answer);
    }
  }
  assert.ok(answered > RAW_ROUNDS / 2, `${answered} were answered`);
  assert.equal((await get(core.ports.backend_port, '/health')).text, '{"status":"ok"}');
  assert.ok(!core.lines.all.some(({ msg }) => msg === 'a REST route failed'), core.story());
  await core.stop();
});
