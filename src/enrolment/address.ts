/**
 * Addresses of nodes as enrolment looks at them.
 *
 * Pure. Takes the texts that main makes of sockets; never throws, whatever they are.
 */
import { isIPv6 } from 'node:net';

/** The address in `ip:port` or `[ip]:port`, without zone; an IPv4 address written as IPv6 is the IPv4 address. */
export function addressOf(remote: string): string {
  const colon = remote.lastIndexOf(':');
  const host = colon < 0 ? remote : remote.slice(0, colon);
  const bare = host.replace(/^\[|\]$/g, '').split('%', 1)[0]!;
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? bare;
}

/** What one stranger is likely to have to himself: an IPv4 address, or the /64 of an IPv6 address. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.toLowerCase().split('::', 2);
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  // A dotted end stands for two groups; it is behind the first four in any case.
  const length = before.length + after.length + (address.includes('.') ? 1 : 0);
  const zeros = new Array<string>(tail === undefined ? 0 : Math.max(0, 8 - length)).fill('0');
  const groups = [...before, ...zeros, ...after].slice(0, 4);
  return `${groups.map((group) => group.replace(/^0+(?=.)/, '')).join(':')}::/64`;
}
