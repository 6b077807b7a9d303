/** Bytes that strangers chose, as lines for a terminal: nothing in them can act on one. Pure. */

const BYTES_PER_LINE = 16;

/** `00000010  7b 22 76 65 ...  |{"ve...|` */
export function* hexDump(bytes: Uint8Array): Generator<string> {
  for (let at = 0; at < bytes.length; at += BYTES_PER_LINE) {
    const some = [...bytes.subarray(at, at + BYTES_PER_LINE)];
    const hex = some.map((byte, n) => `${n === 8 ? ' ' : ''}${byte.toString(16).padStart(2, '0')}`).join(' ');
    const text = some.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    yield `${at.toString(16).padStart(8, '0')}  ${hex.padEnd(BYTES_PER_LINE * 3)}  |${text}|`;
  }
}
