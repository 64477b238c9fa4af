/**
 * 100,000 random templates over random data, by seed: none may hang, overflow the stack or throw
 * anything but TemplateError, and none may count as an error of ours.
 */
import { ok, strictEqual as equal } from "node:assert/strict";
import type { Param } from "./function.ts";
import { FUNCTIONS } from "./functions.ts";
import { type GoValue, parseTemplate, TemplateError } from "./mod.ts";

const CASES = 100_000;
const SEED = 20_260_211;
/** Far above what any case needs; below what a person would call a hang. */
const SLOW_MS = 2_000;

class Source {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  list<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }
}

const NAMES = [...FUNCTIONS.keys()];
const ATOMS = [
  ..."$ $x $y . .a .b .a.b .list .map .s nil true false 0 1 -1 2 7 100 100000 1e9 1.5 -0.0 1e308 2i 'x'"
    .split(" "),
  "9223372036854775807",
  "-9223372036854775808",
  '""',
  '"a"',
  '"é日👍"',
  '"\\xff\\xc3"',
  '"a,b,,c"',
  '"[a-z]+(b|c)*"',
  '"(((((a{1,9}){1,9}){1,9}"',
  '"1.2.3"',
  '">=1.x || ^2"',
  '"{\\"a\\":[1]}"',
  '"%v|%5.2f|%*d|%[2]q|%-08x"',
  '"http://u:p@[::1]:80/%41?q#f"',
  "`\\n`",
];
/** Literals that Go takes for a parameter of each type. */
const TYPED: Readonly<Record<Param, readonly string[]>> = {
  any: ATOMS,
  value: ATOMS,
  bool: ["true", "false"],
  int: ["0", "1", "3", "-2", "70", "100000", "9223372036854775807", "'x'"],
  float64: ["0.5", "1", "-2.5"],
  map: ["(dict)", '(dict "a" .)', '(dict "b" (dict "c" 1) "a" (list 1))', "nil"],
  string: ATOMS.filter((atom) => /^["`]/.test(atom)),
  version: ['(semver "1.2.3-a.1")'],
};
const NOISE =
  "{{ }} {{- -}} ( ) | , := = $ . \" ' ` \\ / * - + @ # é 👍 if end range else define nil"
    .split(" ");

class Maker {
  readonly #source: Source;
  #depth = 0;

  constructor(source: Source) {
    this.#source = source;
  }

  /** Mostly of the type that the parameter has. */
  #operand(param: Param): string {
    const deeper = this.#depth < 5 && this.#source.chance(20);
    if (deeper) return `(${this.#pipe()})${this.#source.pick(["", "", ".a", ".Major"])}`;
    return this.#source.chance(92) ? this.#source.pick(TYPED[param]) : this.#source.pick(ATOMS);
  }

  #call(given: number): string {
    const name = this.#source.pick(NAMES);
    const { params, variadic } = FUNCTIONS.get(name) ?? { params: [], variadic: false };
    const last = params.at(-1) ?? "any";
    const wanted = [...params, ...(variadic ? this.#source.list(2, () => last) : [])];
    const count = Math.max(wanted.length - given, 0) + (this.#source.chance(3) ? 1 : 0);
    const args = Array.from({ length: count }, (_, i) => this.#operand(wanted[i] ?? last));
    return [name, ...args].join(" ");
  }

  #pipe(): string {
    this.#depth++;
    const first = this.#source.chance(75) ? this.#call(0) : this.#source.pick(ATOMS);
    const rest = this.#source.chance(20) ? ` | ${this.#call(1)}` : "";
    this.#depth--;
    const start = this.#source.pick(["", "", "", "", "$x := ", "$x = ", "$y := "]);
    return (this.#depth === 1 ? start : "") + first.replace(/^nil$/, "1") + rest;
  }

  body(): string {
    this.#depth++;
    const parts = this.#source.list(4, () => this.#part());
    this.#depth--;
    return parts.join("");
  }

  #part(): string {
    const kind = this.#depth > 4 ? 0 : this.#source.below(9);
    if (kind <= 3) return `{{${this.#source.pick(["", "- "])}${this.#pipe()}}}`;
    if (kind === 4) return this.#source.pick(["text", " \n", "{", "}"]);
    if (kind === 5) {
      return `{{template "${this.#source.pick(["d", "e", "none"])}" ${this.#pipe()}}}`;
    }
    const word = this.#source.pick(["if", "with", "range", "range $x, $y :=", "range $x ="]);
    const jump = word.startsWith("range")
      ? this.#source.pick(["", "{{break}}", "{{continue}}"])
      : "";
    const other = this.#source.pick(["", "{{else}}", word.length < 5 ? `{{else ${word} 1}}` : ""]);
    const tail = other === "" ? "" : other + this.body();
    const value = this.#pipe().replace(/^\$[xy] :?= /, "");
    return `{{${word} ${value}}}${this.body()}${jump}${tail}{{end}}`;
  }

  template(): string {
    const scope = "{{$x := 1}}{{$y := .}}";
    const defined = ["d", "e"].map((name) => `{{define "${name}"}}${scope}${this.body()}{{end}}`);
    let text = `${scope}${this.body()}${defined.join("")}`;
    if (!this.#source.chance(20)) return text;
    for (let i = this.#source.below(4); i >= 0; i--) {
      const at = this.#source.below(text.length + 1);
      text = text.slice(0, at) + this.#source.pick(NOISE) + text.slice(at + this.#source.below(5));
    }
    return text;
  }

  data(depth = 0): unknown {
    const kind = this.#source.below(depth > 3 ? 6 : 9);
    if (kind <= 1) return this.#source.pick(["", "text", "é👍", "\ud800", "a.b-c_D", "7", "1e3"]);
    if (kind <= 3) return this.#source.pick([0, 1, -3, 2.5, 1e21, 2 ** 53, -(2 ** 63)]);
    if (kind === 4) return this.#source.chance(50);
    if (kind === 5) return null;
    if (kind === 6) return this.#source.list(4, () => this.data(depth + 1));
    const keys = ["a", "b", "list", "map", "s", "", "__proto__", "é"];
    const entries = this.#source.list(5, (): [string, unknown] => [
      this.#source.pick(keys),
      this.data(depth + 1),
    ]);
    return Object.fromEntries(entries);
  }
}

function millisecondsOf(run: () => void): number {
  const start = performance.now();
  try {
    run();
  } catch {
    // Looked at the first time.
  }
  return performance.now() - start;
}

Deno.test("100,000 random templates over random data throw nothing but TemplateError, and soon", () => {
  const counts = { rendered: 0, parse: 0, exec: 0 };
  const limits = new Set<string>();
  for (let i = 0; i < CASES; i++) {
    const maker = new Maker(new Source(SEED + i));
    const text = maker.template();
    const data = maker.data() as GoValue;
    const run = () => {
      const template = parseTemplate("t", text, { steps: 20_000, memory: 500_000 });
      template.fields();
      template.execute(data);
    };
    let spent = performance.now();
    try {
      run();
      counts.rendered++;
    } catch (error) {
      ok(error instanceof TemplateError, `seed ${SEED + i}: ${text}\n${error}`);
      equal(error.cause, undefined, `seed ${SEED + i}: ${text}\n${error.message}\n${error.cause}`);
      counts[error.phase]++;
      if (error.limit !== undefined) limits.add(error.limit);
    }
    spent = performance.now() - spent;
    // A machine that stood still takes its time once, a template that is slow every time.
    for (let again = 0; again < 3 && spent >= SLOW_MS; again++) spent = millisecondsOf(run);
    ok(spent < SLOW_MS, `seed ${SEED + i} took ${spent} ms: ${text}`);
  }
  ok(Math.min(counts.rendered, counts.parse, counts.exec) > CASES / 50, JSON.stringify(counts));
  for (const limit of ["steps", "memory"]) ok(limits.has(limit), `no case ran into ${limit}`);
});

Deno.test("text that is no template at all throws nothing but TemplateError", () => {
  for (let i = 0; i < 20_000; i++) {
    const source = new Source(i);
    const text = source.list(40, () => source.pick([...NOISE, ...ATOMS, " ", "\n"])).join(
      source.pick(["", " "]),
    );
    try {
      parseTemplate("t", `{{${text}`, {}).execute({ a: [1] });
    } catch (error) {
      ok(
        error instanceof TemplateError && error.cause === undefined,
        `seed ${i}: ${text}\n${error}`,
      );
    }
  }
});

Deno.test("as much nesting as the limit allows is far from the end of the stack", () => {
  const within = (levels: number) => {
    if (levels > 0) return within(levels - 1);
    const calls = `{{${"print (".repeat(249)}1${")".repeat(249)}}}`;
    const blocks = `${"{{if 1}}".repeat(250)}x${"{{end}}".repeat(250)}`;
    const chain = `{{if 0}}${"{{else if 0}}".repeat(248)}{{else}}y{{end}}`;
    return [calls, blocks, chain].map((text) => {
      const template = parseTemplate("t", text);
      parseTemplate("t", template.toString()).fields();
      return template.execute({});
    }).join("");
  };
  // With half of the stack in use already.
  equal(within(3_000), "1xy");
});
