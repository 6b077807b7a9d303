/** What Core answers to the command line, and what a refusal of it means: the exit code, and a message in Core's words. */
import { printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** The answer, or a FatalError where it is no success. */
export function checked(answer: Answer): Answer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw new FatalError(exitCodeOf(answer.status), `Core refused: ${reasonOf(answer)}`);
}

/** The parsed body. What is shown of it goes through `printable`. */
export function bodyOf<T>({ text }: Answer): T {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new FatalError(EXIT.unavailable, 'what answered is no Core', { cause: error });
  }
}

export function exitCodeOf(status: number): number {
  if (status === 401 || status === 403) return EXIT.noPermission;
  if (status === 429 || status >= 500) return EXIT.unavailable;
  return EXIT.usage;
}

/** In the words of the answer, where it has any. */
export function reasonOf({ status, text }: Answer): string {
  interface Problem {
    readonly detail?: unknown;
    readonly title?: unknown;
    readonly errors?: readonly { readonly field?: unknown; readonly reason?: unknown }[];
  }
  let found: unknown;
  let fields: string[] = [];
  try {
    const problem = Object(JSON.parse(text)) as Problem;
    found = problem.detail ?? problem.title;
    if (Array.isArray(problem.errors))
      fields = problem.errors.map(({ field, reason }) => `${String(field)} ${String(reason)}`);
  } catch {}
  if (typeof found !== 'string') return `status ${status}`;
  // The reason of a field may be the whole of the text.
  const more = fields.filter((field) => !field.endsWith(found as string));
  return `${printable([found, ...more].join(': '))} (${status})`;
}
