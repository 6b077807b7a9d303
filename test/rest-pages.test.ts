/** Pages and filters: what is there all the time is on exactly one page, whatever comes and goes between two pages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../bench/random.js';
import { matchesPattern } from '../src/access/pattern.js';
import { ANONYMOUS_OPEN } from '../src/access/principals.js';
import { NODE_STATUSES } from '../src/protocol/node-status-update.js';
import { POT_STATUSES } from '../src/protocol/pot-status-update.js';
import { type RestCore, startRest } from './rest-core.js';

/** Follows `next` to the end, checking it against `Link`; `between` runs after each page. */
async function readPages(core: RestCore, path: string, field: string, between: () => void = () => {}) {
  // biome-ignore lint/suspicious/noExplicitAny: rows are compared by the test
  const rows: any[] = [];
  let pages = 0;
  for (let url = path; ; ) {
    const { status, json, headers, text } = await core.get(url);
    assert.equal(status, 200, text);
    rows.push(...json[field]);
    pages += 1;
    assert.ok(pages < 10_000, 'the pages end');
    if (json.next === null) {
      assert.equal(headers.link, undefined);
      return { rows, pages };
    }
    const link = /^<([^>]+)>; rel="next"$/.exec(String(headers.link))?.[1];
    assert.ok(link !== undefined, String(headers.link));
    assert.equal(new URL(link, 'http://core').searchParams.get('after'), json.next);
    url = link;
    between();
  }
}

test('pages put together are the whole list, in its order, for every size of page', async () => {
  const core = await startRest();
  core.registerDeparted(57, 3);
  for (const [path, field] of [
    ['/api/v1/nodes', 'nodes'],
    ['/api/v1/honeypots', 'honeypots'],
  ] as const) {
    const whole = (await core.get(path)).json;
    assert.ok(!('next' in whole), 'the whole list has no next');
    for (const limit of [1, 2, 7, 56, 57, 58, 1000]) {
      const { rows, pages } = await readPages(core, `${path}?limit=${limit}`, field);
      assert.deepEqual(rows, whole[field], `${limit}`);
      assert.equal(pages, Math.ceil(whole[field].length / limit));
    }
  }
});

test('no node that stays is skipped or doubled, whoever comes, leaves or gets another id between pages', async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const random = new Random(seed);
    const core = await startRest();
    let session = 0;
    const join = (id: bigint, name: string): void => core.register(id, name, session++ % 30);
    const leave = (at: number): void => {
      core.registry.disconnected(at, { status: 'Unknown', nowMs: at });
    };
    const staying = new Set<string>();
    // Each name joins, leaves its session at once, and so is a record that another id may take over.
    const idOf = new Map<string, bigint>();
    const newId = (): bigint => (random.below(2) === 0 ? random.u64() || 1n : BigInt(1 + random.below(500)));
    for (let n = 0; n < 120; n++) {
      const id = newId();
      if ([...idOf.values()].includes(id)) continue;
      const name = `${n < 60 ? 'stays' : 'moves'}-${n}`;
      join(id, name);
      leave((session - 1) % 30);
      idOf.set(name, id);
      if (n < 60) staying.add(String(id));
    }
    const { rows } = await readPages(core, `/api/v1/nodes?limit=${1 + random.below(20)}`, 'nodes', () => {
      for (let change = 0; change < 6; change++) {
        const id = newId();
        // Nobody takes the id of one that stays: that would be its end.
        if (staying.has(String(id))) continue;
        join(id, random.below(2) === 0 ? `new-${random.u32()}` : `moves-${60 + random.below(60)}`);
        leave((session - 1) % 30);
      }
    });
    const seen = rows.map(({ id }) => id as string);
    assert.equal(new Set(seen).size, seen.length, `seed ${seed}: no id twice`);
    for (const id of staying) assert.ok(seen.includes(id), `seed ${seed}: ${id} was skipped`);
    assert.deepEqual(
      seen,
      [...seen].sort((left, right) => (BigInt(left) < BigInt(right) ? -1 : 1)),
      'in the order of ids',
    );
  }
});

test('no honeypot that stays is skipped or doubled while others are added before and behind it', async () => {
  const random = new Random(9);
  const core = await startRest();
  const pot = (session: number, potId: string): void => {
    core.registry.pot(session, { potId, potType: 'cowrie', status: 'Running', message: null, nowMs: 1 });
  };
  const staying: string[] = [];
  for (let node = 1; node <= 8; node++) {
    core.register(BigInt(node * 10), `n${node}`, node);
    // Half a surrogate pair, a space and a slash are ids that cursors must survive.
    for (const name of ['m', 'm ', 'a/b', '\ud83d', '\ud83d\udc1d', 'zz', '']) {
      pot(node, name);
      staying.push(`${node * 10} ${JSON.stringify(name)}`);
    }
  }
  for (const limit of [1, 2, 3, 5, 13]) {
    const { rows } = await readPages(core, `/api/v1/honeypots?limit=${limit}`, 'honeypots', () => {
      pot(1 + random.below(8), `added-${random.u32()}`);
    });
    const seen = rows.map(({ id, pot_id }) => `${id} ${JSON.stringify(pot_id)}`);
    assert.equal(new Set(seen).size, seen.length, 'no honeypot twice');
    for (const one of staying) assert.ok(seen.includes(one), `${one} was skipped`);
  }
});

test('filters show exactly what passes them, alone and together, on every page', async () => {
  const core = await startRest();
  const random = new Random(3);
  const nodes = Array.from({ length: 28 }, (_, at) => {
    const session = at;
    const node = {
      id: BigInt(at + 1),
      name: `${random.pick(['eu', 'us'])}-${random.pick(['ssh', 'web'])}-${at}`,
      status: random.pick(NODE_STATUSES),
      connected: random.below(2) === 0,
      pots: Array.from({ length: random.below(3) }, (_, n) => ({
        potId: `p${n}`,
        potType: random.pick(['cowrie', 'dionaea']),
        status: random.pick(POT_STATUSES),
      })),
    };
    core.register(node.id, node.name, session);
    for (const pot of node.pots) core.registry.pot(session, { ...pot, message: null, nowMs: 1 });
    core.registry.status(session, node.status);
    if (!node.connected) {
      node.status = random.pick(['Stopped', 'Unknown'] as const);
      core.registry.disconnected(session, { status: node.status as 'Stopped', nowMs: 1 });
    }
    return node;
  });
  type Node = (typeof nodes)[number];
  const filters: [string, (node: Node) => boolean][] = [
    ...NODE_STATUSES.map((status): (typeof filters)[number] => [
      `status=${status}`,
      (node) => node.status === status,
    ]),
    ['connected=true', (node) => node.connected],
    ['connected=false', (node) => !node.connected],
    ['name=eu-*', (node) => node.name.startsWith('eu-')],
    ['name=*-web-*', (node) => node.name.includes('-web-')],
    ['name=*', () => true],
    ['name=nobody', () => false],
    ['node_type=Full', () => true],
    ['node_type=Agent', () => false],
    ['pot_type=cowrie', (node) => node.pots.some(({ potType }) => potType === 'cowrie')],
  ];
  for (const [left, leftPasses] of filters) {
    for (const [right, rightPasses] of filters) {
      if (left.split('=')[0] === right.split('=')[0] && left !== right) continue;
      const expected = nodes
        .filter((node) => leftPasses(node) && rightPasses(node))
        .map(({ id }) => String(id));
      const query = left === right ? left : `${left}&${right}`;
      const shown = (await core.get(`/api/v1/nodes?${query}`)).json.nodes.map(({ id }: { id: string }) => id);
      assert.deepEqual(shown, expected, query);
    }
    const { rows } = await readPages(core, `/api/v1/nodes?${left}&limit=3`, 'nodes');
    assert.deepEqual(
      rows.map(({ id }) => id),
      nodes.filter(leftPasses).map(({ id }) => String(id)),
      `pages of ${left}`,
    );
  }
  for (const status of POT_STATUSES) {
    const expected = nodes.flatMap(({ id, pots }) =>
      pots
        .filter((pot) => pot.status === status && pot.potType === 'cowrie')
        .map(({ potId }) => `${id} ${potId}`),
    );
    const query = `/api/v1/honeypots?status=${status}&pot_type=cowrie`;
    for (const path of [query, `${query}&limit=2`]) {
      const rows =
        path === query
          ? (await core.get(path)).json.honeypots
          : (await readPages(core, path, 'honeypots')).rows;
      assert.deepEqual(
        rows.map((row: { id: string; pot_id: string }) => `${row.id} ${row.pot_id}`),
        expected,
        path,
      );
    }
  }
  const ofThree = (await core.get('/api/v1/honeypots?node=3')).json.honeypots;
  assert.equal(ofThree.length, nodes[2]!.pots.length);
});

test('a bad or unknown parameter is 400 and named, and never widens an answer', async () => {
  const core = await startRest();
  core.register(5n, 'n', 1);
  const cases: [string, string, RegExp][] = [
    ['/api/v1/nodes?status=running', 'status', /none of "Connected"/],
    ['/api/v1/nodes?connected=yes', 'connected', /not of type boolean/],
    ['/api/v1/nodes?limit=0', 'limit', /less than 1/],
    ['/api/v1/nodes?limit=1001', 'limit', /more than 1000/],
    ['/api/v1/nodes?limit=1e2', 'limit', /not of type integer/],
    ['/api/v1/nodes?limit=%201', 'limit', /not of type integer/],
    ['/api/v1/nodes?limit=', 'limit', /not of type integer/],
    ['/api/v1/nodes?limit=5&limit=6', 'limit', /not of type integer/],
    ['/api/v1/nodes?name=', 'name', /shorter than 1/],
    ['/api/v1/nodes?after=x', 'after', /after is not/],
    ['/api/v1/nodes?stattus=Running', 'query', /not known here/],
    ['/api/v1/nodes?__proto__=1', 'query', /not known here/],
    ['/api/v1/nodes/5?limit=3', 'query', /not known here/],
    ['/api/v1/stats?x=1', 'query', /not known here/],
    ['/api/v1/honeypots?after=%00', 'after', /after is not/],
    ['/api/v1/honeypots?node=0', 'node', /a node id is/],
    ['/api/v1/honeypots?status=Connected', 'status', /none of "Installing"/],
  ];
  for (const [path, field, reason] of cases) {
    const { status, json } = await core.get(path);
    assert.equal(status, 400, path);
    assert.equal(json.errors?.length, 1, path);
    assert.equal(json.errors[0].field, field, path);
    assert.match(json.errors[0].reason, reason, path);
    assert.ok(!JSON.stringify(json).includes('stattus'), 'names that a client made up are not repeated');
  }
  for (const path of ['/health?x=1', '/metrics?x=1', '/?x=1'])
    assert.equal((await core.get(path)).status, 200, `${path}: monitors add what they like`);
});

test('a token that is bound to some nodes sees those and no others, in lists, pages and single answers', async () => {
  const core = await startRest();
  core.principals.set('eu', {
    ...ANONYMOUS_OPEN,
    kind: 'token',
    tokenId: 't1',
    scope: { nodes: 'eu-*', eventTypes: null },
  });
  const headers = { authorization: 'Bearer eu' };
  for (const [at, name] of ['eu-1', 'us-1', 'eu-2'].entries()) {
    core.register(BigInt(at + 1), name, at);
    core.registry.pot(at, { potId: 'p', potType: 'cowrie', status: 'Running', message: null, nowMs: 1 });
  }
  const ids = (rows: { id: string }[]): string[] => rows.map(({ id }) => id);
  assert.deepEqual(ids((await core.get('/api/v1/nodes', 'GET', { headers })).json.nodes), ['1', '3']);
  assert.deepEqual(ids((await core.get('/api/v1/honeypots', 'GET', { headers })).json.honeypots), ['1', '3']);
  assert.deepEqual(ids((await core.get('/api/v1/honeypots?node=2', 'GET', { headers })).json.honeypots), []);
  const page = (await core.get('/api/v1/nodes?limit=1', 'GET', { headers })).json;
  assert.deepEqual([ids(page.nodes), page.next], [['1'], '1']);
  assert.equal((await core.get('/api/v1/nodes/2', 'GET', { headers })).status, 404);
  assert.equal((await core.get('/api/v1/nodes/3', 'GET', { headers })).status, 200);
  assert.equal((await core.get('/api/v1/nodes/2', 'DELETE', { headers })).status, 404);
  assert.deepEqual(ids((await core.get('/api/v1/nodes')).json.nodes), ['1', '2', '3']);
});

test('patterns match what a search of all ways to read them finds', () => {
  const random = new Random(17);
  const text = (length: number, letters: readonly string[]): string =>
    Array.from({ length: random.below(length) }, () => random.pick(letters)).join('');
  const slow = (pattern: string, name: string): boolean => {
    if (pattern === '') return name === '';
    if (pattern[0] === '*') {
      for (let at = 0; at <= name.length; at++) if (slow(pattern.slice(1), name.slice(at))) return true;
      return false;
    }
    return name[0] === pattern[0] && slow(pattern.slice(1), name.slice(1));
  };
  let matches = 0;
  for (let round = 0; round < 20_000; round++) {
    const pattern = text(7, ['a', 'b', '*', '*']);
    const name = text(8, ['a', 'b']);
    const expected = slow(pattern, name);
    if (expected) matches += 1;
    assert.equal(matchesPattern(pattern, name), expected, `${pattern} and ${name}`);
  }
  assert.ok(matches > 2_000, 'both outcomes were met');
});
