/**
 * All rollouts: lets their members go when it is their turn, stops them after too many failures, and keeps their counts.
 *
 * Owned by main. Many members never move in one turn of the event loop: `settle` does a slice and says whether there is more.
 */
import { LIMITS } from '../limits.js';
import type { StateChange } from '../state/store.js';
import type { CommandSummary } from './archive.js';
import { type CommandRecord, type CommandState, isOver, stateOf } from './record.js';
import { planPut, progressPut, type Rollout, type RolloutState, rolloutDeletes } from './rollout.js';
import type { StateWriter } from './state-writer.js';

/** Members that are let go or cancelled before the event loop gets its turn. */
const SLICE = 256;

export interface RolloutActions {
  release(record: CommandRecord): void;
  cancel(record: CommandRecord, reason: string): void;
  /** Deletes a command that is over. */
  forget(id: string): readonly StateChange[];
  forgetKey(key: string): void;
}

export class Rollouts {
  readonly #writer: StateWriter;
  readonly #actions: RolloutActions;
  readonly #byId = new Map<string, Rollout>();
  readonly #unsettled = new Set<Rollout>();
  #bytes = 0;

  constructor(writer: StateWriter, actions: RolloutActions) {
    this.#writer = writer;
    this.#actions = actions;
  }

  get(id: string): Rollout | undefined {
    return this.#byId.get(id);
  }

  /** The newest first. */
  list(): Rollout[] {
    return [...this.#byId.values()].reverse();
  }

  /** May its commands still be handed over? */
  isRunning(id: string): boolean {
    return this.#byId.get(id)?.state === 'running';
  }

  /** Where as many are kept as may be, old ones give way. False when none can. */
  makeRoom(bytes: number): boolean {
    for (const rollout of this.#byId.values()) {
      if (this.#fits(bytes)) return true;
      if (rollout.endedMs !== null) this.#forget(rollout);
    }
    return this.#fits(bytes);
  }

  /** Takes in a rollout, new or kept. Its members follow by `attach`; then it is settled. */
  add(rollout: Rollout): void {
    this.#byId.set(rollout.plan.id, rollout);
    this.#bytes += rollout.plan.json.length;
    this.#unsettled.add(rollout);
  }

  /** What puts a new rollout on the disk. */
  puts(rollout: Rollout): StateChange[] {
    return [planPut(rollout), progressPut(rollout)];
  }

  attach(record: CommandRecord): void {
    const rollout = this.#of(record);
    if (rollout === undefined) return;
    rollout.members.add(record.id);
    if (isOver(record.phase)) return;
    rollout.live.add(record);
    if (record.phase === 'held') rollout.held.add(record);
  }

  /** A member that was over when this Core started. */
  attachOver({ id, rolloutId }: CommandSummary): void {
    if (rolloutId !== null) this.#byId.get(rolloutId)?.members.add(id);
  }

  /** A member came into another state. */
  moved(record: CommandRecord, from: CommandState): readonly StateChange[] {
    const rollout = this.#of(record);
    if (rollout === undefined) return [];
    rollout.counts[from] -= 1;
    rollout.counts[stateOf(record.phase)] += 1;
    if (isOver(record.phase)) {
      rollout.live.delete(record);
      rollout.held.delete(record);
      this.#unsettled.add(rollout);
    }
    return [progressPut(rollout)];
  }

  /** A member is kept no more; the last one takes its rollout along. */
  evicted({ id, rolloutId }: CommandSummary): readonly StateChange[] {
    const rollout = rolloutId === null ? undefined : this.#byId.get(rolloutId);
    if (rollout === undefined) return [];
    rollout.members.delete(id);
    if (rollout.members.size > 0 || rollout.endedMs === null) return [];
    return this.#remove(rollout);
  }

  /** Resolves when it is durable; undefined where that is not known. */
  cancel(rollout: Rollout, reason: string): Promise<void> | undefined {
    return this.#end(rollout, 'cancelled', reason);
  }

  /** Does what is due, up to a slice. True when there is more to do. */
  settle(nowMs: number): boolean {
    let budget = SLICE;
    for (const rollout of this.#unsettled) {
      const { maxFailures } = rollout.plan.rolling;
      if (rollout.state === 'running' && maxFailures !== null && rollout.failures >= maxFailures)
        this.#end(rollout, 'stopped', `${rollout.failures} nodes failed or did not do it in time`);
      budget -= rollout.state === 'running' ? this.#release(rollout, budget) : this.#cancel(rollout, budget);
      if (budget <= 0) return true;
      this.#unsettled.delete(rollout);
      if (rollout.live.size > 0 || rollout.endedMs !== null) continue;
      if (rollout.state === 'running') rollout.state = 'done';
      rollout.endedMs = nowMs;
      this.#writer.write([progressPut(rollout)]);
    }
    return false;
  }

  #release(rollout: Rollout, budget: number): number {
    const room = (rollout.plan.rolling.maxInFlight ?? Number.POSITIVE_INFINITY) - rollout.active;
    let released = 0;
    for (const record of rollout.held) {
      if (released >= Math.min(room, budget)) break;
      released++;
      rollout.held.delete(record);
      this.#actions.release(record);
    }
    return released;
  }

  /** Cancels what has not left; the rest goes on to its end. */
  #cancel(rollout: Rollout, budget: number): number {
    let cancelled = 0;
    for (const record of rollout.live) {
      if (cancelled >= budget) break;
      if (record.phase !== 'held' && record.phase !== 'queued') continue;
      cancelled++;
      this.#actions.cancel(record, `the rollout was ${rollout.state}: ${rollout.reason ?? ''}`);
    }
    return cancelled;
  }

  #end(rollout: Rollout, state: RolloutState, reason: string): Promise<void> | undefined {
    rollout.state = state;
    rollout.reason = reason;
    this.#unsettled.add(rollout);
    return this.#writer.write([progressPut(rollout)]);
  }

  #forget(rollout: Rollout): void {
    const changes = [...rollout.members].flatMap((id) => this.#actions.forget(id));
    this.#writer.write([...changes, ...this.#remove(rollout)]);
  }

  #remove({ plan }: Rollout): StateChange[] {
    this.#byId.delete(plan.id);
    this.#bytes -= plan.json.length;
    if (plan.idempotency !== null) this.#actions.forgetKey(plan.idempotency.key);
    return rolloutDeletes(plan.id);
  }

  #fits(bytes: number): boolean {
    return this.#byId.size < LIMITS.rolloutsKept && this.#bytes + bytes <= LIMITS.commandsKeptBytes;
  }

  #of({ rolloutId }: CommandRecord): Rollout | undefined {
    return rolloutId === null ? undefined : this.#byId.get(rolloutId);
  }
}
