/** Where a port of Core listens, and how people write it. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, `[v6]:PORT`; undefined when it is neither. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}
