// Checks that imports between the folders of src/ run one way: a folder may import what stands in its list, and
// itself. New folders are added here on purpose.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../src', import.meta.url));

const BASE = ['addresses', 'errors', 'folders', 'limits'];
const MAY_IMPORT = {
  addresses: [],
  errors: [],
  limits: [],
  folders: [],
  config: [...BASE],
  memory: [...BASE],
  protocol: [...BASE],
  native: [...BASE, 'protocol'],
  telemetry: [...BASE, 'config', 'keeper', 'memory'],
  registry: [...BASE, 'ledger', 'memory', 'protocol', 'state'],
  log: [...BASE, 'native'],
  query: [...BASE, 'access', 'native', 'protocol'],
  ledger: [...BASE, 'log', 'memory', 'native', 'protocol'],
  replay: [...BASE, 'access', 'config', 'log', 'memory', 'native', 'protocol', 'query'],
  keeper: [...BASE, 'config', 'log', 'memory', 'native'],
  consumers: [...BASE, 'access', 'query', 'replay', 'state', 'stream'],
  'dead-letters': [...BASE, 'log', 'memory', 'registry', 'shard'],
  state: [...BASE],
  access: [...BASE, 'config', 'state'],
  enrolment: [...BASE, 'config', 'protocol', 'state'],
  commands: [...BASE, 'access', 'protocol', 'registry', 'state'],
  tls: [...BASE, 'config'],
  backends: [
    ...BASE,
    'access',
    'commands',
    'config',
    'consumers',
    'protocol',
    'query',
    'registry',
    'replay',
    'shard',
    'state',
    'stream',
  ],
  shard: [...BASE, 'config', 'memory', 'native', 'protocol', 'tls'],
  stream: [
    ...BASE,
    'access',
    'config',
    'dead-letters',
    'ledger',
    'log',
    'memory',
    'native',
    'protocol',
    'query',
    'replay',
  ],
  gate: [
    'ledger',
    ...BASE,
    'commands',
    'config',
    'enrolment',
    'memory',
    'native',
    'protocol',
    'registry',
    'shard',
    'state',
    'telemetry',
    'tls',
  ],
  rest: [
    'consumers',
    'dead-letters',
    'keeper',
    'ledger',
    'log',
    'query',
    'replay',
    ...BASE,
    'access',
    'backends',
    'commands',
    'config',
    'enrolment',
    'memory',
    'protocol',
    'registry',
    'state',
    'telemetry',
    'tls',
  ],
  supervisor: [...BASE, 'config', 'memory', 'native', 'shard', 'stream', 'telemetry', 'tls'],
  control: [...BASE, 'access', 'config', 'enrolment', 'log', 'rest', 'state', 'telemetry'],
  'control-plane': [
    'consumers',
    'dead-letters',
    'keeper',
    'ledger',
    'memory',
    'query',
    'replay',
    ...BASE,
    'access',
    'backends',
    'commands',
    'config',
    'control',
    'enrolment',
    'gate',
    'log',
    'native',
    'registry',
    'rest',
    'shard',
    'state',
    'stream',
    'telemetry',
    'tls',
  ],
  main: [
    'registry',
    'consumers',
    'dead-letters',
    'keeper',
    'ledger',
    'replay',
    ...BASE,
    'config',
    'control',
    'control-plane',
    'gate',
    'log',
    'memory',
    'native',
    'rest',
    'shard',
    'stream',
    'supervisor',
    'telemetry',
    'tls',
  ],
  cli: [
    'access',
    'config',
    'control',
    'enrolment',
    'errors',
    'folders',
    'dead-letters',
    'keeper',
    'ledger',
    'limits',
    'log',
    'main',
    'native',
    'query',
    'replay',
    'state',
    'telemetry',
  ],
};

/** `src/log/format.ts` belongs to `log`, `src/main.ts` to `main`. */
function part(file) {
  return relative(src, file).split('/')[0].replace(/\.ts$/, '');
}

const problems = [];
for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
  const file = resolve(entry.parentPath ?? entry.path, entry.name);
  const from = part(file);
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined) {
    problems.push(`${relative(src, file)}: ${from} is not known to scripts/imports.mjs`);
    continue;
  }
  for (const [, target] of readFileSync(file, 'utf8').matchAll(
    /(?:from|import|import\(|URL\()\s*'(\.[^']+)'/g,
  )) {
    const to = part(resolve(dirname(file), target.replace(/\.js$/, '.ts')));
    if (to !== from && to in MAY_IMPORT && !allowed.includes(to))
      problems.push(`${relative(src, file)}: ${from} must not import ${to}`);
  }
}
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? 'imports run one way' : `${problems.length} imports run the wrong way`);
process.exit(problems.length === 0 ? 0 : 1);
