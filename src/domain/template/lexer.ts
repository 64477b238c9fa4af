/** Splits a template into tokens, on demand: what is a token depends on whether we are in an action. */
import { isDigit, isLetter, isPrint } from "./unicode.ts";
import { quote } from "./quote.ts";

export type TokenType =
  | "error"
  | "bool"
  | "char"
  | "charConstant"
  | "complex"
  | "assign"
  | "declare"
  | "eof"
  | "field"
  | "identifier"
  | "leftDelim"
  | "leftParen"
  | "number"
  | "pipe"
  | "rawString"
  | "rightDelim"
  | "rightParen"
  | "space"
  | "string"
  | "text"
  | "variable"
  | Keyword;

const KEYWORDS = [
  "block",
  "break",
  "continue",
  "define",
  "else",
  "end",
  "if",
  "range",
  "nil",
  "template",
  "with",
] as const;
type Keyword = typeof KEYWORDS[number] | "dot";
const keywords: ReadonlySet<string> = new Set(KEYWORDS);

export interface Token {
  readonly type: TokenType;
  /** UTF-16 units from the start of the text. */
  readonly pos: number;
  /** The text of the token; the message of an error. */
  readonly value: string;
  readonly line: number;
}

/** As messages show it. */
export function describeToken(token: Token): string {
  if (token.type === "eof") return "EOF";
  if (token.type === "error") return token.value;
  if (token.type === "dot" || keywords.has(token.type)) return `<${token.value}>`;
  const chars = [...token.value.slice(0, 22)];
  const bytes = new TextEncoder().encode(token.value.slice(0, 22)).length;
  return bytes > 10 ? `${quote(chars.slice(0, 10).join(""))}...` : quote(token.value);
}

/** `U+0040 '@'`, as Go's %#U. */
export function describeChar(char: string): string {
  const code = (char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  return isPrint(char) ? `U+${code} '${char}'` : `U+${code}`;
}

export function isAlphaNumeric(char: string): boolean {
  return char === "_" || (char !== "" && (isLetter(char) || isDigit(char)));
}

function isBlank(char: string | undefined): boolean {
  return char === " " || char === "\t" || char === "\r" || char === "\n";
}

export class Lexer {
  #text: string;
  #pos = 0;
  #start = 0;
  #line = 1;
  #startLine = 1;
  #insideAction = false;
  #parens = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get text(): string {
    return this.#text;
  }

  next(): Token {
    return this.#insideAction ? this.#action() : this.#outside();
  }

  #emit(type: TokenType): Token {
    const value = this.#text.slice(this.#start, this.#pos);
    const token = { type, pos: this.#start, value, line: this.#startLine };
    this.#skip();
    return token;
  }

  /** Leaves out what was read since the last token. */
  #skip(): void {
    for (let i = this.#start; i < this.#pos; i++) {
      if (this.#text.charCodeAt(i) === 10) this.#line++;
    }
    this.#start = this.#pos;
    this.#startLine = this.#line;
  }

  /** Nothing comes after an error. */
  #error(message: string): Token {
    const token: Token = {
      type: "error",
      pos: this.#start,
      value: message,
      line: this.#startLine,
    };
    this.#text = "";
    this.#pos = this.#start = 0;
    return token;
  }

  #peek(): string {
    const code = this.#text.codePointAt(this.#pos);
    return code === undefined ? "" : String.fromCodePoint(code);
  }

  #outside(): Token {
    for (;;) {
      const open = this.#text.indexOf("{{", this.#pos);
      if (open < 0) {
        this.#pos = this.#text.length;
        return this.#emit(this.#pos > this.#start ? "text" : "eof");
      }
      const trims = this.#text[open + 2] === "-" && isBlank(this.#text[open + 3]);
      let end = open;
      if (trims) { while (end > this.#pos && isBlank(this.#text[end - 1])) end--; }
      if (end > this.#pos) {
        this.#pos = end;
        const token = this.#emit("text");
        this.#pos = open;
        this.#skip();
        return token;
      }
      this.#pos = open;
      this.#skip();
      const after = open + 2 + (trims ? 2 : 0);
      if (!this.#text.startsWith("/*", after)) return this.#leftDelim(after);
      const bad = this.#comment(after);
      if (bad !== undefined) return bad;
    }
  }

  #leftDelim(after: number): Token {
    this.#pos += 2;
    const token = this.#emit("leftDelim");
    this.#insideAction = true;
    this.#parens = 0;
    this.#pos = after;
    this.#skip();
    return token;
  }

  /** Comments are not tokens. Returns the error, if there is one. */
  #comment(from: number): Token | undefined {
    this.#pos = from;
    this.#skip();
    const close = this.#text.indexOf("*/", from + 2);
    if (close < 0) return this.#error("unclosed comment");
    this.#pos = close + 2;
    const end = this.#rightDelimEnd();
    if (end < 0) return this.#error("comment ends before closing delimiter");
    this.#pos = end;
    this.#skip();
    return undefined;
  }

  #trimsRight(at: number): boolean {
    return isBlank(this.#text[at]) && this.#text[at + 1] === "-" &&
      this.#text.startsWith("}}", at + 2);
  }

  /** Where the text goes on after the right delimiter here and the blanks it trims; -1: none here. */
  #rightDelimEnd(): number {
    const trims = this.#trimsRight(this.#pos);
    if (!trims && !this.#text.startsWith("}}", this.#pos)) return -1;
    let end = this.#pos + (trims ? 4 : 2);
    if (trims) { while (isBlank(this.#text[end])) end++; }
    return end;
  }

  #rightDelim(end: number): Token {
    if (this.#trimsRight(this.#pos)) {
      this.#pos += 2;
      this.#skip();
    }
    this.#pos += 2;
    const token = this.#emit("rightDelim");
    this.#pos = end;
    this.#skip();
    this.#insideAction = false;
    return token;
  }

  #action(): Token {
    const end = this.#rightDelimEnd();
    if (end >= 0) {
      return this.#parens === 0 ? this.#rightDelim(end) : this.#error("unclosed left paren");
    }
    const char = this.#peek();
    if (char === "") return this.#error("unclosed action");
    if (isBlank(char)) return this.#space();
    if (isAlphaNumeric(char) && !(char >= "0" && char <= "9")) return this.#identifier();
    const next = this.#text.charAt(this.#pos + 1);
    if (char === "." && next !== "" && (next < "0" || next > "9")) return this.#name("field");
    if (/[-+.0-9]/.test(char)) return this.#number();
    this.#pos += char.length;
    return this.#mark(char);
  }

  #mark(char: string): Token {
    switch (char) {
      case "=":
        return this.#emit("assign");
      case ":":
        if (this.#peek() !== "=") return this.#error("expected :=");
        this.#pos++;
        return this.#emit("declare");
      case "|":
        return this.#emit("pipe");
      case '"':
        return this.#quoted('"', "string", "unterminated quoted string");
      case "'":
        return this.#quoted("'", "charConstant", "unterminated character constant");
      case "`": {
        const close = this.#text.indexOf("`", this.#pos);
        if (close < 0) return this.#error("unterminated raw quoted string");
        this.#pos = close + 1;
        return this.#emit("rawString");
      }
      case "$":
        this.#pos--;
        return this.#name("variable");
      case "(":
        this.#parens++;
        return this.#emit("leftParen");
      case ")":
        this.#parens--;
        return this.#parens < 0 ? this.#error("unexpected right paren") : this.#emit("rightParen");
    }
    if (char < "\x7f" && char >= " ") return this.#emit("char");
    return this.#error(`unrecognized character in action: ${describeChar(char)}`);
  }

  #space(): Token {
    while (isBlank(this.#text[this.#pos]) && !this.#trimsRight(this.#pos)) this.#pos++;
    return this.#emit("space");
  }

  #atTerminator(): boolean {
    const char = this.#text[this.#pos];
    if (char === undefined || isBlank(char) || ".,|:)(".includes(char)) return true;
    return this.#text.startsWith("}}", this.#pos);
  }

  #word(): void {
    for (let char = this.#peek(); isAlphaNumeric(char); char = this.#peek()) {
      this.#pos += char.length;
    }
  }

  #identifier(): Token {
    this.#word();
    if (!this.#atTerminator()) return this.#error(`bad character ${describeChar(this.#peek())}`);
    const word = this.#text.slice(this.#start, this.#pos);
    if (keywords.has(word)) return this.#emit(word as Keyword);
    return this.#emit(word === "true" || word === "false" ? "bool" : "identifier");
  }

  /** `.name` or `$name`; `.` alone is the dot, `$` alone the variable of that name. */
  #name(type: "field" | "variable"): Token {
    this.#pos++;
    if (this.#atTerminator()) return this.#emit(type === "field" ? "dot" : type);
    this.#word();
    if (!this.#atTerminator()) return this.#error(`bad character ${describeChar(this.#peek())}`);
    return this.#emit(type);
  }

  #quoted(mark: string, type: TokenType, problem: string): Token {
    for (;;) {
      const char = this.#text[this.#pos++];
      if (char === mark) return this.#emit(type);
      const escaped = char === "\\" ? this.#text[this.#pos++] : "";
      if (char === undefined || char === "\n" || escaped === undefined || escaped === "\n") {
        return this.#error(problem);
      }
    }
  }

  #number(): Token {
    let fine = this.#scanNumber();
    let type: TokenType = "number";
    const sign = this.#peek();
    if (fine && (sign === "+" || sign === "-")) {
      type = "complex";
      fine = this.#scanNumber() && this.#text[this.#pos - 1] === "i";
    }
    if (fine) return this.#emit(type);
    return this.#error(`bad number syntax: ${quote(this.#text.slice(this.#start, this.#pos))}`);
  }

  /** Not perfect, as Go's: what is not a number is found when it is read. */
  #scanNumber(): boolean {
    NUMBER.lastIndex = this.#pos;
    this.#pos += NUMBER.exec(this.#text)?.[0].length ?? 0;
    const next = this.#peek();
    if (!isAlphaNumeric(next)) return true;
    this.#pos += next.length;
    return false;
  }
}

const NUMBER = new RegExp(
  "[+-]?(?:" + [
    "0[xX][0-9a-fA-F_]*(?:\\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?",
    "0[oO][0-7_]*(?:\\.[0-7_]*)?",
    "0[bB][01_]*(?:\\.[01_]*)?",
    "[0-9_]*(?:\\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?",
  ].join("|") + ")i?",
  "y",
);

/** As error messages count: line from 1, UTF-8 bytes in the line from 0. */
export function lineAndColumn(text: string, pos: number): { line: number; column: number } {
  const before = text.slice(0, pos);
  const start = before.lastIndexOf("\n") + 1;
  const column = new TextEncoder().encode(before.slice(start)).length;
  return { line: before.split("\n").length, column };
}
