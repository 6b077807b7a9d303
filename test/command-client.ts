/** For tests of commands: gives them over REST, follows them to their end, and is a node that obeys. */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { type Cleanup, CoreProcess, type LaunchOptions } from './core-process.js';
import { poll, Watched, within } from './deadline.js';
import { NodeClient } from './node-client.js';
import { type NodeIdentity, potStatus, registration } from './node-frames.js';
import { type Answer, ask, get } from './rest-client.js';

// biome-ignore lint/suspicious/noExplicitAny: the test says what it expects of a parsed answer
export type Json = any;

/** One Core for all tests of a file; to be called at its top. */
export function coreOfFile(options: LaunchOptions = {}): { readonly running: CoreProcess } {
  let core: CoreProcess | undefined;
  const works: (() => unknown)[] = [];
  const cleanup: Cleanup = { after: (work) => works.push(work) };
  before(async () => {
    core = await CoreProcess.start(cleanup, options);
  });
  after(async () => {
    for (const work of works) await work();
  });
  return {
    get running() {
      return core!;
    },
  };
}

export function post(
  port: number,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return ask(port, 'POST', path, { body, headers });
}

export function remove(port: number, path: string): Promise<Answer> {
  return ask(port, 'DELETE', path);
}

export const OVER = ['done', 'failed', 'timed_out', 'cancelled'];

/** Gives a command, which must be taken; its id. */
export async function give(
  core: CoreProcess,
  nodeId: bigint,
  command: unknown,
  more: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const answer = await post(core.ports.backend_port, `/api/v1/nodes/${nodeId}/commands`, {
    command,
    ...more,
  });
  assert.equal(answer.status, 202, answer.text);
  assert.equal(answer.headers.location, `/api/v1/commands/${answer.json.id}`);
  assert.equal(answer.json.state, 'queued');
  return answer.json.id as string;
}

export async function commandOf(core: CoreProcess, id: string): Promise<Json> {
  const answer = await get(core.ports.backend_port, `/api/v1/commands/${id}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

/** Waits until the command is in one of the states. */
export async function inState(core: CoreProcess, id: string, ...states: string[]): Promise<Json> {
  let last: Json;
  return poll(
    `command ${id} becomes ${states.join(' or ')}`,
    async () => {
      last = await commandOf(core, id);
      if (states.includes(last.state)) return last;
      assert.ok(!OVER.includes(last.state), `${id} ended as ${JSON.stringify(last)}`);
      return undefined;
    },
    undefined,
    () => JSON.stringify(last),
  );
}

export async function rolloutOver(core: CoreProcess, id: string): Promise<Json> {
  let last: Answer | undefined;
  return poll(
    `rollout ${id} ends`,
    async () => {
      last = await get(core.ports.backend_port, `/api/v1/rollouts/${id}`);
      return last.json.ended === null ? undefined : last.json;
    },
    undefined,
    () => last?.text ?? '',
  );
}

/** A node that keeps the commands it is given. */
export class CommandedNode {
  readonly client: NodeClient;
  readonly identity: NodeIdentity;
  /** As they stand in the frames: `{"GetPotStatus":"p"}`, `"Restart"`. */
  readonly commands = new Watched<string>();

  static async register(core: CoreProcess, identity: NodeIdentity): Promise<CommandedNode> {
    const client = await NodeClient.connect(core.ports.node_port);
    const node = new CommandedNode(client, identity);
    await client.register(identity);
    return node;
  }

  /** Undefined where Core closes the connection instead. */
  static async tryToRegister(core: CoreProcess, identity: NodeIdentity): Promise<CommandedNode | undefined> {
    const client = await NodeClient.connect(core.ports.node_port);
    const node = new CommandedNode(client, identity);
    await client.send(`${registration(identity)}\n`);
    await within('an answer or the end', Promise.race([client.answers.first(() => true), client.closed]));
    return client.isClosed ? undefined : node;
  }

  private constructor(client: NodeClient, identity: NodeIdentity) {
    this.client = client;
    this.identity = identity;
    const start = `{"version":2,"message":{"NodeCommand":{"node_id":${identity.id},"command":`;
    const push = client.answers.push.bind(client.answers);
    client.answers.push = (line) => {
      push(line);
      if (!line.includes('"NodeCommand"')) return;
      assert.ok(line.startsWith(start) && line.endsWith('}}}'), `the frame names another node: ${line}`);
      this.commands.push(line.slice(start.length, -3));
    };
  }

  /** Leaves, or is lost, and waits until Core knows: a connection is closed before main has heard of it, and a node that
   *  came back meanwhile under another id would be another one of the same name. */
  async leave(core: CoreProcess, how: 'end' | 'reset' = 'end'): Promise<void> {
    if (how === 'end') await this.client.end();
    else this.client.reset();
    await poll(`${this.identity.name} has left`, async () => {
      const { json } = await get(core.ports.backend_port, `/api/v1/nodes/${this.identity.id}`);
      return json.connected === false ? true : undefined;
    });
  }

  /** The `number`-th command, counted from 0. */
  async command(number: number): Promise<string> {
    let last = -1;
    return within(
      `command ${number} reaches ${this.identity.name}`,
      this.commands.first(() => ++last >= number),
      undefined,
      () => this.commands.all.join('\n'),
    );
  }

  says(potId: string, status: string, message?: string): Promise<void> {
    return this.client.send(`${potStatus(this.identity.id, potId, 'cowrie', status, message)}\n`);
  }
}
