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
  /** Bytes of one message of a backend, on the WebSocket and raw: the longest command with room to spare. */
  consumerMessageBytes: 64 * KiB,
  /** Messages of a WebSocket that main has not answered yet: with the one above it bounds what main holds of it. */
  consumerUnanswered: 64,
  /** Backends that were let in without a token and have to send one: how many at once, in all and from one address
   *  (IPv6: one network of 64 bits), and how long each has. Above it the next one is turned away. */
  strangers: 64,
  strangersPerAddress: 16,
  strangerMs: 5_000,
  /** Raw backends on the REST port at once: each may hold a stream in main's memory. */
  rawBackends: 64,
  /** A raw backend that has not registered by then is closed. */
  rawRegistrationMs: 10_000,
  /** Answers that a raw backend has not read; above it nothing more is read from it. */
  rawAnswerBytes: 1 * MiB,
  /** When TCP asks a silent raw backend whether it is still there. */
  rawKeepAliveMs: 60_000,
  /** White space in front of what a client of the REST port says, before it is taken for HTTP. */
  leadingBlanks: 1024,
  /** What one backend is served in a second: an answer costs one, and one more for every so many characters. Lists of
   *  ten thousand nodes are answered ten times a second, short answers 500 times. */
  backendTokensPerSecond: 500,
  backendTokenBytes: 4 * KiB,
  /** Names and event types for which a scope remembers whether they are in it; then it starts anew. */
  scopeAnswers: 4096,
  /** Node names that main sends the aggregator before its event loop gets its turn. */
  nodeNamesAtOnce: 2048,
  /** Young generation of a worker's heap, in MiB. What the data plane allocates dies at once, so a small one costs
   *  nothing, stays in the cache, and saves up to 48 MiB of memory per thread. */
  workerYoungGenerationMiB: 2,
  /** LevelDB's own memory: the state is small and is read once, at start. */
  stateCacheBytes: 1 * MiB,
  stateWriteBufferBytes: 1 * MiB,
  /** Changes of state waiting for the disk; above it registrations, enrolments and commands are refused. Room for all
   *  nodes of a full Core that reconnect while the disk is full. */
  stateBacklogChanges: 65_536,
  /** A request on 9002. */
  restBodyBytes: 256 * KiB,
} as const;
