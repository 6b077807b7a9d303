/**
 * Writes docs/rest.md, the reference of REST, from what a Core of this build serves; with `--check` it only says
 * whether the page is as it would be written (exit code 1 if not).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type OpenApi, restMarkdown } from './rest-markdown.js';

const CLI = fileURLToPath(new URL('../src/cli.js', import.meta.url));
/** From dist/scripts. */
const PAGE = fileURLToPath(new URL('../../docs/rest.md', import.meta.url));
const START_TIMEOUT_MS = 30_000;

async function served(): Promise<OpenApi> {
  const folder = mkdtempSync(join(tmpdir(), 'honeybee-docs-'));
  const flags = ['server.node_port=0', 'server.backend_port=0', 'proxy.port=0', 'ingest.mode=portable'];
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('HONEYBEE_')),
  );
  const core = spawn(process.execPath, [CLI, ...flags.map((flag) => `--${flag}`)], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => core.on('close', () => resolve()));
  try {
    const port = await new Promise<number>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('Core did not get ready')), START_TIMEOUT_MS);
      timer.unref();
      void ended.then(() => reject(new Error('Core ended before it was ready')));
      createInterface({ input: core.stdout }).on('line', (line) => {
        if (line.includes('"msg":"ready"')) resolve(JSON.parse(line).backend_port);
      });
    });
    const answer = await fetch(`http://127.0.0.1:${port}/openapi.json`);
    if (!answer.ok) throw new Error(`/openapi.json answered ${answer.status}`);
    return (await answer.json()) as OpenApi;
  } finally {
    core.kill();
    await ended;
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

function present(): string {
  try {
    return readFileSync(PAGE, 'utf8');
  } catch {
    return '';
  }
}

const text = restMarkdown(await served());
if (!process.argv.includes('--check')) {
  writeFileSync(PAGE, text);
  console.log('docs/rest.md is written');
} else if (present() === text) {
  console.log('docs/rest.md is what Core serves');
} else {
  console.error('docs/rest.md is not what Core serves: npm run docs');
  process.exitCode = 1;
}
