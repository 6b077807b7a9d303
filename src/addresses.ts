/**
 * IP addresses, as limits and lock-outs look at them: who is one stranger. An IPv4 address; of IPv6 the /64 that it lies
 * in, because whoever has one address of a /64 has all of them. An IPv4-mapped address is the IPv4 address.
 *
 * Any thread; pure. Takes whatever main makes of a socket, and never throws.
 */
import { isIPv6 } from 'node:net';

const MAPPED_PREFIX = '0:0:0:0:0:ffff:';

/** `remoteAddress` of a socket; what is no IPv6 address comes back as it is. */
export function addressKey(address: string): string {
  if (!isIPv6(address)) return address;
  const groups = groupsOf(withoutZone(address));
  const text = groups.map((group) => group.toString(16)).join(':');
  if (text.startsWith(MAPPED_PREFIX)) {
    const [high, low] = [groups[6]!, groups[7]!];
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  return `${text.split(':').slice(0, 4).join(':')}::/64`;
}

/** The address in `ip:port` or `[ip]:port`, without zone; an IPv4 address written as IPv6 is the IPv4 address. */
export function addressOf(remote: string): string {
  const colon = remote.lastIndexOf(':');
  const host = colon < 0 ? remote : remote.slice(0, colon);
  const bare = withoutZone(host.replace(/^\[|\]$/g, ''));
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? bare;
}

function withoutZone(address: string): string {
  return address.split('%', 1)[0]!;
}

/** The eight groups of a valid IPv6 address without zone. */
function groupsOf(address: string): number[] {
  const [front = '', back] = address.split('::');
  const [before, after] = [parts(front), parts(back ?? '')];
  const zeros = back === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...new Array<number>(zeros).fill(0), ...after];
}

/** Groups of one side of a `::`; a dotted IPv4 address at its end is two of them. */
function parts(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a, b, c, d] = group.split('.').map(Number) as [number, number, number, number];
    return [a * 256 + b, c * 256 + d];
  });
}
