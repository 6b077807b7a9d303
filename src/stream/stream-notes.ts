/**
 * What Core and a consumer say to each other about the stream itself, between the records:
 *
 *   Core --> consumer   {"version":2,"message":{"StreamPosition":{"next_seq":N}}}
 *                       {"version":2,"message":{"StreamGap":{"first_seq":A,"next_seq":B,"records":B-A,"reason":R}}}
 *   consumer --> Core   {"version":2,"message":{"StreamAck":{"next_seq":N}}}
 *
 * A position says that everything before N was sent, or named in a gap, or is not what was asked for. Runs in the
 * aggregator; pure, never throws for input.
 */
import type { GapReason } from '../replay/messages.js';

/** Longer ones are no acknowledgement: main looks at them, as at everything else that a consumer says. */
const ACK_LENGTH = 256;

export function positionText(nextSeq: number): string {
  return `{"version":2,"message":{"StreamPosition":{"next_seq":${nextSeq}}}}`;
}

export function gapText(firstSeq: number, nextSeq: number, reason: GapReason): string {
  return `{"version":2,"message":{"StreamGap":{"first_seq":${firstSeq},"next_seq":${nextSeq},"records":${nextSeq - firstSeq},"reason":"${reason}"}}}`;
}

/** In the words in which main answers what it cannot do. */
export function failureText(reason: string): string {
  return `{"version":2,"message":{"BackendResponse":{"Failure":${JSON.stringify(`INVALID_MESSAGE_FORMAT: ${reason}`)}}}}`;
}

/** The `next_seq` of an acknowledgement, whatever it is; undefined where the message is none. */
export function readAck(text: string): { readonly nextSeq: unknown } | undefined {
  if (text.length > ACK_LENGTH || !text.includes('StreamAck')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { version, message } = asObject(value);
  if (version !== 2) return undefined;
  const fields = asObject(message);
  if (Object.keys(fields).length !== 1 || !Object.hasOwn(fields, 'StreamAck')) return undefined;
  return { nextSeq: asObject(fields.StreamAck).next_seq };
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
