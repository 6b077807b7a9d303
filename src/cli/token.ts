/**
 * `honeybee-core token`: makes, lists and revokes API tokens. The token itself goes to standard output, alone, so that
 * it can be kept by a script; everything else about it to standard error.
 */
import { printable } from '../config/values.js';
import { EXIT } from '../errors.js';
import { bodyOf } from './answer.js';
import type { TokenAction, TokenArguments } from './arguments.js';
import { type Ask, withControl } from './control-client.js';
import { table } from './table.js';
import { parseExpiry } from './times.js';

interface TokenRow {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly nodes: string | null;
  readonly event_types: readonly string[] | null;
  readonly state: string;
  readonly created: string;
  readonly expires: string | null;
  readonly last_used: string | null;
}

export async function administerTokens({ action, json, ...config }: TokenArguments): Promise<number> {
  await withControl(config, { makesDirectory: action.do === 'create' }, (ask) => {
    switch (action.do) {
      case 'create':
        return create(ask, action, json);
      case 'list':
        return list(ask, json);
      case 'revoke':
        return revoke(ask, action.id, json);
    }
  });
  return EXIT.ok;
}

async function create(ask: Ask, wanted: TokenAction & { do: 'create' }, json: boolean): Promise<void> {
  const { name, roles, nodes, eventTypes, expires } = wanted;
  const expiresMs = expires === undefined ? undefined : parseExpiry(expires, Date.now());
  const answer = await ask('POST', '/api/v1/tokens', {
    name,
    roles,
    ...(nodes === undefined ? {} : { nodes }),
    ...(eventTypes.length === 0 ? {} : { event_types: eventTypes }),
    ...(expiresMs === undefined ? {} : { expires: new Date(expiresMs).toISOString() }),
  });
  const made = bodyOf<TokenRow & { token: string }>(answer);
  if (json) {
    console.log(JSON.stringify(made));
    return;
  }
  console.log(made.token);
  console.error(`token ${made.id}, ${limits(made)}. It is shown this once.`);
}

async function list(ask: Ask, json: boolean): Promise<void> {
  const { tokens } = bodyOf<{ tokens: TokenRow[] }>(await ask('GET', '/api/v1/tokens'));
  if (json) {
    console.log(JSON.stringify(tokens));
    return;
  }
  if (tokens.length === 0) {
    console.error('no token was made');
    return;
  }
  const rows = tokens.map((token) => [
    token.id,
    printable(token.name),
    token.state,
    token.roles.join(','),
    scopeOf(token),
    token.expires ?? 'never',
    token.last_used ?? 'never',
  ]);
  console.log(table(['id', 'name', 'state', 'roles', 'scope', 'expires', 'last used'], rows));
}

async function revoke(ask: Ask, id: string, json: boolean): Promise<void> {
  await ask('DELETE', `/api/v1/tokens/${id}`);
  if (json) console.log(JSON.stringify({ id, state: 'revoked' }));
  else console.error(`token ${id} is revoked`);
}

function limits(token: TokenRow): string {
  const scope = scopeOf(token);
  return [
    printable(token.name),
    `roles ${token.roles.join(', ')}`,
    ...(scope === 'all' ? [] : [scope]),
    token.expires === null ? 'never expires' : `expires ${token.expires}`,
  ].join('; ');
}

function scopeOf({ nodes, event_types }: TokenRow): string {
  const parts = [
    ...(nodes === null ? [] : [`nodes ${printable(nodes)}`]),
    ...(event_types === null ? [] : [`events ${printable(event_types.join(','))}`]),
  ];
  return parts.length === 0 ? 'all' : parts.join('; ');
}
