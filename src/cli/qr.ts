/**
 * A QR code on a terminal: two rows of modules to a line of text. Dark and light are said in colours, both of them, so
 * that it is right on dark terminals and on light ones. Pure.
 */
import { encode } from 'uqr';

/** Light modules around it; readers ask for four. */
const QUIET_ZONE = 4;

const LIGHT = { upper: '97', lower: '107' };
const DARK = { upper: '30', lower: '40' };
const RESET = '\u001b[0m';

export interface QrCode {
  readonly lines: readonly string[];
  /** Columns it needs. */
  readonly columns: number;
}

export function qrCode(text: string): QrCode {
  const { data, size } = encode(text, { ecc: 'M', border: QUIET_ZONE });
  const lines: string[] = [];
  for (let row = 0; row < size; row += 2) {
    let line = '';
    let colours = '';
    for (let column = 0; column < size; column++) {
      // A row that is missing at the end is light, as the zone around is.
      const upper = data[row]?.[column] ? DARK : LIGHT;
      const lower = data[row + 1]?.[column] ? DARK : LIGHT;
      const wanted = `\u001b[${upper.upper};${lower.lower}m`;
      if (wanted !== colours) line += wanted;
      colours = wanted;
      line += '▀';
    }
    lines.push(line + RESET);
  }
  return { lines, columns: size };
}
