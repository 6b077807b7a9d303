/** `honeybee-core ledger`: what a running Core took from its nodes, frame by frame, and who has taken it from there. */
import { printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';
import { type Answer, bodyOf, checked } from './answer.js';
import type { LedgerArguments } from './arguments.js';
import { askOver, configFor, reachControl } from './control-client.js';
import { table } from './table.js';

/** Nodes shown where nobody said which. */
const NODES_SHOWN = 100;

interface Account {
  readonly frames: number;
  readonly accepted: number;
  readonly duplicates: number;
  readonly refused: number;
  readonly refused_by_code: Readonly<Record<string, number>>;
  readonly missing: number;
  readonly records: number;
  readonly events: number;
  readonly logged_records: number;
  readonly logged_events: number;
  readonly balanced: boolean;
}

interface NodeAccount extends Account {
  readonly id: string;
  readonly node_name: string;
  readonly connected: boolean;
  readonly taken_seq: number;
  readonly durable_seq: number;
}

interface Ledger {
  readonly nodes: Account;
  readonly log: { readonly next_seq: number; readonly durable_seq: number };
}

interface Consumer {
  readonly name: string;
  readonly next_seq: number;
  readonly lag: number;
  readonly acknowledged: string;
  readonly connected: boolean;
}

interface Nodes {
  readonly nodes: readonly NodeAccount[];
  readonly next?: string | null;
}

export async function printLedger({ node, json, ...config }: LedgerArguments): Promise<number> {
  const { dir } = configFor(config).storage;
  const path = await reachControl(dir);
  if (path === undefined)
    throw new FatalError(EXIT.unavailable, `no Core runs on ${printable(dir)} (storage.dir)`);
  const ask = async (route: string) => checked(await askOver(path, 'GET', route));
  const nodes = await ask(
    `/api/v1/ledger/nodes?${node === undefined ? `limit=${NODES_SHOWN}` : `node=${encodeURIComponent(node)}`}`,
  );
  const ledger = await ask('/api/v1/ledger');
  const consumers = await ask('/api/v1/consumers');
  if (json) console.log(joined(ledger, nodes, consumers));
  else if (node === undefined) printAll(bodyOf(ledger), bodyOf(nodes), bodyOf(consumers));
  else printNodes(bodyOf(nodes), node);
  const isBalanced =
    bodyOf<Ledger>(ledger).nodes.balanced && bodyOf<Nodes>(nodes).nodes.every(({ balanced }) => balanced);
  if (isBalanced) return EXIT.ok;
  console.error('honeybee-core: the ledger does not balance: a fault of Core');
  return EXIT.software;
}

/** The answers as they came, so that every id keeps its digits. */
function joined(ledger: Answer, nodes: Answer, consumers: Answer): string {
  return `{"ledger":${ledger.text},"nodes":${nodes.text},"consumers":${consumers.text}}`;
}

function printAll(
  { nodes: all, log }: Ledger,
  nodes: Nodes,
  { consumers }: { readonly consumers: readonly Consumer[] },
): void {
  for (const [name, value] of summary(all)) console.log(`${name.padEnd(13)}${value}`);
  console.log(
    `${'log'.padEnd(13)}durable up to ${count(log.durable_seq - 1)}, written up to ${count(log.next_seq - 1)}`,
  );
  if (nodes.nodes.length > 0) {
    console.log(`\n${nodeTable(nodes.nodes)}`);
    if (typeof nodes.next === 'string') console.log('... more nodes: --node NAME, with * for any characters');
  }
  if (consumers.length > 0) console.log(`\n${consumerTable(consumers)}`);
}

function printNodes({ nodes }: Nodes, wanted: string): void {
  const [only, another] = nodes;
  if (only === undefined) throw new FatalError(EXIT.dataError, `no node is named ${printable(wanted)}`);
  if (another !== undefined) {
    console.log(nodeTable(nodes));
    return;
  }
  console.log(
    `${'node'.padEnd(13)}${printable(only.node_name)}, id ${only.id}${only.connected ? '' : ', not connected'}`,
  );
  for (const [name, value] of summary(only)) console.log(`${name.padEnd(13)}${value}`);
  console.log(
    `${'numbered'.padEnd(13)}${
      only.taken_seq === 0
        ? 'no: the node does not number its events'
        : `up to ${count(only.taken_seq)}, durable up to ${count(only.durable_seq)}`
    }`,
  );
}

function summary(account: Account): [name: string, value: string][] {
  const codes = Object.entries(account.refused_by_code).filter(([, number]) => number > 0);
  return [
    [
      'frames',
      `${count(account.frames)} = ${count(account.accepted)} accepted + ${count(account.duplicates)} duplicates + ${count(account.refused)} refused${account.balanced ? '' : '  DOES NOT BALANCE'}`,
    ],
    ...(codes.length === 0
      ? []
      : [
          ['refused', codes.map(([code, number]) => `${code} ${count(number)}`).join(', ')] as [
            string,
            string,
          ],
        ]),
    ['events', `${count(account.events)} passed on, ${count(account.logged_events)} in the log`],
    ['records', `${count(account.records)} passed on, ${count(account.logged_records)} in the log`],
    ['missing', `${count(account.missing)} numbered by their nodes and never sent`],
  ];
}

function nodeTable(nodes: readonly NodeAccount[]): string {
  const head = ['node', 'id', 'frames', 'accepted', 'duplicates', 'refused', 'missing', 'logged', 'durable'];
  const rows = nodes.map((node) => [
    printable(node.node_name),
    node.id,
    count(node.frames),
    count(node.accepted),
    count(node.duplicates),
    count(node.refused),
    count(node.missing),
    count(node.logged_records),
    node.taken_seq === 0 ? '-' : `${count(node.durable_seq)} of ${count(node.taken_seq)}`,
  ]);
  return table(head, rows);
}

function consumerTable(consumers: readonly Consumer[]): string {
  const rows = consumers.map((one) => [
    printable(one.name),
    count(one.next_seq),
    count(one.lag),
    one.connected ? 'yes' : 'no',
    one.acknowledged,
  ]);
  return table(['consumer', 'next', 'behind', 'connected', 'acknowledged'], rows);
}

function count(value: number): string {
  return value.toLocaleString('en');
}
