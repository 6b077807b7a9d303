/**
 * The bounds of the REST port, each with what breaks when it changes.
 *
 * Owned by main: constants only.
 */
export const REST_LIMITS = {
  /** Connections at once; above it the kernel's newest ones are dropped, so that nobody eats main's memory. */
  connections: 512,
  /** A connection on which nothing moves for so long is closed; also a reader that has stopped reading. */
  connectionTimeoutMs: 30_000,
  /** A kept-alive connection without a request; shorter costs scrapers a new connection each time. */
  keepAliveTimeoutMs: 20_000,
  /** Head and body of a request must be there by then, against clients that send a byte a minute. */
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  /** How often the two above are looked at. */
  connectionsCheckIntervalMs: 2_000,
  headerBytes: 16 * 1024,
  /** Path and query; above it 414. Less than the headers may have, so that it is this that is told. */
  urlChars: 8 * 1024,
  /** A body where none is asked for: enough for an empty object and a polite client's spaces. */
  noBodyBytes: 1024,
  /** A page of a list: rows at most. */
  pageRows: 1000,
  /** How long a browser may remember what a page of another origin is allowed. */
  preflightSeconds: 600,
  /** Tokens, and addresses, whose requests are counted; about 200 bytes each. */
  rateLimitedClients: 10_000,
  /** Nodes turned into JSON, or bytes of JSON made, before main's event loop gets its turn. */
  listSliceNodes: 256,
  listSliceBytes: 128 * 1024,
  /** Lists in the making at once: each holds one array of all nodes while its reader takes its time. */
  listsAtOnce: 16,
  /** A list that has not been read to its end by then is cut off. */
  listTimeoutMs: 60_000,
  /** Where a stream of events has nothing to say, it says so: less than connectionTimeoutMs, and than what proxies allow. */
  streamHeartbeatMs: 15_000,
  /** When the client of a stream that was cut off comes again. */
  streamRetryMs: 2_000,
  /** After close() was asked for, answers in the making have this long before their connections are cut. */
  closeGraceMs: 1_000,
} as const;
