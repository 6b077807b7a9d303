/** The QR code on a terminal, read back from its colours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from 'uqr';
import { qrCode } from '../src/cli/qr.js';

const URI = 'otpauth://totp/HoneyBee:eu-west-1?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=HoneyBee';

const ESCAPE = String.fromCharCode(27);

/** Rows of modules, true for dark, as a terminal shows them: a line has an upper and a lower half. */
function shown(lines: readonly string[]): boolean[][] {
  const rows: boolean[][] = [];
  for (const line of lines) {
    const upper: boolean[] = [];
    const lower: boolean[] = [];
    let colours: [number, number] | undefined;
    const parts = new RegExp(`${ESCAPE}\\[(?:(\\d+);(\\d+)|0)m|(▀)`, 'gy');
    let end = 0;
    for (const match of line.matchAll(parts)) {
      end += match[0].length;
      if (match[3] === undefined) {
        colours = match[1] === undefined ? undefined : [Number(match[1]), Number(match[2])];
        continue;
      }
      assert.ok(colours !== undefined, 'both colours are said before anything is shown');
      assert.ok([30, 97].includes(colours[0]) && [40, 107].includes(colours[1]));
      upper.push(colours[0] === 30);
      lower.push(colours[1] === 40);
    }
    assert.equal(end, line.length, 'nothing else is in a line');
    assert.equal(colours, undefined, 'and its colours end with it');
    rows.push(upper, lower);
  }
  return rows;
}

test('a code shows dark as black and light as white on any terminal, with a quiet zone of four', () => {
  for (const text of [URI, 'x', 'é'.repeat(200)]) {
    const { data, size } = encode(text, { ecc: 'M', border: 0 });
    const { lines, columns } = qrCode(text);
    assert.equal(columns, size + 8);
    const rows = shown(lines);
    assert.equal(rows.length, columns + (columns % 2));
    for (const [y, row] of rows.entries()) {
      assert.equal(row.length, columns);
      for (const [x, dark] of row.entries()) assert.equal(dark, data[y - 4]?.[x - 4] ?? false, `${x} ${y}`);
    }
  }
  assert.ok(qrCode(URI).columns <= 60, 'a URI fits a usual terminal');
});
