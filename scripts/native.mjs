// Builds the native addon with one call of the C++ compiler, at install time. A machine without a compiler is
// not an error: Core then runs in portable mode. So this script always ends with 0 and says what it did.
//
//   CXX=clang++ npm ci         another compiler
//   HONEYBEE_SKIP_NATIVE=1     do not build
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const target = `${root}build/honeybee.node`;
const temporary = `${root}build/honeybee.${process.pid}.tmp.node`;
const compileTimeoutMs = 300_000;

function build() {
  if (process.env.HONEYBEE_SKIP_NATIVE === '1') return 'skipped, HONEYBEE_SKIP_NATIVE=1';
  const require = createRequire(import.meta.url);
  const simdjson = `${dirname(require.resolve('simdjson/package.json'))}/src`;
  const headers = `${dirname(require.resolve('node-api-headers/package.json'))}/include`;
  mkdirSync(`${root}build`, { recursive: true });
  const compiler = process.env.CXX || 'c++';
  const flags = [
    '-O3',
    '-std=c++17',
    '-fPIC',
    '-shared',
    '-fvisibility=hidden',
    '-Wall',
    '-Wextra',
    '-Wno-unused-function',
  ];
  if (process.platform === 'darwin') flags.push('-undefined', 'dynamic_lookup');
  const result = spawnSync(
    compiler,
    [
      ...flags,
      '-DNAPI_VERSION=8',
      `-I${headers}`,
      `-isystem${simdjson}`,
      `${root}src/native/addon.cc`,
      `${simdjson}/simdjson.cpp`,
      '-o',
      temporary,
    ],
    { encoding: 'utf8', timeout: compileTimeoutMs },
  );
  if (result.error) return `no compiler (${result.error.message})`;
  if (result.status !== 0)
    return `${compiler} failed with ${result.status ?? result.signal}\n${result.stderr.slice(0, 4000)}`;
  renameSync(temporary, target);
  return undefined;
}

// An addon of an older source must not be loaded with newer TypeScript: what cannot be built is removed.
rmSync(target, { force: true });
let problem;
try {
  problem = build();
} catch (error) {
  problem = String(error);
}
rmSync(temporary, { force: true });
console.log(
  problem
    ? `honeybee-core: native addon not built, portable mode will be used: ${problem}`
    : 'honeybee-core: native addon built',
);
