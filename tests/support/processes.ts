/**
 * Child processes and temporary folders that never outlive the test.
 *
 * Each test file's worker has one guard: a small shell that holds the list of pids and folders
 * and, when its standard input closes (the test ended, failed, or was killed), kills and removes
 * what is left. A pid is only ever signalled while its start time is the one recorded.
 */
import { eventually, type EventuallyOptions } from "./eventually.ts";

const GUARD_SCRIPT = `
trap '' INT TERM HUP
pids= dirs=
# A read that meets the end empties its variables.
while IFS='|' read -r p d; do pids=$p dirs=$d; done
for entry in $pids; do
  pid=\${entry%%:*} start=\${entry#*:}
  now=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)
  if [ "$start" = unknown ] || [ "$now" = "$start" ]; then
    kill -CONT "$pid" 2>/dev/null; kill -KILL "$pid" 2>/dev/null
  fi
done
if [ -n "$pids" ]; then sleep 0.2; fi
for dir in $dirs; do rm -rf -- "$dir"; done
`;

class Guard {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #pids = new Map<number, string>();
  readonly #dirs = new Set<string>();

  constructor() {
    this.#child = new Deno.Command("sh", {
      args: ["-c", GUARD_SCRIPT],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    // The guard must not keep a finished test file's event loop alive.
    this.#child.unref();
    this.#writer = this.#child.stdin.getWriter();
  }

  async holdProcess(pid: number): Promise<void> {
    this.#pids.set(pid, startTime(pid) ?? "unknown");
    await this.#publish();
  }

  async releaseProcess(pid: number): Promise<void> {
    if (this.#pids.delete(pid)) await this.#publish();
  }

  async holdDir(path: string): Promise<void> {
    this.#dirs.add(path);
    await this.#publish();
  }

  async releaseDir(path: string): Promise<void> {
    if (this.#dirs.delete(path)) await this.#publish();
  }

  #publish(): Promise<void> {
    const pids = [...this.#pids].map(([pid, start]) => `${pid}:${start}`).join(" ");
    const line = `${pids}|${[...this.#dirs].join(" ")}\n`;
    return this.#writer.write(new TextEncoder().encode(line));
  }
}

let guard: Guard | undefined;
function theGuard(): Guard {
  return guard ??= new Guard();
}

/** Field 22 of `/proc/<pid>/stat`, ticks since boot; `undefined` where there is no such process or no /proc. */
function startTime(pid: number): string | undefined {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/stat`).replace(/^.*\) /s, "").split(" ")[19];
  } catch {
    return undefined;
  }
}

/** A folder that is removed when disposed or, at the latest, when the test file ends. Its path has no spaces. */
export async function temporaryDir(prefix: string): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: `${prefix}-` });
  await theGuard().holdDir(path);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await Deno.remove(path, { recursive: true }).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
      await theGuard().releaseDir(path);
    },
  };
}

export interface SpawnOptions {
  command: string;
  args?: readonly string[];
  cwd?: string;
  /** Added to this process's environment, or all of it with `clearEnv`. */
  env?: Record<string, string>;
  clearEnv?: boolean;
  /** Standard output and standard error go here, appended. */
  logFile: string;
}

/** A running child whose output goes to a file. */
export class RunningProcess implements AsyncDisposable {
  readonly name: string;
  readonly logFile: string;
  /** Resolves when it has ended, however it ended. */
  readonly status: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  #ended: Deno.CommandStatus | undefined;
  #minded: number | undefined;

  private constructor(child: Deno.ChildProcess, options: SpawnOptions) {
    this.#child = child;
    this.name = options.command.replace(/^.*\//, "");
    this.logFile = options.logFile;
    this.status = child.status.then(async (status) => {
      this.#ended = status;
      await theGuard().releaseProcess(child.pid);
      if (this.#minded !== undefined) await theGuard().releaseProcess(this.#minded);
      return status;
    });
  }

  static async start(options: SpawnOptions): Promise<RunningProcess> {
    const child = new Deno.Command("sh", {
      // exec: the pid stays that of the program itself.
      args: ["-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "sh", options.logFile].concat(
        options.command,
        options.args ?? [],
      ),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
      clearEnv: options.clearEnv ?? false,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await theGuard().holdProcess(child.pid);
    return new RunningProcess(child, options);
  }

  /**
   * For a child that only minds another process, and ends as that one does: from now on `pid` is
   * that one's, and signals go there.
   */
  async minds(pid: number): Promise<void> {
    this.#minded = pid;
    await theGuard().holdProcess(pid);
    // It ended meanwhile, and its release passed this hold by.
    if (this.#ended !== undefined) await theGuard().releaseProcess(pid);
  }

  get pid(): number {
    return this.#minded ?? this.#child.pid;
  }

  /** How it ended; `undefined` while it runs. */
  get ended(): Deno.CommandStatus | undefined {
    return this.#ended;
  }

  /** Does nothing once the process has ended. */
  signal(signal: Deno.Signal): void {
    if (this.#ended !== undefined) return;
    try {
      if (this.#minded === undefined) this.#child.kill(signal);
      else Deno.kill(this.#minded, signal);
    } catch (error) {
      // It ended, and its status is not here yet.
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** SIGTERM, and SIGKILL when that did not end it within `graceMs` (default 5,000). */
  async stop(graceMs = 5_000): Promise<Deno.CommandStatus> {
    this.signal("SIGCONT");
    this.signal("SIGTERM");
    const left = setTimeout(() => this.signal("SIGKILL"), graceMs);
    try {
      return await this.status;
    } finally {
      clearTimeout(left);
    }
  }

  async kill(): Promise<Deno.CommandStatus> {
    this.signal("SIGKILL");
    return await this.status;
  }

  log(): Promise<string> {
    return Deno.readTextFile(this.logFile);
  }

  /** Waits until a line of its output matches, and returns that line. Fails at once when the process ends first. */
  async logLine(pattern: RegExp | string, options?: EventuallyOptions): Promise<string> {
    const matches = (line: string) =>
      typeof pattern === "string" ? line.includes(pattern) : pattern.test(line);
    const outcome = await eventually(`${this.name} logs ${pattern}`, async () => {
      // Read the state first: what was written before the end is then in the text.
      const ended = this.#ended;
      const line = (await this.log()).split("\n").find(matches);
      return line ?? (ended === undefined ? undefined : ended);
    }, options);
    if (typeof outcome === "string") return outcome;
    throw new Error(
      `Cannot see ${pattern}: ${this.name} ended with code ${outcome.code}\n${await this.tail()}`,
    );
  }

  async tail(lines = 20): Promise<string> {
    return (await this.log().catch(() => "")).trimEnd().split("\n").slice(-lines).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/**
 * Runs a command to its end and returns its standard output.
 * @throws Error with standard error when it fails.
 */
export async function output(
  command: string,
  args: readonly string[],
  options: { stdin?: string; env?: Record<string, string>; cwd?: string } = {},
): Promise<string> {
  const result = await run(command, args, options);
  if (result.code !== 0) {
    const shown = [command.replace(/^.*\//, ""), ...args].join(" ");
    throw new Error(`Cannot run "${shown}": exit code ${result.code}\n${result.stderr.trim()}`);
  }
  return result.stdout;
}

/** Runs a command to its end, whatever the exit code. */
export async function run(
  command: string,
  args: readonly string[],
  options: { stdin?: string; env?: Record<string, string>; cwd?: string } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = new Deno.Command(command, {
    args: [...args],
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (options.stdin !== undefined) {
    const writer = child.stdin.getWriter();
    // A command may end without reading all of it.
    await writer.write(new TextEncoder().encode(options.stdin)).catch(() => {});
    await writer.close().catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Below the ports that a kernel gives by itself, to who connects or asks for any port. */
const PORTS = { from: 20_000, to: 32_000 } as const;
const takenPorts = new Set<number>();

/**
 * A TCP port of loopback for a process that is to be started: nothing listens on it now, and nobody
 * who did not ask for that very port will before the process does.
 */
export function freePort(): number {
  while (takenPorts.size < PORTS.to - PORTS.from) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    if (takenPorts.has(port)) continue;
    takenPorts.add(port);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error(`Cannot find a free port from ${PORTS.from} to ${PORTS.to}`);
}
