/** Walks a template's statements and writes its output. A loop with its own stack: no depth of
 * templates and blocks can overflow JavaScript's. */
import { Budget, LimitError, type TemplateLimits } from "./errors.ts";
import { Evaluator, type MissingKey } from "./evaluate.ts";
import type { CallContext } from "./function.ts";
import type { BranchNode, Node, Statement, TemplateNode, Tree } from "./node.ts";
import { sprint, sprintf } from "./print.ts";
import { quote } from "./quote.ts";
import type { RegexCache } from "./regex.ts";
import { byteLength, sortStrings, toOutside } from "./utf8.ts";
import {
  entriesOf,
  type GoMap,
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
} from "./value.ts";

/** The rest of a list of statements, and what to put back when it is done. */
interface Frame {
  readonly list: readonly Statement[];
  at: number;
  readonly kind: "block" | "range" | "template";
  readonly marks: number;
  readonly dot: GoValue;
  readonly dotIsInterface: boolean;
  /** Ranges: makes the next element current, false when there is none. */
  readonly advance?: (frame: Frame) => boolean;
  /** Templates: the caller's. */
  readonly vars?: Evaluator["vars"];
  readonly tree?: Tree;
}

export class Execution {
  readonly #trees: ReadonlyMap<string, Tree>;
  readonly #limits: TemplateLimits;
  readonly #eval: Evaluator;
  readonly #frames: Frame[] = [];
  #tree: Tree;
  #depth = 0;
  #out = "";

  constructor(
    trees: ReadonlyMap<string, Tree>,
    main: Tree,
    options: { limits: TemplateLimits; missingKey: MissingKey; regexes: RegexCache },
  ) {
    const budget = new Budget(options.limits);
    const context: CallContext = { budget, regexes: options.regexes };
    this.#trees = trees;
    this.#tree = main;
    this.#limits = options.limits;
    this.#eval = new Evaluator(context, options.missingKey);
  }

  get budget(): Budget {
    return this.#eval.budget;
  }

  /** Where an error happened. */
  get place(): { node: Node | undefined; tree: Tree } {
    return { node: this.#eval.node, tree: this.#tree };
  }

  run(data: GoValue): string {
    const evaluator = this.#eval;
    evaluator.dot = data;
    evaluator.push("$", data, false);
    this.#enter(this.#tree.root, "block");
    for (let frame = this.#frames.at(-1); frame !== undefined; frame = this.#frames.at(-1)) {
      const node = frame.list[frame.at++];
      if (node !== undefined) this.#statement(node);
      else if (frame.advance === undefined || !frame.advance(frame)) this.#leave();
    }
    return this.#finished();
  }

  #finished(): string {
    const { outputBytes } = this.#limits;
    if (this.#out.length * 3 > outputBytes && byteLength(this.#out) > outputBytes) {
      throw this.#tooLong();
    }
    return toOutside(this.#out);
  }

  #tooLong(): LimitError {
    return new LimitError("output", `exceeded maximum output (${this.#limits.outputBytes} bytes)`);
  }

  #write(text: string): void {
    this.#out += text;
    if (this.#out.length > this.#limits.outputBytes) throw this.#tooLong();
  }

  #enter(list: readonly Statement[], kind: Frame["kind"], extra: Partial<Frame> = {}): void {
    const { dot, dotIsInterface, vars } = this.#eval;
    this.#frames.push({ list, at: 0, kind, marks: vars.length, dot, dotIsInterface, ...extra });
  }

  #leave(): void {
    const frame = this.#frames.pop();
    if (frame === undefined) return;
    const evaluator = this.#eval;
    if (frame.kind === "template") {
      this.#depth--;
      this.#tree = frame.tree ?? this.#tree;
      evaluator.vars = frame.vars ?? evaluator.vars;
    }
    evaluator.vars.length = frame.marks;
    evaluator.dot = frame.dot;
    evaluator.dotIsInterface = frame.dotIsInterface;
  }

  #statement(node: Statement): void {
    const evaluator = this.#eval;
    evaluator.node = node;
    evaluator.budget.steps(1);
    switch (node.type) {
      case "text":
        this.#write(node.text);
        return;
      case "action": {
        const value = evaluator.pipeline(node.pipe);
        if (node.pipe.decl.length > 0) return;
        evaluator.node = node;
        if (typeof value === "string") this.#write(value);
        else if (value === undefined) this.#write("<no value>");
        else this.#write(sprint([value], evaluator.budget));
        return;
      }
      case "if":
      case "with":
        this.#branch(node);
        return;
      case "range":
        this.#range(node);
        return;
      case "template":
        this.#template(node);
        return;
      default:
        this.#jump(node.type);
    }
  }

  #jump(type: "break" | "continue"): void {
    while (this.#frames.at(-1)?.kind === "block") this.#leave();
    const range = this.#frames.at(-1);
    if (type === "break") this.#leave();
    else if (range !== undefined) range.at = range.list.length;
  }

  #branch(node: BranchNode): void {
    const evaluator = this.#eval;
    const marks = evaluator.vars.length;
    const value = evaluator.pipeline(node.pipe);
    const holds = isTrue(value);
    const list = holds ? node.list : node.elseList;
    if (list === undefined) {
      evaluator.vars.length = marks;
      return;
    }
    this.#enter(list, "block", { marks });
    if (!holds || node.type === "if") return;
    evaluator.dot = value;
    evaluator.dotIsInterface = false;
  }

  #template(node: TemplateNode): void {
    const evaluator = this.#eval;
    const tree = this.#trees.get(node.name);
    if (tree === undefined) return evaluator.fail(`template ${quote(node.name)} not defined`);
    if (this.#depth === this.#limits.depth) {
      throw new LimitError("depth", `exceeded maximum template depth (${this.#limits.depth})`);
    }
    const dot = node.pipe === undefined ? undefined : evaluator.pipeline(node.pipe);
    this.#enter(tree.root, "template", { vars: evaluator.vars, tree: this.#tree });
    this.#depth++;
    this.#tree = tree;
    // A template inherits no variables.
    evaluator.vars = [{ name: "$", value: dot, isInterface: false }];
    evaluator.dot = dot;
    evaluator.dotIsInterface = false;
  }

  #range(node: BranchNode): void {
    const evaluator = this.#eval;
    const marks = evaluator.vars.length;
    const value = evaluator.pipeline(node.pipe);
    const next = this.#elements(node, value);
    const inner = evaluator.vars.length;
    const { dot, dotIsInterface } = evaluator;
    if (!next()) {
      // The variables that range declared are still there in its else.
      if (node.elseList === undefined) evaluator.vars.length = marks;
      else this.#enter(node.elseList, "block", { marks });
      return;
    }
    const advance = (frame: Frame) => {
      evaluator.vars.length = inner;
      if (!next()) return false;
      frame.at = 0;
      return true;
    };
    this.#enter(node.list, "range", { marks, dot, dotIsInterface, advance });
  }

  /** One call an element: sets dot and the variables; false at the end. */
  #elements(node: BranchNode, value: GoValue): () => boolean {
    const items = itemsOf(value);
    if (items !== undefined) {
      const isInterface = !(value instanceof Slice) || value.element === "any";
      let at = 0;
      return () => {
        if (at >= items.length) return false;
        this.#iterate(node, int(at), items[at++] ?? null, isInterface);
        return true;
      };
    }
    const entries = entriesOf(value);
    if (entries !== undefined) return this.#entries(node, value, entries);
    if (value === undefined) return () => false;
    const kind = kindOf(value);
    if (!isIntKind(kind) && !isUintKind(kind)) {
      this.#eval.fail(`range can't iterate over ${sprintf("%v", [value], this.budget)}`);
    }
    if (node.pipe.decl.length > 1) {
      this.#eval.fail(`can't use ${intOf(value)} to iterate over more than one variable`);
    }
    return this.#counting(node, value);
  }

  #entries(node: BranchNode, value: GoValue, entries: GoMap): () => boolean {
    const keys = sortStrings(Object.keys(entries));
    this.budget.memory(keys.length * 8);
    this.budget.steps(keys.length * 2);
    const isInterface = !(value instanceof TypedMap) || value.element === "any";
    let at = 0;
    return () => {
      const key = keys[at++];
      if (key === undefined) return false;
      this.#iterate(node, key, entries[key] ?? null, isInterface);
      return true;
    };
  }

  #counting(node: BranchNode, value: GoValue): () => boolean {
    const end = intOf(value);
    let count = 0;
    return () => {
      if (count >= end) return false;
      const number = value instanceof Int ? new Int(value.kind, count) : count;
      count++;
      this.#iterate(node, undefined, number, false);
      return true;
    };
  }

  #iterate(node: BranchNode, index: GoValue, element: GoValue, isInterface: boolean): void {
    const evaluator = this.#eval;
    const { decl, isAssign } = node.pipe;
    evaluator.budget.steps(1);
    if (decl.length > 0) {
      const [first = "", second = ""] = decl.map((variable) => variable.ident[0] ?? "");
      if (isAssign) {
        if (decl.length > 1) evaluator.assign(first, index, false);
        else evaluator.assign(first, element, isInterface);
        if (decl.length > 1) evaluator.assign(second, element, isInterface);
      } else this.#setTop(decl.length, { index, element, isInterface });
    }
    evaluator.dot = element;
    evaluator.dotIsInterface = isInterface;
  }

  /** The variables that the range declared are on top. */
  #setTop(
    count: number,
    { index, element, isInterface }: { index: GoValue; element: GoValue; isInterface: boolean },
  ): void {
    const { vars } = this.#eval;
    const last = vars.at(-1);
    if (last !== undefined) {
      last.value = element;
      last.isInterface = isInterface;
    }
    const before = count > 1 ? vars.at(-2) : undefined;
    if (before !== undefined) {
      before.value = index;
      before.isInterface = false;
    }
  }
}
