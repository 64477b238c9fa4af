/**
 * A small lexer for TypeScript: enough to find imports, calls and function bodies without being
 * fooled by comments, strings, templates or regular expressions. It does not parse types or check
 * syntax; the compiler does.
 */

export type TokenKind = "word" | "punct" | "string" | "template" | "regex" | "number" | "comment";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** 1-based line of the token's first character. */
  readonly line: number;
}

const LONG_PUNCTUATORS = ["!==", "===", "...", "=>", "!=", "==", "?.", "??", "&&", "||"];

const KEYWORDS_BEFORE_EXPRESSION = new Set(
  "return typeof instanceof in of new delete void throw case do else yield await as extends"
    .split(" "),
);

/** Splits `source` into tokens, comments included, white space left out. */
export function tokenize(source: string): Token[] {
  return new Lexer(source).run();
}

/** True when a value ends at `token`: what follows is an operator, not an operand. */
export function endsExpression(token: Token | undefined): boolean {
  if (token === undefined) return false;
  if (token.kind === "punct") return [")", "]", "}"].includes(token.text);
  if (token.kind === "word") return !KEYWORDS_BEFORE_EXPRESSION.has(token.text);
  return token.kind !== "comment";
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  /** Depth of `{` inside each open `${`; empty outside of templates. */
  readonly #templates: number[] = [];
  #at = 0;
  #line = 1;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    while (this.#at < this.#source.length) this.#step();
    return this.#tokens;
  }

  #step(): void {
    const char = this.#source[this.#at] as string;
    const rest = this.#source.slice(this.#at, this.#at + 3);
    if (/\s/.test(char)) return this.#skip(1);
    if (this.#at === 0 && rest.startsWith("#!")) return this.#emit("comment", this.#lineEnd());
    if (rest.startsWith("//")) return this.#emit("comment", this.#lineEnd());
    if (rest.startsWith("/*")) return this.#emit("comment", this.#after("*/"));
    if (char === '"' || char === "'") return this.#emit("string", this.#quoted(char));
    if (char === "`") return this.#template();
    if (char === "/" && !endsExpression(this.#previous())) {
      return this.#emit("regex", this.#regex());
    }
    const word = /^#?[\p{L}\p{N}_$]+/u.exec(this.#source.slice(this.#at, this.#at + 200))?.[0];
    if (word !== undefined) {
      return this.#emit(/^\d/.test(word) ? "number" : "word", this.#at + word.length);
    }
    const long = LONG_PUNCTUATORS.find((text) => rest.startsWith(text));
    this.#braces(char);
    if (char === "}" && this.#templates.at(-1) === -1) {
      this.#templates.pop();
      return this.#template();
    }
    this.#emit("punct", this.#at + (long ?? char).length);
  }

  #braces(char: string): void {
    const depth = this.#templates.at(-1);
    if (depth === undefined) return;
    if (char === "{") this.#templates[this.#templates.length - 1] = depth + 1;
    if (char === "}") this.#templates[this.#templates.length - 1] = depth - 1;
  }

  /** From a back quote, or from the `}` of a substitution, to the next `${` or the closing quote. */
  #template(): void {
    let at = this.#at + 1;
    while (at < this.#source.length && this.#source[at] !== "`") {
      if (this.#source.startsWith("${", at)) {
        this.#templates.push(0);
        return this.#emit("template", at + 2);
      }
      at += this.#source[at] === "\\" ? 2 : 1;
    }
    this.#emit("template", at + 1);
  }

  #quoted(quote: string): number {
    let at = this.#at + 1;
    while (at < this.#source.length && this.#source[at] !== quote) {
      at += this.#source[at] === "\\" ? 2 : 1;
    }
    return at + 1;
  }

  #regex(): number {
    let at = this.#at + 1;
    let inClass = false;
    while (at < this.#source.length && (inClass || this.#source[at] !== "/")) {
      if (this.#source[at] === "[") inClass = true;
      if (this.#source[at] === "]") inClass = false;
      at += this.#source[at] === "\\" ? 2 : 1;
    }
    return at + 1 + (/^[a-z]*/.exec(this.#source.slice(at + 1))?.[0].length ?? 0);
  }

  #lineEnd(): number {
    const end = this.#source.indexOf("\n", this.#at);
    return end < 0 ? this.#source.length : end;
  }

  #after(text: string): number {
    const end = this.#source.indexOf(text, this.#at + 2);
    return end < 0 ? this.#source.length : end + text.length;
  }

  #previous(): Token | undefined {
    return this.#tokens.findLast((token) => token.kind !== "comment");
  }

  #skip(length: number): void {
    if (this.#source[this.#at] === "\n") this.#line++;
    this.#at += length;
  }

  #emit(kind: TokenKind, end: number): void {
    const text = this.#source.slice(this.#at, end);
    this.#tokens.push({ kind, text, line: this.#line });
    this.#line += text.split("\n").length - 1;
    this.#at = end;
  }
}

export interface ImportSite {
  /** Undefined when it is computed at run time. */
  readonly specifier: string | undefined;
  readonly line: number;
}

/** All module specifiers of a file: static, re-exported, type-only, dynamic, `import("x").T`. */
export function importsOf(tokens: readonly Token[]): ImportSite[] {
  const code = tokens.filter((token) => token.kind !== "comment");
  const sites: ImportSite[] = [];
  code.forEach((token, index) => {
    const next = code[index + 1];
    if (token.kind !== "word" || next === undefined || code[index - 1]?.text === ".") return;
    if ((token.text === "from" || token.text === "import") && next.kind === "string") {
      sites.push({ specifier: next.text.slice(1, -1), line: token.line });
    }
    if ((token.text === "import" || token.text === "require") && next.text === "(") {
      const argument = code[index + 2];
      const literal = argument?.kind === "string" || /^`[^$]*`$/.test(argument?.text ?? "");
      sites.push({
        specifier: literal ? argument?.text.slice(1, -1) : undefined,
        line: token.line,
      });
    }
  });
  return sites;
}

export interface FunctionSite {
  readonly name: string;
  readonly line: number;
  /** Lines of the body, from the one of `{` to the one of `}`. */
  readonly lines: number;
}

const NOT_A_PARAMETER_LIST = new Set(["if", "for", "while", "switch", "catch", "with", "await"]);

/** Functions, methods, accessors and arrows that have a block body. */
export function functionsOf(tokens: readonly Token[]): FunctionSite[] {
  const code = tokens.filter((token) => token.kind !== "comment");
  const closers = matchBrackets(code);
  const found: FunctionSite[] = [];
  const add = (name: string, open: number) => {
    const first = code[open] as Token;
    const last = code[closers.get(open) ?? open] as Token;
    found.push({ name, line: first.line, lines: last.line - first.line + 1 });
  };
  code.forEach((token, index) => {
    if (token.text === "=>" && code[index + 1]?.text === "{") add("=>", index + 1);
    if (token.text !== "(" || token.kind !== "punct") return;
    const before = code[index - 1];
    if (before !== undefined && NOT_A_PARAMETER_LIST.has(before.text)) return;
    const body = bodyAfter(code, (closers.get(index) ?? index) + 1, closers);
    if (body !== undefined) add(before?.text ?? "", body);
  });
  return found;
}

/** Index of the `{` that opens the body of the function whose parameters end before `start`. */
function bodyAfter(
  code: readonly Token[],
  start: number,
  closers: ReadonlyMap<number, number>,
): number | undefined {
  if (code[start]?.text === "{") return start;
  if (code[start]?.text !== ":") return undefined;
  for (let at = start + 1, inType = true; at < code.length; at++) {
    const text = (code[at] as Token).text;
    if (code[at]?.kind === "punct" && /^[;,)\]}=]$|^=>$/.test(text)) return undefined;
    if (text === "{" && !inType) return at;
    const closer = closers.get(at);
    if (closer !== undefined) at = closer;
    // After these a `{` starts an object type; after anything else it starts the body.
    inType = /^(\||&|<|\?|:|keyof|readonly|is|extends)$/.test(text);
  }
  return undefined;
}

function matchBrackets(code: readonly Token[]): Map<number, number> {
  const closers = new Map<number, number>();
  const open: number[] = [];
  code.forEach((token, index) => {
    if (token.kind === "template") {
      // `}...${` closes one substitution and opens the next.
      if (token.text.startsWith("}")) closers.set(open.pop() ?? 0, index);
      if (token.text.endsWith("${")) open.push(index);
    }
    if (token.kind !== "punct") return;
    if ("([{".includes(token.text)) open.push(index);
    if (")]}".includes(token.text)) closers.set(open.pop() ?? 0, index);
  });
  return closers;
}
