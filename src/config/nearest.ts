/**
 * "Did you mean": the known name closest to a mistyped one, or none when nothing is close.
 *
 * Pure functions, called at start on input of bounded length.
 */

/** Longer names are not compared: the table below grows with the product of both lengths. */
const comparedLength = 64;

/** The candidate nearest to `name`; of `section.key` candidates the key alone is enough (`node_port`). */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = simplify(name);
  if (wanted.length === 0 || wanted.length > comparedLength) return undefined;
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    const whole = simplify(candidate);
    const distance = Math.min(
      editDistance(wanted, whole),
      editDistance(wanted, whole.slice(whole.lastIndexOf('.') + 1)),
    );
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function simplify(name: string): string {
  return name.toLowerCase().replaceAll('-', '_');
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one name into the other. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let distance = Math.min(
        previous[column]! + 1,
        current[column - 1]! + 1,
        previous[column - 1]! + (same ? 0 : 1),
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        distance = Math.min(distance, beforePrevious[column - 2]! + 1);
      }
      current.push(distance);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length]!;
}
