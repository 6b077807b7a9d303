/**
 * The token that `status` and `tail` show: from a file or from the environment, never from the command line, where
 * everybody on the machine could read it.
 */
import { readFileSync } from 'node:fs';
import { printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';

/** A file longer than that holds something else. */
const LONGEST = 512;

export function tokenFrom(file: string | undefined, env: NodeJS.ProcessEnv): string | undefined {
  const text = file === undefined ? env.HONEYBEE_TOKEN : read(file);
  const token = text?.trim();
  if (token === undefined || token === '') {
    if (file !== undefined) throw new FatalError(EXIT.usage, `${printable(file)} (--token-file) is empty`);
    return undefined;
  }
  // Not repeated, and not put into a header: whatever it is, it is no token.
  if (token.length > LONGEST || !/^[\w.~+/=-]+$/.test(token)) {
    const where = file === undefined ? 'HONEYBEE_TOKEN' : `${printable(file)} (--token-file)`;
    throw new FatalError(EXIT.usage, `${where} holds no token`);
  }
  return token;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new FatalError(
      EXIT.usage,
      `${printable(file)} (--token-file) cannot be read: ${(error as NodeJS.ErrnoException).code}`,
      { cause: error },
    );
  }
}
