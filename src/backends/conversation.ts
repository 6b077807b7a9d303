/**
 * The conversation with one backend, whatever carries it: texts in, one answer each out, in order.
 *
 *   stranger --Authenticate, or BackendRegistration with a token--> granted --BackendDrop--> over
 *      |                                                               |
 *      +--anything else, a wrong token--> over                         +-- registered: commands are taken
 *
 * A stranger is somebody who has to show a token first. Errors are answered and the conversation goes on; only a
 * wrong token and the goodbye end it. What it leads to beyond the answer (the end, the stream) it leaves to the
 * connection, which does it once the answer is on its way.
 *
 * Owned by main. Knows no socket and no thread; tokens it hands on and forgets.
 */
import { type Actor, type Principal, permits, type Role } from '../access/principal.js';
import { nodeInScope } from '../access/scope.js';
import type { AccessVerdict, Refusal } from './access.js';
import type { BackendActions, BackendNode } from './actions.js';
import { ANSWER, failure } from './answers.js';
import { BackendFailure } from './failure.js';
import { type BackendCommand, type BackendMessage, readBackendMessage } from './messages.js';

/** What a connection has to do once it has sent the answer. */
export type Next =
  | { readonly kind: 'go on' }
  /** Another principal than before: what it may see of the stream follows from that. */
  | { readonly kind: 'granted'; readonly principal: Principal }
  | { readonly kind: 'subscribe' | 'unsubscribe' }
  | { readonly kind: 'end'; readonly why: 'goodbye' | 'unauthorized' };

export interface Reply {
  readonly text: string;
  readonly next: Next;
}

export interface ConversationParts {
  readonly actions: BackendActions;
  /** Undefined: a stranger. */
  readonly principal: Principal | undefined;
  /** Where it comes from, for the audit trail: `ip:port`, or the address alone. */
  readonly from: string;
  check(token: string): AccessVerdict;
  newBackendId(): bigint;
  onRegistered(name: string, type: string): void;
  /** A fault of ours; the backend is told that there was one and no more. */
  onFault(error: unknown): void;
}

const GO_ON: Next = { kind: 'go on' };
const UNAUTHORIZED: Next = { kind: 'end', why: 'unauthorized' };

export class Conversation {
  readonly #parts: ConversationParts;
  #principal: Principal | undefined;
  #registered = false;

  constructor(parts: ConversationParts) {
    this.#parts = parts;
    this.#principal = parts.principal;
  }

  get principal(): Principal | undefined {
    return this.#principal;
  }

  get registered(): boolean {
    return this.#registered;
  }

  /** One call at a time. Never rejects. */
  async receive(text: string): Promise<Reply> {
    try {
      return await this.#handle(readBackendMessage(text));
    } catch (error) {
      if (error instanceof BackendFailure) return goOn(failure(error.code, error.message));
      this.#parts.onFault(error);
      return goOn(failure('INTERNAL_ERROR', 'Core failed to do this; its log says why'));
    }
  }

  async #handle(message: BackendMessage): Promise<Reply> {
    if (this.#principal === undefined && message.kind !== 'authenticate' && message.kind !== 'register')
      return { text: failure('UNAUTHORIZED', REFUSED.missing), next: UNAUTHORIZED };
    switch (message.kind) {
      case 'refused':
        return goOn(failure(message.code, message.reason));
      case 'authenticate':
        return this.#grant(message.token, () => ANSWER.authenticated());
      case 'register':
        return this.#register(message.name, message.type, message.token);
      case 'drop':
        return { text: ANSWER.goodbye(), next: { kind: 'end', why: 'goodbye' } };
      case 'command':
        if (!this.#registered) return goOn(failure('NOT_REGISTERED', 'send BackendRegistration first'));
        return this.#command(message.command, this.#principal!);
    }
  }

  #grant(token: string, answer: () => string): Reply {
    const { principal, refusal } = this.#parts.check(token);
    if (principal === undefined) {
      const code = refusal === 'locked' ? 'TOO_MANY_REQUESTS' : 'UNAUTHORIZED';
      return { text: failure(code, REFUSED[refusal]), next: UNAUTHORIZED };
    }
    this.#principal = principal;
    return { text: answer(), next: { kind: 'granted', principal } };
  }

  #register(name: string, type: string, token: string | undefined): Reply {
    if (this.#registered) return goOn(ANSWER.registeredAlready());
    const answer = () => {
      this.#registered = true;
      this.#parts.onRegistered(name, type);
      return ANSWER.registered(this.#parts.newBackendId());
    };
    if (token !== undefined) return this.#grant(token, answer);
    if (this.#principal === undefined)
      return { text: failure('UNAUTHORIZED', REFUSED.missing), next: UNAUTHORIZED };
    return goOn(answer());
  }

  async #command(command: BackendCommand, principal: Principal): Promise<Reply> {
    const role = NEEDS[command.name];
    if (role !== undefined && !permits(principal, role))
      return goOn(failure('FORBIDDEN', `this needs a token with the role ${role}`));
    const { actions } = this.#parts;
    switch (command.name) {
      case 'GetNodes':
        return goOn(ANSWER.nodes(this.#ids(principal)));
      case 'GetNodesByStatus': {
        const { status } = command;
        return goOn(
          ANSWER.nodesByStatus(
            this.#ids(principal, (node) => node.status === status),
            status,
          ),
        );
      }
      case 'GetNode': {
        const node = this.#visible(principal, command.nodeId);
        return goOn(
          node === undefined
            ? ANSWER.nodeNotFound(command.nodeId)
            : ANSWER.node(node.id, node.name, node.status),
        );
      }
      case 'GetNodeCount':
        return goOn(ANSWER.nodeCount(this.#count(principal).known));
      case 'GetActiveConnections':
        return goOn(ANSWER.activeConnections(this.#count(principal).connected));
      case 'RemoveNode': {
        const { nodeId } = command;
        const removed =
          this.#visible(principal, nodeId) !== undefined &&
          (await actions.removeNode(nodeId, this.#actor(principal)));
        return goOn(removed ? ANSWER.removed(nodeId) : ANSWER.nodeNotFound(nodeId));
      }
      case 'NodeCommand':
        return goOn(await this.#send(command.nodeId, command.command, principal));
      case 'BroadcastCommand':
        await actions.broadcast(command.command, this.#actor(principal));
        return goOn(ANSWER.broadcast());
      case 'SubscribeEvents':
        return { text: ANSWER.subscribed(), next: { kind: 'subscribe' } };
      case 'UnsubscribeEvents':
        return { text: ANSWER.unsubscribed(), next: { kind: 'unsubscribe' } };
    }
  }

  async #send(nodeId: bigint, command: unknown, principal: Principal): Promise<string> {
    if (this.#visible(principal, nodeId) === undefined)
      return ANSWER.commandFailed(nodeId, `Node ${nodeId} not found`);
    try {
      const outcome = await this.#parts.actions.sendCommand(nodeId, command, this.#actor(principal));
      return outcome === 'sent' ? ANSWER.commandSent(nodeId) : ANSWER.commandQueued(nodeId);
    } catch (error) {
      if (!(error instanceof BackendFailure)) throw error;
      if (error.code === 'NODE_NOT_FOUND') return ANSWER.commandFailed(nodeId, `Node ${nodeId} not found`);
      return ANSWER.commandFailed(nodeId, `${error.code}: ${error.message}`);
    }
  }

  #ids({ scope }: Principal, wanted: (node: BackendNode) => boolean = () => true): bigint[] {
    const ids: bigint[] = [];
    for (const node of this.#parts.actions.nodes())
      if (wanted(node) && nodeInScope(scope, node.name)) ids.push(node.id);
    return ids;
  }

  /** A node outside of the scope is as good as unknown. */
  #visible({ scope }: Principal, id: bigint): BackendNode | undefined {
    const node = this.#parts.actions.node(id);
    return node !== undefined && nodeInScope(scope, node.name) ? node : undefined;
  }

  #count(principal: Principal): { known: number; connected: number } {
    if (principal.scope.nodes === null) return this.#parts.actions.counts();
    let known = 0;
    let connected = 0;
    for (const node of this.#parts.actions.nodes()) {
      if (!nodeInScope(principal.scope, node.name)) continue;
      known++;
      if (node.connected) connected++;
    }
    return { known, connected };
  }

  #actor(principal: Principal): Actor {
    return { principal, from: this.#parts.from };
  }
}

/** The role that each command asks for. */
const NEEDS: Readonly<Record<BackendCommand['name'], Role | undefined>> = {
  GetNodes: 'read',
  GetNode: 'read',
  GetNodesByStatus: 'read',
  GetNodeCount: 'read',
  GetActiveConnections: 'read',
  NodeCommand: 'command',
  BroadcastCommand: 'command',
  RemoveNode: 'command',
  SubscribeEvents: 'stream',
  UnsubscribeEvents: undefined,
};

const REFUSED: Readonly<Record<Refusal, string>> = {
  missing: 'send a token first, in Authenticate or in BackendRegistration',
  invalid: 'the token is not valid',
  expired: 'the token is not valid',
  locked: 'too many wrong tokens came from this address; try again later',
  host: 'this host is not allowed',
  origin: 'this origin is not allowed',
};

function goOn(text: string): Reply {
  return { text, next: GO_ON };
}
