/**
 * Which parts of the data a template can reach, told from its tree: an abstract rendering in which
 * values are places in the data. What is printed, tested or given to a function counts with all that
 * is below it. Never too little: where it cannot be told, the whole is reached.
 */
import type { BranchNode, CommandNode, Operand, PipeNode, Statement, Tree } from "./node.ts";
import { Boxed } from "./value.ts";

/**
 * Steps from the root; "*" is every element of a list or every entry of a map. A last step "" asks
 * only that the value before it is there, null, scalar, list or map as it may be.
 */
export type FieldPath = readonly string[];
/** The value at the end of each path counts with all that is below it. */
export type FieldPaths = readonly FieldPath[];

/** Places that a value may come from; none for what is not from the data or is counted already. */
type Places = readonly FieldPath[];

const NOWHERE: Places = [];
/** Deeper paths are cut off: their beginning then counts as a whole. */
const PATH_MAX = 12;
const PATHS_MAX = 1000;
/** Renderings of one template with different places for its dot. */
const VISITS_MAX = 2000;

/** Where the fields are that rendering `main` can depend on. */
export function reachableFields(
  main: Tree,
  trees: ReadonlyMap<string, Tree>,
): FieldPaths | "all" {
  return new Reach(trees).run(main);
}

interface Scope {
  readonly dot: Places;
  readonly vars: Map<string, Places>;
}

class Reach {
  readonly #trees: ReadonlyMap<string, Tree>;
  readonly #found = new Map<string, FieldPath>();
  readonly #visited = new Set<string>();
  readonly #waiting: { tree: Tree; dot: Places }[] = [];
  #all = false;

  constructor(trees: ReadonlyMap<string, Tree>) {
    this.#trees = trees;
  }

  run(main: Tree): FieldPaths | "all" {
    this.#visit(main, [[]]);
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      if (this.#visited.size > VISITS_MAX) this.#all = true;
      if (this.#all) return "all";
      const scope = { dot: next.dot, vars: new Map([["$", next.dot]]) };
      this.#statements(next.tree.root, scope);
    }
    if (this.#all || this.#found.size > PATHS_MAX) return "all";
    return withoutCovered([...this.#found.values()]);
  }

  #visit(tree: Tree, dot: Places): void {
    const key = JSON.stringify([tree.name, dot]);
    if (this.#visited.has(key)) return;
    this.#visited.add(key);
    this.#waiting.push({ tree, dot });
  }

  #use(places: Places): Places {
    for (const path of places) {
      if (path.length === 0) this.#all = true;
      this.#found.set(path.join("\0"), path);
    }
    return NOWHERE;
  }

  #step(places: Places, name: string): Places {
    return places.flatMap((path) => {
      if (path.length < PATH_MAX && name !== "") return [[...path, name]];
      this.#use([path]);
      return [];
    });
  }

  #statements(nodes: readonly Statement[], scope: Scope): void {
    for (const node of nodes) {
      switch (node.type) {
        case "action": {
          const shown = this.#pipe(node.pipe, scope);
          if (node.pipe.decl.length === 0) this.#use(shown);
          break;
        }
        case "template": {
          const dot = node.pipe === undefined ? NOWHERE : this.#pipe(node.pipe, scope);
          const tree = this.#trees.get(node.name);
          if (tree !== undefined) this.#visit(tree, dot);
          break;
        }
        case "if":
        case "with":
        case "range":
          this.#branch(node, scope);
      }
    }
  }

  #branch(node: BranchNode, outer: Scope): void {
    const scope = { dot: outer.dot, vars: new Map(outer.vars) };
    const places = this.#pipe(node.pipe, scope);
    if (node.type === "range") this.#rangeBody(node, places, scope);
    else {
      this.#use(places);
      const dot = node.type === "with" ? NOWHERE : scope.dot;
      this.#statements(node.list, { dot, vars: new Map(scope.vars) });
    }
    if (node.elseList !== undefined) this.#statements(node.elseList, scope);
  }

  #rangeBody(node: BranchNode, places: Places, scope: Scope): void {
    const element = this.#step(places, "*");
    // How many there are is part of the output, whatever the body reads of them.
    const body = { dot: element, vars: new Map(scope.vars) };
    const { decl, isAssign } = node.pipe;
    const names = decl.map((variable) => variable.ident[0] ?? "");
    const last = names.at(-1);
    if (isAssign) this.#use(places);
    else if (last !== undefined) {
      body.vars.set(last, element);
      if (names.length > 1) body.vars.set(names[0] ?? "", NOWHERE);
    }
    this.#statements(node.list, body);
    this.#see(element);
  }

  #pipe(pipe: PipeNode, scope: Scope): Places {
    let value: Places | undefined;
    for (const command of pipe.cmds) value = this.#command(command, value, scope);
    const places = value ?? NOWHERE;
    for (const variable of pipe.decl) {
      // An assignment may be seen by what comes before it, in a loop: count all of it.
      if (pipe.isAssign) this.#use(places);
      else scope.vars.set(variable.ident[0] ?? "", places);
    }
    return places;
  }

  #command(command: CommandNode, final: Places | undefined, scope: Scope): Places {
    const [first, ...args] = command.args;
    if (first === undefined) return NOWHERE;
    if (first.type === "identifier") return this.#call(first.ident, args, { final, scope });
    for (const arg of args) this.#use(this.#operand(arg, scope));
    if (final !== undefined) this.#use(final);
    return this.#operand(first, scope);
  }

  /** Evaluating may fail, whether the value is used or not: what is on the way is needed. */
  #operand(node: Operand, scope: Scope): Places {
    const places = this.#places(node, scope);
    this.#see(places);
    return places;
  }

  #see(places: Places): void {
    for (const path of places) this.#found.set([...path, ""].join("\0"), [...path, ""]);
  }

  #places(node: Operand, scope: Scope): Places {
    switch (node.type) {
      case "dot":
        return scope.dot;
      case "field":
        return node.ident.reduce((places, name) => this.#step(places, name), scope.dot);
      case "variable": {
        const [name = "", ...fields] = node.ident;
        const start = scope.vars.get(name) ?? NOWHERE;
        return fields.reduce((places, field) => this.#step(places, field), start);
      }
      case "chain": {
        const start = this.#operand(node.node, scope);
        return node.fields.reduce((places, field) => this.#step(places, field), start);
      }
      case "pipe":
        return this.#pipe(node, scope);
      case "identifier":
        return this.#call(node.ident, [], { final: undefined, scope });
      default:
        return NOWHERE;
    }
  }

  #call(
    name: string,
    args: readonly Operand[],
    { final, scope }: { final: Places | undefined; scope: Scope },
  ): Places {
    const places = args.map((arg) => this.#operand(arg, scope));
    if (final !== undefined) places.push(final);
    if (name === "index" && places.length > 0) return this.#index(args, places);
    const [map = NOWHERE] = places;
    const key = args[1];
    if (name === "get" && key?.type === "string") return this.#step(map, key.text);
    for (const value of places) this.#use(value);
    return NOWHERE;
  }

  #index(args: readonly Operand[], places: readonly Places[]): Places {
    let [current = NOWHERE] = places;
    for (const [i, key] of places.slice(1).entries()) {
      this.#use(key);
      const node = args[i + 1];
      // Where positions matter, all elements do: an index says how many there are at least.
      current = this.#step(current, node?.type === "string" ? node.text : "*");
    }
    return current;
  }
}

/** Leaves out what other paths ask for too. */
function withoutCovered(paths: readonly FieldPath[]): FieldPaths {
  const startsWith = (path: FieldPath, start: FieldPath) =>
    start.length <= path.length && start.every((step, i) => step === path[i]);
  const kept: FieldPath[] = [];
  for (const path of paths) {
    const before = path.slice(0, -1);
    const isCovered = paths.some((other) => {
      if (other === path) return false;
      const covers = other.at(-1) !== "" && startsWith(path, other);
      return covers || (path.at(-1) === "" && startsWith(other, before));
    });
    if (!isCovered) kept.push(path);
  }
  return kept.toSorted((a, b) => a.join("\0") < b.join("\0") ? -1 : 1);
}

/** The part of `data` that `paths` name. Scalars on the way to a path are kept, as are nulls. */
export function projectFields(data: unknown, paths: FieldPaths | "all"): unknown {
  if (paths === "all") return data;
  return project(data, paths);
}

function project(data: unknown, paths: readonly FieldPath[]): unknown {
  if (typeof data !== "object" || data === null || data instanceof Boxed) return data;
  if (paths.some((path) => path.length === 0)) return data;
  const all = paths.filter((path) => path[0] === "*").map((path) => path.slice(1));
  if (Array.isArray(data)) return data.map((item) => project(item, all));
  const kept: Record<string, unknown> = Object.create(null);
  for (const key of Object.keys(data)) {
    const below = [
      ...all,
      ...paths.filter((path) => path[0] === key && path[0] !== "*").map((path) => path.slice(1)),
    ];
    if (below.length > 0) kept[key] = project((data as Record<string, unknown>)[key], below);
  }
  return kept;
}
