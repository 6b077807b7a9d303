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
   *  of 255 escaped characters, the id in front of a NodeEvent, the newline. */
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
  /** First bytes of a refused frame that the dead-letter log keeps. Nodes are told to keep frames under 64 KiB; a longer
   *  one cannot be replayed. */
  deadLetterFrameBytes: 64 * KiB,
  /** A line of the dead-letter log: those bytes in base64, names, and the reason. What reads lines looks no further. */
  deadLetterLineBytes: 96 * KiB,
  /** The longest file of dead letters; one gives way at a time. A shorter bound for all has eight files nevertheless, so
   *  that must be eight lines at least. */
  deadLetterFileBytes: 32 * MiB,
  deadLetterBytesMin: 1 * MiB,
  /** Numbers of dead letters are reserved on disk so many at a time. */
  deadLetterReservation: 2 ** 20,
  /** A page of dead letters ends short after so many bytes of rows, or after so many that it has looked at. */
  deadLetterPageBytes: 2 * MiB,
  deadLetterScanBytes: 32 * MiB,
  /** Readers of the dead letters at once: each holds a slice of a file in main's memory. */
  deadLetterReaders: 4,
  /** Dead letters that Core remembers were tried again: 50 bytes of memory each. Those that have given way are forgotten;
   *  with as many, no more are tried. */
  replayMarks: 2 ** 20,
  /** Frames under way to be tried again: each holds a slice of a file in main's memory, too. And how long somebody waits. */
  replaysAtOnce: 32,
  replayTimeoutMs: 10_000,
  /** Refused frames an unregistered connection may send before it is closed (a port scan, HTTP, TLS). */
  refusedBeforeRegistration: 8,
  /** Connections that wait for their turn to be handed to a shard, all addresses together: as many as there may be
   *  nodes by default. A fuller queue turns away who has the most waiting. Costs a descriptor each. */
  waitingConnections: 16_384,
  /** No more wait than `admission.accepts_per_second` lets in within this time: nodes give up after about 15 s, and a
   *  turn that comes later is wasted on a connection that is dead. But so many always may. */
  waitingSeconds: 10,
  waitingConnectionsMin: 64,
  /** What `admission.accepts_per_second` lets in at once after a pause: this much of a second's worth. */
  acceptBurstMs: 50,
  /** Connections handed to one shard that have not registered yet. More would make what a shard has to do for strangers
   *  in one turn longer, and with it the latency of everybody's events in a storm; fewer would leave it idle while
   *  main decides. */
  registeringPerShard: 64,
  /** A stranger that has not registered by then makes room for the next one: it is slow, or says nothing. */
  registeringMs: 250,
  /** Connections that their nodes have closed and that a shard deals with before it reads from the others again: when
   *  ten thousand go at once, everybody else's events must not wait for all of them. */
  endsPerTurn: 16,
  /** Lines of a level in a second about nodes that come and go. */
  sessionLogLinesPerSecond: 200,
  /** Lines in the log about connections that were turned away: one for each reason in this time. */
  turnedAwayLogIntervalMs: 10_000,
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
  /** A shard that ran for so long is restarted after the first pause again. */
  shardRestartForgetMs: 60_000,
  /** A shard or the aggregator that has not reported ready by then never will. */
  threadStartTimeoutMs: 15_000,
  /** An index entry covers what was written in one group, up to about so much: what one flipped bit can cost, and what
   *  has to be read to check a record. */
  indexBatchBytes: 1 * MiB,
  /** And what came within so much time: how exactly the index knows when a record was received. */
  indexBatchMs: 250,
  /** Sequence numbers are reserved on disk so many at a time, before the first of them is used: after a loss of power the
   *  next ones start behind, so that no number is given twice. At 5 million records a second one reservation lasts 13 s. */
  seqReservation: 2 ** 26,
  /** Finished segments that are not fsynced yet; above it the aggregator waits for the oldest. Each holds two descriptors. */
  unsyncedSegments: 64,
  /** How often it is made durable up to where the log is durable: after a loss of power everything behind is checked. */
  durableMarkMs: 1_000,
  /** The ledger's checkpoint is written after so many bytes of log, or so much time: what is recounted after a crash. */
  checkpointBytes: 64 * MiB,
  checkpointMs: 2_000,
  /** But not more often than this: with ten thousand nodes each costs the aggregator a millisecond. */
  checkpointPauseMs: 250,
  /** Rows of the ledger beyond those of registryNodes: of nodes that are forgotten while records of theirs are in a ring. */
  ledgerSpareRows: 4096,
  /** A node is told what is durable at most this often. */
  eventAckIntervalMs: 40,
  /** The highest `seq` a node may use: beyond it a float64 does not count exactly. */
  eventSeqMax: 2 ** 53 - 1,
  /** Bytes of records in one chunk of the reader, unless a single record is longer; and how many may be on their way per
   *  feed. */
  replayChunkBytes: 1 * MiB,
  replayChunksAhead: 2,
  /** Feeds of the reader at once, of consumers and of REST: each has up to replayChunksAhead chunks in memory. More, where
   *  `stream.max_consumers` is higher: one without a place would wait for it and be told nothing. */
  replayFeeds: 512,
  restFeeds: 64,
  /** A consumer that is so close behind the end of the log is given the rest at once and is live again. */
  joinBytes: 2 * MiB,
  /** What a consumer that reads the log may have unsent in its socket before it is sent more. */
  replayBacklogBytes: 512 * KiB,
  /** A consumer that is told its position hears at least so often where it is while nothing passes its filter. */
  positionIntervalMs: 1_000,
  /** When Core stops, consumers that read the log have this long to be given the rest of it. */
  streamFinishMs: 1_000,
  /** Answers that a WebSocket has not read, besides its full buffer; above it the connection is closed. */
  consumerAnswerBytes: 1 * MiB,
  /** Named consumers, and the length of a name. */
  namedConsumers: 1000,
  consumerNameLength: 64,
  /** How often a cursor is saved at most; after a crash of Core it may be so much older. */
  cursorSaveMs: 200,
  /** Conditions of one kind in a filter, and characters of a pattern or text. */
  filterPatterns: 32,
  filterLength: 255,
  /** Records of a page of events, and bytes after which it ends short. */
  eventsPage: 1000,
  eventsPageBytes: 4 * MiB,
  /** How long a page of events searches before it ends short, with a cursor to go on from. */
  eventsPageMs: 5_000,
  /** While more comes in and goes out than this in a second, sealing waits, as long as no more than sealLagBytes wait to be sealed. */
  sealIdleBytesPerSecond: 32 * MiB,
  sealLagBytes: 64 * 1024 * MiB,
  /** How often the keeper looks at the disk and at what is due. */
  keeperIntervalMs: 500,
  /** What the keeper could not do is tried again after so long. */
  keeperRetryMs: 1_000,
  /** Main is told of the free space of the disk in steps of this size: it moves all the time. */
  keeperFreeStepBytes: 16 * MiB,
  /** A keeper that was told to end has this long for the system call it is in; nothing it does needs to be finished. */
  keeperStopMs: 2_000,
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
  /** A raw backend that takes nothing of what waits for it is looked at so often, and closed when nothing has left in between:
   *  what waits may be as much as `stream.consumer_buffer_bytes`, of each. */
  rawStalledMs: 60_000,
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
  /** Kept free on the disk for opening the state: what LevelDB writes anew then is about one write buffer. */
  stateReserveBytes: 2 * MiB,
  /** Changes that go to LevelDB at once, but for a single larger write: a thousand hold main up for a millisecond, and each
   *  batch costs an fsync. */
  stateBatchChanges: 4_096,
  /** Changes of state waiting for the disk; above it registrations, enrolments and commands are refused. Room for all
   *  nodes of a full Core that reconnect while the disk is full. */
  stateBacklogChanges: 65_536,
  /** A file of [tls]. It is sent to every shard; CA lists stay far below, only a CRL of a very large CA comes near. */
  tlsFileBytes: 4 * MiB,
  /** How often the files of [tls] are looked at: a few stat calls. */
  tlsLookIntervalMs: 1000,
  /** Certificate and key are exchanged one after the other; files that do not fit together for longer are an error. */
  tlsSettleMs: 5_000,
  /** How often the WebSocket port tries to read new files, at that interval, before it says that it cannot. */
  tlsRenewTries: 10,
  /** TLS handshake of a REST client; those of nodes end with `ingest.registration_timeout_seconds`. */
  tlsHandshakeMs: 10_000,
  /** Lines about failed handshakes a shard writes in a second; the rest is counted. */
  tlsLogLinesPerSecond: 5,
  /** Characters of a name in a node's certificate that are logged: its owner chose it. */
  tlsNameLength: 255,
  /** WebSocket servers with earlier certificates that live on for the consumers they have; above it the oldest one is
   *  closed with its consumers. A new one comes with every new certificate, so this is years. */
  tlsRetiredServers: 16,
  /** For whom an earlier certificate's WebSocket server was in the middle of a handshake or a request. */
  tlsRetireMs: 30_000,
  /** Somebody who changes small state waits so long for the disk, then is told that it is not there. */
  stateAnswerTimeoutMs: 10_000,
  /** API tokens kept, revoked and expired ones too; those give way first. All are listed in one answer. */
  apiTokens: 1000,
  /** How often it is saved when tokens were last used: a write per request would be one per scrape and page. */
  tokenUseSaveMs: 60_000,
  /** Wrong tokens from one address in a minute before it is not listened to for a minute, and addresses remembered. */
  accessFailuresPerMinute: 30,
  accessFailureAddresses: 4096,
  /** The audit trail: bytes of a file, files kept, bytes of a line's texts, bytes waiting for a full disk, refusals
   *  written in a minute (more would push out what was done), trails being read at once. */
  auditFileBytes: 16 * MiB,
  auditFiles: 8,
  auditTextLength: 1024,
  auditWaitingBytes: 8 * MiB,
  auditRefusalsPerMinute: 60,
  auditReaders: 4,
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
  /** Within this time it is written once of every connected node when it was last seen. */
  registrySeenIntervalMs: 60_000,
  /** A command as JSON: nodes are told to keep frames under 64 KiB, and are owed the same. */
  commandBytes: 60 * KiB,
  /** Commands that have not ended, of all nodes and of one, and the bytes of the former. Above it new ones are refused. */
  commandsLive: 100_000,
  commandsLivePerNode: 1_000,
  commandsLiveBytes: 64 * MiB,
  /** Commands a node works on at once; the rest stays queued here, where it can still be cancelled. */
  commandsInFlightPerNode: 16,
  /** Commands that have ended: kept up to this count, size and age, the oldest give way. */
  commandsKept: 100_000,
  commandsKeptBytes: 64 * MiB,
  commandsKeptMs: 30 * 24 * 3600 * 1000,
  /** Nodes of one rollout: all its commands are made durable in one write, which must fit the backlog of the state. */
  rolloutNodes: 32_768,
  /** Rollouts remembered, over or not. Above it, with none that could give way, new ones are refused. */
  rolloutsKept: 10_000,
  /** What a node says in answer to a command, in characters: of one pot, and of all pots (GetInstalledPots). */
  commandResultLength: 16 * KiB,
  commandResultsLength: 256 * KiB,
  /** All answers of all GetInstalledPots under way; above it texts are left out of them, and said to be. */
  commandsCollectedLength: 64 * MiB,
  /** The last word of a node about a command that goes on, in characters. */
  commandProgressLength: 1_024,
  /** GetInstalledPots is done when no pot was heard of for so long. */
  commandQuietMs: 1_000,
  /** How often deadlines of commands are looked at; also how long the state may lag behind a node's progress. */
  commandTickMs: 100,
  /** Entries a page of commands looks at before it ends short, with a cursor to go on from. */
  commandScanPerPage: 20_000,
  /** Bytes of JSON after which a page of commands ends short. */
  commandPageBytes: 1 * MiB,
  /** A command that did not reach the disk by then is answered with an error, though it may still be carried out. */
  commandDurableMs: 10_000,
  /** A request on 9002. */
  restBodyBytes: 256 * KiB,
} as const;
