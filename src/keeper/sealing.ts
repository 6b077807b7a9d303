/**
 * Seals a segment: reads it once, and writes down what it holds and what it follows. A generator that yields between slices,
 * so that the keeper decides when it goes on; ended early it leaves nothing behind.
 */
import { ContentCheck } from '../log/content-check.js';
import { encodeSeal, makeSeal, type Seal, type SigningKey, sealFileName } from '../log/seal.js';
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
): Generator<void, Seal> {
  const { folder, addon } = parts;
  const content = new ContentFile(folder.pathOf(segment, 'ndjson'), folder.files, addon);
  try {
    const index = folder.readIndex(segment);
    if (index === undefined || !index.whole || index.contentBytes !== content.sizeBytes)
      throw new CannotSeal(`the index of segment ${segment.firstSeq} does not fit its data`);
    content.sync();
    const check = new ContentCheck(index, addon, false);
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
    parts.wholeFiles.write(sealFileName(segment.firstSeq), Buffer.from(encodeSeal(seal)));
    segment.seal = seal;
    return seal;
  } finally {
    content.close();
  }
}
