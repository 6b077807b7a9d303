/** `honeybee-core status`: what a running Core reports over REST, on a few lines. */
import { request } from 'undici';
import { EXIT, FatalError } from '../errors.js';

const TIMEOUT_MS = 5_000;

interface StatsAnswer {
  readonly version?: string;
  readonly mode?: string;
  readonly uptime_seconds?: number;
  readonly [name: string]: unknown;
}

async function get(url: string): Promise<StatsAnswer> {
  try {
    const { statusCode, body } = await request(url, { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS });
    const text = await body.text();
    if (statusCode !== 200 && statusCode !== 503) throw new Error(`status ${statusCode}`);
    return JSON.parse(text) as StatsAnswer;
  } catch (error) {
    throw new FatalError(EXIT.unavailable, `no answer from ${url}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

export async function printStatus(base: string): Promise<number> {
  const root = base.replace(/\/+$/, '');
  const health = await get(`${root}/health`);
  const stats = await get(`${root}/api/v1/stats`);
  console.log(`health  ${String(health.status)}`);
  for (const [name, value] of Object.entries(stats)) console.log(`${name}  ${JSON.stringify(value)}`);
  return health.status === 'ok' ? EXIT.ok : EXIT.unavailable;
}
