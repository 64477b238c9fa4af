/** Builds trees from tokens, by recursive descent. Every recursion is counted against the nesting limit. */
import { TemplateError, type TemplateLimits } from "./errors.ts";
import { Lexer, type Token, type TokenType } from "./lexer.ts";
import {
  type BranchNode,
  type CommandNode,
  nodeText,
  type Operand,
  type PipeNode,
  type Statement,
  type Tree,
  type VariableNode,
} from "./node.ts";
import { numberNode } from "./number_node.ts";
import { quote, SyntaxFault, unquote } from "./quote.ts";
import { TokenReader } from "./token_reader.ts";
import { isSpace } from "./unicode.ts";
import { byteLength, fromOutside } from "./utf8.ts";

export interface Parsed {
  readonly text: string;
  readonly trees: ReadonlyMap<string, Tree>;
}

export interface ParseOptions {
  readonly limits: TemplateLimits;
  readonly isFunction: (name: string) => boolean;
}

/** What the parsers of one text (its own, and one for each define and block) have in common. */
interface Shared extends ParseOptions {
  readonly name: string;
  readonly lexer: Lexer;
  readonly trees: Map<string, Tree>;
  nesting: number;
}

/** What ends a list of statements. */
type End = { readonly type: "end" | "else"; readonly pos: number };

function isEnd(node: Statement | End): node is End {
  return node.type === "end" || node.type === "else";
}

export function parseTrees(name: string, source: string, options: ParseOptions): Parsed {
  const text = fromOutside(source);
  const trees = new Map<string, Tree>();
  const size = byteLength(text);
  if (size > options.limits.templateBytes) {
    const reason =
      `template of ${size} bytes exceeds the maximum (${options.limits.templateBytes})`;
    const at = { key: name, reason, line: 1, limit: "template" } as const;
    throw new TemplateError("parse", `template: ${name}:1: ${reason}`, at);
  }
  const shared = { ...options, name, lexer: new Lexer(text), trees, nesting: 0 };
  new Parser(shared).main(name);
  return { text, trees };
}

/** Whether nothing but blanks is in it. */
function isBlankList(nodes: readonly Statement[]): boolean {
  return nodes.every((node) => node.type === "text" && [...node.text].every(isSpace));
}

class Parser {
  readonly #shared: Shared;
  readonly #tokens: TokenReader;
  #vars = ["$"];
  #ranges = 0;

  constructor(shared: Shared) {
    this.#shared = shared;
    this.#tokens = new TokenReader(shared.name, shared.lexer);
  }

  #fail(reason: string, limit?: "nesting"): never {
    this.#tokens.fail(reason, limit);
  }

  #nested<T>(parse: () => T): T {
    const { limits } = this.#shared;
    if (++this.#shared.nesting > limits.nesting) {
      this.#fail(`exceeded maximum nesting (${limits.nesting})`, "nesting");
    }
    const result = parse();
    this.#shared.nesting--;
    return result;
  }

  /** Runs what may throw SyntaxFault. */
  #literal<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof SyntaxFault) this.#fail(error.message);
      throw error;
    }
  }

  main(name: string): void {
    const root: Statement[] = [];
    while (this.#tokens.peek().type !== "eof") {
      if (this.#tokens.peek().type === "leftDelim") {
        const delim = this.#tokens.next();
        if (this.#tokens.nextNonSpace().type === "define") {
          new Parser(this.#shared).#definition();
          continue;
        }
        this.#tokens.backTo(delim);
      }
      const node = this.#textOrAction();
      if (isEnd(node)) return this.#fail(`unexpected {{${node.type}}}`);
      root.push(node);
    }
    this.#add({ name, root });
  }

  #definition(): void {
    const token = this.#tokens.nextNonSpace();
    const name = this.#templateName(token, "define clause");
    this.#tokens.expect("rightDelim", "define clause");
    this.#body(name, "define clause");
  }

  #body(name: string, context: string): void {
    const { list, end } = this.#nested(() => this.#itemList());
    if (end.type !== "end") this.#fail(`unexpected {{${end.type}}} in ${context}`);
    this.#add({ name, root: list });
  }

  #add(tree: Tree): void {
    const { trees } = this.#shared;
    const old = trees.get(tree.name);
    if (old === undefined || isBlankList(old.root)) trees.set(tree.name, tree);
    else if (!isBlankList(tree.root)) {
      this.#fail(`template: multiple definition of template ${quote(tree.name)}`);
    }
  }

  #itemList(): { list: Statement[]; end: End } {
    const list: Statement[] = [];
    while (this.#tokens.peekNonSpace().type !== "eof") {
      const node = this.#textOrAction();
      if (isEnd(node)) return { list, end: node };
      list.push(node);
    }
    this.#fail("unexpected EOF");
  }

  #textOrAction(): Statement | End {
    const token = this.#tokens.nextNonSpace();
    if (token.type === "text") return { type: "text", pos: token.pos, text: token.value };
    if (token.type !== "leftDelim") this.#tokens.unexpected(token, "input");
    this.#tokens.actionLine = token.line;
    const node = this.#action();
    this.#tokens.actionLine = 0;
    return node;
  }

  #action(): Statement | End {
    const token = this.#tokens.nextNonSpace();
    switch (token.type) {
      case "block":
        return this.#block();
      case "break":
      case "continue":
        return this.#jump(token.type, token.pos);
      case "else":
        return this.#else();
      case "end":
        return { type: "end", pos: this.#tokens.expect("rightDelim", "end").pos };
      case "if":
      case "range":
      case "with":
        return this.#branch(token.type);
      case "template":
        return this.#template();
    }
    this.#tokens.back();
    const { pos } = this.#tokens.peek();
    return { type: "action", pos, pipe: this.#pipeline("command", "rightDelim") };
  }

  #jump(type: "break" | "continue", pos: number): Statement {
    const token = this.#tokens.nextNonSpace();
    if (token.type !== "rightDelim") this.#tokens.unexpected(token, `{{${type}}}`);
    if (this.#ranges === 0) this.#fail(`{{${type}}} outside {{range}}`);
    return { type, pos };
  }

  #else(): End {
    const token = this.#tokens.peekNonSpace();
    if (token.type === "if" || token.type === "with") return { type: "else", pos: token.pos };
    return { type: "else", pos: this.#tokens.expect("rightDelim", "else").pos };
  }

  #branch(type: BranchNode["type"]): BranchNode {
    return this.#nested(() => {
      const vars = this.#vars.length;
      const pipe = this.#pipeline(type, "rightDelim");
      if (type === "range") this.#ranges++;
      const { list, end } = this.#itemList();
      if (type === "range") this.#ranges--;
      const elseList = end.type === "else" ? this.#elseList(type) : undefined;
      this.#vars.length = vars;
      return { type, pos: pipe.pos, pipe, list, elseList };
    });
  }

  /** "else if" and "else with" are the same word in an else, whose end is this one's. */
  #elseList(type: BranchNode["type"]): readonly Statement[] {
    if (type !== "range" && this.#tokens.peek().type === type) {
      this.#tokens.next();
      return [this.#branch(type)];
    }
    const { list, end } = this.#itemList();
    if (end.type !== "end") this.#fail(`expected end; found {{${end.type}}}`);
    return list;
  }

  #block(): Statement {
    const token = this.#tokens.nextNonSpace();
    const name = this.#templateName(token, "block clause");
    const pipe = this.#pipeline("block clause", "rightDelim");
    new Parser(this.#shared).#body(name, "block clause");
    return { type: "template", pos: token.pos, name, pipe };
  }

  #template(): Statement {
    const token = this.#tokens.nextNonSpace();
    const name = this.#templateName(token, "template clause");
    let pipe: PipeNode | undefined;
    if (this.#tokens.nextNonSpace().type !== "rightDelim") {
      this.#tokens.back();
      pipe = this.#pipeline("template clause", "rightDelim");
    }
    return { type: "template", pos: token.pos, name, pipe };
  }

  #templateName(token: Token, context: string): string {
    if (token.type !== "string" && token.type !== "rawString") {
      this.#tokens.unexpected(token, context);
    }
    return this.#literal(() => unquote(token.value));
  }

  #pipeline(context: string, end: TokenType): PipeNode {
    const { pos } = this.#tokens.peekNonSpace();
    const decl: VariableNode[] = [];
    const isAssign = this.#declarations(decl, context);
    const cmds: CommandNode[] = [];
    for (;;) {
      const token = this.#tokens.nextNonSpace();
      if (token.type === end) break;
      if (!OPERANDS.has(token.type)) this.#tokens.unexpected(token, context);
      this.#tokens.back();
      cmds.push(this.#command());
    }
    if (cmds.length === 0) this.#fail(`missing value for ${context}`);
    cmds.forEach((command, stage) => {
      if (stage > 0 && CONSTANTS.has(command.args[0]?.type ?? "")) {
        this.#fail(`non executable command in pipeline stage ${stage + 1}`);
      }
    });
    return { type: "pipe", pos, isAssign, decl, cmds };
  }

  /** `$x :=`, `$x =`, and in range `$i, $x :=`. Returns whether it assigns. */
  #declarations(decl: VariableNode[], context: string): boolean {
    for (;;) {
      const variable = this.#tokens.peekNonSpace();
      if (variable.type !== "variable") return false;
      this.#tokens.next();
      // "$x foo" must be told from "$x :=": look past the blank, and give all of it back.
      const after = this.#tokens.peek();
      const next = this.#tokens.peekNonSpace();
      const comma = next.type === "char" && next.value === ",";
      if (next.type === "assign" || next.type === "declare" || comma) {
        this.#tokens.nextNonSpace();
        decl.push({ type: "variable", pos: variable.pos, ident: variable.value.split(".") });
        this.#vars.push(variable.value);
        if (!comma) return next.type === "assign";
        if (context !== "range" || decl.length >= 2) {
          this.#fail(`too many declarations in ${context}`);
        }
        if (!AFTER_COMMA.has(this.#tokens.peekNonSpace().type)) {
          this.#fail("range can only initialize variables");
        }
        continue;
      }
      if (after.type === "space") this.#tokens.backTo(after, variable);
      else this.#tokens.backTo(variable);
      return false;
    }
  }

  #command(): CommandNode {
    const { pos } = this.#tokens.peekNonSpace();
    const args: Operand[] = [];
    for (;;) {
      this.#tokens.peekNonSpace();
      const operand = this.#operand();
      if (operand !== undefined) args.push(operand);
      const token = this.#tokens.next();
      if (token.type === "space") continue;
      if (token.type === "rightDelim" || token.type === "rightParen") this.#tokens.back();
      else if (token.type !== "pipe") this.#tokens.unexpected(token, "operand");
      break;
    }
    if (args.length === 0) this.#fail("empty command");
    return { type: "command", pos, args };
  }

  #operand(): Operand | undefined {
    const node = this.#term();
    if (node === undefined || this.#tokens.peek().type !== "field") return node;
    const { pos } = this.#tokens.peek();
    const fields: string[] = [];
    while (this.#tokens.peek().type === "field") fields.push(this.#tokens.next().value.slice(1));
    switch (node.type) {
      case "field":
      case "variable":
        return { type: node.type, pos, ident: [...node.ident, ...fields] };
      case "bool":
      case "string":
      case "number":
      case "nil":
      case "dot":
        return this.#fail(`unexpected . after term ${quote(nodeText(node))}`);
      default:
        return { type: "chain", pos, node, fields };
    }
  }

  #term(): Operand | undefined {
    const token = this.#tokens.nextNonSpace();
    const { pos, value } = token;
    switch (token.type) {
      case "identifier":
        if (!this.#shared.isFunction(value)) this.#fail(`function ${quote(value)} not defined`);
        return { type: "identifier", pos, ident: value };
      case "dot":
      case "nil":
        return { type: token.type, pos };
      case "variable":
        if (!this.#vars.includes(value)) this.#fail(`undefined variable ${quote(value)}`);
        return { type: "variable", pos, ident: [value] };
      case "field":
        return { type: "field", pos, ident: [value.slice(1)] };
      case "bool":
        return { type: "bool", pos, value: value === "true" };
      case "charConstant":
      case "complex":
      case "number":
        return this.#literal(() => numberNode(pos, value, token.type));
      case "leftParen":
        return this.#nested(() => this.#pipeline("parenthesized pipeline", "rightParen"));
      case "string":
      case "rawString":
        return { type: "string", pos, quoted: value, text: this.#literal(() => unquote(value)) };
    }
    this.#tokens.back();
    return undefined;
  }
}

const CONSTANTS: ReadonlySet<string> = new Set(["bool", "dot", "nil", "number", "string"]);
const AFTER_COMMA: ReadonlySet<TokenType> = new Set(["variable", "rightDelim", "rightParen"]);
const OPERANDS: ReadonlySet<TokenType> = new Set([
  "bool",
  "charConstant",
  "complex",
  "dot",
  "field",
  "identifier",
  "number",
  "nil",
  "rawString",
  "string",
  "variable",
  "leftParen",
]);
