/**
 * The programs that ours are compared with, as Debian ships them: syscount of libbpf-tools, bpftrace,
 * nft. None of them is needed: what is not there says so in its row.
 */
import { onPath } from "../../kernel/support/sandbox.ts";
import { output, run, RunningProcess } from "../../support/processes.ts";

/** Program -> Debian package. */
const PACKAGES = { syscount: "libbpf-tools", bpftrace: "bpftrace", nft: "nftables" } as const;
export type Peer = keyof typeof PACKAGES;
const PEERS = Object.keys(PACKAGES) as readonly Peer[];

const TOOLS = ["clang", "ip", "nsenter", "unshare", "mount", "stdbuf"] as const;

/** What the benchmark itself needs, and does not find. */
export const missingTools = (): string[] => TOOLS.filter((tool) => !onPath(tool));

/** What must be otherwise, as it would be measured along. */
export function disturbances(): string[] {
  const statistics = Deno.readTextFileSync("/proc/sys/kernel/bpf_stats_enabled").trim() !== "0";
  return statistics ? ["the sysctl kernel.bpf_stats_enabled at 0"] : [];
}

/** @returns undefined where it is there, else what to do. */
export function missingPeer(peer: Peer): string | undefined {
  return onPath(peer) ? undefined : `not installed (apt-get install ${PACKAGES[peer]})`;
}

/** By program: its package's version, or "not installed"; where no package manager knows, "installed". */
export async function peerVersions(): Promise<Record<string, string>> {
  const versions = await Promise.all(PEERS.map(async (peer): Promise<[string, string]> => {
    if (missingPeer(peer) !== undefined) return [peer, "not installed"];
    try {
      const query = ["-W", "-f", "${Version}", PACKAGES[peer]];
      return [peer, `${PACKAGES[peer]} ${await output("dpkg-query", query)}`];
    } catch {
      return [peer, "installed"];
    }
  }));
  return Object.fromEntries(versions);
}

/** Both need tracefs, which is mounted for them alone where nobody has. */
const WITH_TRACEFS = `
mount --make-rprivate / &&
{ [ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; } &&
exec "$@"`;
const READY_MS = 20_000;

export interface Tracer {
  readonly command: readonly string[];
  /** A line that says that it counts. */
  readonly ready: RegExp;
  /** What it prints of the calls counted when it ends; first group: how many. */
  readonly counted: RegExp;
  /** Calls that it must have counted, else it was not at work. */
  readonly atLeast: number;
}

/** Disposing stops it. @throws Error then when it counted too little. */
export async function startTracer(tracer: Tracer, logFile: string): Promise<AsyncDisposable> {
  await Deno.writeTextFile(logFile, "");
  const process = await RunningProcess.start({
    command: "unshare",
    args: ["--mount", "sh", "-c", WITH_TRACEFS, "sh", "stdbuf", "-oL", ...tracer.command],
    logFile,
  });
  try {
    await process.logLine(tracer.ready, { timeoutMs: READY_MS, everyMs: 10 });
  } catch (error) {
    await process.kill();
    throw error;
  }
  return {
    async [Symbol.asyncDispose]() {
      // SIGTERM would end them before they print.
      process.signal("SIGINT");
      const late = setTimeout(() => process.signal("SIGKILL"), READY_MS);
      const status = await process.status;
      clearTimeout(late);
      const [, count = "0"] = tracer.counted.exec(await process.log()) ?? [];
      if (Number(count) >= tracer.atLeast) return;
      throw new Error(
        `Cannot use ${tracer.command[0]}: it counted ${count} of ${tracer.atLeast} calls, ` +
          `exit code ${status.code}\n${await process.tail()}`,
      );
    },
  };
}

/** nft's rules in the network of a process, until disposed. They end with that network, too. */
export async function nftRules(pid: number, rules: string): Promise<AsyncDisposable> {
  const inside = (args: readonly string[], stdin?: string) =>
    run(
      "nsenter",
      ["--net", "--target", `${pid}`, "nft", ...args],
      stdin === undefined ? {} : { stdin },
    );
  const { code, stderr } = await inside(["-f", "-"], rules);
  if (code !== 0) throw new Error(`Cannot set nft's rules: ${stderr.trim()}`);
  return {
    async [Symbol.asyncDispose]() {
      const flushed = await inside(["flush", "ruleset"]);
      if (flushed.code !== 0) throw new Error(`Cannot remove nft's rules: ${flushed.stderr}`);
    },
  };
}
