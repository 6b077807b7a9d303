/**
 * Upgrades that wait for main's verdict. Runs in the aggregator.
 *
 *   asked --refused--> an HTTP answer        --granted, pending--> a WebSocket        --gone--> forgotten
 *
 * What cannot be understood is refused at once, with HTTP 400 and the parameter in JSON; what only the log knows (how far
 * it goes) is told to nobody before main has let them in.
 */
import type { HttpRequest, HttpResponse, us_socket_context_t } from 'uWebSockets.js';
import type { ConsumersToMain, Verdict } from './consumer-messages.js';
import { type Asked, BadParameter, readAsked } from './stream-terms.js';
import { UpgradeCork } from './upgrade-cork.js';
import { addressText, chosenProtocol, shownToken } from './upgrades.js';

/** What a WebSocket carries from its upgrade on. */
export interface ConsumerData {
  readonly number: number;
  readonly asked: Asked;
}

/** An upgrade that waits for main's verdict. */
interface Asking {
  readonly response: HttpResponse;
  readonly context: us_socket_context_t;
  readonly key: string;
  readonly protocol: string;
  readonly extensions: string;
  readonly asked: Asked;
}

export type RefusedVerdict = Extract<Verdict, { kind: 'refused' }>;

export interface UpgradeDeskHooks {
  post(message: ConsumersToMain): void;
  /** Where the log ends. */
  nextSeq(): number;
  /** The WebSocket is open. */
  accepted(consumer: number, verdict: Verdict): void;
}

export class UpgradeDesk {
  readonly #hooks: UpgradeDeskHooks;
  readonly #asking = new Map<number, Asking>();
  /** While the port listens. */
  #cork: UpgradeCork | undefined;
  #lastNumber = 0;

  constructor(hooks: UpgradeDeskHooks) {
    this.#hooks = hooks;
  }

  open(): void {
    this.#cork = new UpgradeCork();
  }

  get size(): number {
    return this.#asking.size;
  }

  ask(response: HttpResponse, request: HttpRequest, context: us_socket_context_t): void {
    let asked: Asked;
    try {
      asked = readAsked(request.getQuery(), Date.now(), this.#hooks.nextSeq());
    } catch (error) {
      if (!(error instanceof BadParameter)) throw error;
      return answerBad(response, error);
    }
    const consumer = ++this.#lastNumber;
    this.#asking.set(consumer, {
      response,
      context,
      key: request.getHeader('sec-websocket-key'),
      protocol: chosenProtocol(request),
      extensions: request.getHeader('sec-websocket-extensions'),
      asked,
    });
    response.onAborted(() => {
      // Also when its upgrade was answered and the thread closes everything.
      if (this.#asking.delete(consumer)) this.#hooks.post({ type: 'consumer-gone', consumer });
    });
    this.#hooks.post({
      type: 'consumer-asks',
      consumer,
      request: {
        token: shownToken(request),
        origin: request.getHeader('origin'),
        host: request.getHeader('host'),
        address: addressText(response.getRemoteAddress()),
        name: asked.name,
        isDoomed: asked.bad !== undefined,
      },
    });
  }

  /** False where it does not wait here. */
  judged(consumer: number, verdict: Verdict): boolean {
    const asking = this.#asking.get(consumer);
    if (asking === undefined) return false;
    if (verdict.kind === 'refused') this.#refuse(consumer, asking, verdict);
    else this.#cork!.run(() => this.#accept(consumer, verdict));
    return true;
  }

  refuseAll(verdict: RefusedVerdict): void {
    for (const [consumer, asking] of [...this.#asking]) this.#refuse(consumer, asking, verdict);
  }

  close(): void {
    this.#cork?.close();
  }

  #refuse(consumer: number, { response }: Asking, { status, text }: RefusedVerdict): void {
    this.#asking.delete(consumer);
    response.cork(() => response.writeStatus(status).end(text));
    this.#hooks.post({ type: 'consumer-gone', consumer });
  }

  #accept(consumer: number, verdict: Verdict): void {
    // It may have gone while it waited.
    const asking = this.#asking.get(consumer);
    if (asking === undefined) return;
    this.#asking.delete(consumer);
    const { response, key, protocol, extensions, context, asked } = asking;
    if (verdict.kind === 'granted' && asked.bad !== undefined) {
      answerBad(response, asked.bad);
      this.#hooks.post({ type: 'consumer-gone', consumer });
      return;
    }
    response.upgrade<ConsumerData>({ number: consumer, asked }, key, protocol, extensions, context);
    this.#hooks.accepted(consumer, verdict);
  }
}

function answerBad(response: HttpResponse, bad: BadParameter): void {
  response.writeStatus('400 Bad Request').writeHeader('content-type', 'application/json').end(bad.json);
}
