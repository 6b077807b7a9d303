/**
 * Worker thread: one node and one consumer in the same thread, one event on its way at a time. What it measures is the
 * time from just before the write to the socket until the event stands complete and verified on the WebSocket side,
 * by one clock.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Address } from './address.js';
import { BlockWriter } from './block-writer.js';
import type { EventBlocks } from './generator.js';
import { Histogram, type LatencySummary } from './histogram.js';
import { connectNode, disconnectNode } from './node-connection.js';
import { RecordStream } from './record-stream.js';
import { Verifier, type VerifierSummary } from './verifier.js';
import { connectWebSocket, type WebSocket } from './websocket-client.js';

export interface ProbeSettings {
  /** Of one node. */
  readonly blocks: EventBlocks;
  readonly target: Address;
  readonly proxy: Address;
  readonly othersAllowed: boolean;
  readonly warmupMs: number;
  readonly durationMs: number;
}

export type ProbeMessage =
  | {
      readonly type: 'result';
      readonly summary: VerifierSummary;
      readonly latency: LatencySummary;
      readonly sent: number;
      readonly seconds: number;
    }
  | { readonly type: 'failed'; readonly message: string };

/** An event that takes longer than this is lost, not late. */
const LOST_AFTER_MS = 5_000;

async function probe(settings: ProbeSettings, port: MessagePort): Promise<void> {
  const { blocks, warmupMs, durationMs } = settings;
  const histogram = new Histogram();
  const verifier = new Verifier(blocks, { framed: true, othersAllowed: settings.othersAllowed });
  let done: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    done = resolve;
  });
  const problem = (message: string): void => {
    verifier.faults.add('protocol', message);
    done();
  };
  let socket: WebSocket | undefined;
  const stream = new RecordStream('event', verifier, {
    ping: (payload) => socket?.pong(payload),
    close: (code, reason) => problem(`Core closed the stream with code ${code} (${reason})`),
  });
  socket = await connectWebSocket(settings.proxy, '/', {
    bytes: (buffer, start, end) => {
      try {
        stream.read(buffer, start, end);
      } catch (error) {
        problem(String(error));
      }
      if (verifier.faults.total > 0) done();
    },
    ended: () => done(),
  });
  const identity = { nodeId: blocks.nodeIds[0]!, nodeName: blocks.nodeNames[0]! };
  const node = await connectNode(settings.target, identity, { failed: (error) => problem(error.message) });
  const writer = new BlockWriter(node, blocks, 0, () => {});

  const startMs = performance.now();
  let sentMs = 0;
  const send = (): void => {
    sentMs = performance.now();
    writer.writeEvents(1);
  };
  verifier.onMatch = () => {
    const arrivedMs = performance.now();
    if (arrivedMs - startMs > warmupMs) histogram.record((arrivedMs - sentMs) * 1000);
    if (arrivedMs - startMs > warmupMs + durationMs) done();
    else send();
  };
  const watch = setInterval(() => {
    if (performance.now() - sentMs > LOST_AFTER_MS) done();
  }, LOST_AFTER_MS / 10);
  send();
  await finished;
  clearInterval(watch);

  const seconds = (performance.now() - startMs - warmupMs) / 1000;
  verifier.finish(Float64Array.of(writer.events));
  disconnectNode(node);
  socket.destroy();
  const sent = writer.events;
  port.postMessage({
    type: 'result',
    summary: verifier.summary(),
    latency: histogram.summary(),
    sent,
    seconds,
  } satisfies ProbeMessage);
  port.close();
}

if (parentPort) {
  const port = parentPort;
  probe(workerData as ProbeSettings, port).catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    port.postMessage({ type: 'failed', message } satisfies ProbeMessage);
  });
}
