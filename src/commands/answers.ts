/**
 * Moves commands by what their node says and does: the evidence that they are done, and the silence that says they are not.
 *
 * Owned by main. An update ends at most one command, the oldest of its pot that it can end; only where it ends none is
 * it progress, of the oldest it can be progress of.
 */
import { LIMITS } from '../limits.js';
import { boundedText } from '../registry/bounded-text.js';
import { type Evidence, evidenceOf } from './evidence.js';
import type { Mailbox } from './mailbox.js';
import { type CommandRecord, isWithNode, type PotAnswer } from './record.js';
import type { ReportedPot } from './session-listener.js';
import { answerLength } from './stored.js';
import type { CommandTable } from './table.js';

const SILENT_NODE =
  'the node said nothing about any pot: a node without pots has nothing to say to GetInstalledPots';

export class Answers {
  readonly #table: CommandTable;
  /** Answers to GetInstalledPots, while it collects; and how long they all are together. */
  readonly #collected = new Map<CommandRecord, { answers: PotAnswer[]; length: number; complete: boolean }>();
  #collectedLength = 0;

  constructor(table: CommandTable) {
    this.#table = table;
  }

  /** The socket took it. What has no answer is done by that. */
  sent(record: CommandRecord, nowMs: number): void {
    if (record.command.name !== 'UpdateConfig') return;
    const text = 'sent; the protocol has no answer to it, so what the node made of it is not known';
    this.#table.move(record, 'done', nowMs, { result: { kind: 'note', text } });
  }

  /** A node that was told to restart is back. */
  restarted(record: CommandRecord, nowMs: number): void {
    const text = record.survivedRestart
      ? 'the node registered again, as it had to: Core itself was restarted meanwhile'
      : 'the node disconnected and registered again';
    this.#table.move(record, 'done', nowMs, { result: { kind: 'note', text } });
  }

  /** A command that was with its node when Core started: what had been collected by then goes on. */
  restore(record: CommandRecord, nowMs: number): void {
    if (!isWithNode(record.phase) || record.result?.kind !== 'pots') return;
    const answers = [...record.result.answers];
    const length = answers.reduce((sum, answer) => sum + answerLength(answer), 0);
    this.#collected.set(record, { answers, length, complete: false });
    this.#collectedLength += length;
    this.#table.deadlines.set(record, nowMs + LIMITS.commandQuietMs);
  }

  potUpdated(mailbox: Mailbox, pot: ReportedPot, nowMs: number): void {
    let ends: { readonly record: CommandRecord; readonly evidence: Evidence } | undefined;
    let progress: CommandRecord | undefined;
    for (const record of mailbox.inFlight) {
      if (!isWithNode(record.phase)) continue;
      const evidence = evidenceOf(record.command, pot.potId, pot.status);
      if (evidence === 'collect') this.#collect(record, pot, nowMs);
      else if (evidence === 'progress') progress ??= record;
      else if (evidence !== 'none') ends ??= { record, evidence };
    }
    if (ends !== undefined) this.#end(ends.record, ends.evidence === 'failed', pot, nowMs);
    else if (progress !== undefined) this.#progress(progress, pot, nowMs);
  }

  /** The time of a command is over, or the node was quiet for long enough. */
  due(record: CommandRecord, nowMs: number): void {
    const collected = this.#collected.get(record);
    if (collected !== undefined) {
      const quiet = record.dueMs === null || nowMs < record.dueMs;
      const { answers } = collected;
      const complete = collected.complete && quiet;
      this.#table.move(record, 'done', nowMs, { result: { kind: 'pots', answers, complete } });
      return;
    }
    this.#table.move(record, 'time_out', nowMs, {
      error: { code: 'COMMAND_TIMEOUT', reason: timeoutReason(record) },
    });
  }

  over(record: CommandRecord): void {
    this.#collectedLength -= this.#collected.get(record)?.length ?? 0;
    this.#collected.delete(record);
  }

  #end(record: CommandRecord, failed: boolean, pot: ReportedPot, nowMs: number): void {
    const answer = answerOf(pot, LIMITS.commandResultLength);
    const result = { kind: 'pot', answer } as const;
    if (!failed) {
      this.#table.move(record, 'done', nowMs, { result });
      return;
    }
    const reason = boundedText(answer.message ?? '', LIMITS.commandProgressLength);
    this.#table.move(record, 'failed', nowMs, {
      result,
      error: { code: 'COMMAND_FAILED', reason: reason === '' ? 'the node reports Failed' : reason },
    });
  }

  #progress(record: CommandRecord, pot: ReportedPot, nowMs: number): void {
    const { message } = answerOf(pot, LIMITS.commandProgressLength);
    const text = message === null ? pot.status : `${pot.status}: ${message}`;
    if (record.phase === 'sent') {
      this.#table.move(record, 'progress', nowMs, { message: text });
      return;
    }
    record.message = text;
    this.#table.touch(record);
  }

  #collect(record: CommandRecord, pot: ReportedPot, nowMs: number): void {
    const collected = this.#collected.get(record) ?? { answers: [], length: 0, complete: true };
    const { answers } = collected;
    const at = answers.findIndex(({ potId }) => potId === pot.potId);
    const before = at < 0 ? 0 : answerLength(answers[at]!);
    let answer = answerOf(pot, LIMITS.commandResultLength);
    const added = answerLength(answer) - before;
    if (
      collected.length + added > LIMITS.commandResultsLength ||
      this.#collectedLength + added > LIMITS.commandsCollectedLength
    )
      answer = { ...answer, message: null, truncated: true };
    if (answer.truncated) collected.complete = false;
    if (at >= 0) answers[at] = answer;
    else if (answers.length < LIMITS.potsPerNode) answers.push(answer);
    else collected.complete = false;
    const length = answers.reduce((sum, each) => sum + answerLength(each), 0);
    this.#collectedLength += length - collected.length;
    collected.length = length;
    this.#collected.set(record, collected);
    // Kept as incomplete: after a crash nobody knows what was missed.
    record.result = { kind: 'pots', answers, complete: false };
    if (record.phase === 'sent') this.#table.move(record, 'progress', nowMs);
    else this.#table.touch(record);
    this.#table.deadlines.set(record, Math.min(record.dueMs!, nowMs + LIMITS.commandQuietMs));
  }
}

function answerOf({ potId, potType, status, message }: ReportedPot, maxLength: number): PotAnswer {
  const text = message === null ? null : boundedText(message, maxLength);
  return { potId, potType, status, message: text, truncated: text !== null && text.length < message!.length };
}

/** Says which of the two times is over. */
function timeoutReason(record: CommandRecord): string {
  switch (record.phase) {
    case 'queued':
      return `not sent within its time to live of ${record.ttlMs / 1000} s: the node was not connected, or was busy with others`;
    case 'handing':
      return `the connection did not take it within ${record.timeoutMs / 1000} s; it may still arrive`;
    case 'sent':
    case 'in_progress':
      break;
    default:
      throw new Error(`command ${record.id} cannot time out while ${record.phase}`);
  }
  const seconds = `${record.timeoutMs / 1000} s`;
  switch (record.command.name) {
    case 'GetInstalledPots':
      return `sent, but no answer within ${seconds}: ${SILENT_NODE}`;
    case 'Restart':
      return `sent, but the node did not register again within ${seconds}`;
    default:
      return `sent, but the node did not report the outcome within ${seconds}`;
  }
}
