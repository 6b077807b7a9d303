/**
 * Core does not listen where strangers can reach it while nobody would be asked for a token that could be shown: looked
 * at before any port is opened. The node port is not meant: nodes have one-time codes and certificates.
 *
 * Main thread; pure.
 */
import type { Config } from '../config/config.js';
import { backendHost, isLoopback } from '../config/rules.js';
import { printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';

export interface TokenCounts {
  readonly active: number;
  readonly expired: number;
}

/**
 * Throws a FatalError that names the ways out. Answers what the operator should know all the same, or undefined.
 * A token that has merely expired is no reason not to start: everybody is refused, but nodes are served.
 */
export function checkListeners(
  config: Pick<Config, 'server' | 'proxy' | 'auth' | 'storage'>,
  tokens: TokenCounts,
): string | undefined {
  const open = reachable(config);
  if (open.length === 0 || config.auth.allow_anonymous || tokens.active > 0) return undefined;
  if (tokens.expired > 0) return 'all tokens have expired: REST and WebSocket refuse everybody';
  const where = open.map(({ what, host, setting }) => `${what} on ${printable(host)} (${setting})`);
  const loopback = open.map(({ loopbackSetting }) => `${loopbackSetting} = "127.0.0.1"`);
  throw new FatalError(
    EXIT.config,
    [
      `${where.join(' and ')} could be reached by everybody, and there is no API token. Three ways out:`,
      `  make a token:        honeybee-core token create --name admin --role admin --storage.dir ${quoted(config.storage.dir)}`,
      '  let everybody in:    auth.allow_anonymous = true (to read, stream and command)',
      `  stay on loopback:    ${loopback.join(', ')}`,
    ].join('\n'),
  );
}

interface Reachable {
  readonly what: string;
  readonly host: string;
  readonly setting: string;
  /** What would close it and leave the node port as it is. */
  readonly loopbackSetting: string;
}

function reachable({ server, proxy }: Pick<Config, 'server' | 'proxy'>): Reachable[] {
  const found: Reachable[] = [];
  if (!isLoopback(backendHost(server))) {
    found.push({
      what: 'REST',
      host: backendHost(server),
      setting: server.backend_host === '' ? 'server.host' : 'server.backend_host',
      loopbackSetting: 'server.backend_host',
    });
  }
  if (proxy.enabled && !isLoopback(proxy.host)) {
    found.push({ what: 'WebSocket', host: proxy.host, setting: 'proxy.host', loopbackSetting: 'proxy.host' });
  }
  return found;
}

/** As a shell takes it. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${printable(path).replaceAll("'", `'\\''`)}'`;
}
