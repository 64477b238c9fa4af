/**
 * Go 1.26 text/template with the listed functions of sprig, in plain TypeScript: parse a text once,
 * render it over JSON data as often as needed.
 *
 * Deterministic (no clock, no randomness, no I/O), bounded (see TemplateLimits), and closed: nothing
 * but TemplateError is thrown. Data is read as it is, never changed and never copied, but where a
 * template calls `set` or `merge`. It does no HTML escaping by itself and loads no other templates.
 */
import {
  DEFAULT_LIMITS,
  LimitError,
  TemplateError,
  type TemplateLimit,
  type TemplateLimits,
} from "./errors.ts";
import { ExecFault, type MissingKey } from "./evaluate.ts";
import { Execution } from "./execute.ts";
import { FUNCTIONS } from "./functions.ts";
import { copyData, MUTATING } from "./functions_map.ts";
import { decodeJson } from "./json.ts";
import { lineAndColumn } from "./lexer.ts";
import { nodeText, printTrees, type Tree } from "./node.ts";
import { type Parsed, parseTrees } from "./parser.ts";
import { quote } from "./quote.ts";
import { type FieldPaths, reachableFields as reach } from "./reach.ts";
import { RegexCache } from "./regex.ts";
import { toOutside } from "./utf8.ts";
import type { GoValue } from "./value.ts";

export { DEFAULT_LIMITS, TemplateError, type TemplateLimit, type TemplateLimits };
export type { FieldPath, FieldPaths } from "./reach.ts";
export { projectFields } from "./reach.ts";
export type { GoValue, MissingKey };

export interface ExecuteOptions {
  /** What a missing map key gives; Go's option missingkey. */
  readonly missingKey?: MissingKey;
}

/** A parsed template; it may be rendered any number of times. */
export class Template {
  readonly name: string;
  readonly #parsed: Parsed;
  readonly #main: Tree;
  readonly #limits: TemplateLimits;
  readonly #regexes = new RegexCache();
  readonly #mutates: boolean;

  /** Use parseTemplate. */
  constructor(name: string, parsed: Parsed, limits: TemplateLimits) {
    this.name = name;
    this.#parsed = parsed;
    this.#main = parsed.trees.get(name) ?? { name, root: [] };
    this.#limits = limits;
    this.#mutates = [...MUTATING].some((word) => parsed.text.includes(word));
  }

  /** The rendered text, well-formed Unicode. Throws TemplateError of phase "exec". */
  execute(data: GoValue, options: ExecuteOptions = {}): string {
    const execution = new Execution(this.#parsed.trees, this.#main, {
      limits: this.#limits,
      missingKey: options.missingKey ?? "default",
      regexes: this.#regexes,
    });
    try {
      return execution.run(this.#mutates ? copyData(data, execution.budget) : data);
    } catch (error) {
      throw this.#located(error, execution);
    }
  }

  #located(error: unknown, { place: { node, tree } }: Execution): TemplateError {
    const limit = error instanceof LimitError ? error.limit : undefined;
    const isOurs = error instanceof ExecFault || error instanceof LimitError;
    // Anything else is a bug of ours: the caller still gets the one kind of error it expects.
    const reason = isOurs ? error.message : `internal error: ${String(error)}`;
    const cause = isOurs ? undefined : error;
    if (node === undefined) {
      const message = toOutside(`template: ${this.name}: ${reason}`);
      return new TemplateError("exec", message, { key: this.name, reason, limit, cause });
    }
    const { line, column } = lineAndColumn(this.#parsed.text, node.pos);
    const place = `${this.name}:${line}:${column}`;
    const context = `executing ${quote(tree.name)} at <${nodeText(node)}>`;
    const message = toOutside(`template: ${place}: ${context}: ${reason}`);
    const at = { key: this.name, reason: toOutside(reason), line, column, limit, cause };
    return new TemplateError("exec", message, at);
  }

  /** The template written anew: another text that parses to the same tree. */
  toString(): string {
    const others = [...this.#parsed.trees.values()].filter((tree) => tree !== this.#main);
    return printTrees(this.#main, others);
  }

  /** The parsed trees, for tests and analyses. */
  get trees(): ReadonlyMap<string, Tree> {
    return this.#parsed.trees;
  }

  /** See reachableFields. */
  fields(): FieldPaths | "all" {
    return reach(this.#main, this.#parsed.trees);
  }
}

/** `name` is what messages call the template. Throws TemplateError of phase "parse". */
export function parseTemplate(
  name: string,
  text: string,
  limits: Partial<TemplateLimits> = {},
): Template {
  const all = { ...DEFAULT_LIMITS, ...limits };
  const isFunction = (word: string) => FUNCTIONS.has(word);
  return new Template(name, parseTrees(name, text, { limits: all, isFunction }), all);
}

/**
 * The fields of its data that a template can reach, each with all that is below it; "all" where it
 * uses the whole or that cannot be told. Rendering over `projectFields(data, paths)` gives the same
 * text as over `data`.
 */
export function reachableFields(template: Template): FieldPaths | "all" {
  return template.fields();
}

/**
 * Data from JSON that is parsed already: taken as it is, at no cost. Whole numbers are int64, others
 * float64; so 2.0 is an int64, and integers beyond 2^53 have lost digits before they come here.
 */
export function fromJson(value: unknown): GoValue {
  return value as GoValue;
}

/** Data from JSON text, without the losses of JSON.parse: 2.0 is float64, integers have 64 bits. */
export function fromJsonText(text: string): GoValue {
  return decodeJson(text, "data");
}
