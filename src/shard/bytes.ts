/** Looks at bytes that are no good frame: what else they may be. Pure; runs in the shard. */

/** Where the objects of a line end, when it holds nothing but objects and white space; else an empty list. `newlines`:
 *  they are white space, too. */
export function objectEnds(bytes: Uint8Array, start: number, end: number, newlines = false): number[] {
  const ends: number[] = [];
  let depth = 0;
  let inString = false;
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (inString) {
      if (c === 0x5c) i++;
      else if (c === 0x22) inString = false;
    } else if (c === 0x22) {
      if (depth === 0) return [];
      inString = true;
    } else if (c === 0x7b) {
      depth++;
    } else if (c === 0x7d) {
      depth--;
      if (depth < 0) return [];
      if (depth === 0) ends.push(i + 1);
    } else if (depth === 0 && c !== 0x20 && c !== 0x09 && c !== 0x0d && !(newlines && c === 0x0a)) {
      return [];
    }
  }
  return depth === 0 ? ends : [];
}

/** Is it TLS or HTTP? Whoever speaks those does not become a node by being answered. */
export function isForeign(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] === 0x16 && bytes[start + 1] === 0x03) return true;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, Math.min(end - start, 16)).toString(
    'latin1',
  );
  return /^(GET|POST|PUT|HEAD|OPTIONS|DELETE|PATCH|CONNECT|TRACE|PRI|SSH-)[ /2]/.test(text);
}
