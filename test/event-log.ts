/**
 * What a data directory holds, read and checked: segments against their indexes, sequence numbers against line
 * counts, every line against JSON. Also the dead letters.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  decodeIndexEntry,
  decodeIndexHeader,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  parseSegmentName,
} from '../src/log/format.js';
import { messageName, nodeIdOf } from './node-frames.js';

export interface DeadLetter {
  readonly id: number;
  readonly time: string;
  readonly code: string;
  readonly reason: string;
  /** Digits, or null. */
  readonly nodeId: string | null;
  readonly node_name: string | null;
  readonly remote: string;
  readonly size: number;
  readonly truncated: boolean;
  readonly masked: boolean;
  /** Its first 64 KiB. */
  readonly frame: Buffer;
}

export interface EventLog {
  /** All segments, one behind the other. */
  readonly content: Buffer;
  /** Without their newlines; the first one has sequence number 1. */
  readonly lines: readonly string[];
  readonly segments: readonly string[];
}

/** Reads the log of a Core that has stopped in order: index and data must agree to the last byte. */
export function readLog(dataDir: string): EventLog {
  const folder = join(dataDir, 'log');
  const segments = readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .sort();
  const contents: Buffer[] = [];
  let nextSeq = 1;
  for (const segment of segments) {
    assert.equal(parseSegmentName(segment), nextSeq, `${segment} is named by its first sequence number`);
    const content = readFileSync(join(folder, segment));
    nextSeq = checkIndex(join(folder, segment.replace('.ndjson', '.idx')), nextSeq, content);
    contents.push(content);
  }
  const content = Buffer.concat(contents);
  const lines = splitLines(content);
  assert.equal(lines.length, nextSeq - 1, 'there are as many lines as sequence numbers');
  for (const line of lines) assert.equal(typeof JSON.parse(line), 'object', 'a line is a JSON object');
  return { content, lines, segments };
}

/** The next sequence number. */
function checkIndex(file: string, firstSeq: number, data: Buffer): number {
  const bytes = readFileSync(file);
  assert.equal(decodeIndexHeader(bytes), firstSeq, `${file} has a good header`);
  let seq = firstSeq;
  let offsetBytes = 0;
  for (let at = INDEX_HEADER_BYTES; at < bytes.length; at += INDEX_ENTRY_BYTES) {
    const entry = decodeIndexEntry(bytes, at);
    assert.ok(entry, `${file}: the entry at ${at} has its checksum`);
    assert.equal(entry.baseSeq, seq, `${file}: no sequence number is left out or used twice`);
    assert.equal(entry.offsetBytes, offsetBytes, `${file}: batches lie side by side`);
    const batch = data.subarray(offsetBytes, offsetBytes + entry.lengthBytes);
    assert.equal(crc32(batch), entry.crc, `${file}: the batch at ${seq} has its checksum`);
    assert.equal(countLines(batch), entry.recordCount, `${file}: the batch at ${seq} has its records`);
    assert.equal(batch.at(-1), 0x0a, `${file}: the batch at ${seq} ends with a line`);
    seq += entry.recordCount;
    offsetBytes += entry.lengthBytes;
  }
  assert.equal(offsetBytes, data.length, `${file} covers its segment`);
  return seq;
}

export function readDeadLetters(dataDir: string): DeadLetter[] {
  const folder = join(dataDir, 'dead-letters');
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const files = names.filter((name) => /^\d{20}\.ndjson$/.test(name)).sort();
  const lines = files.flatMap((file) => {
    const own = splitLines(readFileSync(join(folder, file)));
    for (const [n, line] of own.entries())
      assert.equal((JSON.parse(line) as DeadLetter).id, Number.parseInt(file, 10) + n, `${file}: line ${n}`);
    return own;
  });
  return lines.map((line) => {
    const letter = JSON.parse(line) as DeadLetter & { bytes: string };
    const nodeId = /^\{[^{]*?"node_id":(\d+|null)/.exec(line)![1]!;
    return {
      ...letter,
      nodeId: nodeId === 'null' ? null : nodeId,
      frame: Buffer.from(letter.bytes, 'base64'),
    };
  });
}

/** Lines by the node they are of, in their order; Core's notices are left out. */
export function linesByNode(lines: readonly string[]): Map<string, string[]> {
  const byNode = new Map<string, string[]>();
  for (const line of lines) {
    const name = messageName(line);
    if (name === 'NodeRegistered' || name === 'NodeDisconnected') continue;
    const id = nodeIdOf(line);
    if (id === undefined) continue;
    const own = byNode.get(id);
    if (own === undefined) byNode.set(id, [line]);
    else own.push(line);
  }
  return byNode;
}

export function splitLines(content: Buffer): string[] {
  const lines = content.toString('utf8').split('\n');
  assert.equal(lines.pop(), '', 'the last line is whole');
  return lines;
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (const byte of bytes) if (byte === 0x0a) count++;
  return count;
}
