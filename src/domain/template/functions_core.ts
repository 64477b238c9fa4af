/** The functions of Go's text/template, but for comparisons. */
import { CallError } from "./errors.ts";
import { define, type FunctionDef, percentEncode } from "./function.ts";
import { sprint, sprintf, sprintln } from "./print.ts";
import { isLoneByte, isPrint } from "./unicode.ts";
import { byteLength, isAscii, sliceBytes, toBytes } from "./utf8.ts";
import {
  entriesOf,
  type GoValue,
  Int,
  int,
  intOf,
  isIntKind,
  isTrue,
  isUintKind,
  itemsOf,
  kindOf,
  Slice,
  TypedMap,
  typeName,
} from "./value.ts";
import type { Budget } from "./errors.ts";

/**
 * "and", "or" and "call" are here for their signatures only: the evaluator does the first two, as
 * they stop at the first argument that decides, and functions are no values that "call" could get.
 */
export const CORE_FUNCTIONS: Readonly<Record<string, FunctionDef>> = {
  and: define("value value...", ([first]) => first),
  or: define("value value...", ([first]) => first),
  call: define("value value...", () => {
    throw new CallError("call of nil");
  }),
  html: define("any...", (values, { budget }) => escapeHtml(asText(values, budget))),
  js: define("any...", (values, { budget }) => escapeJs(asText(values, budget))),
  urlquery: define("any...", (values, { budget }) => percentEncode(asText(values, budget))),
  index: define("value value...", ([item, ...keys]) => index(item, keys)),
  slice: define("value value...", ([item, ...bounds]) => slice(item, bounds)),
  len: define("value", ([item], { budget }) => int(length(item, budget))),
  not: define("value", ([value]) => !isTrue(value)),
  print: define("any...", (values, { budget }) => sprint(values, budget)),
  println: define("any...", (values, { budget }) => sprintln(values, budget)),
  printf: define("string any...", (values, { budget }) => {
    const [format, ...operands] = values as [string, ...GoValue[]];
    return sprintf(format, operands, budget);
  }),
};

/** Text for the escapers: nil shows as templates print it. */
function asText(values: readonly GoValue[], budget: Budget): string {
  const shown = values.map((value) => value === null || value === undefined ? "<no value>" : value);
  return sprint(shown, budget);
}

function index(item: GoValue, keys: readonly GoValue[]): GoValue {
  if (isMissing(item)) throw new CallError("index of untyped nil");
  let current = item;
  for (const key of keys) {
    if (current === null) throw new CallError("index of nil pointer");
    const items = itemsOf(current);
    if (typeof current === "string") current = byteAt(current, indexOf(key, byteLength(current)));
    else if (items !== undefined) {
      const at = indexOf(key, items.length);
      if (at >= items.length) throw new CallError("reflect: slice index out of range");
      current = items[at] ?? null;
    } else current = entry(current, key);
  }
  return current;
}

function isMissing(value: GoValue): boolean {
  return value === undefined || value === null;
}

function byteAt(text: string, at: number): GoValue {
  const byte = isAscii(text) ? text.charCodeAt(at) : toBytes(text)[at];
  if (byte === undefined || Number.isNaN(byte)) {
    throw new CallError("reflect: string index out of range");
  }
  return new Int("uint8", byte);
}

function entry(map: GoValue, key: GoValue): GoValue {
  const entries = entriesOf(map);
  if (entries === undefined) throw new CallError(`can't index item of type ${typeName(map)}`);
  if (isMissing(key)) throw new CallError("value is nil; should be of type string");
  if (typeof key !== "string") {
    throw new CallError(`value has type ${typeName(key)}; should be string`);
  }
  const found = Object.hasOwn(entries, key) ? entries[key] : undefined;
  if (found !== undefined) return found;
  return map instanceof TypedMap && map.element === "string" ? "" : null;
}

/** A position in a list of `most` elements; `most` itself is still allowed. */
function indexOf(value: GoValue, most: number): number {
  const kind = kindOf(value);
  if (isMissing(value)) throw new CallError("cannot index slice/array with nil");
  if (!isIntKind(kind) && !isUintKind(kind)) {
    throw new CallError(`cannot index slice/array with type ${typeName(value)}`);
  }
  const at = intOf(value);
  if (at < 0 || at > most) throw new CallError(`index out of range: ${at}`);
  return Number(at);
}

/** An index that kept its static type interface {}: the evaluator marks it so, for "slice" alone. */
export class InterfaceIndex extends Int {}

function sliceBound(value: GoValue, most: number): number {
  if (value === null || value instanceof InterfaceIndex) {
    throw new CallError("cannot index slice/array with type interface {}");
  }
  return indexOf(value, most);
}

function slice(item: GoValue, bounds: readonly GoValue[]): GoValue {
  if (isMissing(item)) throw new CallError("slice of untyped nil");
  if (bounds.length > 3) throw new CallError(`too many slice indexes: ${bounds.length}`);
  const list = Array.isArray(item) ? new Slice("any", item) : item;
  if (typeof list !== "string" && !(list instanceof Slice)) {
    throw new CallError(`can't slice item of type ${typeName(item)}`);
  }
  if (typeof list === "string" && bounds.length === 3) {
    throw new CallError("cannot 3-index slice a string");
  }
  const length = typeof list === "string" ? byteLength(list) : list.length;
  const cap = typeof list === "string" ? length : list.span.cap - list.span.from;
  const at = bounds.map((bound) => sliceBound(bound, cap));
  const [from = 0, to = length, last = cap] = at;
  if (from > to) throw new CallError(`invalid slice index: ${from} > ${to}`);
  if (to > last) throw new CallError(`invalid slice index: ${to} > ${last}`);
  if (typeof list === "string") return sliceBytes(list, from, to);
  const start = list.span.from;
  const span = { from: start + from, to: start + to, cap: start + last };
  return new Slice(list.element, list.base, span, list.isNil);
}

function length(item: GoValue, budget: Budget): number {
  if (item === null) throw new CallError("len of nil pointer");
  if (item === undefined) throw new CallError("reflect: call of reflect.Value.Type on zero Value");
  if (typeof item === "string") return byteLength(item);
  const items = itemsOf(item);
  if (items !== undefined) return items.length;
  const entries = entriesOf(item);
  if (entries === undefined) {
    throw new CallError(`len of type ${typeName(item).replace(/^\*/, "")}`);
  }
  const keys = Object.keys(entries).length;
  budget.steps(keys / 4);
  return keys;
}

const HTML: Readonly<Record<string, string>> = {
  "\0": "\ufffd",
  '"': "&#34;",
  "'": "&#39;",
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
};

function escapeHtml(text: string): string {
  return text.replace(/[\0"'&<>]/g, (char) => HTML[char] ?? char);
}

const JS: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "'": "\\'",
  '"': '\\"',
  "<": "\\u003C",
  ">": "\\u003E",
  "&": "\\u0026",
  "=": "\\u003D",
};

function escapeJs(text: string): string {
  let out = "";
  for (const char of text) out += JS[char] ?? escapeJsChar(char);
  return out;
}

function escapeJsChar(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code >= 0x20 && (code < 0x80 || isLoneByte(char) || isPrint(char))) return char;
  return `\\u${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
