/** What happened in a run, as lines for people, and which invariants did not hold. */
import type { Clock } from "../../src/lib/clock.ts";
import type { LogFields, Logger } from "../../src/lib/log.ts";

export interface Violation {
  /** The sentence that does not hold. */
  readonly invariant: string;
  readonly detail: string;
  readonly atMs: number;
}

interface Line {
  readonly atMs: number;
  readonly text: string;
}

/** More of the same tell nothing new. */
const VIOLATIONS_MAX = 20;
const TRACE_LINES_MAX = 40;

export class Journal {
  readonly violations: Violation[] = [];
  readonly #clock: Clock;
  readonly #lines: Line[] = [];
  readonly #keepAll: boolean;

  /** `keepAll`: also logs and reads, for a replay; else what explains a violation. */
  constructor(clock: Clock, keepAll: boolean) {
    this.#clock = clock;
    this.#keepAll = keepAll;
  }

  note(text: string): void {
    this.#lines.push({ atMs: this.#clock.monotonic(), text });
  }

  detail(text: () => string): void {
    if (this.#keepAll) this.note(text());
  }

  violate(invariant: string, detail: string): void {
    const atMs = this.#clock.monotonic();
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push({ invariant, detail, atMs });
    this.note(`VIOLATION ${invariant}: ${detail}`);
  }

  /** Everything, oldest first. */
  trace(): string[] {
    return this.#lines.map(format);
  }

  /** The last lines that tell of the objects named in the first violation, or of processes and faults. */
  excerpt(): string[] {
    const [first] = this.violations;
    if (first === undefined) return [];
    const names = first.detail.match(/[\w.-]+\/[\w.-]+/g) ?? [];
    const until = this.#lines.filter(({ atMs }) => atMs <= first.atMs);
    const relevant = until.filter(({ text }) =>
      !text.startsWith("  ") || names.some((name) => text.includes(name))
    );
    return relevant.slice(-TRACE_LINES_MAX).map(format);
  }

  /** A logger of a process, into the detailed trace. */
  logger(process: { name: string; crashed: boolean }): Logger {
    const write = (level: string, fields: LogFields) => (message: string, more: LogFields = {}) => {
      if (process.crashed) return;
      this.detail(() => `  ${process.name} ${level} ${message} ${show({ ...fields, ...more })}`);
    };
    const make = (fields: LogFields): Logger => ({
      debug: write("debug", fields),
      info: write("info", fields),
      warning: write("warning", fields),
      error: write("error", fields),
      with: (more) => make({ ...fields, ...more }),
    });
    return make({});
  }
}

function show(fields: LogFields): string {
  return Object.entries(fields).map(([key, value]) =>
    `${key}=${value instanceof Error ? value.message : String(value)}`
  ).join(" ");
}

function format({ atMs, text }: Line): string {
  return `${(atMs / 1000).toFixed(3).padStart(10)} ${text}`;
}
