/** What stands behind `honeybee-core log`. Pure; nothing is read or written. */
import { nearest } from '../config/nearest.js';
import { type Given, type OptionName, readable, usage } from './options.js';

export type LogAction =
  | {
      readonly do: 'verify';
      readonly publicKeys: readonly string[];
      /** Hexadecimal. */
      readonly chain?: string;
    }
  | { readonly do: 'repair' }
  | { readonly do: 'stat' };

/** Options that belong to one of them. */
const OWN: Readonly<Partial<Record<OptionName, LogAction['do']>>> = {
  'public-key': 'verify',
  chain: 'verify',
};
const VERBS = ['verify', 'repair', 'stat'] as const;

export function logAction({ words, options }: Given): LogAction {
  const [, verb] = words;
  if (verb === undefined) throw usage(`log needs one of ${VERBS.join(', ')}`);
  for (const [name, owner] of Object.entries(OWN))
    if (options.has(name) && verb !== owner && isVerb(verb)) throw usage(`--${name} belongs to log ${owner}`);
  switch (verb) {
    case 'verify': {
      const chain = options.get('chain')?.at(-1);
      if (chain !== undefined && !/^[0-9a-f]{64}$/.test(chain))
        throw usage(`--chain ${readable(chain)} is no chain: 64 hexadecimal digits`);
      return {
        do: 'verify',
        publicKeys: options.get('public-key') ?? [],
        ...(chain === undefined ? {} : { chain }),
      };
    }
    case 'repair':
      return { do: 'repair' };
    case 'stat':
      return { do: 'stat' };
    default: {
      const near = nearest(verb, VERBS);
      throw usage(
        `unknown: log ${readable(verb)}${near ? `, did you mean ${near}?` : `; one of ${VERBS.join(', ')}`}`,
      );
    }
  }
}

function isVerb(text: string): boolean {
  return (VERBS as readonly string[]).includes(text);
}
