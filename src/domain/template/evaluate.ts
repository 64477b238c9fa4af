/** Evaluates pipelines and operands: the half of Go's text/template/exec.go that has no output. */
import { type Budget, CallError } from "./errors.ts";
import {
  argumentOf,
  type Maybe,
  MISSING,
  notCallable,
  numberConstant,
  readingCost,
  validated,
} from "./arguments.ts";
import type { CallContext, FunctionDef, Param } from "./function.ts";
import { FUNCTIONS } from "./functions.ts";
import { InterfaceIndex } from "./functions_core.ts";
import {
  type ChainNode,
  type CommandNode,
  type IdentifierNode,
  type Node,
  nodeText,
  type Operand,
  type PipeNode,
} from "./node.ts";
import { quote } from "./quote.ts";
import { Version } from "./semver.ts";
import { type GoValue, isPlainMap, isTrue, TypedMap, typeName } from "./value.ts";
import { isVersionField, versionMethod } from "./version_methods.ts";

export type MissingKey = "default" | "zero" | "error";

/** A failure at the node that the evaluator is on; position and context are added outside. */
export class ExecFault extends Error {}

interface Variable {
  readonly name: string;
  value: GoValue;
  /** Whether its static type is interface {}: what fields and elements have. */
  isInterface: boolean;
}

export class Evaluator {
  readonly budget: Budget;
  readonly #context: CallContext;
  readonly #missingKey: MissingKey;
  /** Where we are: what an error is reported at. */
  node: Node | undefined;
  /** Whether the value evaluated last has the static type interface {}. */
  isInterface = false;
  dot: GoValue;
  dotIsInterface = false;
  vars: Variable[] = [];

  constructor(context: CallContext, missingKey: MissingKey) {
    this.budget = context.budget;
    this.#context = context;
    this.#missingKey = missingKey;
  }

  fail(message: string): never {
    throw new ExecFault(message);
  }

  push(name: string, value: GoValue, isInterface: boolean): void {
    this.vars.push({ name, value, isInterface });
  }

  #variable(name: string): Variable {
    for (let i = this.vars.length - 1; i >= 0; i--) {
      const variable = this.vars[i];
      if (variable !== undefined && variable.name === name) return variable;
    }
    this.fail(`undefined variable: ${name}`);
  }

  assign(name: string, value: GoValue, isInterface: boolean): void {
    const variable = this.#variable(name);
    variable.value = value;
    variable.isInterface = isInterface;
  }

  /** The value, out of the interface that it may be in: null never comes out, and isInterface is false. */
  pipeline(pipe: PipeNode): GoValue {
    this.node = pipe;
    this.budget.steps(1);
    let value: Maybe = MISSING;
    const { cmds, decl } = pipe;
    for (let i = 0; i < cmds.length; i++) {
      const result = this.#command(cmds[i] as CommandNode, value);
      value = result === null ? undefined : result;
    }
    const result = value === MISSING ? undefined : value as GoValue;
    for (const variable of decl) {
      const name = variable.ident[0] ?? "";
      if (pipe.isAssign) this.assign(name, result, false);
      else this.push(name, result, false);
    }
    this.isInterface = false;
    return result;
  }

  #command(command: CommandNode, final: Maybe): GoValue {
    const first = command.args[0] as Operand;
    switch (first.type) {
      case "field":
        this.node = first;
        this.isInterface = this.dotIsInterface;
        return this.#fields(this.dot, first, { ident: first.ident, from: 0, command, final });
      case "chain":
        return this.#chain(first, command, final);
      case "identifier":
        return this.#function(first, command, { args: command.args, final });
      case "pipe":
        this.#takesNothing(command, final);
        return this.pipeline(first);
      case "variable":
        this.node = first;
        return this.#variableNode(first.ident, { node: first, command, final });
    }
    this.node = first;
    this.#takesNothing(command, final);
    if (first.type === "nil") this.fail("nil is not a command");
    return this.#constant(first);
  }

  #takesNothing(command: CommandNode | undefined, final: Maybe): void {
    if ((command?.args.length ?? 0) > 1 || final !== MISSING) {
      const first = command?.args[0];
      this.fail(
        `can't give argument to non-function ${first === undefined ? "" : nodeText(first)}`,
      );
    }
  }

  /** Dot, and literals with the type that their spelling gives them. */
  #constant(node: Operand): GoValue {
    this.isInterface = false;
    switch (node.type) {
      case "dot":
        this.isInterface = this.dotIsInterface;
        return this.dot;
      case "bool":
        return node.value;
      case "string":
        return node.text;
      case "number":
        this.node = node;
        return numberConstant(node) ?? this.fail(`${node.text} overflows int`);
    }
    return undefined;
  }

  #variableNode(
    ident: readonly string[],
    { node, command, final }: { node: Node; command?: CommandNode | undefined; final: Maybe },
  ): GoValue {
    const variable = this.#variable(ident[0] ?? "");
    this.isInterface = variable.isInterface;
    if (ident.length > 1) {
      return this.#fields(variable.value, node, { ident, from: 1, command, final });
    }
    this.#takesNothing(command, final);
    return variable.value;
  }

  #chain(chain: ChainNode, command: CommandNode | undefined, final: Maybe): GoValue {
    this.node = chain;
    if (chain.node.type === "nil") {
      this.fail(`indirection through explicit nil in ${nodeText(chain)}`);
    }
    const receiver = this.#operand(chain.node);
    return this.#fields(receiver, chain, { ident: chain.fields, from: 0, command, final });
  }

  /** What a chain starts with: a pipeline in parentheses or a function. */
  #operand(node: Operand): GoValue {
    this.node = node;
    return node.type === "pipe" ? this.pipeline(node) : this.#value(node);
  }

  #fields(receiver: GoValue, node: Node, { ident, from, command, final }: {
    ident: readonly string[];
    from: number;
    command: CommandNode | undefined;
    final: Maybe;
  }): GoValue {
    let value = receiver;
    const last = ident.length - 1;
    this.budget.steps(ident.length);
    for (let i = from; i < last; i++) {
      value = this.#field(value, ident[i] as string, { node, command: undefined, final: MISSING });
    }
    return this.#field(value, ident[last] as string, { node, command, final });
  }

  #field(receiver: GoValue, name: string, { node, command, final }: {
    node: Node;
    command: CommandNode | undefined;
    final: Maybe;
  }): GoValue {
    if (receiver === undefined) {
      if (this.#missingKey === "error") this.fail(`nil data; no entry for key ${quote(name)}`);
      return undefined;
    }
    if (receiver === null) this.fail(`nil pointer evaluating interface {}.${name}`);
    const isMap = isPlainMap(receiver);
    if (isMap || receiver instanceof TypedMap) {
      if ((command?.args.length ?? 0) > 1 || final !== MISSING) {
        this.fail(`${name} is not a method but has arguments`);
      }
      const entries = isMap ? receiver : receiver.entries;
      const ofAny = isMap || receiver.element === "any";
      this.isInterface = ofAny;
      const value = Object.hasOwn(entries, name) ? entries[name] : undefined;
      return value !== undefined ? value : this.#missing(name, ofAny);
    }
    const method = receiver instanceof Version ? versionMethod(receiver, name) : undefined;
    if (method !== undefined) {
      const args = command?.args ?? [];
      return this.#call(method, name, { node, args, final });
    }
    const type = this.isInterface ? "interface {}" : typeName(receiver);
    if (receiver instanceof Version && isVersionField(name)) {
      this.fail(`${name} is an unexported field of struct type ${type}`);
    }
    this.fail(`can't evaluate field ${name} in type ${type}`);
  }

  #missing(name: string, ofAny: boolean): GoValue {
    if (this.#missingKey === "error") this.fail(`map has no entry for key ${quote(name)}`);
    if (this.#missingKey === "default") return undefined;
    return ofAny ? null : "";
  }

  #function(
    node: IdentifierNode,
    at: Node,
    { args, final }: { args: readonly Operand[]; final: Maybe },
  ): GoValue {
    this.node = node;
    const definition = FUNCTIONS.get(node.ident);
    if (definition === undefined) this.fail(`${quote(node.ident)} is not a defined function`);
    if (node.ident === "and" || node.ident === "or") {
      return this.#logic(node.ident, definition, { args, final });
    }
    return this.#call(definition, node.ident, { node: at, args, final });
  }

  #countArguments(
    { params, variadic }: FunctionDef,
    name: string,
    { args, final }: { args: readonly Operand[]; final: Maybe },
  ): void {
    const given = Math.max(args.length - 1, 0);
    const total = given + (final === MISSING ? 0 : 1);
    if (variadic) {
      const least = params.length - 1;
      if (total < least) {
        this.fail(`wrong number of args for ${name}: want at least ${least} got ${given}`);
      }
    } else if (total !== params.length) {
      this.fail(`wrong number of args for ${name}: want ${params.length} got ${total}`);
    }
  }

  /** Stops at the first argument that decides. */
  #logic(
    name: "and" | "or",
    definition: FunctionDef,
    { args, final }: { args: readonly Operand[]; final: Maybe },
  ): GoValue {
    this.#countArguments(definition, name, { args, final });
    let value: GoValue;
    for (let i = 1; i < args.length; i++) {
      value = this.argument("value", args[i] as Operand);
      if (isTrue(value) === (name === "or")) return value;
    }
    return final === MISSING ? value : final as GoValue;
  }

  /** `args` holds the function's own node first, if it has any. */
  #call(definition: FunctionDef, name: string, { node, args, final }: {
    node: Node;
    args: readonly Operand[];
    final: Maybe;
  }): GoValue {
    this.#countArguments(definition, name, { args, final });
    const { params, variadic } = definition;
    const last = params.length - 1;
    const values: GoValue[] = [];
    for (let i = 1; i < args.length; i++) {
      const param = params[variadic && i - 1 > last ? last : i - 1] ?? "any";
      const value = this.argument(param, args[i] as Operand);
      const keeps = name === "slice" && i > 1 && this.isInterface && value !== undefined;
      values.push(keeps ? new InterfaceIndex("int", 0) : value);
    }
    if (final !== MISSING) {
      const at = values.length;
      const param = params[variadic && at > last ? last : at] ?? "any";
      values.push(validated(this, final as GoValue, param));
    }
    this.budget.steps(1 + values.reduce<number>((sum, value) => sum + readingCost(value), 0));
    return this.#run(definition, name, { node, values, args });
  }

  #run(definition: FunctionDef, name: string, { node, values, args }: {
    node: Node;
    values: GoValue[];
    args: readonly Operand[];
  }): GoValue {
    try {
      if (name === "call") throw notCallable(values[0], args[1]);
      const result = definition.call(values, this.#context);
      this.isInterface = definition.returnsAny;
      if (typeof result === "string") this.budget.memory(result.length);
      else if (Array.isArray(result)) this.budget.memory(result.length * 8);
      return result;
    } catch (error) {
      this.node = node;
      if (!(error instanceof CallError)) throw error;
      this.fail(`error calling ${name}: ${error.message}`);
    }
  }

  argument(param: Param, node: Operand): GoValue {
    this.node = node;
    this.budget.steps(1);
    switch (node.type) {
      case "dot":
      case "field":
      case "variable":
      case "pipe":
      case "identifier":
      case "chain":
        return validated(this, this.#value(node), param);
    }
    if (param === "any" || param === "value") {
      if (node.type !== "nil") return this.#constant(node);
      this.isInterface = false;
      return undefined;
    }
    this.isInterface = false;
    const problem = argumentOf(node, param);
    if ("fault" in problem) this.fail(problem.fault);
    return problem.value;
  }

  #value(node: Operand): GoValue {
    switch (node.type) {
      case "field":
        this.isInterface = this.dotIsInterface;
        return this.#fields(this.dot, node, {
          ident: node.ident,
          from: 0,
          command: undefined,
          final: MISSING,
        });
      case "variable":
        return this.#variableNode(node.ident, { node, final: MISSING });
      case "pipe":
        return this.pipeline(node);
      case "identifier":
        return this.#function(node, node, { args: [], final: MISSING });
      case "chain":
        return this.#chain(node, undefined, MISSING);
      default:
        return this.#constant(node);
    }
  }
}
