/** Go's regexp functions over RE2JS, which matches in linear time. */
import { RE2JS } from "re2js";
import { type Budget, CallError } from "./errors.ts";
import { canBackquote, quote } from "./quote.ts";
import { joined } from "./utf8.ts";

/** Repetitions multiply the size of the compiled pattern; Go has limits of its own. */
const PATTERN_MAX = 2000;
const CACHE_MAX = 64;

/** Matches are [start, end] of the whole and of each group, -1 where a group took no part. */
type Match = readonly number[];

interface Pattern {
  readonly regex: RE2JS;
  readonly cost: number;
}

/** Compiled patterns of one template: most are literals and come again with every rendering. */
export class RegexCache {
  readonly #patterns = new Map<string, Pattern | CallError>();

  /**
   * Throws CallError with the text of Go's MustCompile. The charge is the same whether the pattern is
   * known or not: what one rendering may do must not depend on those before it.
   */
  compile(pattern: string, budget: Budget): Pattern {
    budget.steps(20 + pattern.length * 4);
    let known = this.#patterns.get(pattern);
    if (known === undefined) {
      known = compile(pattern);
      if (this.#patterns.size >= CACHE_MAX) this.#patterns.clear();
      this.#patterns.set(pattern, known);
    }
    if (known instanceof CallError) throw known;
    budget.steps(known.cost * 2);
    return known;
  }
}

function compile(pattern: string): Pattern | CallError {
  try {
    if (!pattern.isWellFormed()) {
      throw new Error(`error parsing regexp: invalid UTF-8: \`${pattern}\``);
    }
    if (pattern.length > PATTERN_MAX) {
      throw new Error(`error parsing regexp: expression too large: \`${pattern}\``);
    }
    const regex = RE2JS.compile(pattern);
    return { regex, cost: regex.programSize() };
  } catch (error) {
    let reason = error instanceof Error ? error.message : String(error);
    if (reason.endsWith("at end of expression")) reason += ": ``";
    const quoted = canBackquote(pattern) ? `\`${pattern}\`` : quote(pattern);
    return new CallError(`regexp: Compile(${quoted}): ${reason}`);
  }
}

function chargeRun(pattern: Pattern, text: string, budget: Budget): void {
  budget.steps(1 + text.length * pattern.cost / 40);
}

export function matches(pattern: Pattern, text: string, budget: Budget): boolean {
  chargeRun(pattern, text, budget);
  return pattern.regex.matcher(text).find();
}

/** Up to `most` matches (all, when negative) from left to right; none is empty right behind another. */
export function findAll(pattern: Pattern, text: string, most: number, budget: Budget): Match[] {
  const found: Match[] = [];
  const matcher = pattern.regex.matcher(text);
  const groups = matcher.groupCount();
  let at = 0;
  let lastEnd = -1;
  chargeRun(pattern, text, budget);
  while (at <= text.length && (most < 0 || found.length < most)) {
    // A search may read to the end before it settles for an early match.
    budget.steps(1 + pattern.cost * (text.length - at) / 50);
    if (!matcher.find(at)) break;
    const [start, end] = [matcher.start(), matcher.end()];
    const isEmpty = start === end;
    if (!isEmpty || start !== lastEnd) {
      const match: number[] = [];
      for (let group = 0; group <= groups; group++) {
        match.push(matcher.start(group), matcher.end(group));
      }
      found.push(match);
    }
    lastEnd = end;
    at = isEmpty ? end + ((text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1) : end;
  }
  return found;
}

/** Go's ReplaceAllString; a literal replacement has no `$`. */
export function replaceAll(
  pattern: Pattern,
  text: string,
  { replacement, isLiteral, budget }: { replacement: string; isLiteral: boolean; budget: Budget },
): string {
  const names = isLiteral ? {} : pattern.regex.namedGroups();
  let out = "";
  let at = 0;
  for (const match of findAll(pattern, text, -1, budget)) {
    const [start = 0, end = 0] = match;
    const middle = isLiteral ? replacement : expand(replacement, text, { match, names });
    budget.memory(middle.length + start - at);
    out += text.slice(at, start) + middle;
    at = end;
  }
  return joined(out + text.slice(at));
}

const REFERENCE = /\$(?:\$|([\p{L}\p{Nd}_]+)|\{([\p{L}\p{Nd}_]+)\})/gu;

function expand(
  template: string,
  text: string,
  { match, names }: { match: Match; names: Record<string, number> },
): string {
  return template.replace(REFERENCE, (whole, plain?: string, braced?: string) => {
    if (whole === "$$") return "$";
    const name = plain ?? braced ?? "";
    const isNumber = /^(?:0|[1-9][0-9]{0,7})$/.test(name);
    const group = isNumber ? Number(name) : Object.hasOwn(names, name) ? names[name] : -1;
    const start = match[(group ?? -1) * 2] ?? -1;
    return start < 0 ? "" : text.slice(start, match[(group ?? -1) * 2 + 1]);
  });
}

/** Go's Split: up to `most` parts (all, when negative). */
export function split(pattern: Pattern, text: string, most: number, budget: Budget): string[] {
  if (most === 0) return [];
  if (pattern.regex.pattern() !== "" && text === "") return [""];
  const parts: string[] = [];
  let from = 0;
  let end = 0;
  for (const match of findAll(pattern, text, most, budget)) {
    if (most > 0 && parts.length >= most - 1) break;
    end = match[0] ?? 0;
    if (match[1] !== 0) parts.push(text.slice(from, end));
    from = match[1] ?? 0;
  }
  if (end !== text.length) parts.push(text.slice(from));
  return parts;
}
