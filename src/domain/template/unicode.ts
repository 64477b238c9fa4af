/**
 * Go's unicode package, as far as templates need it. The tables are the JavaScript engine's, which
 * may know a few characters more than Go's (Unicode 15).
 */

const LETTER = /^\p{L}$/u;
const DIGIT = /^\p{Nd}$/u;
const NUMBER = /^\p{N}$/u;
const PUNCT = /^\p{P}$/u;
const UPPER = /^\p{Lu}$/u;
const PRINT = /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u;
const SPACE = /^[\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$/;

function isAsciiLetter(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a);
}

export function isLetter(char: string): boolean {
  const code = char.charCodeAt(0);
  return code < 0x80 ? isAsciiLetter(code) : LETTER.test(char);
}

export function isDigit(char: string): boolean {
  const code = char.charCodeAt(0);
  return code < 0x80 ? code >= 0x30 && code <= 0x39 : DIGIT.test(char);
}

export function isNumber(char: string): boolean {
  return isDigit(char) || NUMBER.test(char);
}

export function isPunct(char: string): boolean {
  return PUNCT.test(char);
}

export function isUpper(char: string): boolean {
  return UPPER.test(char);
}

/** Graphic characters and the ASCII space. A lone byte is none. */
export function isPrint(char: string): boolean {
  const code = char.charCodeAt(0);
  return code < 0x7f ? code >= 0x20 : PRINT.test(char);
}

export function isSpace(char: string): boolean {
  const code = char.charCodeAt(0);
  return code < 0x80 ? code === 0x20 || (code >= 9 && code <= 13) : SPACE.test(char);
}

/** A byte that is not UTF-8, see utf8.ts. */
export function isLoneByte(char: string): boolean {
  const code = char.charCodeAt(0);
  return char.length === 1 && code >= 0xdc80 && code <= 0xdcff;
}

/**
 * One character to one: the simple mapping. JavaScript has the full one, that may give several
 * characters; then the simple one is the character itself, but for Greek with iota subscript.
 */
export function toUpper(char: string): string {
  if (isLoneByte(char)) return "\ufffd";
  const upper = char.toUpperCase();
  if (upper.length === char.length) return upper;
  const code = char.charCodeAt(0);
  if (code >= 0x1f80 && code <= 0x1faf) return String.fromCharCode(code | 8);
  if (code === 0x1fb3 || code === 0x1fc3 || code === 0x1ff3) return String.fromCharCode(code + 9);
  return upper.length === 1 ? upper : char;
}

export function toLower(char: string): string {
  if (isLoneByte(char)) return "\ufffd";
  if (char === "\u0130") return "i";
  const lower = char.toLowerCase();
  return [...lower].length === 1 ? lower : char;
}

const TITLE_DIGRAPHS: Readonly<Record<string, string>> = {
  "\u01c4": "\u01c5",
  "\u01c6": "\u01c5",
  "\u01c7": "\u01c8",
  "\u01c9": "\u01c8",
  "\u01ca": "\u01cb",
  "\u01cc": "\u01cb",
  "\u01f1": "\u01f2",
  "\u01f3": "\u01f2",
  "\u01c5": "\u01c5",
  "\u01c8": "\u01c8",
  "\u01cb": "\u01cb",
  "\u01f2": "\u01f2",
};

export function toTitle(char: string): string {
  const code = char.charCodeAt(0);
  // Georgian letters have capitals but are not capitalised.
  if (code >= 0x10d0 && code <= 0x10ff) return char;
  return TITLE_DIGRAPHS[char] ?? toUpper(char);
}

/** As Go's strings.ToUpper: character by character. */
export function upperText(text: string): string {
  let out = "";
  for (const char of text) out += toUpper(char);
  return out;
}

export function lowerText(text: string): string {
  let out = "";
  for (const char of text) out += toLower(char);
  return out;
}

/** As Go's strings.Title: the first letter of every word, words being what is between separators. */
export function titleText(text: string): string {
  let out = "";
  let atStart = true;
  for (const char of text) {
    out += atStart ? toTitle(char) : isLoneByte(char) ? "\ufffd" : char;
    atStart = isSeparator(char);
  }
  return out;
}

function isSeparator(char: string): boolean {
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x80) return !isAsciiLetter(code) && !isDigit(char) && char !== "_";
  if (isLetter(char) || isDigit(char)) return false;
  return isSpace(char);
}
