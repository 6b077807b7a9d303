/**
 * One entry of the audit trail as a line of `audit.ndjson`:
 *
 *   {"seq":1,"time":ISO 8601,"principal":name,"kind":"token|local|anonymous","token_id":id|null,"from":"ip:port|local",
 *    "request_id":id|null,"action":"noun.verb","target":text,"outcome":"done|refused|failed","detail":{...}}
 *
 * `seq` counts up by one from the first entry on; a gap is a loss. Main thread; pure.
 */
import { LIMITS } from '../limits.js';
import type { AuditEntry } from './audit.js';

const SEQ = /^\{"seq":(\d{1,15}),/;

/** What terminals act on and JSON leaves as it is; only ever inside strings, so an escape leaves the text valid. */
const ACTING = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;

/** With its newline. */
export function auditLine(seq: number, timeMs: number, { actor, ...entry }: AuditEntry): string {
  const { principal, from, requestId } = actor;
  const line = JSON.stringify({
    seq,
    time: new Date(timeMs).toISOString(),
    principal: bounded(principal.name),
    kind: principal.kind,
    token_id: principal.tokenId,
    from: bounded(from),
    request_id: requestId === undefined ? null : bounded(requestId),
    action: bounded(entry.action),
    target: bounded(entry.target),
    outcome: entry.outcome,
    detail: Object.fromEntries(
      Object.entries(entry.detail ?? {}).map(([name, value]) => [
        name,
        typeof value === 'string' ? bounded(value) : value,
      ]),
    ),
  });
  return `${line.replace(ACTING, escaped)}\n`;
}

/** 0 where the line is none of ours. */
export function seqOf(line: string): number {
  return Number(SEQ.exec(line)?.[1] ?? 0);
}

function bounded(text: string): string {
  return text.length > LIMITS.auditTextLength ? `${text.slice(0, LIMITS.auditTextLength)}…` : text;
}

/** Characters beyond the first plane are two escapes. */
function escaped(character: string): string {
  let text = '';
  for (let at = 0; at < character.length; at++)
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  return text;
}
