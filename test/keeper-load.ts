/** What the end-to-end tests of the keeper share: one node, keys, and the sizes of logs. */
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Cleanup, temporaryFolder } from './core-process.js';
import type { NodeClient } from './node-client.js';
import { numberedEvent } from './node-frames.js';

export const NODE = { id: 2n ** 62n, name: 'kept' };

/** An Ed25519 key and its public half. */
export function keyFiles(t: Cleanup): { privateFile: string; publicFile: string; pem: string } {
  const folder = temporaryFolder(t);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const privateFile = join(folder, 'key.pem');
  const publicFile = join(folder, 'public.pem');
  writeFileSync(privateFile, pem, { mode: 0o600 });
  writeFileSync(publicFile, publicKey.export({ type: 'spki', format: 'pem' }));
  return { privateFile, publicFile, pem };
}

/** Sends so many bytes of events, or a little more. */
export async function sendBytes(node: NodeClient, bytes: number, first = 0): Promise<number> {
  let number = first;
  for (let sent = 0; sent < bytes; ) {
    const block = Array.from(
      { length: 50 },
      () => `${numberedEvent(NODE.id, number++, 'x'.repeat(1000))}\n`,
    ).join('');
    await node.send(block);
    sent += block.length;
  }
  return number;
}

/** Of all plain segments. */
export function sizeOf(dataDir: string): number {
  const folder = join(dataDir, 'log');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .reduce((sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}
