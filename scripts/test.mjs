// Runs the test suite on the built JavaScript: every dist/test/*.test.js, or those whose names contain an argument.
//
//   npm test                     all
//   npm test -- ring framer      only test files named so
//   HONEYBEE_INGEST_MODE=portable npm test
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../dist/test/', import.meta.url));
const sources = fileURLToPath(new URL('../test/', import.meta.url));
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'));
const options = process.argv.slice(2).filter((argument) => argument.startsWith('-'));

// From the sources, so that a test that was removed does not live on in dist/.
const files = readdirSync(sources)
  .filter((name) => name.endsWith('.test.ts'))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .map((name) => folder + name.replace(/\.ts$/, '.js'));
if (files.length === 0) {
  console.error(`no test file is named like ${wanted.join(', ')}`);
  process.exit(1);
}
const { status } = spawnSync(
  process.execPath,
  ['--enable-source-maps', '--test', '--test-concurrency=2', '--test-timeout=240000', ...options, ...files],
  { stdio: 'inherit' },
);
process.exit(status ?? 1);
