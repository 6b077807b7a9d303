/**
 * Which records somebody wants: the filter of a WebSocket, of GET /api/v1/events and of `log cat`, in one shape. All
 * conditions must hold. Given as query parameters of the same names: `node`, `pot`, `pot_type`, `event_type` (patterns
 * with `*`, several with commas between them or repeated), `text` (stands somewhere in `data`), `since` and `until` (when
 * Core received it).
 */
export interface Filter {
  /** Patterns of node names, or node ids as digits; any of them. */
  readonly nodes: readonly string[] | undefined;
  readonly pots: readonly string[] | undefined;
  readonly potTypes: readonly string[] | undefined;
  readonly eventTypes: readonly string[] | undefined;
  /** In a key or a value of `data`, escapes resolved; upper and lower case differ. */
  readonly text: string | undefined;
  /** ms since 1970; `untilMs` is not included. */
  readonly sinceMs: number | undefined;
  readonly untilMs: number | undefined;
  /** Notices, status updates and so on are left out. Always true where pots, types or a text are asked for. */
  readonly eventsOnly: boolean;
}

/** Where in the stream somebody starts. */
export type Start =
  | { readonly kind: 'earliest' }
  /** Behind the newest record. */
  | { readonly kind: 'latest' }
  | { readonly kind: 'seq'; readonly seq: number }
  /** The first record that Core received at that time or later. */
  | { readonly kind: 'time'; readonly timeMs: number };
