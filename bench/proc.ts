/**
 * What Linux tells about a process: memory, and the processor time of each of its threads. Elsewhere: undefined.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ is 100 on every Linux that Node runs on. */
const TICK_MS = 10;

export interface Memory {
  readonly residentBytes: number;
  readonly peakBytes: number;
}

/** Processor time by thread id, in milliseconds. */
export type ThreadTimes = ReadonlyMap<number, number>;

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

/** Resident memory without the page cache: what the process maps and touched. */
export function memoryOf(pid: number): Memory | undefined {
  const status = read(`/proc/${pid}/status`);
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(status ?? '')?.[1];
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(status ?? '')?.[1];
  if (resident === undefined || peak === undefined) return undefined;
  return { residentBytes: Number(resident) * 1024, peakBytes: Number(peak) * 1024 };
}

function timeOfStat(stat: string | undefined): number | undefined {
  if (stat === undefined) return undefined;
  // The name in parentheses may hold blanks: count from behind it. User and system time are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export function threadTimesOf(pid: number): ThreadTimes | undefined {
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/task`);
  } catch {
    return undefined;
  }
  const times = new Map<number, number>();
  for (const name of names) {
    const time = timeOfStat(read(`/proc/${pid}/task/${name}/stat`));
    if (time !== undefined) times.set(Number(name), time);
  }
  return times;
}

/** Id of the calling thread in /proc, which a worker cannot learn otherwise. */
export function ownThreadId(): number | undefined {
  const stat = read('/proc/thread-self/stat');
  return stat === undefined ? undefined : Number.parseInt(stat, 10);
}

export interface CpuShare {
  /** Share of one core, 1 = one core busy all the time. */
  readonly total: number;
  readonly main: number;
  /** The other threads, busiest first; those below one percent are left out. */
  readonly threads: readonly number[];
}

/** What the process used between two readings. */
export function cpuShare(pid: number, before: ThreadTimes, after: ThreadTimes, elapsedMs: number): CpuShare {
  let total = 0;
  let main = 0;
  const threads: number[] = [];
  for (const [thread, time] of after) {
    const share = (time - (before.get(thread) ?? 0)) / elapsedMs;
    total += share;
    if (thread === pid) main = share;
    else if (share >= 0.01) threads.push(share);
  }
  threads.sort((left, right) => right - left);
  return { total, main, threads };
}

/** How many files a process started from here may open. */
export function openFilesLimit(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(read('/proc/self/limits') ?? '')?.[1];
  return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
}
