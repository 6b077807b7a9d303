/**
 * Patterns of names: `*` stands for any run of characters, also none; every other character for itself.
 *
 * Any thread; pure. The time is bounded by the lengths of both texts multiplied, and in practice grows with their sum:
 * patterns come from outside, so they never become a regular expression.
 */

/** `*` may stand anywhere, any number of times. */
export function matchesPattern(pattern: string, text: string): boolean {
  let at = 0;
  let textAt = 0;
  /** The newest `*`, and where the text behind it was last tried from: the only place that ever needs to be tried anew. */
  let star = -1;
  let retryAt = 0;
  while (textAt < text.length) {
    const wanted = at < pattern.length ? pattern.charCodeAt(at) : -1;
    // The star first: a text may hold one, too.
    if (wanted === STAR) {
      star = at++;
      retryAt = textAt;
    } else if (wanted === text.charCodeAt(textAt)) {
      at++;
      textAt++;
    } else if (star !== -1) {
      at = star + 1;
      textAt = ++retryAt;
    } else return false;
  }
  while (at < pattern.length && pattern.charCodeAt(at) === STAR) at++;
  return at === pattern.length;
}

/** `*` counts as the last character only. */
export function matchesPrefixPattern(pattern: string, text: string): boolean {
  return pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}

const STAR = 0x2a;
