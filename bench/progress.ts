/** What people see while a scenario runs: a bar that redraws itself on a terminal, a line now and then elsewhere. */

const BAR_WIDTH = 24;
const REDRAW_MS = 100;
const LINE_MS = 10_000;

export class Progress {
  readonly #output: NodeJS.WriteStream;
  readonly #terminal: boolean;
  #lastMs = 0;
  #title = '';

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
    this.#terminal = output.isTTY === true;
  }

  start(title: string): void {
    this.#title = title;
    this.#lastMs = performance.now();
    if (this.#terminal) this.#draw(0, 'starting');
    else this.#output.write(`${title} ...\n`);
  }

  /** `fraction` of the scenario that is done, 0 to 1. */
  update(fraction: number, text: string): void {
    const nowMs = performance.now();
    if (nowMs - this.#lastMs < (this.#terminal ? REDRAW_MS : LINE_MS)) return;
    this.#lastMs = nowMs;
    if (this.#terminal) this.#draw(fraction, text);
    else this.#output.write(`  ${Math.round(fraction * 100)} % ${text}\n`);
  }

  done(text: string): void {
    if (this.#terminal) this.#output.write('\r\x1b[K');
    this.#output.write(this.#terminal ? `${this.#title}: ${text}\n` : `  ${text}\n`);
  }

  #draw(fraction: number, text: string): void {
    const filled = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH);
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
    const line = `${bar} ${this.#title} · ${text}`;
    // A line that wraps could not be overwritten.
    this.#output.write(`\r\x1b[K${line.slice(0, Math.max(20, (this.#output.columns || 80) - 1))}`);
  }
}
