/** Tokens with three of look-ahead, as the parser needs them; what it complains with. */
import { TemplateError } from "./errors.ts";
import { describeToken, type Lexer, lineAndColumn, type Token, type TokenType } from "./lexer.ts";

/** Readers of one text (for the text itself, and for each define and block) share its lexer. */
export class TokenReader {
  readonly #name: string;
  readonly #lexer: Lexer;
  // The newest token is [0]; those pushed back are behind it.
  readonly #tokens: [Token, Token, Token];
  #peeked = 0;
  /** Where the action that is being read began; 0 outside of actions. */
  actionLine = 0;

  constructor(name: string, lexer: Lexer) {
    this.#name = name;
    this.#lexer = lexer;
    const none: Token = { type: "eof", pos: 0, value: "", line: 0 };
    this.#tokens = [none, none, none];
  }

  next(): Token {
    if (this.#peeked > 0) this.#peeked--;
    else this.#tokens[0] = this.#lexer.next();
    return this.#tokens[this.#peeked] ?? this.#tokens[0];
  }

  peek(): Token {
    if (this.#peeked === 0) {
      this.#tokens[0] = this.#lexer.next();
      this.#peeked = 1;
    }
    return this.#tokens[this.#peeked - 1] ?? this.#tokens[0];
  }

  /** Unreads the last token. */
  back(): void {
    this.#peeked++;
  }

  /** Unreads the newest token and what came before it, the last first. */
  backTo(...before: readonly [Token] | readonly [Token, Token]): void {
    before.forEach((token, i) => this.#tokens[i + 1] = token);
    this.#peeked = before.length + 1;
  }

  nextNonSpace(): Token {
    let token = this.next();
    while (token.type === "space") token = this.next();
    return token;
  }

  peekNonSpace(): Token {
    const token = this.nextNonSpace();
    this.back();
    return token;
  }

  expect(type: TokenType, context: string): Token {
    const token = this.nextNonSpace();
    if (token.type !== type) this.unexpected(token, context);
    return token;
  }

  /** Errors carry the line of the newest token; where that begins, Go's text does not say. */
  fail(reason: string, limit?: "nesting"): never {
    const { line, pos } = this.#tokens[0];
    const message = `template: ${this.#name}:${line}: ${reason}`;
    const { column } = lineAndColumn(this.#lexer.text, pos);
    throw new TemplateError("parse", message, { key: this.#name, reason, line, column, limit });
  }

  unexpected(token: Token, context: string): never {
    if (token.type !== "error") this.fail(`unexpected ${describeToken(token)} in ${context}`);
    let extra = "";
    if (this.actionLine !== 0 && this.actionLine !== token.line) {
      extra = ` in action started at ${this.#name}:${this.actionLine}`;
      if (token.value.endsWith(" action")) extra = extra.slice(" in action".length);
    }
    this.fail(token.value + extra);
  }
}
