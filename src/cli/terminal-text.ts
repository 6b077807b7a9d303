/**
 * Records as text for a terminal. JSON keeps the control characters below U+0020 out of strings, but not U+007F to U+009F, which a
 * terminal may obey, nor those that turn the direction of what follows; and between its words it allows a carriage return.
 * They are shown as JSON would escape them. Pure.
 */
export function terminalText(lines: string): string {
  return lines.replace(ACTS, (character) =>
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** Control and format characters, but tab and newline. */
const ACTS = /(?![\t\n])[\p{Cc}\p{Cf}\u2028\u2029]/gu;
