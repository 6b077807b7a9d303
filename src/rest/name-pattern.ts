/**
 * Names with `*` for any run of characters: `eu-*`, `*-ssh`, `a*b*c`. Everything else stands for itself.
 *
 * Linear in the text for each star, whatever the pattern: pieces between stars are looked for from left to right,
 * which finds a match if there is one. No regular expression is made of what came from outside. Pure.
 */
export type NamePattern = (name: string) => boolean;

export function namePattern(pattern: string): NamePattern {
  const pieces = pattern.split('*');
  const first = pieces[0]!;
  if (pieces.length === 1) return (name) => name === first;
  const last = pieces.at(-1)!;
  const middle = pieces.slice(1, -1).filter((piece) => piece !== '');
  return (name) => {
    if (name.length < first.length + last.length) return false;
    if (!name.startsWith(first) || !name.endsWith(last)) return false;
    const end = name.length - last.length;
    let at = first.length;
    for (const piece of middle) {
      const found = name.indexOf(piece, at);
      if (found === -1 || found + piece.length > end) return false;
      at = found + piece.length;
    }
    return true;
  };
}
