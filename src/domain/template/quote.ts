/** Go's strconv.Quote family and its inverse. */
import { isLoneByte, isPrint } from "./unicode.ts";
import { joined } from "./utf8.ts";

export class SyntaxFault extends Error {}

const SIMPLE: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
};

function quoteWith(text: string, quote: string, ascii: boolean): string {
  let out = quote;
  for (const char of text) out += quoteChar(char, quote, ascii);
  return out + quote;
}

function quoteChar(char: string, quote: string, ascii: boolean): string {
  if (char === quote || char === "\\") return "\\" + char;
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x7f && code >= 0x20) return char;
  if (isLoneByte(char)) return "\\x" + hex(code - 0xdc00, 2);
  if (!ascii && isPrint(char)) return char;
  const simple = SIMPLE[char];
  if (simple !== undefined) return simple;
  if (code < 0x20 || code === 0x7f) return "\\x" + hex(code, 2);
  return code < 0x10000 ? "\\u" + hex(code, 4) : "\\U" + hex(code, 8);
}

export function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

/** `"…"`, as %q prints it. */
export function quote(text: string): string {
  return quoteWith(text, '"', false);
}

export function quoteToAscii(text: string): string {
  return quoteWith(text, '"', true);
}

export function quoteRune(char: string, ascii: boolean): string {
  return quoteWith(char, "'", ascii);
}

/** No control character but tab, no back quote, nothing that is not UTF-8, no byte order mark. */
export function canBackquote(text: string): boolean {
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if (isLoneByte(char) || code === 0xfeff || code === 0x7f || char === "`") return false;
    if (code < 0x20 && char !== "\t") return false;
  }
  return true;
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
};

/** The value of a Go string literal, quotes included; throws SyntaxFault. */
export function unquote(literal: string): string {
  const mark = literal[0] ?? "";
  const body = literal.slice(1, -1);
  if (literal.length < 2 || literal[literal.length - 1] !== mark) throw invalid();
  if (mark === "`") {
    if (body.includes("`")) throw invalid();
    return body.replaceAll("\r", "");
  }
  let out = "";
  for (let at = 0; at < body.length;) {
    const [value, next] = unquoteChar(body, at, mark);
    out += value;
    at = next;
  }
  return joined(out);
}

/** One possibly escaped character at `at`, and the place behind it. */
export function unquoteChar(text: string, at: number, mark: string): [string, number] {
  const char = String.fromCodePoint(text.codePointAt(at) ?? 0);
  if (at >= text.length || char === mark || char === "\n") throw invalid();
  if (char !== "\\") return [char, at + char.length];
  const letter = text[at + 1];
  if (letter === undefined) throw invalid();
  const simple = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
  if (simple !== undefined) return [simple, at + 2];
  if (letter === mark && (mark === '"' || mark === "'")) return [letter, at + 2];
  if (letter === "x") return [fromByte(digits(text, at + 2, 2, 16)), at + 4];
  if (letter === "u") return [fromCode(digits(text, at + 2, 4, 16)), at + 6];
  if (letter === "U") return [fromCode(digits(text, at + 2, 8, 16)), at + 10];
  if (letter >= "0" && letter <= "7") return [fromByte(digits(text, at + 1, 3, 8)), at + 4];
  throw invalid();
}

function digits(text: string, at: number, count: number, base: 8 | 16): number {
  const word = text.slice(at, at + count);
  const good = base === 16 ? /^[0-9a-fA-F]+$/ : /^[0-7]+$/;
  if (word.length !== count || !good.test(word)) throw invalid();
  return Number.parseInt(word, base);
}

function fromByte(value: number): string {
  if (value > 255) throw invalid();
  return value < 0x80 ? String.fromCharCode(value) : String.fromCharCode(0xdc00 + value);
}

function fromCode(value: number): string {
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) throw invalid();
  return String.fromCodePoint(value);
}

function invalid(): SyntaxFault {
  return new SyntaxFault("invalid syntax");
}
