/** The configuration as the rest of Core sees it: complete, checked, frozen, and cloneable to other threads. */
export interface Config {
  readonly server: {
    /** Address for the node port, and for the REST port where that has none of its own. */
    readonly host: string;
    readonly node_port: number;
    /** Empty: the same as `host`. */
    readonly backend_host: string;
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
    /** The event log starts its next file after so long, too; 0: only by size. */
    readonly segment_seconds: number;
    /** When what was written is fsynced: in groups, as soon as possible, or by the system when it likes. */
    readonly fsync: 'interval' | 'always' | 'never';
    readonly fsync_interval_ms: number;
    /** Finished segments are compressed. */
    readonly compress: 'off' | 'gzip';
    /** Oldest segments are deleted while the log is larger; 0: never. */
    readonly retention_bytes: number;
    /** Segments whose newest record is older are deleted; 0: never. */
    readonly retention_seconds: number;
    /** Oldest segments are deleted while less is free on the disk; 0: never. */
    readonly retention_free_bytes: number;
    /** Retention deletes also what a named consumer has not acknowledged. */
    readonly retention_force: boolean;
    /** Ed25519 private key in PEM that signs sealed segments; empty: they are not signed. */
    readonly signing_key_file: string;
    readonly dead_letter_bytes: number;
  };
  readonly stream: { readonly max_consumers: number; readonly consumer_buffer_bytes: number };
  readonly auth: {
    /** PROTOCOL.md section 7. */
    readonly totp: 'off' | 'optional' | 'required';
    /** Whoever has no token may read, stream and command, wherever Core listens. */
    readonly allow_anonymous: boolean;
    /** Web origins, with commas between them, that may use REST and WebSocket from a browser. */
    readonly allowed_origins: string;
    /** 32 bytes in base64 that encrypt enrolment secrets; empty: `secret.key` in the data directory. */
    readonly key_file: string;
  };
  readonly tls: {
    /** Certificate and key in PEM; TLS is on where both are given. */
    readonly cert_file: string;
    readonly key_file: string;
    /** CAs of node certificates in PEM. */
    readonly ca_file: string;
    /** Revoked node certificates in PEM. */
    readonly crl_file: string;
    readonly require_client_cert: boolean;
    /** The name in a node's certificate must be its `node_name`. */
    readonly match_node_name: boolean;
    /** Nodes may still connect without TLS, on the same port. */
    readonly plain_text: boolean;
    /** TLS on the REST port as well. */
    readonly backend: boolean;
    /** TLS on the WebSocket port as well. */
    readonly proxy: boolean;
  };
  readonly rest: {
    /** Requests in a minute, per token, or per address where there is none; 0: no limit. */
    readonly requests_per_minute: number;
  };
  readonly commands: {
    /** How long a command waits for a node that is not connected. */
    readonly ttl_seconds: number;
    /** How long a node has for a command it was sent. */
    readonly timeout_seconds: number;
  };
  readonly admission: {
    readonly accepts_per_second: number;
    /** 0: three quarters of `ingest.max_connections`. */
    readonly connections_per_address: number;
    /** Refused frames in a minute above which a node is disconnected; 0: never. */
    readonly max_errors_per_minute: number;
  };
}
