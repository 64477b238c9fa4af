/**
 * What the syscall counter of this node knows of a Pod, read from what the agent has pinned.
 *
 * Only reads, and does not claim the node: an agent may run meanwhile, or have ended; the counter works on
 * without one.
 */
import { KubeletCgroups } from "../agent/adapters/cgroups.ts";
import { Pins } from "../agent/adapters/pins.ts";
import { LibbpfSyscalls } from "../agent/adapters/syscalls.ts";
import { type CgroupQuery, EbpfError } from "../agent/ports.ts";
import type { SyscallsSeen } from "../domain/seccomp_profile.ts";
import { type Architecture, syscallTable } from "../domain/syscall_table.ts";

export interface NodeReading {
  readonly bpffsFolder: string;
  /** Empty: every cgroup2 mount. */
  readonly cgroupRoot: string;
  readonly architecture: Architecture;
}

/** @returns undefined where no system call of the Pod is counted. @throws EbpfError */
export async function readSyscalls(
  query: CgroupQuery,
  { bpffsFolder, cgroupRoot, architecture }: NodeReading,
): Promise<SyscallsSeen | undefined> {
  const pins = new Pins(bpffsFolder);
  if (!pins.inUse) return undefined;
  const cgroups = new KubeletCgroups(cgroupRoot === "" ? {} : { root: cgroupRoot });
  const { id } = await cgroups.resolve(query);
  const { compat } = syscallTable(architecture);
  // Nothing is made, so that no capacity and no level matters.
  const counter = new LibbpfSyscalls(pins, { compat, capacity: 1, levelBits: () => 0 });
  const { rows, attached } = await counter.inspect();
  const row = rows.find(({ cgroupIds }) => cgroupIds.includes(id));
  if (row === undefined) return undefined;
  if (!attached) {
    throw new EbpfError(
      "LoadFailed",
      "Cannot read the counter: its programs are not all attached, or of another version",
    );
  }
  const [counts] = await counter.counts([row.row]);
  if (counts === undefined) return undefined;
  return {
    architecture,
    calls: counts.calls,
    counted: row.spec.numbers,
    compat: counter.compatCalls(row.row),
  };
}
