/**
 * A glance at an event as most nodes write it: finds `node_id` and `event_type` without reading the rest. Runs in the
 * aggregator, for each record while a consumer has a scope: twenty times cheaper than the full reader.
 *
 *   {"version":2,"message":{"PotEvent":{"node_id":7,"pot_id":"p",...,"event_type":"t",...
 *
 * Only for records of the log, which are valid and hold no field twice. What is written in another way (other order or
 * white space outside, an escape in a key or in the type, a container before both were found) is for the full reader:
 * the glance says that it saw nothing.
 */
import { BACKSLASH, COLON, COMMA, QUOTE } from '../protocol/ascii.js';

const PREFIX = Buffer.from('{"version":2,"message":{"PotEvent":{');
const NODE_ID = Buffer.from('node_id');
const EVENT_TYPE = Buffer.from('event_type');

export class EventGlance {
  nodeId = '';
  eventType = '';
  #digits: Uint8Array = new Uint8Array(0);
  #type: Uint8Array = new Uint8Array(0);

  /** False: it saw nothing, and says nothing about the record. */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    if (!equal(bytes, start, start + PREFIX.length, PREFIX)) return false;
    let at = start + PREFIX.length;
    let found = 0;
    while (at < end) {
      at = skipBlanks(bytes, at);
      if (bytes[at] !== QUOTE) return false;
      const keyStart = at + 1;
      const keyEnd = plainStringEnd(bytes, keyStart, end);
      if (keyEnd < 0) return false;
      at = skipBlanks(bytes, keyEnd + 1);
      if (bytes[at] !== COLON) return false;
      at = skipBlanks(bytes, at + 1);
      const valueStart = at;
      const isString = bytes[at] === QUOTE;
      if (isString) {
        // Behind the closing quote; an escape is for the full reader.
        at = plainStringEnd(bytes, at + 1, end) + 1;
        if (at === 0) return false;
      } else {
        while (at < end && isNumberByte(bytes[at]!)) at++;
        if (at === valueStart) return false;
      }
      if (!isString && equal(bytes, keyStart, keyEnd, NODE_ID)) {
        this.#setNode(bytes, valueStart, at);
        found++;
      } else if (isString && equal(bytes, keyStart, keyEnd, EVENT_TYPE)) {
        this.#setType(bytes, valueStart + 1, at - 1);
        found++;
      }
      if (found === 2) return true;
      at = skipBlanks(bytes, at);
      if (bytes[at] !== COMMA) return false;
      at++;
    }
    return false;
  }

  /** Neighbouring records are mostly of one node, and of one type: then no text is made. */
  #setNode(bytes: Uint8Array, start: number, end: number): void {
    if (equal(bytes, start, end, this.#digits)) return;
    this.#digits = bytes.slice(start, end);
    this.nodeId = Buffer.from(this.#digits).toString('latin1');
  }

  #setType(bytes: Uint8Array, start: number, end: number): void {
    if (equal(bytes, start, end, this.#type)) return;
    this.#type = bytes.slice(start, end);
    this.eventType = Buffer.from(this.#type).toString('utf8');
  }
}

function equal(bytes: Uint8Array, start: number, end: number, wanted: Uint8Array): boolean {
  if (end - start !== wanted.length) return false;
  for (let i = wanted.length - 1; i >= 0; i--) if (bytes[start + i] !== wanted[i]) return false;
  return true;
}

function skipBlanks(bytes: Uint8Array, start: number): number {
  let at = start;
  while (bytes[at] === 0x20 || bytes[at] === 0x09) at++;
  return at;
}

/** The closing quote of a string without escapes; -1 where it has one. */
function plainStringEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const c = bytes[at];
    if (c === QUOTE) return at;
    if (c === BACKSLASH) return -1;
  }
  return -1;
}

function isNumberByte(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2b || c === 0x2e || c === 0x45 || c === 0x65;
}
