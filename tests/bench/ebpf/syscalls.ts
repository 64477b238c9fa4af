/**
 * What counting costs a system call: of a process that is counted, and of one that is not.
 */
import type { BpfLoader, PodCgroup } from "../../../src/agent/ports.ts";
import { syscallSpec } from "../../kernel/support/agent.ts";
import { startCounter, startEmptyTracepoints, startLeafCounter } from "./ours.ts";
import { missingPeer, startTracer, type Tracer } from "./peers.ts";
import { BASELINE, type Scenario, type Variant } from "./rounds.ts";
import { type Built, Workload } from "./workload.ts";

const SLICES = 40;
const CALLS_A_SLICE = 2_000;
const SWITCHES_A_SLICE = 100;
/** Of the counted process's getppid, each time it is measured. */
const COUNTED = SLICES * CALLS_A_SLICE;

/** Metric -> process, and what it calls. */
const METRICS = {
  /** A call that is listed, of a Pod that is counted. */
  monitored: { inPod: true, call: "getppid" },
  /** The same call of another process. */
  other: { inPod: false, call: "getppid" },
  /** Of the Pod, a call that fails; only where errors are wanted is it listed. */
  failing: { inPod: true, call: "badclose" },
  /** A byte from the Pod to another cgroup and back, four calls: the CPU changes between them all the time. */
  switching: { inPod: true, call: "switch" },
} as const;

export const COUNTER = "counter";
export const COUNTER_OLD = "counter, as before Linux 5.11";
export const COUNTER_ERRORS = "counter with errors";
export const COUNTER_REMOVED = "counter, put and removed";
export const SYSCOUNT = "syscount";
export const SYSCOUNT_CGROUP = "syscount -c, the Pod's cgroup";
export const SYSCOUNT_ERRORS = "syscount -x, failed calls";

export interface SyscallStage {
  readonly built: Built;
  readonly loader: BpfLoader;
  readonly pod: PodCgroup;
  /** Below the Pod's: where its processes are. */
  readonly container: string;
  readonly elsewhere: string;
  /** Where peers write. */
  readonly logFile: string;
  readonly cpu: number;
}

/** Runs its processes until disposed. */
export async function syscallScenario(stage: SyscallStage): Promise<Scenario & AsyncDisposable> {
  await using owned = new AsyncDisposableStack();
  const place = async (cgroup: string) => {
    const workload = owned.use(new Workload(stage.built.workload));
    await workload.do(`cpu ${stage.cpu}`);
    await workload.do(`join ${cgroup}`);
    return workload;
  };
  const inside = await place(stage.container);
  const outside = await place(stage.elsewhere);
  const kept = owned.move();
  return {
    variants: [...ourVariants(stage), ...peerVariants(stage)],
    metrics: Object.keys(METRICS),
    measure(metric) {
      const { inPod, call } = METRICS[metric as keyof typeof METRICS];
      const what = call === "switch"
        ? `switch ${stage.elsewhere} ${SLICES} ${SWITCHES_A_SLICE}`
        : `${call} ${SLICES} ${CALLS_A_SLICE}`;
      return (inPod ? inside : outside).do(what);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

const nothing = () => Promise.resolve(new AsyncDisposableStack());

function ourVariants(stage: SyscallStage): Variant[] {
  const { built, loader, pod } = stage;
  const plain = syscallSpec(["getppid", "read"]);
  const counter = (spec = plain) => startCounter(loader, pod, { spec, atLeast: COUNTED });
  const extra = (more: Parameters<typeof syscallSpec>[1]) => () =>
    counter(syscallSpec(["getppid", "read", "close"], more));
  return [
    { name: BASELINE, start: nothing },
    { name: `${BASELINE}, again`, start: nothing },
    {
      name: COUNTER_REMOVED,
      async start() {
        await loader.syscalls.remove(await loader.syscalls.put(pod, plain));
        return await nothing();
      },
    },
    { name: "empty program", start: () => startEmptyTracepoints(built.empty, ["sys_enter"]) },
    {
      name: "empty programs, enter and exit",
      start: () => startEmptyTracepoints(built.empty, ["sys_enter", "sys_exit"]),
    },
    { name: COUNTER, start: () => counter() },
    {
      name: COUNTER_OLD,
      start: () => startLeafCounter(stage.container, COUNTED),
    },
    { name: COUNTER_ERRORS, start: extra({ errors: true }) },
    { name: "counter with latency", start: extra({ latency: true }) },
    { name: "counter with processes", start: extra({ pids: true }) },
  ];
}

function peerVariants(stage: SyscallStage): Variant[] {
  const missing = { syscount: missingPeer("syscount"), bpftrace: missingPeer("bpftrace") };
  const tracer = (options: Tracer) => () => startTracer(options, stage.logFile);
  const syscount = (options: readonly string[], call = "getppid") =>
    tracer({
      command: ["syscount", "-T", "500", ...options],
      ready: /^Tracing syscalls/,
      counted: new RegExp(`^${call}\\s+(\\d+)`, "m"),
      atLeast: COUNTED,
    });
  const bpftrace = (filter: string) =>
    tracer({
      command: [
        "bpftrace",
        "-e",
        `tracepoint:raw_syscalls:sys_enter ${filter} { @[args->id] = count(); }
         interval:ms:50 { printf("counting\\n"); }`,
      ],
      ready: /^counting/,
      counted: GETPPID_OF_BPFTRACE,
      atLeast: COUNTED,
    });
  const inPod = `/cgroup == ${idOf(stage)}/`;
  return [
    { name: SYSCOUNT, missing: missing.syscount, start: syscount([]) },
    {
      name: SYSCOUNT_CGROUP,
      missing: missing.syscount,
      start: syscount(["-c", stage.pod.path]),
    },
    {
      name: SYSCOUNT_ERRORS,
      missing: missing.syscount,
      start: syscount(["-x"], "close"),
    },
    { name: "syscount -L, latency", missing: missing.syscount, start: syscount(["-L"]) },
    { name: "bpftrace, count by id", missing: missing.bpftrace, start: bpftrace("") },
    {
      name: "bpftrace, the container's cgroup",
      missing: missing.bpftrace,
      start: bpftrace(inPod),
    },
  ];
}

const GETPPID_OF_BPFTRACE = Deno.build.arch === "aarch64"
  ? /^@\[173\]: (\d+)/m
  : /^@\[110\]: (\d+)/m;

/** bpftrace compares with a process's own cgroup. */
const idOf = (stage: SyscallStage) => Deno.statSync(stage.container).ino;
