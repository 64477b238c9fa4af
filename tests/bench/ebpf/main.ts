/**
 * Measures what the eBPF programs cost, beside the programs that one would take instead, in one run.
 *
 *     deno task bench:ebpf [--rounds N] [--only syscalls,network] [--output FOLDER] [--record]
 *
 * - Every round measures every variant: nothing attached (twice: the noise), an empty program, ours as the
 *   agent attaches them, libbpf-tools' syscount and bpftrace for system calls, nft with conntrack for
 *   connections. What a variant adds is its difference to "nothing attached" of its own round.
 * - Prints the tables; keeps tables and JSON in FOLDER (.bench). `--record` adds both to docs/performance.md.
 * - Leaves nothing behind: cgroups, networks, rules, programs and processes end with it; what a killed
 *   run leaves of cgroups and mounts, the next run removes.
 *
 * Needs Linux, root, a writable cgroup2 mount, libbpf 1.x, clang with libbpf's headers, and of the
 * usual tools ip, nsenter, unshare, mount, stdbuf. syscount (libbpf-tools), bpftrace and nft are
 * measured where they are installed: apt-get install libbpf-tools bpftrace nftables. One machine
 * does one thing at a time: leave it alone meanwhile.
 */
import { missingForKernel, Sandbox } from "../../kernel/support/sandbox.ts";
import { makePorts } from "../../kernel/support/agent.ts";
import { makePod } from "../../kernel/support/kubelet.ts";
import { temporaryDir } from "../../support/processes.ts";
import { addRecord } from "../record.ts";
import { commitName } from "../stage.ts";
import { networkScenario } from "./network.ts";
import { disturbances, missingTools, peerVersions } from "./peers.ts";
import { markdown, type Results, summary } from "./report.ts";
import { interleave } from "./rounds.ts";
import { syscallScenario } from "./syscalls.ts";
import { build } from "./workload.ts";

/** Of docs/performance.md. */
const RECORD = "## eBPF programs";
const SCENARIOS = ["syscalls", "network"] as const;
type ScenarioName = typeof SCENARIOS[number];

interface Options {
  rounds: number;
  only: readonly string[];
  record: boolean;
  output: string;
}

function parseOptions(args: readonly string[]): Options {
  const options: Options = { rounds: 16, only: SCENARIOS, record: false, output: ".bench" };
  for (let at = 0; at < args.length; at++) {
    const value = () => String(args[++at] ?? "");
    if (args[at] === "--rounds") options.rounds = Number(value());
    else if (args[at] === "--only") options.only = value().split(",");
    else if (args[at] === "--output") options.output = value();
    else if (args[at] === "--record") options.record = true;
    else throw new Error(`Cannot run the benchmark: unknown option ${args[at]}`);
  }
  if (!Number.isInteger(options.rounds) || options.rounds < 1) {
    throw new Error("Cannot run the benchmark: --rounds takes a count");
  }
  const unknown = options.only.filter((name) => !SCENARIOS.includes(name as ScenarioName));
  if (unknown.length > 0) throw new Error(`Cannot run ${unknown}: there are ${SCENARIOS}`);
  return options;
}

async function measure(options: Options, signal: AbortSignal): Promise<Results> {
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    commit: await commitName(),
    machine: { cpus: navigator.hardwareConcurrency, kernel: Deno.osRelease() },
    peers: await peerVersions(),
    rounds: options.rounds,
  };
  await using built = await build();
  await using folder = await temporaryDir("bench-ebpf-log");
  await using sandbox = await Sandbox.create();
  const { loader, cgroups } = makePorts(`${sandbox.bpffs}/podconfigmap`, {
    cgroupRoot: sandbox.root,
  });
  await loader.open();
  await using _closed = { [Symbol.asyncDispose]: () => loader.close() };
  const [pod, other] = [makePod(sandbox), makePod(sandbox)];
  const stage = {
    built,
    loader,
    pod: await cgroups.resolve(pod.query),
    otherPod: await cgroups.resolve(other.query),
    container: pod.container,
    elsewhere: sandbox.cgroup("elsewhere"),
    logFile: `${folder.path}/peer.log`,
    cpu: navigator.hardwareConcurrency - 1,
  };
  for (const name of SCENARIOS.filter((name) => options.only.includes(name))) {
    say(name);
    await using scenario = name === "syscalls"
      ? await syscallScenario(stage)
      : await networkScenario(stage);
    results[name] = await interleave(scenario, options.rounds, signal);
  }
  return results;
}

async function main(): Promise<void> {
  const options = parseOptions(Deno.args);
  const lacks = [...missingForKernel(), ...missingTools(), ...disturbances()];
  if (lacks.length > 0) throw new Error(`Cannot run the benchmark here: needs ${lacks.join(", ")}`);
  // An interrupted run tidies up as one that failed.
  const interrupted = new AbortController();
  const abort = () => interrupted.abort(new Error("The benchmark was interrupted"));
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, abort);
  const results = await measure(options, interrupted.signal);
  const table = markdown(results);
  await Deno.mkdir(options.output, { recursive: true });
  const path = `${options.output}/ebpf-${results.date}-${results.commit}`;
  await Deno.writeTextFile(`${path}.json`, `${JSON.stringify(results)}\n`);
  await Deno.writeTextFile(`${path}.md`, table);
  if (options.record) {
    await addRecord({ table, json: summary(results), under: RECORD });
  }
  say(`\n${table}`);
  Deno.exit(0);
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) await main();
