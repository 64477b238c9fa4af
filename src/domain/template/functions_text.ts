/** sprig's string functions. Lengths and positions are bytes, as Go's are. */
import { type Budget, CallError } from "./errors.ts";
import { define, type FunctionDef, hasLoneBytes, textOf } from "./function.ts";
import { sprint } from "./print.ts";
import { quote } from "./quote.ts";
import { camelCase, separatedCase } from "./word_case.ts";
import { isSpace, lowerText, titleText, toLower, upperText } from "./unicode.ts";
import { byteLength, fromBinary, isAscii, joined, sliceBytes, toBinary } from "./utf8.ts";
import { type GoValue, itemsOf, type MutableMap, newMap, strings, TypedMap } from "./value.ts";

export const TEXT_FUNCTIONS: Readonly<Record<string, FunctionDef>> = {
  upper: define(
    "string",
    ([text], { budget }) =>
      isAscii(text) ? text.toUpperCase() : upperText(byCharacter(text, budget)),
  ),
  lower: define(
    "string",
    ([text], { budget }) =>
      isAscii(text) ? text.toLowerCase() : lowerText(byCharacter(text, budget)),
  ),
  title: define("string", ([text], { budget }) => titleText(byCharacter(text, budget))),
  untitle: define("string", ([text], { budget }) => untitle(byCharacter(text, budget))),
  trim: define("string", ([text]) => trim(text, isSpace)),
  trimAll: define("string string", ([set, text]) => {
    const chars = new Set(set);
    return trim(text, (char) => chars.has(char));
  }),
  trimPrefix: define(
    "string string",
    ([start, text]) =>
      byBytes([start, text], ([a = "", b = ""]) => b.startsWith(a) ? b.slice(a.length) : b),
  ),
  trimSuffix: define(
    "string string",
    ([end, text]) =>
      byBytes(
        [end, text],
        ([a = "", b = ""]) => b.endsWith(a) ? b.slice(0, b.length - a.length) : b,
      ),
  ),
  trunc: define("int string", ([count, text]) => trunc(count, text)),
  abbrev: define("int string", ([width, text]) => {
    if (width < 4 || byteLength(text) <= width) return text;
    return `${sliceBytes(text, 0, width - 3)}...`;
  }),
  nospace: define("string", ([text]) => nospace(text)),
  substr: define("int int string", ([start, end, text]) => substr(start, end, text)),
  repeat: define("int string", ([count, text], { budget }) => repeat(text, count, budget)),
  replace: define("string string string", (texts, { budget }) => replace(texts, budget)),
  contains: define("string string", ([part, text]) => test([part, text], (a, b) => b.includes(a))),
  hasPrefix: define(
    "string string",
    ([part, text]) => test([part, text], (a, b) => b.startsWith(a)),
  ),
  hasSuffix: define("string string", ([part, text]) => test([part, text], (a, b) => b.endsWith(a))),
  quote: define(
    "any...",
    (values, { budget }) =>
      present(values).map((value) => charge(quote(textOf(value, budget)), budget)).join(" "),
  ),
  squote: define(
    "any...",
    (values, { budget }) =>
      joined(present(values).map((value) => `'${sprint([value], budget)}'`).join(" ")),
  ),
  cat: define(
    "any...",
    (values, { budget }) =>
      joined(present(values).map((value) => charge(sprint([value], budget), budget)).join(" ")),
  ),
  indent: define("int string", ([spaces, text], { budget }) => indent(spaces, text, budget)),
  nindent: define(
    "int string",
    ([spaces, text], { budget }) => `\n${indent(spaces, text, budget)}`,
  ),
  snakecase: define(
    "string",
    ([text], { budget }) => separatedCase(byCharacter(text, budget), "_"),
  ),
  kebabcase: define(
    "string",
    ([text], { budget }) => separatedCase(byCharacter(text, budget), "-"),
  ),
  camelcase: define("string", ([text], { budget }) => camelCase(byCharacter(text, budget))),
  split: define("string string", ([separator, text], { budget }) => {
    const map: MutableMap = newMap();
    splitText(separator, text, budget).forEach((part, i) => map[`_${i}`] = part);
    return new TypedMap("string", map, false);
  }),
  splitList: define(
    "string string",
    ([separator, text], { budget }) => strings(splitText(separator, text, budget)),
  ),
  join: define("string any", ([separator, list], { budget }) => {
    const parts = stringsOf(list, budget);
    budget.memory(separator.length * parts.length);
    return joined(parts.map((part) => charge(part, budget)).join(separator));
  }),
  wrap: define("int string", ([width, text]) => wrap(text, width)),
  plural: define("string string int", ([one, many, count]) => count === 1 ? one : many),
  toString: define("any", ([value], { budget }) => textOf(value, budget)),
  toStrings: define("any", ([value], { budget }) => strings([...stringsOf(value, budget)])),
};

/** Looking at every character costs more than what is charged for any argument. */
function byCharacter(text: string, budget: Budget): string {
  budget.steps(text.length);
  return text;
}

function charge(text: string, budget: Budget): string {
  budget.memory(text.length);
  return text;
}

function present(values: readonly GoValue[]): GoValue[] {
  return values.filter((value) => value !== null && value !== undefined);
}

/** sprig's strslice: the elements' texts without nils; anything else is a list of itself. */
export function stringsOf(value: GoValue, budget: Budget): readonly string[] {
  const items = itemsOf(value);
  if (items !== undefined) return present(items).map((item) => textOf(item, budget));
  return value === null || value === undefined ? [] : [textOf(value, budget)];
}

/** Works on bytes when a text holds some that are no characters, as they may be parts of one. */
function byBytes(texts: readonly string[], change: (texts: readonly string[]) => string): string {
  if (!texts.some(hasLoneBytes)) return change(texts);
  return fromBinary(change(texts.map(toBinary)));
}

function test(texts: [string, string], holds: (a: string, b: string) => boolean): boolean {
  const [a, b] = texts.some(hasLoneBytes) ? texts.map(toBinary) : texts;
  return holds(a ?? "", b ?? "");
}

function untitle(text: string): string {
  let next = true;
  let out = "";
  for (const char of text) {
    if (isSpace(char)) next = true;
    out += next && !isSpace(char) ? toLower(char) : char.isWellFormed() ? char : "\ufffd";
    if (!isSpace(char)) next = false;
  }
  return out;
}

function trim(text: string, isCut: (char: string) => boolean): string {
  const chars = [...text];
  let from = 0;
  let to = chars.length;
  while (from < to && isCut(chars[from] ?? "")) from++;
  while (to > from && isCut(chars[to - 1] ?? "")) to--;
  return from === 0 && to === chars.length ? text : chars.slice(from, to).join("");
}

function trunc(count: number, text: string): string {
  const length = byteLength(text);
  if (count < 0) return length + count > 0 ? sliceBytes(text, length + count, length) : text;
  return length > count ? sliceBytes(text, 0, count) : text;
}

/** Go's oddity is kept: bytes are taken for characters when there is a blank to remove. */
function nospace(text: string): string {
  let out = "";
  const binary = toBinary(text);
  for (const byte of binary) if (!isSpace(byte)) out += byte;
  return out.length === binary.length ? text : out;
}

function substr(start: number, end: number, text: string): string {
  const length = byteLength(text);
  const fail = (range: string) =>
    new CallError(`runtime error: slice bounds out of range [${range}`);
  if (start < 0) {
    if (end < 0) throw fail(`:${end}]`);
    if (end > length) throw fail(`:${end}] with length ${length}`);
    return sliceBytes(text, 0, end);
  }
  if (end < 0 || end > length) {
    if (start > length) throw fail(`${start}:${length}]`);
    return sliceBytes(text, start, length);
  }
  if (start > end) throw fail(`${start}:${end}]`);
  return sliceBytes(text, start, end);
}

function repeat(text: string, count: number, budget: Budget): string {
  if (count < 0) throw new CallError("strings: negative Repeat count");
  if (count * byteLength(text) > Number.MAX_SAFE_INTEGER * 1024) {
    throw new CallError("strings: Repeat output length overflow");
  }
  budget.memory(count * text.length);
  return text === "" ? "" : joined(text.repeat(count));
}

function replace(texts: [string, string, string], budget: Budget): string {
  const [from, to, text] = texts;
  const pieces = from === "" ? text.length + 1 : text.split(from).length - 1;
  budget.memory(text.length + pieces * to.length);
  if (from !== "") {
    return byBytes([from, to, text], ([a = "", b = "", c = ""]) => c.replaceAll(a, () => b));
  }
  let out = to;
  for (const char of text) out += char + to;
  return joined(out);
}

function indent(spaces: number, text: string, budget: Budget): string {
  if (spaces < 0) throw new CallError("strings: negative Repeat count");
  const lines = text.split("\n");
  budget.memory(text.length + spaces * lines.length);
  const pad = " ".repeat(spaces);
  return pad + lines.join(`\n${pad}`);
}

function splitText(separator: string, text: string, budget: Budget): string[] {
  budget.memory(text.length * (separator === "" ? 8 : 2));
  if (separator === "") return [...text];
  if (!hasLoneBytes(separator) && !hasLoneBytes(text)) return text.split(separator);
  return toBinary(text).split(toBinary(separator)).map(fromBinary);
}

/** Breaks at blanks so that lines have at most `width` bytes; longer words are left whole. */
function wrap(text: string, width: number): string {
  const length = Math.max(width, 1);
  const binary = toBinary(text);
  let out = "";
  let at = 0;
  while (binary.length - at > length) {
    if (binary[at] === " ") {
      at++;
      continue;
    }
    const space = binary.slice(at, at + length + 1).lastIndexOf(" ");
    const end = space >= 0 ? at + space : binary.indexOf(" ", at + length);
    if (end < 0) {
      out += binary.slice(at);
      at = binary.length;
    } else {
      out += `${binary.slice(at, end)}\n`;
      at = end + 1;
    }
  }
  return fromBinary(out + binary.slice(at));
}
