/** The configuration as the rest of Core sees it: complete, checked, frozen, and cloneable to other threads. */
export interface Config {
  readonly server: {
    /** Address for the node port and the REST port. */
    readonly host: string;
    readonly node_port: number;
    readonly backend_port: number;
    /** Opens the fault-injection routes under /debug; only allowed on loopback. */
    readonly debug: boolean;
    readonly shutdown_timeout_ms: number;
  };
  readonly logging: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
    /** Folder of `honeybee-core.log`; empty: standard output only. */
    readonly folder: string;
    readonly force_color: boolean;
  };
  readonly proxy: { readonly enabled: boolean; readonly host: string; readonly port: number };
  readonly ingest: {
    readonly mode: 'auto' | 'native' | 'portable';
    /** 0: available cores - 1, at least 1. */
    readonly shards: number;
    readonly max_frame_bytes: number;
    readonly max_connections: number;
    readonly ring_bytes: number;
    readonly error_replies: boolean;
    readonly registration_timeout_seconds: number;
    /** Without any frame for so long a node's status reads Unknown. */
    readonly unknown_after_seconds: number;
    /** Without any frame for so long the connection is closed. */
    readonly close_after_seconds: number;
  };
  readonly storage: {
    readonly dir: string;
    readonly segment_bytes: number;
    readonly dead_letter_bytes: number;
  };
  readonly stream: { readonly max_consumers: number; readonly consumer_buffer_bytes: number };
  readonly auth: { readonly totp: 'off' };
}
