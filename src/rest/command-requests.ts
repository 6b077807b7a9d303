/**
 * What the routes of commands and rollouts share: why the command centre said no.
 *
 * Owned by main.
 */
import { CommandError } from '../commands/errors.js';
import { RestError } from './errors.js';

export const DEFAULT_PAGE = 100;

/** The answer of the command centre, or its refusal in the words of REST. */
export async function asked<T>(question: () => T | Promise<T>): Promise<T> {
  try {
    return await question();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const field = error.field === undefined ? {} : { field: error.field };
    throw new RestError(error.code, { detail: error.message, ...field });
  }
}
