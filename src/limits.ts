/**
 * Every bound of Core in one place, each with what breaks when it changes. Limits that operators may set live in
 * `config/settings.ts`; these are the fixed ones, and the ranges the settings must stay in.
 */

const KiB = 1024;
const MiB = 1024 * KiB;

export const LIMITS = {
  /** One read from a node's socket. Larger costs L2 misses between reading and scanning, smaller costs calls. */
  readBytes: 512 * KiB,
  /** Room in front of the read buffer where a torn frame's first part is put, so that it is scanned in place.
   *  A longer torn frame is collected in a buffer of its own. */
  headroomBytes: 64 * KiB,
  /** Bytes that must be readable behind the last byte scanned (simdjson reads whole vectors). */
  paddingBytes: 64,
  /** JSON nesting; deeper frames are refused, because common consumers (Python, Jackson, simdjson) fail on them. */
  nestingDepth: 512,
  /** Default and range of `ingest.max_frame_bytes`. The upper end must fit a ring, see below. */
  frameBytes: 1 * MiB,
  frameBytesMin: 1 * KiB,
  frameBytesMax: 16 * MiB,
  /** What a record may be longer than the frame it is made of: the documented form of a compiled event, a `pot_type`
   *  of 255 escaped characters, the newline. */
  recordGrowthBytes: 4 * KiB,
  /** A shard's data ring; must hold two largest frames, or a frame could never find a contiguous place. */
  ringBytes: 8 * MiB,
  ringBytesMin: 1 * MiB,
  ringBytesMax: 512 * MiB,
  /** Descriptors of a ring: one per scanned read. Full means back-pressure, like a full data ring. */
  ringDescriptors: 16 * KiB,
  /** What the aggregator joins into one write and one batch message. */
  batchBytes: 1 * MiB,
  /** Bytes the aggregator handles before it lets its event loop serve sockets. */
  aggregatorSliceBytes: 4 * MiB,
  /** How long a shard waits on a full ring before it looks whether the process is stopping. */
  ringWaitSliceMs: 100,
  /** First bytes of a refused frame that the dead-letter log keeps. */
  deadLetterFrameBytes: 4 * KiB,
  /** Refused frames an unregistered connection may send before it is closed (a port scan, HTTP, TLS). */
  refusedBeforeRegistration: 8,
  /** `Error` answers per connection: at most one in this time, the rest is counted in the next one. */
  errorReplyIntervalMs: 1000,
  /** Answers waiting for a node that does not read them; above it the connection is closed. */
  nodeWriteBufferBytes: 256 * KiB,
  /** Portable mode: bytes of one connection on their way from main to its shard before main stops reading it. */
  relayWindowBytes: 1 * MiB,
  /** Pots remembered per node, and the length of what is remembered of each; events of others still pass. */
  potsPerNode: 1024,
  potFieldLength: 255,
  /** `node_name`, in characters (PROTOCOL.md section 3). */
  nodeNameLength: 255,
  /** Nodes remembered in the registry, connected or not; the oldest disconnected one gives way. */
  registryNodes: 131_072,
  /** Restarts of a dead shard: first pause, and the longest one. */
  shardRestartMinMs: 50,
  shardRestartMaxMs: 5_000,
  /** A shard or the aggregator that has not reported ready by then never will. */
  threadStartTimeoutMs: 15_000,
  /** How often a write that found the disk full is tried again. */
  diskRetryMs: 250,
  /** How often a shard looks for silent nodes. */
  sweepIntervalMs: 1000,
  /** A consumer that was told to leave has this long to take what is queued. */
  consumerCloseGraceMs: 5_000,
  /** Bytes a WebSocket consumer may send in one message: it has nothing to say yet. */
  consumerMessageBytes: 64 * KiB,
  /** Young generation of a worker's heap, in MiB. What the data plane allocates dies at once, so a small one costs
   *  nothing, stays in the cache, and saves up to 48 MiB of memory per thread. */
  workerYoungGenerationMiB: 2,
  /** LevelDB's own memory: the state is small and is read once, at start. */
  stateCacheBytes: 1 * MiB,
  stateWriteBufferBytes: 1 * MiB,
  /** Changes that go to LevelDB at once, but for a single larger write: a thousand hold main up for a millisecond, and each
   *  batch costs an fsync. */
  stateBatchChanges: 4_096,
  /** Changes of state waiting for the disk; above it registrations, enrolments and commands are refused. Room for all
   *  nodes of a full Core that reconnect while the disk is full. */
  stateBacklogChanges: 65_536,
  /** Names enrolled or revoked, and how many of them may have enrolled themselves: what strangers can make Core keep
   *  is bounded (about 100 MB at the longest names), and leaves room for those that an administrator enrols. */
  enrolmentNames: 262_144,
  selfEnrolledNames: 196_608,
  /** Spent steps remembered one by one per name; below the oldest forgotten one every step counts as spent. More
   *  make each record longer, fewer let a clock that was set back refuse good codes sooner. */
  spentStepsKept: 32,
  /** How far the oldest forgotten step may lie ahead of the clock before it is taken for a wrong clock's: longer is how
   *  long a name can be locked out by that, shorter lets codes be used again after the clock was set back. */
  spentFloorAheadMs: 24 * 3_600_000,
  /** Names, and addresses, whose failed codes are remembered; the one that failed longest ago gives way. */
  lockoutEntries: 16_384,
  /** The longest time for which names may enrol themselves in `required`. */
  enrolmentWindowMs: 24 * 3_600_000,
  /** Lines in the log about refused registrations in a second; the rest is counted. */
  refusedRegistrationLines: 10,
  /** Changes of nodes and pots wait so long for the next write, and so many go into one turn of the event loop: at
   *  some microseconds each, main never pauses for more than a few milliseconds. */
  registrySaveIntervalMs: 200,
  registrySaveSlice: 250,
  /** Within this time the totals of every connected node are written once. A crash loses at most so much of them. */
  registryTotalsIntervalMs: 60_000,
  /** A request on 9002. */
  restBodyBytes: 256 * KiB,
} as const;
