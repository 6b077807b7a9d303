/**
 * Compresses a sealed segment to gzip members (log/gzip-index.ts). The plain file goes when what replaces it was read back
 * from the disk and is the same, byte for byte:
 *
 *   .ndjson --> .ndjson, .ndjson.gz.tmp --(checked)--> .ndjson, .gzi, .ndjson.gz.tmp --> .ndjson, .gzi, .ndjson.gz --> .gzi, .ndjson.gz
 *
 * At every instant the plain file or a checked compressed one is there. A generator, as in sealing.ts: one that is ended
 * early leaves nothing behind, one that a crash ended leaves a `.tmp`, or both files, in which case the compressed one is
 * checked again.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import {
  decodeGzipIndex,
  encodeGzipIndex,
  type GzipIndex,
  gzipIndexFileName,
  memberOf,
  memberOffsets,
} from '../log/gzip-index.js';
import type { Seal } from '../log/seal.js';
import { ContentFile } from './content-file.js';
import type { KeptSegment, LogFolder } from './log-folder.js';
import { CannotSeal, type SealingParts } from './sealing.js';
import { removeIfThere } from './whole-file.js';

export function* compressSegment(
  { folder, wholeFiles, addon }: SealingParts,
  segment: KeptSegment,
  seal: Seal,
): Generator<void, undefined> {
  const compressed = folder.pathOf(segment, 'ndjson.gz');
  if (segment.gzipBytes === undefined) {
    const temporary = `${compressed}.tmp`;
    let there = true;
    try {
      const index = yield* writeMembers(folder, segment, seal, temporary, addon);
      if (!(yield* holds(folder, temporary, index, seal, addon)))
        throw new Error(`the compressed segment ${segment.firstSeq} is not what was written`);
      wholeFiles.write(gzipIndexFileName(segment.firstSeq), encodeGzipIndex(index), false);
      folder.files.rename(temporary, compressed);
      there = false;
    } finally {
      if (there) removeIfThere(folder.files, temporary);
    }
    folder.files.syncFolderNow(folder.path);
  } else {
    const index = readGzipIndex(folder, segment);
    if (index === undefined || !(yield* holds(folder, compressed, index, seal, addon))) {
      // From the beginning, next time.
      folder.files.unlink(compressed);
      folder.files.syncFolderNow(folder.path);
      return undefined;
    }
  }
  folder.files.unlink(folder.pathOf(segment, 'ndjson'));
  folder.files.syncFolderNow(folder.path);
  return undefined;
}

function* writeMembers(
  folder: LogFolder,
  segment: KeptSegment,
  seal: Seal,
  path: string,
  addon: SealingParts['addon'],
): Generator<void, GzipIndex> {
  const { files } = folder;
  const content = new ContentFile(folder.pathOf(segment, 'ndjson'), files, addon);
  let file: number | undefined;
  try {
    const index = folder.readIndex(segment);
    // Members are cut by it: without one the whole segment would be a single one.
    if (index === undefined) throw new CannotSeal(`segment ${segment.firstSeq} has no index`);
    file = files.open(path, 'w', 0o640);
    const hash = createHash('sha256');
    const offsets = memberOffsets(index.entries(), content.sizeBytes);
    const compressedOffsets: number[] = [];
    let compressedBytes = 0;
    for (const [member, offsetBytes] of offsets.entries()) {
      const bytes = Buffer.allocUnsafeSlow((offsets[member + 1] ?? content.sizeBytes) - offsetBytes);
      if (content.read(bytes, offsetBytes) !== bytes.length)
        throw new CannotSeal(`segment ${segment.firstSeq} has become shorter`);
      hash.update(bytes);
      compressedOffsets.push(compressedBytes);
      const packed = gzipSync(bytes);
      for (let at = 0; at < packed.length; )
        at += files.write(file, packed, at, packed.length - at, compressedBytes + at);
      compressedBytes += packed.length;
      yield;
    }
    if (hash.digest('hex') !== seal.sha256)
      throw new CannotSeal(`segment ${segment.firstSeq} is not what was sealed any more: it stays as it is`);
    files.syncNow(file);
    return {
      offsets: Float64Array.from(offsets),
      compressedOffsets: Float64Array.from(compressedOffsets),
      uncompressedBytes: content.sizeBytes,
      compressedBytes,
    };
  } finally {
    if (file !== undefined) files.close(file);
    content.close();
  }
}

/** Whether a compressed file holds what was sealed. */
function* holds(
  folder: LogFolder,
  path: string,
  index: GzipIndex,
  seal: Seal,
  addon: SealingParts['addon'],
): Generator<void, boolean> {
  const packed = new ContentFile(path, folder.files, addon);
  try {
    if (packed.sizeBytes !== index.compressedBytes) return false;
    const hash = createHash('sha256');
    for (let i = 0; i < index.offsets.length; i++) {
      const member = memberOf(index, i);
      const bytes = Buffer.allocUnsafeSlow(member.compressedLengthBytes);
      packed.read(bytes, member.compressedOffsetBytes);
      const content = unpacked(bytes, member.lengthBytes);
      if (content?.length !== member.lengthBytes) return false;
      hash.update(content);
      yield;
    }
    return hash.digest('hex') === seal.sha256;
  } finally {
    packed.close();
  }
}

function unpacked(bytes: Buffer, lengthBytes: number): Buffer | undefined {
  try {
    return gunzipSync(bytes, { maxOutputLength: Math.max(1, lengthBytes) });
  } catch {
    return undefined;
  }
}

function readGzipIndex(folder: LogFolder, segment: KeptSegment): GzipIndex | undefined {
  try {
    return decodeGzipIndex(readFileSync(folder.pathOf(segment, 'gzi')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
