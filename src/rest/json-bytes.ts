/**
 * JSON as bytes, written value by value into one growing buffer.
 *
 * Owned by main. A list of ten thousand rows is made while events flow on the same cores; as strings its pieces would be
 * forty megabytes of garbage, and collecting that costs more than making the list. Short plain texts and numbers are
 * written byte by byte, everything else goes through `JSON.stringify`.
 */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const FIRST_PRINTABLE = 0x20;
const ZERO = 0x30;
const MINUS = 0x2d;
/** Longest whole number below 2^53, with its sign. */
const NUMBER_BYTES = 20;
/** Bytes of a character in UTF-16 as JSON in UTF-8, at most: `\u001f`. */
const BYTES_PER_CHARACTER = 6;

export class JsonBytes {
  #bytes: Buffer;
  #length = 0;

  constructor(sizeBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written so far; nothing more is written to it. */
  take(sizeBytes = this.#bytes.length): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = Buffer.allocUnsafeSlow(sizeBytes);
    this.#length = 0;
    return taken;
  }

  /** Bytes that are JSON already. */
  raw(json: Uint8Array): void {
    this.#reserve(json.length);
    const bytes = this.#bytes;
    let to = this.#length;
    for (let at = 0; at < json.length; at++) bytes[to++] = json[at]!;
    this.#length = to;
  }

  /** A long part of other bytes that are JSON already. */
  copy(json: Buffer, start: number, end: number): void {
    this.#reserve(end - start);
    this.#length += json.copy(this.#bytes, this.#length, start, end);
  }

  /** Another byte in the place of one that was written. */
  replace(at: number, value: number): void {
    this.#bytes[at] = value;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  value(value: unknown): void {
    switch (typeof value) {
      case 'string':
        this.#string(value);
        return;
      case 'number':
        if (Number.isSafeInteger(value)) this.#integer(value);
        // JSON has no other numbers.
        else this.#plain(Number.isFinite(value) ? String(value) : 'null');
        return;
      case 'bigint':
        this.#plain(value.toString());
        return;
      case 'boolean':
        this.#plain(value ? 'true' : 'false');
        return;
      default: {
        const json = value === null ? 'null' : JSON.stringify(value);
        if (json === undefined) throw new Error(`${typeof value} is not JSON`);
        this.#text(json);
      }
    }
  }

  #string(text: string): void {
    this.#reserve(text.length + 2);
    const bytes = this.#bytes;
    let to = this.#length;
    bytes[to++] = QUOTE;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code < FIRST_PRINTABLE || code > 0x7e || code === QUOTE || code === BACKSLASH) {
        this.#text(JSON.stringify(text));
        return;
      }
      bytes[to++] = code;
    }
    bytes[to++] = QUOTE;
    this.#length = to;
  }

  #integer(value: number): void {
    this.#reserve(NUMBER_BYTES);
    const bytes = this.#bytes;
    let rest = value < 0 ? -value : value;
    let digits = 1;
    for (let power = 10; power <= rest; power *= 10) digits += 1;
    if (value < 0) bytes[this.#length++] = MINUS;
    const end = this.#length + digits;
    for (let at = end - 1; at >= this.#length; at--) {
      const tenth = Math.floor(rest / 10);
      bytes[at] = ZERO + (rest - tenth * 10);
      rest = tenth;
    }
    this.#length = end;
  }

  /** ASCII that needs no quotes. */
  #plain(text: string): void {
    this.#reserve(text.length);
    for (let at = 0; at < text.length; at++) this.#bytes[this.#length++] = text.charCodeAt(at);
  }

  #text(json: string): void {
    this.#reserve(json.length * BYTES_PER_CHARACTER);
    this.#length += this.#bytes.write(json, this.#length, 'utf8');
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
