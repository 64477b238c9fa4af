/**
 * The rules of the house as functions from a file to its problems. Pure: `tests/tidy_test.ts` reads
 * the tree, runs them, and shows on snippets that each of them can fail.
 */
import { posix } from "node:path";
import { endsExpression, functionsOf, importsOf, type Token, tokenize } from "./source.ts";

export interface SourceFile {
  /** Relative to the root, with `/`. */
  readonly path: string;
  readonly text: string;
}

export const FUNCTION_LINES_MAX = 70;
export const SOURCE_LINES_WARN = 300;
export const SOURCE_LINES_MAX = 400;
export const TEST_LINES_MAX = 800;

export const isTest = (path: string) => path.startsWith("tests/") || path.endsWith("_test.ts");

/** What each layer may import besides itself: path prefixes. `undefined`: everything. */
const LAYERS: Readonly<Record<string, readonly string[] | undefined>> = {
  "src/lib/": [],
  "src/api/": ["src/lib/"],
  "src/domain/": ["src/api/", "src/lib/"],
  "src/runtime/": ["src/lib/"],
  "src/kube/": ["src/lib/", "src/runtime/ports/"],
  "src/simulator/": ["src/lib/", "src/api/", "src/runtime/ports/"],
  "src/controllers/": ["src/domain/", "src/api/", "src/runtime/", "src/lib/"],
  // Before its parent: the first prefix that fits decides.
  "src/agent/adapters/": [
    "src/agent/",
    "src/domain/",
    "src/api/",
    "src/runtime/",
    "src/lib/",
    "bpf/",
    "ffi/",
  ],
  "src/agent/": ["src/domain/", "src/api/", "src/runtime/", "src/lib/", "bpf/"],
  "src/ops/": ["src/lib/"],
  "src/commands/": undefined,
  "src/mod.ts": undefined,
  "ffi/": [],
  "bpf/": [],
  "tests/": undefined,
  "scripts/": undefined,
  "main.ts": undefined,
  "examples/": undefined,
};

/** Single files that may import one thing more, with the reason in the key's neighbourhood. */
const EXTRA_IMPORTS: Readonly<Record<string, readonly string[]>> = {
  "src/ops/version.ts": ["deno.json"],
};

const PACKAGES = ["zod", "prom-client", "yaml", "re2js", "@logtape/logtape", "fast-check"];
const IO_NODE_MODULES =
  /^node:(fs|net|https?|http2|tls|dgram|dns|child_process|process|os|timers|worker_threads|cluster|readline|tty|inspector)(\/|$)/;

const IO_PLACES = [
  /^src\/(kube|ops|agent\/adapters)\//,
  /^src\/lib\/(clock|log(_\w+)?)\.ts$/,
  /^src\/simulator\/http(_\w+)?\.ts$/,
  /^(ffi|scripts|tests|examples)\//,
  /^main\.ts$/,
  /_test\.ts$/,
];
const mayDoIo = (path: string) => IO_PLACES.some((place) => place.test(path));
/** The one source of randomness, and the clock of tests, which yields to the event loop. */
const IO_EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  "src/lib/random.ts": ["Math.random"],
  "src/lib/virtual_clock.ts": ["node:timers", "setImmediate"],
};

/** @returns one line per import that the layers do not allow. */
export function importProblems(file: SourceFile): string[] {
  const layer = layerOf(file.path);
  if (layer === undefined) return [`${file.path}: belongs to no layer`];
  const problems: string[] = [];
  for (const { specifier, line } of importsOf(tokenize(file.text))) {
    const problem = specifier === undefined
      ? "imports something computed at run time"
      : importProblem(file.path, layer, specifier);
    if (problem !== undefined) problems.push(`${file.path}:${line}: ${problem}`);
  }
  return problems;
}

function importProblem(path: string, layer: string, specifier: string): string | undefined {
  if (specifier.startsWith("node:")) {
    const allowed = !IO_NODE_MODULES.test(specifier) || mayDoIo(path) ||
      IO_EXCEPTIONS[path]?.includes(specifier);
    return allowed ? undefined : `imports ${specifier}, which does I/O`;
  }
  if (!specifier.startsWith(".")) {
    const known = PACKAGES.some((name) => specifier === name || specifier.startsWith(`${name}/`));
    return known || layer === "examples/"
      ? undefined
      : `imports the unknown package "${specifier}"`;
  }
  const target = posix.join(posix.dirname(path), specifier);
  if (target.startsWith("..")) return `imports ${target}, outside of the project`;
  const allowed = LAYERS[layer];
  if (target.endsWith("_test.ts")) return `imports the test ${target}`;
  if (allowed === undefined || target.startsWith(layer)) return undefined;
  const permitted = [...allowed, ...(EXTRA_IMPORTS[path] ?? [])];
  return permitted.some((prefix) => target.startsWith(prefix))
    ? undefined
    : `${layer} may not import ${target}`;
}

function layerOf(path: string): string | undefined {
  return Object.keys(LAYERS).find((prefix) => path.startsWith(prefix));
}

/** Globals that reach outside of the program, as called or read. */
const IO_GLOBALS = new Set([
  "Deno",
  "fetch",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "clearTimeout",
  "clearInterval",
  "WebSocket",
  "EventSource",
  "XMLHttpRequest",
]);
const IO_MEMBERS = new Set([
  "Date.now",
  "performance.now",
  "Math.random",
  "AbortSignal.timeout",
  "crypto.randomUUID",
  "crypto.getRandomValues",
]);

/** @returns one line per call or construct that is banned where it stands. */
export function bannedProblems(file: SourceFile): string[] {
  const tokens = tokenize(file.text);
  const code = tokens.filter((token) => token.kind !== "comment");
  const problems: string[] = [];
  const report = (token: Token, what: string) =>
    problems.push(`${file.path}:${token.line}: ${what}`);
  code.forEach((token, index) => {
    if (token.kind === "punct" && token.text === "!" && isNonNull(code, index)) {
      report(token, "non-null `!`");
    }
    if (token.kind !== "word") return;
    if (token.text === "as" && code[index + 1]?.text === "any") report(token, "`as any`");
    const what = ioUse(code, index);
    if (what === undefined || IO_EXCEPTIONS[file.path]?.includes(what)) return;
    const consoleAllowed = /^(scripts|tests|examples)\/|_test\.ts$/.test(file.path);
    if (what === "console" ? !consoleAllowed : !mayDoIo(file.path)) report(token, `\`${what}\``);
  });
  if (isTest(file.path) && file.path.startsWith("src/")) {
    for (const token of sleeps(code)) report(token, "a test that sleeps");
  }
  for (const token of tokens.filter((token) => token.kind === "comment")) {
    if (/\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))/.test(token.text)) {
      report(token, "a task without an issue");
    }
  }
  return problems;
}

function isNonNull(code: readonly Token[], index: number): boolean {
  const before = code[index - 1];
  return endsExpression(before) && before?.text !== "}" && before?.line === code[index]?.line &&
    !(before?.text === ")" && code[index + 1]?.kind === "word");
}

function ioUse(code: readonly Token[], index: number): string | undefined {
  const name = code[index]?.text as string;
  const before = code[index - 1]?.text;
  const ofGlobal = /^(globalThis|window|self)$/.test(code[index - 2]?.text ?? "");
  if ((before === "." || before === "?.") && !ofGlobal) return undefined;
  const after = code[index + 1]?.text;
  if (name === "console" && after === ".") return "console";
  const member = `${name}.${code[index + 2]?.text}`;
  if (after === "." && IO_MEMBERS.has(member)) return member;
  if (name === "Date" && before === "new" && after === "(" && code[index + 2]?.text === ")") {
    return "new Date()";
  }
  // A property or parameter of that name is not the global.
  const declared = after === ":" || after === "=" ||
    (after === "?" && code[index + 2]?.text === ":");
  if (!IO_GLOBALS.has(name) || declared) return undefined;
  return name === "Deno" && after !== "." ? undefined : name;
}

/** `new Promise((done) => setTimeout(done, ms))` and `sleep(systemClock, ms)`. */
function sleeps(code: readonly Token[]): Token[] {
  return code.filter((token, index) => {
    const text = (offset: number) => code[index + offset]?.text;
    if (token.text === "sleep") return text(1) === "(" && text(2) === "systemClock";
    return token.text === "setTimeout" && text(-1) === "=>" &&
      code.slice(Math.max(0, index - 10), index).some((other) => other.text === "Promise");
  });
}

/** @returns functions, files and headers that are not as they should be. */
export function shapeProblems(file: SourceFile): string[] {
  const tokens = tokenize(file.text);
  const problems = functionsOf(tokens)
    .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
    .map(({ name, line, lines }) =>
      `${file.path}:${line}: function ${name} has ${lines} lines, more than ${FUNCTION_LINES_MAX}`
    );
  const lines = lineCount(file);
  const limit = isTest(file.path) ? TEST_LINES_MAX : SOURCE_LINES_MAX;
  if (lines > limit) problems.push(`${file.path}: ${lines} lines, more than ${limit}`);
  const needsHeader = /^(src|ffi)\//.test(file.path) && !isTest(file.path);
  if (needsHeader && !tokens[0]?.text.startsWith("/**")) {
    problems.push(`${file.path}: does not start with a header comment (/** ... */)`);
  }
  return problems;
}

export function lineCount(file: SourceFile): number {
  return file.text.replace(/\n$/, "").split("\n").length;
}

/** @returns the modules that neither the program, a script nor the suites under tests/ reach. */
export function unreferenced(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const isRoot = (path: string) =>
    /^(main\.ts|src\/mod\.ts)$/.test(path) || /^(scripts|examples)\//.test(path) ||
    (path.startsWith("tests/") && path.endsWith("_test.ts")) || /^tests\/bench\//.test(path) ||
    path === "tests/sim/main.ts";
  const queue = [...byPath.keys()].filter(isRoot);
  const reached = new Set(queue);
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    for (const { specifier } of importsOf(tokenize(byPath.get(path)?.text ?? ""))) {
      if (!specifier?.startsWith(".")) continue;
      const target = posix.join(posix.dirname(path), specifier);
      if (byPath.has(target) && !reached.has(target)) queue.push(target);
      reached.add(target);
    }
  }
  return [...byPath.keys()].filter((path) => !reached.has(path) && !path.endsWith("_test.ts"));
}

const MACHINE_PATHS = [
  new RegExp(`(^|[^\\w.~/-])/${"work"}/`),
  new RegExp(`(^|[^\\w.~/-])/${"root"}/`),
  new RegExp(`/${"home"}/(?!nonroot|<|\\$|me/|user/|you/)\\w`),
  new RegExp(`\\.\\./${"shared"}\\b`),
];

/** @returns lines that name a path of one machine. `/tmp/x` is banned where it would be used: in src. */
export function machinePathProblems(file: SourceFile): string[] {
  if (file.path === ".ci/run") return [];
  const bans = /^(src|ffi|main)/.test(file.path) && !isTest(file.path)
    ? [...MACHINE_PATHS, /["'`]\/tmp\/\w/]
    : MACHINE_PATHS;
  return file.text.split("\n").flatMap((line, index) =>
    bans.some((ban) => ban.test(line)) ? [`${file.path}:${index + 1}: a machine's path`] : []
  );
}

const TOP_LEVEL = new Set([
  ...[".ci", ".github", "bpf", "charts", "crd", "deploy", "docs", "examples", "ffi", "scripts"],
  ...[
    "src",
    "tests",
    ".deno-version",
    ".dockerignore",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
  ],
  ...["CHANGELOG.md", "CONTRIBUTING.md", "Containerfile", "LICENSE", "Makefile", "NOTICE"],
  ...["README.md", "SECURITY.md", "deno.json", "deno.lock", "main.ts", "package.json"],
]);

/** @returns names that the layout does not know, and TypeScript files not in snake_case. */
export function nameProblems(paths: readonly string[]): string[] {
  const unknown = [...new Set(paths.map((path) => path.split("/")[0] as string))]
    .filter((name) => !TOP_LEVEL.has(name))
    .map((name) => `${name}: unknown entry at the top level`);
  const badNames = paths
    .filter((path) => path.endsWith(".ts") && !/^[a-z0-9_]+(\.d)?\.ts$/.test(posix.basename(path)))
    .map((path) => `${path}: not in snake_case`);
  return [...unknown, ...badNames];
}
