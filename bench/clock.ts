/**
 * One clock for all threads of the bench. `performance.now()` costs 30 ns and allocates nothing, but every thread
 * counts from its own start; the monotonic clock of the system is common but slow to read from JavaScript. So each
 * thread measures once how far its own zero is from the system's.
 */

function systemMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

function measureOffsetMs(): number {
  let bestOffset = 0;
  let bestWidth = Number.POSITIVE_INFINITY;
  // The tightest of several brackets: a pause of the thread between two readings must not become an error for good.
  for (let attempt = 0; attempt < 200; attempt++) {
    const before = performance.now();
    const system = systemMs();
    const after = performance.now();
    if (after - before < bestWidth) {
      bestWidth = after - before;
      bestOffset = system - (before + after) / 2;
    }
  }
  return bestOffset;
}

const offsetMs = measureOffsetMs();

/** Milliseconds with sub-microsecond digits, comparable between threads of this process. */
export function nowMs(): number {
  return performance.now() + offsetMs;
}
