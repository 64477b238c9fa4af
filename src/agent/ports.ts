/**
 * What the agent needs of its node. Adapters (`adapters/`) fill these ports with libbpf and the file
 * system; tests fill them with a fake kernel.
 *
 * The rule of all of them: what is attached is read from the kernel and its pins at each call, never
 * remembered only, so that a new process sees what the last one left. Every call may be repeated
 * after a failure, or after a process that died in the middle of it, and then finishes the work.
 * Calls never overlap: the agent makes one at a time. Failures are {@link EbpfError}s;
 * anything else that is thrown counts as `InternalError`.
 */
import type { Direction, Family, Protocol, Verdict } from "../domain/ebpf_programs.ts";
import type { AddressHex, FirewallSpec, SyscallSpec } from "../domain/ebpf_programs.ts";

/**
 * Why programs are not in place. A closed set: reasons of the Pod condition and, in snake case, the label
 * `error_type`.
 */
export const FAILURE_REASONS = [
  /** The Pod's cgroup is not there: not yet, no more, or under another root. */
  "CgroupNotFound",
  /** Cgroup v1 only, or a hybrid host whose Pods are not under the v2 tree. */
  "UnsupportedCgroups",
  /** The kernel lacks something that no other way replaces. The message names it and the version. */
  "UnsupportedKernel",
  /** libbpf cannot be opened, or is too old. */
  "LibraryMissing",
  /** EPERM or EACCES: a capability is missing; the message names the likely one. */
  "NotPermitted",
  /** No bpffs, or its folder cannot be written. */
  "BpffsUnavailable",
  /** Opening, loading or verifying an object failed, or pinned objects have another layout. */
  "LoadFailed",
  /** Attaching failed for a reason that is not listed. */
  "AttachFailed",
  /** Somebody else's program on the Pod's cgroup, or above it, forbids ours. */
  "AttachConflict",
  /** No row, map entry or memory is left. */
  "CapacityExceeded",
  /** Another agent manages this node: no condition is written, which would be a fight over it. */
  "AnotherAgent",
  /** The node's self-test shows that a firewall would not filter here. */
  "CanaryFailed",
  /** ebpfConfig has no effect in this namespace, by an option of the agent. */
  "NamespaceExcluded",
  /** A config that nobody can read keeps the programs as they were. */
  "ConfigInvalid",
  /** The specs ask for more than a Pod's programs can hold. */
  "TooManyProbePorts",
  "InternalError",
] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

/** Programs as metrics name them. */
export const PROGRAM_TYPES = ["syscall_counter", "l4_firewall"] as const;
export type ProgramType = (typeof PROGRAM_TYPES)[number];

/** `message`: "Cannot <action> <object>: <reason>", fit for a Pod condition: no addresses, no pointers. */
export class EbpfError extends Error {
  override readonly name = "EbpfError";
  readonly reason: FailureReason;

  constructor(reason: FailureReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** A Pod as the kubelet names its cgroup. */
export interface CgroupQuery {
  readonly podUid: string;
  /** Of a static Pod: its uid on the node, which is not the one in the API. */
  readonly configHash?: string;
  /** `status.qosClass`; a hint for where to look first. */
  readonly qosClass?: string;
}

export interface PodCgroup {
  /** Absolute path of the Pod-level directory. */
  readonly path: string;
  /** As the kernel's programs see it (`name_to_handle_at`). */
  readonly id: bigint;
  /** Levels below the root of the hierarchy; the root is 0. */
  readonly level: number;
  /**
   * Ids of all cgroups below it, ascending. Filled only where programs cannot ask for an ancestor's
   * id (before 6.1); elsewhere empty.
   */
  readonly descendants: readonly bigint[];
}

export interface CgroupResolver {
  /**
   * Looks on the file system each time; no cache that could be stale.
   * @throws EbpfError CgroupNotFound, UnsupportedCgroups
   */
  resolve(query: CgroupQuery): Promise<PodCgroup>;
}

/** The firewall of one Pod as it is found in the kernel. */
export interface FirewallState {
  readonly podUid: string;
  /** Cgroup that the links hang on; 0n where it is gone, or where there is no link. */
  readonly cgroupId: bigint;
  /**
   * Every hook that `spec` needs is attached there, by programs of this build, with the Pod's own maps, and
   * no second instance is.
   */
  readonly complete: boolean;
  /** As the maps and constants in the kernel say; undefined where that cannot be read. */
  readonly spec: FirewallSpec | undefined;
}

/** Totals since the firewall was first attached; rule changes and agents, of other layouts too, come and go without touching them. */
export interface FirewallCounts {
  readonly verdicts: readonly {
    readonly direction: Direction;
    readonly protocol: Protocol;
    readonly family: Family;
    readonly verdict: Verdict;
    readonly count: bigint;
  }[];
  readonly probes: bigint;
  readonly logLost: bigint;
  readonly flowsOpened: bigint;
  readonly flowsFailed: bigint;
}

/** One blocked or audited connection. */
export interface VerdictEvent {
  /** Of the Pod. */
  readonly cgroupId: bigint;
  readonly direction: Direction;
  readonly protocol: Protocol;
  readonly family: Family;
  readonly verdict: Verdict;
  readonly remote: AddressHex;
  readonly remotePort: number;
  readonly localPort: number;
}

export interface FirewallPort {
  /** Uids of Pods that have anything of a firewall on this node, half a one included. */
  list(): Promise<readonly string[]>;
  /** Undefined where the Pod has nothing. */
  inspect(podUid: string): Promise<FirewallState | undefined>;
  /**
   * Makes the firewall of the Pod what `spec` says, on `cgroup`. Where one is attached it changes
   * in place: no moment without rules, counters go on. One that hangs on another cgroup, or that cannot be read,
   * is taken down and made anew. When this fails, a firewall that was not complete before is taken down
   * altogether; one that was keeps the old rules, the new ones, or is reported as not complete.
   * Resolves only once all hooks hold; that includes a look that `cgroup` still has its id.
   * @throws EbpfError
   */
  apply(podUid: string, cgroup: PodCgroup, spec: FirewallSpec): Promise<void>;
  /** Detaches and unpins everything of the Pod; no error where there is nothing. @throws EbpfError */
  remove(podUid: string): Promise<void>;
  /** Undefined where the Pod has no firewall. */
  counts(podUid: string): Promise<FirewallCounts | undefined>;
  /** Addresses of the node, which reach probe ports: replaces those known before. At most 256. */
  setNodeAddresses(addresses: readonly AddressHex[]): Promise<void>;
  /** Takes at most `max` verdicts out of the log, oldest first; empty where the kernel has no ring buffer. */
  drainVerdicts(max: number): Promise<readonly VerdictEvent[]>;
}

/** A Pod's row in the syscall counter as it is found in the kernel. */
export interface SyscallState {
  readonly row: number;
  /** Cgroups that lead to the row, ascending. */
  readonly cgroupIds: readonly bigint[];
  readonly spec: SyscallSpec;
}

export interface SyscallNodeState {
  /** The programs of this build are attached and count what the rows ask for. */
  readonly attached: boolean;
  /** Anything of the counter is pinned or attached, half of it included. */
  readonly present: boolean;
  /** Rows in use, ascending by `row`. */
  readonly rows: readonly SyscallState[];
  readonly capacity: number;
}

/** Totals since the row was given to the Pod. Arrays by call number, SYSCALL_NUMBERS long. */
export interface SyscallCounts {
  readonly row: number;
  readonly calls: BigUint64Array;
  /** Only where errors are counted. */
  readonly errors?: BigUint64Array;
  /** Calls of 32-bit programs that have no 64-bit number, so that `calls` lacks them. */
  readonly compatUnknown: bigint;
  /** Only where latency is measured. `buckets[n]`: calls under 2^n ns, and not in a lower one; the last takes the rest. */
  readonly latencies?: readonly {
    readonly number: number;
    readonly buckets: readonly bigint[];
    readonly sumNs: bigint;
  }[];
  /** Only where processes are told apart; bounded, those long idle are missing. */
  readonly pids?: readonly {
    readonly pid: number;
    readonly number: number;
    readonly count: bigint;
  }[];
}

export interface SyscallPort {
  inspect(): Promise<SyscallNodeState>;
  /**
   * Counts what `spec` says for the Pod. The Pod keeps the row that `cgroup.id` leads to; without one it gets a
   * free row, which is zeroed before anything leads to it. `cgroup.id` and all `descendants` lead there
   * afterwards, other ids no more. Loads and attaches the programs where they are not; where loaded ones lack
   * what `spec` asks (errors, latency, pids), they are replaced without losing counts.
   * When this fails, the row of a Pod that had none is free again.
   * Resolves with the row. @throws EbpfError, CapacityExceeded without a free row
   */
  put(cgroup: PodCgroup, spec: SyscallSpec): Promise<number>;
  /** Nothing leads to the row any more, and it is free. With the last row, the programs are detached and unpinned. */
  remove(row: number): Promise<void>;
  /** Detaches and unpins everything of the counter that no row needs; for what a dead process left. */
  detachUnused(): Promise<void>;
  /** Of the given rows, in one reading of the maps where the kernel can do that. */
  counts(rows: readonly number[]): Promise<readonly SyscallCounts[]>;
}

/** Maps whose filling is exported. */
export const MAP_NAMES = [
  "flows",
  "cgroups",
  "rows",
  "pids",
  "latencies",
  "node_addresses",
] as const;

export interface MapUsage {
  readonly map: (typeof MAP_NAMES)[number];
  readonly entries: number;
  readonly capacity: number;
}

/** Where the kernel measures it (sysctl kernel.bpf_stats_enabled). Totals since the program was loaded. */
export interface ProgramUsage {
  /** Undefined: of the node. */
  readonly podUid?: string;
  readonly programType: ProgramType;
  /** Kernel's id of the program: totals of two ids are never compared. */
  readonly programId: number;
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
}

/** The kernel's eBPF, by way of libbpf and bpffs. */
export interface BpfLoader {
  readonly firewall: FirewallPort;
  readonly syscalls: SyscallPort;
  /**
   * Opens libbpf, looks at what the kernel can do, makes the folders in bpffs, claims the node and
   * checks the layout of what is pinned. What a program of another layout counts goes on here, each call
   * counted once; its firewalls are taken over as they are applied. To be called again after a failure; once it has succeeded it
   * does nothing. The claim ends with {@link close} or with the process.
   * @throws EbpfError LibraryMissing, UnsupportedKernel, UnsupportedCgroups, NotPermitted, BpffsUnavailable, AnotherAgent, LoadFailed
   */
  open(): Promise<void>;
  /** Anything of ours is pinned on this node. To be asked at any time, without {@link open}; false where nobody may look. */
  present(): Promise<boolean>;
  /** Detaches and unpins all of ours, of every layout. @throws EbpfError */
  clear(): Promise<void>;
  mapUsage(): Promise<readonly MapUsage[]>;
  /** Empty where the kernel does not measure. */
  programUsage(): Promise<readonly ProgramUsage[]>;
  /** Gives back memory and descriptors and the claim on the node. What is pinned stays and works on. */
  close(): Promise<void>;
}

export type CanaryResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly message: string };

export interface Canary {
  /**
   * Blocks one reserved port on the agent's own cgroup, connects to a listener there, and takes
   * everything down again. `ok: false`: the connection came through, so that no firewall can be trusted here.
   * @throws EbpfError where the test cannot be made, which says nothing about the firewall
   */
  run(): Promise<CanaryResult>;
}

export interface NodeAddresses {
  /** Addresses from which the kubelet of this node may reach Pods: those of the node's interfaces, loopback aside. */
  list(): Promise<readonly AddressHex[]>;
}
