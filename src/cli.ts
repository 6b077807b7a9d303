#!/usr/bin/env -S node --max-semi-space-size=1
/**
 * The entry of honeybee-core. It does one thing before anything else is loaded: it keeps the heaps of all threads
 * small. V8 doubles a thread's young generation when much of it survives, as it does while modules load, and rarely
 * gives it back: tens of MiB that Core, which allocates little once it runs, never uses again. The flag above (and in
 * `npm start`) bounds it; where Core is started without, the growth factor, which V8 reads at each growth, does most
 * of the same, if it is set before other modules load.
 */
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--semi-space-growth-factor=1');

const { runCommand } = await import('./cli/run.js');
process.exit(await runCommand(process.argv.slice(2)));
