/**
 * Cuts a text that a stranger chose to what the registry is willing to remember of it.
 */

/**
 * At most `maxLength` UTF-16 units of `text`, never half a surrogate pair at the cut. The result is a copy of its own:
 * a slice would keep the whole original, up to a frame long, alive behind it.
 */
export function boundedText(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  const lastUnit = text.charCodeAt(maxLength - 1);
  const splitsPair = lastUnit >= 0xd800 && lastUnit <= 0xdbff;
  const kept = text.slice(0, splitsPair ? maxLength - 1 : maxLength);
  return Buffer.from(kept, 'utf16le').toString('utf16le');
}
