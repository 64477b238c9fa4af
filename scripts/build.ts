/**
 * Builds the program into one executable: bundle, stamp, compile.
 *
 *     deno task build [--output PATH] [--image] [--target amd64|arm64]
 *
 * - Default output: dist/podconfigmap-controller. It has the version, commit and target inside,
 *   fixed rights and a fixed heap limit, and needs neither Deno nor the sources.
 * - The same commit gives the same bytes with the same Deno, wherever and whenever it is built.
 * - `--image` leaves out the rights that only a workstation needs: to run credential plugins of a
 *   kubeconfig, to write the demo's kubeconfig.
 * - With DENORT_BIN set, that runtime is used, and DENO_COMPILE names the CLI of exactly its
 *   version; else this CLI's own runtime, which it downloads once for each target.
 *
 * Bundled first because `deno compile` alone overflows its stack on a package below prom-client.
 */
import config from "../deno.json" with { type: "json" };
import { run, script } from "./run.ts";
import { BUILD_MACHINE, elfMachine, type Machine, machine, MACHINES } from "./machines.ts";

const ENTRY = "main.ts";
const OUTPUT = "dist/podconfigmap-controller";

/**
 * V8 sizes its heap by the machine's memory, not by the container's. The limit bounds it for 10,000
 * Pods with room to spare (docs/operations.md, "Sizing"); deploy/ sets the container's limit above it.
 * - A full collection while thousands of Pods are read keeps the garbage of that time: the first is
 *   due once old objects come to 48 MB, the later ones as these grow by 40 %. 5,000 Pods, cold: 127 to
 *   132 MiB at the peak in nine runs; 127 to 141 with 56 MB; without it 126 to 149, and 6 % more CPU.
 * - The young generation trades memory for CPU (4 MiB: 10 % more CPU; 16 MiB: 12 MiB more memory).
 * - Collector threads of its own would take the API server's core.
 */
export const HEAP_FLAGS =
  "--max-old-space-size=160,--initial-old-space-size=48,--heap-growing-percent=40," +
  "--max-semi-space-size=8,--single-threaded-gc";

/** Any address: the API server, the metrics port. Files: kubeconfig, certificates, tokens. */
const RIGHTS = [
  "--allow-net",
  "--allow-read",
  "--allow-env",
  // Lease identity when NODE_NAME is not set; open resources for /metrics.
  // And the node's addresses.
  "--allow-sys=hostname,systemMemoryInfo,osRelease,networkInterfaces",
  // eBPF; and files below /proc, /sys and the bpffs, for which Deno would want every right. Pointers
  // need it without a path. main.ts gives it back where a command does without.
  "--allow-ffi",
];
/** What only a workstation has use for. */
const WORKSTATION_RIGHTS = ["--allow-run", "--allow-write"];

const RUNTIME_HINT =
  "Deno compiles with its runtime for the architecture, `denort`, which it downloads from " +
  "dl.deno.land; where that cannot be reached, set DENORT_BIN to it, and DENO_COMPILE to the " +
  "Deno of its version.";

export interface BuildOptions {
  /** Path of the executable to write. */
  output?: string;
  /** Module to compile instead of main.ts. */
  entry?: string;
  image?: boolean;
  /** Default: the one it is built on. */
  target?: Machine;
  /** Default: that of deno.json. */
  version?: string;
}

/** The program as one file of JavaScript. */
export interface Bundle {
  readonly text: string;
  /** `name@version` of each npm package in it, sorted. */
  readonly packages: readonly string[];
}

/** @returns the executable's path. @throws Error with the tool's message when a step fails. */
export async function buildProgram(options: BuildOptions = {}): Promise<string> {
  return await compileBundle(await bundleProgram(options.entry), options);
}

/** @throws Error with Deno's message. */
export async function bundleProgram(entry = ENTRY): Promise<Bundle> {
  const work = await Deno.makeTempDir({ prefix: "podconfigmap-build-" });
  try {
    const file = `${work}/bundle.js`;
    await run("bundle the sources", Deno.execPath(), [
      ...["bundle", "--platform=deno", `--output=${file}`, entry],
    ]);
    return withoutCachePath(await Deno.readTextFile(file));
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/**
 * The bundler names each module by the way to it from here, so that the builder's home would be
 * inside: packages are named `npm/<name>/<version>/...` instead.
 */
export function withoutCachePath(bundle: string): Bundle {
  const text = bundle.replaceAll(
    /(?<=^\/\/ |")[^"\n]*?\/npm\/registry\.npmjs\.org\//gm,
    "npm/",
  );
  const modules = text.matchAll(/^\/\/ npm\/((?:@[^/\s]+\/)?[^/\s]+)\/([^/\s]+)\//gm);
  const packages = [...modules].map(([, name, version]) => `${name}@${version}`);
  return { text, packages: [...new Set(packages)].sort() };
}

/** @returns the executable's path. @throws Error with the tool's message when a step fails. */
export async function compileBundle(bundle: Bundle, options: BuildOptions = {}): Promise<string> {
  const output = options.output ?? OUTPUT;
  const target = options.target ?? BUILD_MACHINE;
  const { cli, triple } = runtimeFor(target);
  const work = await Deno.makeTempDir({ prefix: "podconfigmap-build-" });
  try {
    const file = `${work}/podconfigmap-controller.js`;
    const build = {
      version: options.version ?? config.version,
      commit: await commit(),
      target: triple,
    };
    // What `src/ops/version.ts` reports: a module's first statement runs first.
    const stamp = `globalThis.PODCONFIGMAP_BUILD = ${JSON.stringify(build)};\n`;
    await Deno.writeTextFile(file, stamp + bundle.text);
    // The executable holds it.
    await Deno.utime(file, 0, 0);
    await run(`compile the bundle for ${target}`, cli, [
      "compile",
      "--no-check",
      "--no-config",
      "--no-lock",
      // Read from a temporary folder, whoever put it there: docs/image.md has that, and what it costs.
      "--no-code-cache",
      "--no-prompt",
      ...RIGHTS,
      ...(options.image ? [] : WORKSTATION_RIGHTS),
      `--v8-flags=${HEAP_FLAGS}`,
      ...(target === BUILD_MACHINE ? [] : [`--target=${triple}`]),
      `--output=${output}`,
      file,
    ], Deno.env.get("DENORT_BIN") ? undefined : RUNTIME_HINT);
    return output;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** The CLI that compiles for `target`. @throws Error when DENORT_BIN is of another architecture. */
function runtimeFor(target: Machine): { cli: string; triple: string } {
  const { triple } = MACHINES[target];
  const runtime = Deno.env.get("DENORT_BIN");
  if (!runtime) return { cli: Deno.execPath(), triple };
  const machine = elfMachine(runtime);
  if (machine !== target) {
    throw new Error(
      `Cannot compile for ${target}: DENORT_BIN (${runtime}) is a runtime for ${machine}. ` +
        `Set it to Deno's denort-${triple} of the version that DENO_COMPILE has, or unset both.`,
    );
  }
  return { cli: Deno.env.get("DENO_COMPILE") ?? Deno.execPath(), triple };
}

/** Of the runtime that {@link compileBundle} puts into the executable: "2.9.6". */
export async function runtimeVersion(target: Machine): Promise<string> {
  const text = await run("ask Deno for its version", runtimeFor(target).cli, ["--version"]);
  return text.split(/\s/)[1] ?? "";
}

/** Short hash of HEAD, `-dirty` when tracked files differ; `unknown` outside of a checkout. */
export async function commit(): Promise<string> {
  try {
    const head = await git("rev-parse", "--short=12", "HEAD");
    const changes = await git("status", "--porcelain", "--untracked-files=no");
    return changes === "" ? head : `${head}-dirty`;
  } catch {
    return "unknown";
  }
}

/** When HEAD was committed, in seconds; 0 outside of a checkout. */
export async function commitTime(): Promise<number> {
  try {
    return Number(await git("show", "--no-patch", "--format=%ct", "HEAD"));
  } catch {
    return 0;
  }
}

async function git(...args: string[]): Promise<string> {
  return (await run("look at the checkout", "git", args)).trim();
}

function parseArgs(args: readonly string[]): BuildOptions {
  const options: BuildOptions = {};
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--image") options.image = true;
    else if (args[i] === "--output" && i + 1 < args.length) options.output = String(args[++i]);
    else if (args[i] === "--target" && i + 1 < args.length) options.target = machine(args[++i]);
    else throw new Error(`Cannot build: unknown option ${args[i]}`);
  }
  return options;
}

async function main(options: BuildOptions): Promise<string> {
  const output = await buildProgram(options);
  const { size } = await Deno.stat(output);
  return `${output} (${Math.round(size / 1e6)} MB)\n`;
}

if (import.meta.main) await script(() => main(parseArgs(Deno.args)));
