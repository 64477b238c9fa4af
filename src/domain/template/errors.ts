/**
 * What can go wrong with a template, and how much one may use. TemplateError is the only error that
 * leaves this folder; the other two classes are thrown inside and get their position from the
 * evaluator.
 */

export type TemplatePhase = "parse" | "exec";

/** What was used up, when a template was stopped for using too much. */
export type TemplateLimit = "template" | "nesting" | "steps" | "memory" | "output" | "depth";

export interface TemplateLimits {
  /** UTF-8 bytes of one template's text. */
  readonly templateBytes: number;
  /** Levels of parentheses plus levels of if, range, with and block inside each other. */
  readonly nesting: number;
  /** Work of one rendering: a node walked or an argument evaluated is one; functions charge for size. */
  readonly steps: number;
  /** UTF-16 units of all strings, plus 8 for each list or map entry, that one rendering makes. */
  readonly memory: number;
  /** UTF-8 bytes of the rendered text. */
  readonly outputBytes: number;
  /** {{template}} calls inside each other. */
  readonly depth: number;
}

/** Wide enough for any sensible ConfigMap; a rendering that reaches them takes about a second. */
export const DEFAULT_LIMITS: TemplateLimits = {
  templateBytes: 256 * 1024,
  nesting: 250,
  steps: 2_000_000,
  memory: 64 * 1024 * 1024,
  outputBytes: 1024 * 1024,
  depth: 100_000,
};

/** How deep lists and maps may hold each other, where a function walks the whole value. */
export const VALUE_DEPTH = 400;

/** A template that cannot be parsed or rendered. `message` is Go's text, position included. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  readonly phase: TemplatePhase;
  /** The name the template was parsed under: for a PodConfigMapConfig, the data key. */
  readonly key: string;
  /** From 1. */
  readonly line: number | undefined;
  /** UTF-8 bytes from the start of the line, from 0; of a parse error, where the newest token begins. */
  readonly column: number | undefined;
  /** The message without position and context. */
  readonly reason: string;
  readonly limit: TemplateLimit | undefined;

  constructor(phase: TemplatePhase, message: string, at: {
    key: string;
    reason: string;
    line?: number;
    column?: number;
    limit?: TemplateLimit | undefined;
    cause?: unknown;
  }) {
    super(message, at.cause === undefined ? undefined : { cause: at.cause });
    this.phase = phase;
    this.key = at.key;
    this.line = at.line;
    this.column = at.column;
    this.reason = at.reason;
    this.limit = at.limit;
  }
}

/** A function's own failure: Go's error or panic text. The evaluator adds "error calling <name>". */
export class CallError extends Error {}

/** Something was used up. */
export class LimitError extends Error {
  constructor(readonly limit: TemplateLimit, message: string) {
    super(message);
  }
}

/** What one rendering may still use. */
export class Budget {
  #steps: number;
  #memory: number;
  readonly #limits: TemplateLimits;

  constructor(limits: TemplateLimits) {
    this.#limits = limits;
    this.#steps = limits.steps;
    this.#memory = limits.memory;
  }

  /** To be called before the work is done. */
  steps(count: number): void {
    this.#steps -= count;
    if (this.#steps < 0) {
      throw new LimitError("steps", `exceeded maximum steps (${this.#limits.steps})`);
    }
  }

  /** To be called before the memory is taken. */
  memory(units: number): void {
    this.#memory -= units;
    this.#steps -= units / 64;
    if (this.#memory < 0) {
      throw new LimitError("memory", `exceeded maximum memory (${this.#limits.memory})`);
    }
    if (this.#steps < 0) this.steps(0);
  }
}

export function checkValueDepth(depth: number): void {
  if (depth > VALUE_DEPTH) {
    throw new LimitError("depth", `exceeded maximum depth of a value (${VALUE_DEPTH})`);
  }
}
