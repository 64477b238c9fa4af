/** What a template function is to the evaluator, and how the function tables are written. */
import type { Budget } from "./errors.ts";
import { sprint } from "./print.ts";
import type { RegexCache } from "./regex.ts";
import { Version } from "./semver.ts";
import { toBytes } from "./utf8.ts";
import type { GoMap, GoValue } from "./value.ts";

export interface CallContext {
  readonly budget: Budget;
  readonly regexes: RegexCache;
}

/** "value" tells a missing value from a nil one, "any" does not. "map" is map[string]interface {}, "version" *semver.Version. */
export type Param = "value" | "any" | "string" | "int" | "float64" | "bool" | "map" | "version";

export interface FunctionDef {
  readonly params: readonly Param[];
  /** The last parameter takes any number of arguments. */
  readonly variadic: boolean;
  /** Declared as interface{} in Go: what it returns has that as its static type. */
  readonly returnsAny: boolean;
  /** Throws CallError for what Go returns or panics with. */
  readonly call: (args: readonly GoValue[], context: CallContext) => GoValue;
}

type Argument<P extends string> = P extends "string" ? string
  : P extends "int" | "float64" ? number
  : P extends "bool" ? boolean
  : P extends "map" ? GoMap | undefined
  : P extends "version" ? Version | undefined
  : GoValue;
type Arguments<S extends string> = S extends "" ? []
  : S extends `${infer Head} ${infer Tail}` ? [Argument<Head>, ...Arguments<Tail>]
  : S extends `${infer Last}...` ? Argument<Last>[]
  : [Argument<S>];

/** `signature`: parameters with blanks between, `...` behind the last when it is variadic. */
export function define<const S extends string>(
  signature: S,
  call: (args: Arguments<S>, context: CallContext) => GoValue,
  returns: "any" | "typed" = "typed",
): FunctionDef {
  const params = signature.replace("...", "").split(" ").filter((name) => name !== "") as Param[];
  return {
    params,
    variadic: signature.endsWith("..."),
    returnsAny: returns === "any",
    // The evaluator has checked the arguments against `params`.
    call: call as FunctionDef["call"],
  };
}

/** sprig's strval: text of anything. */
export function textOf(value: GoValue, budget: Budget): string {
  if (typeof value === "string") return value;
  return value instanceof Version ? value.toString() : sprint([value], budget);
}

/** Lone bytes and characters, told apart: a search for the first must look at bytes. */
export function hasLoneBytes(text: string): boolean {
  return !text.isWellFormed();
}

const QUERY_PLAIN = /^[A-Za-z0-9\-_.~]$/;

/** Percent-encodes every byte that `plain` does not know. */
export function percentEncode(text: string, plain: RegExp = QUERY_PLAIN, blank = "+"): string {
  let out = "";
  for (const byte of toBytes(text)) {
    const char = String.fromCharCode(byte);
    if (byte < 0x80 && plain.test(char)) out += char;
    else if (char === " " && blank !== "") out += blank;
    else out += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}
