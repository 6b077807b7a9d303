/**
 * Seals a segment: reads it once, and writes down what it holds and what it follows. A generator that yields between slices,
 * so that the keeper decides when it goes on; ended early it leaves nothing behind.
 */
import { join } from 'node:path';
import { ContentCheck } from '../log/content-check.js';
import { segmentName } from '../log/format.js';
import { encodeSeal, makeSeal, type Seal, type SigningKey, sealFileName } from '../log/seal.js';
import { rebuildIndex } from '../log/verify.js';
import type { WholeIndex } from '../log/whole-index.js';
import type { Addon } from '../native/addon.js';
import { ContentFile, SLICE_BYTES } from './content-file.js';
import type { KeptSegment, LogFolder } from './log-folder.js';
import type { WholeFiles } from './whole-file.js';

export interface SealingParts {
  readonly folder: LogFolder;
  readonly wholeFiles: WholeFiles;
  readonly addon: Addon | undefined;
  readonly key: SigningKey | undefined;
}

/** A segment that cannot be sealed, now or ever. */
export class CannotSeal extends Error {
  override readonly name = 'CannotSeal';
}

export function* sealSegment(
  parts: SealingParts,
  segment: KeptSegment,
  previous: string,
  /** Retention waits for it: it may take a spare file where the disk is full. */
  isUrgent: () => boolean,
): Generator<void, Seal> {
  const { folder, addon } = parts;
  const content = new ContentFile(folder.pathOf(segment, 'ndjson'), folder.files, addon);
  try {
    content.sync();
    const index = goodIndex(parts, segment, content.sizeBytes);
    const check = new ContentCheck(index, addon);
    const slice = Buffer.allocUnsafeSlow(Math.min(SLICE_BYTES, content.sizeBytes));
    while (check.bytes < content.sizeBytes) {
      const read = content.read(slice, check.bytes);
      if (read === 0) throw new CannotSeal(`segment ${segment.firstSeq} has become shorter`);
      check.take(slice.subarray(0, read));
      yield;
    }
    const seal = makeSeal(
      {
        segment: segment.firstSeq,
        nextSeq: index.nextSeq,
        records: index.nextSeq - segment.firstSeq,
        // Before damagedRecords is read: what is cut off is known at the end.
        sha256: check.finish(),
        damagedRecords: check.damagedRecords,
        bytes: content.sizeBytes,
        previous,
        sealedAt: new Date().toISOString(),
      },
      parts.key,
    );
    parts.wholeFiles.write(sealFileName(segment.firstSeq), Buffer.from(encodeSeal(seal)), isUrgent());
    segment.seal = seal;
    folder.refreshBeside(segment);
    return seal;
  } finally {
    content.close();
  }
}

/** The index, made again where it is missing or does not fit. What no record is in stays behind its end. */
function goodIndex({ folder, addon }: SealingParts, segment: KeptSegment, sizeBytes: number): WholeIndex {
  const index = folder.readIndex(segment);
  if (index?.whole && index.contentBytes === sizeBytes) return index;
  const base = join(folder.path, segmentName(segment.firstSeq));
  rebuildIndex(folder.path, base, segment.firstSeq, {
    files: folder.files,
    ...(addon?.crc32 === undefined ? {} : { crc32: addon.crc32 }),
  });
  const made = folder.readIndex(segment);
  if (made === undefined)
    throw new CannotSeal(`segment ${segment.firstSeq} has no index, and none can be made`);
  return made;
}
