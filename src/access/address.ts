/**
 * Which address an attempt is counted for: one of IPv4 by itself, of IPv6 the network of 64 bits it is in, because one
 * customer has all of those.
 *
 * Any thread; pure.
 */
import { isIPv6 } from 'node:net';

export function addressKey(address: string): string {
  const plain = address.split('%', 1)[0]!;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain);
  if (mapped !== null) return mapped[1]!;
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.toLowerCase().split('::');
  const before = head === '' ? [] : head.split(':');
  const behind = tail === undefined || tail === '' ? [] : tail.split(':');
  // A dotted quad at the end stands for two groups.
  const behindCount = behind.length + (behind.at(-1)?.includes('.') ? 1 : 0);
  const zeros = tail === undefined ? 0 : 8 - before.length - behindCount;
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...behind];
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
}
