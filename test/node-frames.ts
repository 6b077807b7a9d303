/**
 * What nodes of the end-to-end tests say, as text without a newline. Ids are bigints, and stand in the text as their
 * digits.
 */

export interface NodeIdentity {
  readonly id: bigint;
  readonly name: string;
  /** `totp_code`; none where it is absent. */
  readonly code?: string | undefined;
}

export function frame(name: string, body: string): string {
  return `{"version":2,"message":{"${name}":${body}}}`;
}

export function registration({ id, name, code }: NodeIdentity): string {
  const totp = code === undefined ? '' : `,"totp_code":${JSON.stringify(code)}`;
  return frame(
    'NodeRegistration',
    `{"node_id":${id},"node_name":${JSON.stringify(name)},"address":"192.0.2.7","port":7000,"node_type":"Full"${totp}}`,
  );
}

/** The record of a NodeEvent of the node with that id: the frame, and whose it is in front. */
export function nodeEventOf(id: bigint | string, body: string): string {
  return `{"node_id":${id},${frame('NodeEvent', body).slice(1)}`;
}

/** A documented event; `data` is JSON text. */
export function potEvent(id: bigint, data: string, potId = 'cowrie-1'): string {
  return frame(
    'PotEvent',
    `{"node_id":${id},"pot_id":"${potId}","pot_type":"cowrie","event_type":"login_attempt",` +
      `"timestamp":"2026-11-20T12:00:00.123456Z","data":${data}}`,
  );
}

/** An event that can be told from all others of its node. */
export function numberedEvent(id: bigint, number: number, filler = ''): string {
  return potEvent(id, `{"n":${number},"filler":"${filler}"}`);
}

/** The number of a {@link numberedEvent}. */
export function eventNumber(line: string): number {
  const found = /"data":\{"n":(\d+),/.exec(line);
  if (found === null) throw new Error(`no numbered event: ${line.slice(0, 200)}`);
  return Number(found[1]);
}

export function statusUpdate(id: bigint, status: string): string {
  return frame('NodeStatusUpdate', `{"node_id":${id},"status":"${status}"}`);
}

export function potStatus(
  id: bigint,
  potId: string,
  potType: string,
  status: string,
  message?: string,
): string {
  const text = message === undefined ? '' : `,"message":${JSON.stringify(message)}`;
  return frame(
    'PotStatusUpdate',
    `{"node_id":${id},"pot_id":"${potId}","pot_type":${JSON.stringify(potType)},"status":"${status}"${text}}`,
  );
}

/** Which message a line of the stream or an answer carries. */
export function messageName(line: string): string {
  const found = /^\{(?:"node_id":\d+,)?"version":2,"message":\{"(\w+)":/.exec(line);
  return found?.[1] ?? 'other';
}

/** The digits of the line's first `node_id`; they may be more than a number can hold. */
export function nodeIdOf(line: string): string | undefined {
  return /"node_id"\s*:\s*(\d+)/.exec(line)?.[1];
}

/** Is it the notice of that node? */
export function isNotice(line: string, name: 'NodeRegistered' | 'NodeDisconnected', id: bigint): boolean {
  return line.startsWith(`{"version":2,"message":{"${name}":{"node_id":${id},`);
}
