/**
 * Combinations that cannot work although each value is allowed by itself. Run on the values that are in force,
 * after the file, the environment and the flags have been laid over each other.
 *
 * Pure functions; they see every setting and change none.
 */
import { BlockList, isIP } from 'node:net';
import { LIMITS } from '../limits.js';
import type { Config } from './config.js';
import type { SettingName } from './settings.js';
import { printable } from './values.js';

export interface Conflict {
  /** The settings that contradict each other, two or more. */
  readonly settings: readonly [SettingName, SettingName, ...SettingName[]];
  /** Settings that the verdict rests on as well; not said unless one of them is wrong by itself. */
  readonly given?: readonly SettingName[];
  readonly reason: string;
  readonly allowed: string;
}

export function conflicts(config: Config): Conflict[] {
  return [
    ...portConflicts(config),
    ...sizeConflicts(config),
    ...timeConflicts(config),
    ...debugConflicts(config),
    ...tlsConflicts(config),
  ];
}

function* portConflicts({ server, proxy }: Config): Iterable<Conflict> {
  const listeners: { port: number; host: string; portName: SettingName; hostName: SettingName }[] = [
    { port: server.node_port, host: server.host, portName: 'server.node_port', hostName: 'server.host' },
    {
      port: server.backend_port,
      host: backendHost(server),
      portName: 'server.backend_port',
      hostName: server.backend_host === '' ? 'server.host' : 'server.backend_host',
    },
  ];
  if (proxy.enabled) {
    listeners.push({ port: proxy.port, host: proxy.host, portName: 'proxy.port', hostName: 'proxy.host' });
  }
  for (const [at, first] of listeners.entries()) {
    for (const second of listeners.slice(at + 1)) {
      if (first.port === 0 || first.port !== second.port || !overlap(first.host, second.host)) continue;
      const hosts =
        first.host === second.host ? first.host : `${first.host} and ${second.host}, which overlap`;
      yield {
        settings: [first.portName, second.portName],
        given: [first.hostName, second.hostName],
        reason: `the same port twice on ${printable(hosts)}`,
        allowed: 'different ports, or 0 for any free one',
      };
    }
  }
}

function* sizeConflicts({ ingest, stream }: Config): Iterable<Conflict> {
  const longestFrame = ingest.ring_bytes / 2 - LIMITS.recordGrowthBytes;
  if (ingest.max_frame_bytes > longestFrame) {
    yield {
      settings: ['ingest.max_frame_bytes', 'ingest.ring_bytes'],
      reason: 'a ring must hold two longest frames',
      allowed: `max_frame_bytes up to ${longestFrame} with this ring_bytes`,
    };
  }
  if (stream.consumer_buffer_bytes < ingest.max_frame_bytes + LIMITS.batchBytes) {
    yield {
      settings: ['stream.consumer_buffer_bytes', 'ingest.max_frame_bytes'],
      reason: 'a consumer must be able to take a longest frame behind a batch',
      allowed: `consumer_buffer_bytes from ${ingest.max_frame_bytes + LIMITS.batchBytes} with this max_frame_bytes`,
    };
  }
}

function* timeConflicts({ ingest }: Config): Iterable<Conflict> {
  if (ingest.unknown_after_seconds >= ingest.close_after_seconds) {
    yield {
      settings: ['ingest.unknown_after_seconds', 'ingest.close_after_seconds'],
      reason: 'a node would be disconnected before it reads Unknown',
      allowed: 'unknown_after_seconds below close_after_seconds',
    };
  }
}

function* debugConflicts({ server }: Config): Iterable<Conflict> {
  if (server.debug && !isLoopback(backendHost(server))) {
    yield {
      settings: ['server.debug', server.backend_host === '' ? 'server.host' : 'server.backend_host'],
      reason: 'fault injection must not be open to the network',
      allowed: 'debug only with REST on 127.0.0.1, ::1 or localhost',
    };
  }
}

function* tlsConflicts({ tls }: Config): Iterable<Conflict> {
  if ((tls.cert_file === '') !== (tls.key_file === '')) {
    yield {
      settings: ['tls.cert_file', 'tls.key_file'],
      reason: 'a certificate is of no use without its key',
      allowed: 'both, or neither',
    };
  }
  if (tls.ca_file !== '' && tls.cert_file === '') {
    yield {
      settings: ['tls.ca_file', 'tls.cert_file'],
      reason: 'without a certificate of its own Core does no TLS and asks for no certificates',
      allowed: 'ca_file with cert_file and key_file',
    };
  }
  for (const name of ['require_client_cert', 'match_node_name', 'crl_file'] as const) {
    if (!tls[name] || tls.ca_file !== '') continue;
    yield {
      settings: [`tls.${name}`, 'tls.ca_file'],
      reason: 'certificates of nodes cannot be checked without a CA',
      allowed: `${name} with ca_file`,
    };
  }
  if (tls.require_client_cert && tls.plain_text) {
    yield {
      settings: ['tls.require_client_cert', 'tls.plain_text'],
      reason: 'a node without TLS shows no certificate',
      allowed: 'one of the two',
    };
  }
}

/** Where REST listens. */
export function backendHost(server: Pick<Config['server'], 'host' | 'backend_host'>): string {
  return server.backend_host === '' ? server.host : server.backend_host;
}

/** True when two listeners on these hosts would want the same address. Different names count as different hosts. */
export function overlap(first: string, second: string): boolean {
  const a = first.toLowerCase();
  const b = second.toLowerCase();
  if (a === b) return true;
  if (coversAll(a, b) || coversAll(b, a)) return true;
  if (isIP(a) === 0 || isIP(b) === 0) {
    // localhost may be either loopback address, depending on the machine.
    return (a === 'localhost' && isLoopback(b)) || (b === 'localhost' && isLoopback(a));
  }
  return sameAddress(a, b);
}

/** `::` takes IPv4 too; `0.0.0.0` everything but IPv6 addresses. */
function coversAll(any: string, other: string): boolean {
  if (isIP(any) === 6) return sameAddress(any, '::');
  return any === '0.0.0.0' && isIP(other) !== 6;
}

export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8, 'ipv4');
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(withoutZone(host), family === 6 ? 'ipv6' : 'ipv4');
}

/** One IPv6 address has many spellings, an IPv4 address also one in IPv6. */
function sameAddress(a: string, b: string): boolean {
  const list = new BlockList();
  list.addAddress(withoutZone(a), isIP(a) === 6 ? 'ipv6' : 'ipv4');
  return list.check(withoutZone(b), isIP(b) === 6 ? 'ipv6' : 'ipv4');
}

function withoutZone(address: string): string {
  return address.split('%', 1)[0]!;
}
