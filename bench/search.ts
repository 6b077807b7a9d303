/**
 * Scenario `search`: a log of many events, of which a few hold one source address; GET /api/v1/events?text=ADDRESS finds all of
 * them. The log is written by Core's own writer in this process, so it is known under which numbers they stand.
 */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SegmentWriter } from '../src/log/segment-writer.js';
import { loadAddon, resolveMode } from '../src/native/addon.js';
import { type Mode, startCore } from './core-process.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';

export interface SearchPlan {
  readonly events: number;
  readonly mode: Mode;
}

const ADDRESS = '203.0.113.99';
const BATCH_EVENTS = 3_400;
/** One in so many batches holds an event with the address. */
const EVERY = 97;
const PAGE = 1000;
const ROUNDS = 3;
const TIMEOUT_MS = 60_000;

export const searchTitle = ({ events, mode }: SearchPlan): string =>
  `search, one address in ${(events / 1e6).toFixed(events < 1e6 ? 2 : 0)} M events${mode === 'auto' ? '' : `, ${mode}`}`;

interface Page {
  readonly events: readonly { readonly seq: number }[];
  readonly next: number | null;
}

export async function runSearch(plan: SearchPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  if (settings.external) throw new Error('search writes the log of a Core of its own');
  const parent = settings.dir ?? tmpdir();
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'honeybee-bench-'));
  const { bytes, seqs } = writeLog(join(folder, 'data', 'log'), plan.events, (share) =>
    context.onProgress(share / 2, 'writing the log'),
  );
  const core = await startCore({
    entry: settings.coreEntry,
    dir: settings.dir,
    mode: plan.mode,
    connections: 1,
    diskBytes: 0,
    folder,
  });
  try {
    const seconds: number[] = [];
    const problems: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      context.onProgress(0.5 + round / ROUNDS / 2, 'searching');
      const startMs = performance.now();
      const found = await search(core.rest);
      seconds.push((performance.now() - startMs) / 1000);
      if (found.length !== seqs.length || found.some((seq, at) => seq !== seqs[at]))
        problems.push(`round ${round + 1}: ${found.length} events found, ${seqs.length} are there`);
    }
    // The first one may find the log on the disk only.
    const warm = Math.min(...seconds.slice(1));
    return {
      scenario: searchTitle(plan),
      ok: problems.length === 0,
      problems,
      mode: core.mode,
      parameters: { events: plan.events, matches: seqs.length, bytes },
      seconds: warm,
      events_per_second: plan.events / warm,
      megabytes_per_second: bytes / warm / 1e6,
      search: seconds.map((one) => Number(one.toFixed(3))),
    };
  } finally {
    await core.stop();
    core.remove();
  }
}

/** All pages; the sequence numbers of what is on them. */
async function search(rest: string): Promise<number[]> {
  const found: number[] = [];
  for (let after = 0; ; ) {
    const url = new URL(`/api/v1/events?order=asc&after=${after}&limit=${PAGE}&text=${ADDRESS}`, rest);
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw new Error(`${url.href} answered ${response.status}: ${await response.text()}`);
    const page = (await response.json()) as Page;
    found.push(...page.events.map(({ seq }) => seq));
    if (page.next === null) return found;
    after = page.next;
  }
}

/** Events of 300 bytes, as an SSH honeypot writes them. */
function event(i: number, address: string): string {
  const node = 9_223_372_036_854_775_000n + BigInt(i % 16);
  return (
    `{"version":2,"message":{"PotEvent":{"node_id":${node},"pot_id":"cowrie-${i % 8}","pot_type":"cowrie",` +
    `"event_type":"cowrie.login.failed","timestamp":"2026-11-20T12:00:00.123456Z","data":{"session":"c0ffee${i}",` +
    `"src_ip":"${address}","src_port":${1024 + (i % 60_000)},"username":"root","password":"123456",` +
    `"message":"login attempt [root/123456] failed"}}}}\n`
  );
}

function batch(random: number): { plain: Buffer; matching: Buffer; at: number } {
  const at = random % BATCH_EVENTS;
  const lines = Array.from({ length: BATCH_EVENTS }, (_, i) =>
    event(i, `198.51.${i & 255}.${(i * 7 + random) & 255}`),
  );
  const plain = Buffer.from(lines.join(''));
  lines[at] = event(at, ADDRESS);
  return { plain, matching: Buffer.from(lines.join('')), at };
}

function writeLog(
  folder: string,
  events: number,
  onProgress: (share: number) => void,
): { bytes: number; seqs: number[] } {
  const writer = new SegmentWriter({
    folder,
    segmentBytes: 1024 ** 3,
    segmentMs: 0,
    fsync: 'never',
    fsyncIntervalMs: 50,
    addon: resolveMode('auto').mode === 'native' ? loadAddon() : undefined,
    onSyncStart() {},
    onDurable() {},
    onSyncFailed(error) {
      throw error;
    },
  });
  const batches = [batch(17), batch(1042), batch(3399)];
  const seqs: number[] = [];
  let bytes = 0;
  const startMs = Date.now() - 3_600_000;
  for (let i = 0; writer.nextSeq <= events; i++) {
    const { plain, matching, at } = batches[i % batches.length]!;
    const matches = i % EVERY === 5;
    if (matches) seqs.push(writer.nextSeq + at);
    writer.append(matches ? matching : plain, BATCH_EVENTS, startMs + i);
    bytes += plain.length;
    if (i % 64 === 0) onProgress(writer.nextSeq / events);
  }
  writer.close();
  return { bytes, seqs };
}
