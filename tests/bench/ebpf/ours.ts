/** Our programs on a cgroup, put there and taken away by the agent's own adapters. */
import {
  AttachType,
  BpfObject,
  CgroupDirectory,
  type Link,
  type Program,
} from "../../../ffi/mod.ts";
import type { BpfLoader, PodCgroup } from "../../../src/agent/ports.ts";
import type { FirewallSpec, SyscallSpec } from "../../../src/domain/ebpf_programs.ts";
import { calls } from "../../kernel/support/agent.ts";
import { SyscallCounter } from "../../kernel/support/syscalls.ts";

/** Counts system calls of the Pod. @throws when disposed, if it counted too few. */
export async function startCounter(
  loader: BpfLoader,
  pod: PodCgroup,
  options: { spec: SyscallSpec; atLeast: number },
): Promise<AsyncDisposable> {
  const row = await loader.syscalls.put(pod, options.spec);
  return {
    async [Symbol.asyncDispose]() {
      const [counts] = await loader.syscalls.counts([row]);
      await loader.syscalls.remove(row);
      checkCount(calls(counts?.calls)["getppid"] ?? 0, options.atLeast);
    },
  };
}

/** As on a kernel whose tracing programs know neither a cgroup's ancestors nor the task by BTF. */
export async function startLeafCounter(cgroup: string, atLeast: number): Promise<AsyncDisposable> {
  const counter = await SyscallCounter.attach({ flags: 0 });
  try {
    // Only errors and latencies need the exit.
    counter.links[1]?.[Symbol.dispose]();
    counter.want(cgroup, { row: 0, calls: ["getppid", "read"] });
  } catch (error) {
    counter[Symbol.dispose]();
    throw error;
  }
  return {
    [Symbol.asyncDispose]() {
      const { getppid = 0 } = counter.row(0);
      counter[Symbol.dispose]();
      checkCount(getppid, atLeast);
      return Promise.resolve();
    },
  };
}

function checkCount(count: number, atLeast: number): void {
  if (count < atLeast) throw new Error(`Cannot trust the counter: ${count} of ${atLeast} calls`);
}

/** Firewall of one Pod. */
export async function startFirewall(
  loader: BpfLoader,
  pod: PodCgroup,
  options: { uid: string; spec: FirewallSpec },
): Promise<AsyncDisposable> {
  await loader.firewall.apply(options.uid, pod, options.spec);
  return { [Symbol.asyncDispose]: () => loader.firewall.remove(options.uid) };
}

const EMPTY_HOOKS: Readonly<Record<string, AttachType>> = {
  empty_in: AttachType.CGROUP_INET_INGRESS,
  empty_out: AttachType.CGROUP_INET_EGRESS,
  empty_connect: AttachType.CGROUP_INET4_CONNECT,
  empty_send: AttachType.CGROUP_UDP4_SENDMSG,
};

/** Programs of `empty.bpf.c` at the firewall's hooks, for packets that leave only if asked for. */
export function startEmptyHooks(
  object: Uint8Array<ArrayBuffer>,
  to: { cgroup: string; egress: boolean },
) {
  return withPrograms(object, (program, name) => {
    const type = EMPTY_HOOKS[name];
    if (type === undefined || (name === "empty_out" && !to.egress)) return undefined;
    using directory = CgroupDirectory.open(to.cgroup);
    return program.attachCgroup(directory, type);
  });
}

const EMPTY_TRACEPOINTS: Readonly<Record<string, string>> = {
  empty_enter: "sys_enter",
  empty_exit: "sys_exit",
};

/** Programs of `empty.bpf.c` at these tracepoints. */
export function startEmptyTracepoints(
  object: Uint8Array<ArrayBuffer>,
  tracepoints: readonly string[],
) {
  return withPrograms(object, (program, name) => {
    const tracepoint = EMPTY_TRACEPOINTS[name];
    if (tracepoint === undefined || !tracepoints.includes(tracepoint)) return undefined;
    return program.attachRawTracepoint(tracepoint);
  });
}

async function withPrograms(
  bytes: Uint8Array<ArrayBuffer>,
  attach: (program: Program, name: string) => Link | undefined,
): Promise<AsyncDisposable> {
  using object = BpfObject.open(bytes, "empty");
  await object.load();
  using owned = new DisposableStack();
  for (const name of object.programNames) {
    using program = object.program(name);
    const link = attach(program, name);
    if (link !== undefined) owned.use(link);
  }
  const kept = owned.move();
  return {
    [Symbol.asyncDispose]() {
      kept.dispose();
      return Promise.resolve();
    },
  };
}
