/**
 * Who is one stranger, for limits per address: an IPv4 address, or the /64 that an IPv6 address lies in, because
 * whoever has one address of a /64 has all of them. An IPv4-mapped address is the IPv4 address.
 *
 * Pure. Owned by no thread.
 */
import { isIPv6 } from 'node:net';

const MAPPED_PREFIX = '0:0:0:0:0:ffff:';

/** `remoteAddress` of a socket; what is no IPv6 address comes back as it is. */
export function addressKey(address: string): string {
  if (!isIPv6(address)) return address;
  const groups = groupsOf(address.replace(/%.*$/, ''));
  const text = groups.map((group) => group.toString(16)).join(':');
  if (text.startsWith(MAPPED_PREFIX)) {
    const [high, low] = [groups[6]!, groups[7]!];
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  return `${text.split(':').slice(0, 4).join(':')}::/64`;
}

/** The eight groups of a valid IPv6 address without zone. */
function groupsOf(address: string): number[] {
  const [front = '', back] = address.split('::');
  const [before, after] = [parts(front), parts(back ?? '')];
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
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
