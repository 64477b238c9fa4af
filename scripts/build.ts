/**
 * Builds the program into one executable: bundle, stamp, compile.
 *
 *     deno task build [--output PATH] [--image]
 *
 * - Default output: dist/podconfigmap-controller. It has the version, commit and target inside,
 *   fixed rights and a fixed heap limit, and needs neither Deno nor the sources.
 * - `--image` leaves out the right that only a workstation needs: to run credential plugins of a
 *   kubeconfig.
 * - With DENORT_BIN set, that runtime is used, and DENO_COMPILE names the CLI of exactly its
 *   version; else this CLI's own runtime, which it downloads once.
 *
 * Bundled first because `deno compile` alone overflows its stack on a package below prom-client.
 */
import config from "../deno.json" with { type: "json" };

const ENTRY = "main.ts";
const OUTPUT = "dist/podconfigmap-controller";

/**
 * V8 sizes its heap by the machine's memory, not by the container's. The limit bounds it for 10,000
 * Pods with room to spare; deploy/ sets the container's limit above it. The young generation trades memory for
 * CPU: for 5,000 Pods, cold, 4 MiB cost 0.36 ms a ConfigMap and 127 MiB, 8 MiB 0.31 ms and 135 MiB,
 * 16 MiB 0.29 ms and 147 MiB. Collector threads of its own would take the API server's core.
 */
const HEAP_FLAGS = "--max-old-space-size=160,--max-semi-space-size=8,--single-threaded-gc";

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
const WORKSTATION_RIGHTS = ["--allow-run", "--allow-write"];

export interface BuildOptions {
  /** Path of the executable to write. */
  output?: string;
  /** Module to compile instead of main.ts. */
  entry?: string;
  image?: boolean;
}

/** @returns the executable's path. @throws Error with the tool's message when a step fails. */
export async function buildProgram(options: BuildOptions = {}): Promise<string> {
  const output = options.output ?? OUTPUT;
  const work = await Deno.makeTempDir({ prefix: "podconfigmap-build-" });
  try {
    const bundle = `${work}/podconfigmap-controller.js`;
    await run("bundle the sources", Deno.execPath(), [
      "bundle",
      "--platform=deno",
      `--output=${bundle}`,
      options.entry ?? ENTRY,
    ]);
    await stamp(bundle);
    const runtime = Deno.env.get("DENORT_BIN");
    const cli = runtime === undefined
      ? Deno.execPath()
      : Deno.env.get("DENO_COMPILE") ?? Deno.execPath();
    await run("compile the bundle", cli, [
      "compile",
      "--no-check",
      "--no-config",
      "--no-lock",
      "--no-code-cache",
      "--no-prompt",
      ...RIGHTS,
      ...(options.image ? [] : WORKSTATION_RIGHTS),
      `--v8-flags=${HEAP_FLAGS}`,
      `--output=${output}`,
      bundle,
    ]);
    return output;
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Sets the global that `src/ops/version.ts` reports: a module's first statement runs first. */
async function stamp(bundle: string): Promise<void> {
  const build = { version: config.version, commit: await commit(), target: Deno.build.target };
  const text = await Deno.readTextFile(bundle);
  const statement = `globalThis.PODCONFIGMAP_BUILD = ${JSON.stringify(build)};\n`;
  await Deno.writeTextFile(bundle, statement + text);
}

/** Short hash of HEAD, `-dirty` when tracked files differ; `unknown` outside of a checkout. */
async function commit(): Promise<string> {
  const git = async (...args: string[]) => {
    const result = await new Deno.Command("git", { args, stderr: "null" }).output();
    if (!result.success) throw new Error(`Cannot run git ${args[0]}: exit code ${result.code}`);
    return new TextDecoder().decode(result.stdout).trim();
  };
  try {
    const head = await git("rev-parse", "--short=12", "HEAD");
    const changes = await git("status", "--porcelain", "--untracked-files=no");
    return changes === "" ? head : `${head}-dirty`;
  } catch {
    return "unknown";
  }
}

async function run(action: string, command: string, args: readonly string[]): Promise<void> {
  const result = await new Deno.Command(command, {
    args: [...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!result.success) {
    throw new Error(`Cannot ${action}: ${new TextDecoder().decode(result.stderr).trim()}`);
  }
}

function parseArgs(args: readonly string[]): BuildOptions {
  const options: BuildOptions = {};
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--image") options.image = true;
    else if (args[i] === "--output" && i + 1 < args.length) options.output = String(args[++i]);
    else throw new Error(`Cannot build: unknown option ${args[i]}`);
  }
  return options;
}

if (import.meta.main) {
  const output = await buildProgram(parseArgs(Deno.args));
  const { size } = await Deno.stat(output);
  const line = `${output} (${Math.round(size / 1e6)} MB)\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(line));
}
