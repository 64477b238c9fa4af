/**
 * The house rules, checked over the whole tree, and each rule shown to fail on a snippet that
 * breaks it. The rules themselves are in `support/tidy_rules.ts`.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { functionsOf, importsOf, tokenize } from "./support/source.ts";
import {
  bannedProblems,
  importProblems,
  isTest,
  lineCount,
  machinePathProblems,
  nameProblems,
  shapeProblems,
  SOURCE_LINES_WARN,
  type SourceFile,
  unreferenced,
} from "./support/tidy_rules.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Made by tools or holding what git does not: not ours to judge. */
const SKIPPED = new Set([".git", ...ignoredFolders()]);
const TEXT =
  /\.(ts|md|ya?ml|json|sh|c|h|js|mjs|toml)$|^(Makefile|Containerfile|\.ci\/run|LICENSE)$/;

function ignoredFolders(): string[] {
  return readFileSync(`${ROOT}.gitignore`, "utf8").split("\n")
    .flatMap((line) => /^\/?([\w.-]+)\/$/.exec(line)?.[1] ?? []);
}

function listFiles(folder = ""): string[] {
  return readdirSync(`${ROOT}${folder}`, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}${entry.name}`;
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : listFiles(`${path}/`);
    return entry.isFile() ? [path] : [];
  });
}

const paths = listFiles();
const read = (path: string): SourceFile => ({ path, text: readFileSync(`${ROOT}${path}`, "utf8") });
const sources = paths.filter((path) => path.endsWith(".ts")).map(read);
const none = (problems: readonly string[]) => assert.equal(problems.join("\n"), "");

Deno.test("tidy: modules import only what their layer allows", () => {
  assert.ok(sources.length > 10, "the listing found the tree");
  none(sources.flatMap(importProblems));
});

Deno.test("tidy: no banned call or construct", () => none(sources.flatMap(bannedProblems)));

Deno.test("tidy: functions, files and headers have their shape", () => {
  const long = sources.filter((file) => !isTest(file.path) && lineCount(file) > SOURCE_LINES_WARN);
  const warnings = long.map((file) => `warning: ${file.path} has ${lineCount(file)} lines\n`);
  Deno.stderr.writeSync(new TextEncoder().encode(warnings.join("")));
  none(sources.flatMap(shapeProblems));
});

Deno.test("tidy: every module is referenced by more than its own test", () => {
  none(unreferenced(sources));
});

Deno.test("tidy: names are as the layout says", () => none(nameProblems(paths)));

Deno.test("tidy: no committed file names a path of one machine", () => {
  none(paths.filter((path) => TEXT.test(path)).map(read).flatMap(machinePathProblems));
});

// From here on: tidy itself.

const at = (path: string, text: string): SourceFile => ({ path, text });
const hits = (problems: readonly string[], expected: RegExp) => {
  assert.equal(problems.length, 1, problems.join("\n"));
  assert.match(problems[0] as string, expected);
};

Deno.test("the import rule rejects each forbidden direction, types and dynamic imports too", () => {
  const cases: [string, string][] = [
    ["src/lib/a.ts", `import { x } from "../api/x.ts";`],
    ["src/api/a.ts", `import type { X } from "../domain/x.ts";`],
    ["src/domain/a.ts", `export type { X } from "../runtime/x.ts";`],
    ["src/domain/a_test.ts", `import { x } from "../simulator/x.ts";`],
    ["src/runtime/a.ts", `const x = await import("../kube/x.ts");`],
    ["src/runtime/a.ts", `type X = import("../domain/x.ts").X;`],
    ["src/kube/a.ts", `import { x } from "../runtime/store.ts";`],
    ["src/simulator/a.ts", `import "../domain/x.ts";`],
    ["src/controllers/a.ts", `import { x } from "../kube/x.ts";`],
    ["src/ops/a.ts", `import { x } from "../runtime/ports/errors.ts";`],
    ["src/agent/a.ts", `import { x } from "../../ffi/libbpf.ts";`],
    ["ffi/a.ts", `import { x } from "../src/lib/assert.ts";`],
    ["src/kube/a.ts", `import x from "left-pad";`],
    ["src/kube/a.ts", `import x from "jsr:@std/assert";`],
    ["src/kube/a.ts", `import x from "https://deno.land/x.ts";`],
    ["src/domain/a.ts", `import { readFileSync } from "node:fs";`],
    ["src/domain/a.ts", `import { setTimeout } from "node:timers/promises";`],
    ["src/domain/a.ts", "const x = await import(`./${name}.ts`);"],
    ["src/ops/a.ts", `import c from "../../deno.json" with { type: "json" };`],
    ["src/domain/a.ts", `import { x } from "./a_test.ts";`],
    ["tests/a.ts", `import { x } from "../../outside.ts";`],
  ];
  for (const [path, text] of cases) hits(importProblems(at(path, text)), /import/);
  hits(importProblems(at("src/helpers/a.ts", "")), /no layer/);
});

Deno.test("the import rule accepts what the layers allow", () => {
  const cases: [string, string][] = [
    [
      "src/kube/a.ts",
      `import type { R } from "../runtime/ports/rest.ts"; import fs from "node:fs";`,
    ],
    ["src/domain/a.ts", `import { createHash } from "node:crypto"; import { z } from "zod";`],
    ["src/controllers/a.ts", `export * from "../domain/plan.ts"; import "../lib/clock.ts";`],
    ["src/ops/version.ts", `import c from "../../deno.json" with { type: "json" };`],
    ["src/commands/a.ts", `import { x } from "../kube/x.ts";`],
    ["src/lib/a.ts", `// import "../api/x.ts";\nconst text = 'import "../api/x.ts"';`],
    ["src/lib/a.ts", "const b = Array.from('abc'); const c = `import(\"../api/x.ts\")`;"],
    ["src/lib/virtual_clock.ts", `import { setImmediate } from "node:timers";`],
  ];
  for (const [path, text] of cases) none(importProblems(at(path, text)));
});

Deno.test("each banned construct is found", () => {
  const cases: [string, string, RegExp][] = [
    ["src/domain/a.ts", "console.log(1)", /console/],
    ["src/kube/a.ts", "console.error(1)", /console/],
    ["src/domain/a.ts", "Date.now()", /Date\.now/],
    ["src/domain/a.ts", "const d = new Date();", /new Date\(\)/],
    ["src/domain/a.ts", "performance.now()", /performance/],
    ["src/domain/a.ts", "setTimeout(f, 1)", /setTimeout/],
    ["src/runtime/a.ts", "const t = globalTimer ?? setInterval;", /setInterval/],
    ["src/domain/a.ts", "Math.random()", /Math\.random/],
    ["src/domain/a.ts", "await fetch(url)", /fetch/],
    ["src/domain/a.ts", "const e = Deno.env;", /Deno/],
    ["src/domain/a.ts", "const s = `${Deno.pid}`;", /Deno/],
    ["src/domain/a.ts", "crypto.randomUUID()", /crypto/],
    ["src/domain/a.ts", "globalThis.fetch(url)", /fetch/],
    ["src/domain/a.ts", "const f = fetch ? 1 : 2;", /fetch/],
    ["src/runtime/a.ts", "AbortSignal.timeout(1)", /AbortSignal/],
    ["tests/a_test.ts", "const a = b!.c;", /non-null/],
    ["src/domain/a.ts", "const a = list[0]!;", /non-null/],
    ["src/domain/a.ts", "const a = f()!;", /non-null/],
    ["src/domain/a.ts", "const a = b as any;", /as any/],
    ["src/domain/a.ts", `// ${"TO" + "DO"}: later`, /task/],
    ["src/domain/a.ts", `/* ${"FIX" + "ME"} */`, /task/],
    ["src/domain/a_test.ts", "await new Promise((done) => setTimeout(done, 5));", /sleeps/],
    ["src/domain/a_test.ts", "await sleep(systemClock, 5);", /sleeps/],
  ];
  for (const [path, text, expected] of cases) hits(bannedProblems(at(path, text)), expected);
});

Deno.test("what only looks banned is not", () => {
  const cases: [string, string][] = [
    ["src/domain/a.ts", `const a = "Date.now()"; // setTimeout, console.log, b!`],
    ["src/domain/a.ts", "const a = /fetch\\(`/.test(b) && !c; if (!d) e(!f);"],
    ["src/domain/a.ts", "if (a) !b; clock.now(); this.fetch(x); x.setTimeout(1); a !== b;"],
    ["src/domain/a.ts", "const d = new Date(0); const e = new Date(clock.now());"],
    ["src/domain/a.ts", "const { fetch: ours } = x; interface A { fetch?: B }"],
    ["src/domain/a.ts", `// ${"TO" + "DO"}(#12): later`],
    ["src/kube/a.ts", "await fetch(url); Deno.env; setTimeout(f, 1);"],
    ["src/simulator/http_server.ts", "Deno.serve(x)"],
    ["src/lib/random.ts", "Math.random()"],
    ["scripts/a.ts", "console.log(Deno.args)"],
  ];
  for (const [path, text] of cases) none(bannedProblems(at(path, text)));
});

Deno.test("long functions are found whatever their form", () => {
  const body = "{\n" + "x();\n".repeat(70) + "}";
  const forms = [
    `function f() ${body}`,
    `const f = () => ${body};`,
    `const f = (a: number): Promise<Map<string, number>> => ${body};`,
    `class A { async f(a: { b: number }): Promise<void> ${body} }`,
    `class A { f(): { a: number } | undefined ${body} }`,
    `class A { get f() ${body} }`,
    `Deno.test("x", async () => ${body});`,
  ];
  for (const form of forms) {
    hits(shapeProblems(at("tests/a.ts", form)), /has 72 lines/);
    none(shapeProblems(at("tests/a.ts", form.replace("x();\nx();\n", ""))));
  }
  const blocks = `if (a) ${body}\nfor (const b of c) ${body}\nconst o = ${
    body.replaceAll(";", ",")
  };`;
  assert.deepEqual(functionsOf(tokenize(blocks)), []);
});

Deno.test("long files and missing headers are found", () => {
  const header = "/** What it does. */\n";
  none(shapeProblems(at("src/lib/a.ts", header + "x\n".repeat(399))));
  hits(shapeProblems(at("src/lib/a.ts", header + "x\n".repeat(400))), /401 lines/);
  hits(shapeProblems(at("src/lib/a_test.ts", "x\n".repeat(801))), /801 lines/);
  hits(shapeProblems(at("src/lib/a.ts", "export const a = 1;")), /header/);
  hits(shapeProblems(at("src/lib/a.ts", "// What it does.\nexport const a = 1;")), /header/);
});

Deno.test("a module that only its own test imports is unreferenced", () => {
  const files = [
    at("main.ts", `import { a } from "./src/lib/a.ts";`),
    at("src/lib/a.ts", `export type { B } from "./b.ts";`),
    at("src/lib/b.ts", ""),
    at("src/lib/dead.ts", `import "./deader.ts";`),
    at("src/lib/deader.ts", ""),
    at("src/lib/dead_test.ts", `import { dead } from "./dead.ts";`),
    at("tests/support/used.ts", ""),
    at("tests/x_test.ts", `import "./support/used.ts";`),
  ];
  assert.deepEqual(unreferenced(files), ["src/lib/dead.ts", "src/lib/deader.ts"]);
});

Deno.test("unknown names and machine paths are found", () => {
  hits(nameProblems(["src/a.ts", "helpers/a.ts"]), /^helpers: unknown entry/);
  hits(nameProblems(["src/lib/fooBar.ts"]), /snake_case/);
  for (const path of ["/" + "work/main/x", "see /" + "root/.cache", "../" + "shared/envtest"]) {
    hits(machinePathProblems(at("docs/a.md", `text\nin ${path}`)), /^docs\/a.md:2/);
    none(machinePathProblems(at(".ci/run", path)));
  }
  hits(machinePathProblems(at("src/lib/a.ts", `const a = "/tmp/x";`)), /a machine's path/);
  none(machinePathProblems(at("src/lib/a.ts", `src/network/x ./${"work"}/x https://a/root/x`)));
});

Deno.test("the lexer keeps line numbers across comments, templates and regular expressions", () => {
  const source =
    "/* a\nb */ const t = `x\n${a + `${b}\n`}`; // c\nconst r = /['\"`/]/g; import('z');";
  assert.deepEqual(importsOf(tokenize(source)), [{ specifier: "z", line: 5 }]);
});
