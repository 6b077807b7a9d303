/**
 * Main's half of the WebSocket on 9003: who may open one and what it may see, and the conversation with each.
 *
 *   asked --refused--> (an HTTP answer)
 *     |--no token yet--> stranger --token--> granted --revoked, expired--> closed 4403
 *     |                     +--late 4408, wrong 4401--> closed
 *     +--granted--> granted
 *
 * The sockets are the aggregator's; a number stands for each. What is here is forgotten when the aggregator says that
 * a consumer has gone, never before, so each is told of exactly once.
 *
 * Owned by main.
 */
import type { Logger } from 'pino';
import { type Principal, permits, type Scope } from '../access/principal.js';
import type { Cursors } from '../consumers/cursors.js';
import { LIMITS } from '../limits.js';
import type {
  ConsumersToMain,
  MainToConsumers,
  UpgradeRequest,
  Verdict,
} from '../stream/consumer-messages.js';
import { type AccessChange, type BackendAccess, endedBy, type Refusal } from './access.js';
import type { BackendParts } from './backends.js';
import { Conversation, type Reply } from './conversation.js';
import { type PageRule, pageAllowed } from './pages.js';
import type { Strangers } from './strangers.js';
import { Turns } from './turns.js';

/** Close codes of our own, in the range that RFC 6455 leaves to applications; they follow the HTTP status. */
const CLOSE = {
  goodbye: 1000,
  /** Another connection has its name now. */
  replaced: 4001,
  unauthorized: 4401,
  ended: 4403,
  /** The named consumer that it was is no more. */
  removed: 4404,
  late: 4408,
} as const;

interface Entry {
  readonly number: number;
  readonly request: UpgradeRequest;
  readonly conversation: Conversation;
  readonly turns: Turns;
  /** Set while it is a stranger. */
  deadline: NodeJS.Timeout | undefined;
  /** It does not want the stream. */
  unsubscribed: boolean;
  /** It has the name that it asked for. */
  isNamed: boolean;
}

export class WebSocketBackends {
  readonly #parts: BackendParts;
  readonly #cursors: Cursors;
  readonly #access: BackendAccess;
  readonly #strangers: Strangers;
  readonly #logger: Logger;
  readonly #pages: () => PageRule;
  readonly #tell: (message: MainToConsumers) => void;
  readonly #entries = new Map<number, Entry>();

  constructor(
    parts: BackendParts,
    cursors: Cursors,
    strangers: Strangers,
    pages: () => PageRule,
    tell: (message: MainToConsumers) => void,
  ) {
    this.#parts = parts;
    this.#cursors = cursors;
    cursors.onRemoved = (consumer) => this.#close(consumer, CLOSE.removed, 'the consumer was removed');
    this.#access = parts.access;
    this.#strangers = strangers;
    this.#logger = parts.logger;
    this.#pages = pages;
    this.#tell = tell;
  }

  receive(message: Extract<ConsumersToMain, { readonly consumer: number }>): void {
    switch (message.type) {
      case 'consumer-asks':
        this.#tell({
          type: 'consumer-verdict',
          consumer: message.consumer,
          verdict: this.#judge(message.consumer, message.request),
        });
        break;
      case 'consumer-says':
        this.#entries.get(message.consumer)?.turns.push(message.text);
        break;
      case 'consumer-started':
        this.#cursors.started(message.consumer, message.nextSeq);
        break;
      case 'consumer-acked':
        this.#cursors.acked(message.consumer, message.nextSeq);
        break;
      case 'consumer-gone':
        this.#gone(message.consumer);
        break;
    }
  }

  /** IP address of a consumer, and its name. */
  about(number: number): { readonly remote: string; readonly name: string | null } | undefined {
    const entry = this.#entries.get(number);
    return entry && { remote: entry.request.address, name: entry.isNamed ? entry.request.name! : null };
  }

  changed(change: AccessChange): void {
    for (const { number, conversation } of this.#entries.values()) {
      const why = conversation.principal && endedBy(change, conversation.principal);
      if (why !== undefined) this.#close(number, CLOSE.ended, why);
    }
  }

  #judge(number: number, request: UpgradeRequest): Verdict {
    const { token, origin, host, address } = request;
    if (!pageAllowed(origin, host, this.#pages())) return FORBIDDEN;
    const { principal, refusal } = this.#access.check(token, {
      listener: 'proxy',
      address,
      host: host === '' ? undefined : host,
    });
    if (principal !== undefined) {
      const claim = this.#claim(number, request, principal);
      if (claim.refused !== undefined) return claim.refused;
      const entry = this.#enter(number, request, principal);
      entry.isNamed = hasName(request);
      return granted(streamScope(principal), claim.cursor);
    }
    if (refusal !== 'missing') {
      if (refusal !== 'locked') this.#logger.warn({ address, reason: refusal }, 'WebSocket refused');
      return REFUSED[refusal];
    }
    if (!this.#strangers.enter(address)) return TOO_MANY;
    const entry = this.#enter(number, request, undefined);
    entry.deadline = setTimeout(
      () => this.#close(number, CLOSE.late, 'no token came in time'),
      LIMITS.strangerMs,
    );
    return { kind: 'pending' };
  }

  #enter(number: number, request: UpgradeRequest, principal: Principal | undefined): Entry {
    const { address } = request;
    const conversation = new Conversation({
      actions: this.#parts.actions,
      principal,
      from: address,
      check: (token) => this.#access.check(token, { listener: 'proxy', address }),
      newBackendId: this.#parts.newBackendId,
      onRegistered: (name, type) => this.#parts.onRegistered(name, type, address),
      onFault: (error) => this.#logger.error({ err: error }, 'a command of a backend failed'),
    });
    const turns = new Turns(conversation, (reply) => this.#answer(entry, reply));
    const entry: Entry = {
      number,
      request,
      conversation,
      turns,
      deadline: undefined,
      unsubscribed: false,
      isNamed: false,
    };
    this.#entries.set(number, entry);
    return entry;
  }

  /** Gives the consumer the name it asked for, if it asked for one and may have it. */
  #claim(
    number: number,
    { name, address, isDoomed }: UpgradeRequest,
    principal: Principal,
  ): { readonly refused?: RefusedVerdict; readonly cursor?: number } {
    if (name === undefined) return {};
    if (streamScope(principal) === undefined) return { refused: NO_STREAM };
    if (isDoomed) return this.#cursors.mayUse(name, principal) ? {} : { refused: FOREIGN_NAME };
    const claim = this.#cursors.claim(name, number, { principal, from: address });
    if (claim.kind === 'refused') return { refused: claim.why === 'full' ? TOO_MANY_NAMES : FOREIGN_NAME };
    if (claim.replaced !== undefined)
      this.#close(claim.replaced, CLOSE.replaced, 'another connection has this name now');
    return claim.cursor === undefined ? {} : { cursor: claim.cursor };
  }

  #answer(entry: Entry, { text, next }: Reply): void {
    const { number, request, conversation } = entry;
    const { principal } = conversation;
    let cursor: number | undefined;
    let refused: RefusedVerdict | undefined;
    if (next.kind === 'granted') {
      this.#noStranger(entry);
      if (!entry.isNamed) ({ refused, cursor } = this.#claim(number, request, next.principal));
      else if (!this.#mayGoOn(request.name!, next.principal)) refused = FOREIGN_NAME;
      if (refused === undefined) entry.isNamed = hasName(request);
    }
    if (next.kind === 'subscribe' || next.kind === 'unsubscribe')
      entry.unsubscribed = next.kind === 'unsubscribe';
    const scope = principal === undefined || entry.unsubscribed ? undefined : streamScope(principal);
    const changes = next.kind !== 'go on' && next.kind !== 'end' && refused === undefined;
    const verdict = changes ? granted(scope, cursor) : undefined;
    this.#tell({ type: 'consumer-answer', consumer: number, text, verdict });
    if (refused !== undefined) return this.#close(number, CLOSE.ended, refused.text);
    if (next.kind !== 'end') return;
    if (next.why === 'goodbye') this.#close(number, CLOSE.goodbye, 'goodbye');
    else this.#close(number, CLOSE.unauthorized, 'the token is not valid');
  }

  /** Somebody else than before has the connection, and with it the name. */
  #mayGoOn(name: string, principal: Principal): boolean {
    return streamScope(principal) !== undefined && this.#cursors.mayUse(name, principal);
  }

  #close(number: number, code: number, reason: string): void {
    this.#entries.get(number)?.turns.end();
    this.#tell({ type: 'consumer-close', consumer: number, code, reason });
  }

  #gone(number: number): void {
    const entry = this.#entries.get(number);
    if (entry === undefined) return;
    this.#entries.delete(number);
    this.#cursors.gone(number);
    entry.turns.end();
    this.#noStranger(entry);
  }

  #noStranger(entry: Entry): void {
    if (entry.deadline === undefined) return;
    clearTimeout(entry.deadline);
    entry.deadline = undefined;
    this.#strangers.leave(entry.request.address);
  }
}

/** What a principal may see of the stream; undefined for nothing. */
export function streamScope(principal: Principal): Scope | undefined {
  return permits(principal, 'stream') ? principal.scope : undefined;
}

type RefusedVerdict = Extract<Verdict, { kind: 'refused' }>;

function granted(scope: Scope | undefined, cursor: number | undefined): Verdict {
  return cursor === undefined ? { kind: 'granted', scope } : { kind: 'granted', scope, cursor };
}

function refused(status: string, text: string): RefusedVerdict {
  return { kind: 'refused', status, text };
}

const FORBIDDEN = refused('403 Forbidden', 'pages of this origin may not connect; see auth.allowed_origins');
const UNAUTHORIZED = refused('401 Unauthorized', 'the token is not valid');
const NO_STREAM = refused('403 Forbidden', 'a named consumer needs a token with the role stream');
const FOREIGN_NAME = refused('403 Forbidden', 'this consumer belongs to another token');
const TOO_MANY_NAMES = refused('503 Service Unavailable', 'there are as many named consumers as Core keeps');
const TOO_MANY = refused('503 Service Unavailable', 'too many connections without a token');

const REFUSED: Readonly<Record<Exclude<Refusal, 'missing'>, Verdict>> = {
  invalid: UNAUTHORIZED,
  expired: UNAUTHORIZED,
  locked: refused('429 Too Many Requests', 'too many wrong tokens came from this address'),
  host: refused('403 Forbidden', 'this Host is not allowed while no token is needed'),
  origin: FORBIDDEN,
};

function hasName({ name, isDoomed }: UpgradeRequest): boolean {
  return name !== undefined && !isDoomed;
}
