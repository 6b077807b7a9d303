// Compiles every TypeScript file of the project into dist/. Called by npm at install (`prepare`) and before
// start, test and bench. Where the compiler is not installed (`npm ci --omit=dev`) an existing dist/ is kept.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiler = `${root}node_modules/typescript/bin/tsc`;

if (existsSync(compiler)) {
  const { status } = spawnSync(process.execPath, [compiler, '-p', `${root}tsconfig.json`], {
    stdio: 'inherit',
  });
  process.exit(status ?? 1);
}
if (!existsSync(`${root}dist/src/cli.js`)) {
  console.error(
    'honeybee-core: dist/ is missing and TypeScript is not installed; run `npm ci` with dev dependencies once',
  );
  process.exit(1);
}
