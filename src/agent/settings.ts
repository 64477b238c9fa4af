/** What the agent is told, and what it tells the metrics: ports filled by the composition root. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { Direction, Family, Protocol, Verdict } from "../domain/ebpf_programs.ts";
import type { Architecture } from "../domain/syscall_table.ts";
import type { RequestMetrics } from "../runtime/api_client.ts";
import type { ControllerMetrics } from "../runtime/controller.ts";
import type { WatchMetrics } from "../runtime/informer.ts";
import type { RestClient } from "../runtime/ports/rest.ts";
import type { WorkQueue, WorkQueueMetrics } from "../runtime/work_queue.ts";
import type {
  BpfLoader,
  Canary,
  CgroupResolver,
  FailureReason,
  MapUsage,
  NodeAddresses,
  ProgramType,
} from "./ports.ts";

export interface AgentSettings {
  readonly nodeName: string;
  /** Namespaces to watch; empty means all. */
  readonly namespaces: readonly string[];
  /** Namespaces in which ebpfConfig has an effect; empty means all that are watched. */
  readonly ebpfNamespaces: readonly string[];
  /** This process, in Events. */
  readonly identity: string;
  /**
   * - `agent`: this process is the node's agent, and says at once when the node cannot run programs
   * - `leader`: it is one while it leads, beside a controller; where nobody asks for programs it asks nothing of the kernel
   */
  readonly role: "agent" | "leader";
  readonly architecture: Architecture;
  /** Count system calls by process, too. */
  readonly pids: boolean;
  /** Blocked and audited connections logged a second and Pod; 0: none. */
  readonly verdictLogPerSecond: number;
  /** How often what is attached is compared with what is wanted, without a reason to. */
  readonly verifyMs: number;
  readonly canaryMs: number;
  readonly maxRetries: number;
  readonly reconciliationTimeoutMs: number;
}

/** Labels of a Pod's series. */
export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

export interface SyscallDelta {
  readonly syscall: string;
  /** Absent: of no process in particular. */
  readonly pid?: number;
  readonly count: number;
}

export interface LatencyDelta {
  readonly syscall: string;
  /** `buckets[n]`: calls that took under 2^n ns and not under 2^(n-1). */
  readonly buckets: readonly number[];
  readonly sumSeconds: number;
}

export interface VerdictDelta {
  readonly direction: Direction;
  readonly protocol: Protocol;
  readonly family: Family;
  readonly verdict: Verdict;
  readonly count: number;
}

/** All counts are of what is new since the last call. */
export interface AgentMetrics {
  /** Programs at work for the Pod now. */
  attached(pod: PodName, type: ProgramType, count: number): void;
  programError(pod: PodName, type: ProgramType, reason: FailureReason): void;
  syscalls(pod: PodName, deltas: readonly SyscallDelta[]): void;
  syscallErrors(pod: PodName, deltas: readonly SyscallDelta[]): void;
  latencies(pod: PodName, deltas: readonly LatencyDelta[]): void;
  verdicts(pod: PodName, deltas: readonly VerdictDelta[]): void;
  /** Removes the Pod's series of that kind. */
  forget(pod: PodName, type: ProgramType): void;
  /** Pods whose programs are not in place, by reason; reasons that are not named have none. */
  failing(pods: ReadonlyMap<FailureReason, number>): void;
  maps(usage: readonly MapUsage[]): void;
  canary(result: "ok" | "failed" | "unable"): void;
  programRuns(type: ProgramType, seconds: number, runs: number): void;
  flowFailures(count: number): void;
  verdictsNotLogged(count: number): void;
  probeExemptions(count: number): void;
  compatCalls(count: number): void;
  /** This process works for the node no longer: what describes the node's state goes. Counters stay. */
  stopped(): void;
}

export interface AgentDependencies {
  readonly rest: { readonly api: RestClient; readonly watch: RestClient };
  readonly node: {
    readonly loader: BpfLoader;
    readonly cgroups: CgroupResolver;
    readonly canary: Canary;
    readonly addresses: NodeAddresses;
    /**
     * Does what takes time once a process, ahead of the first programs. Changes nothing in the kernel, and
     * never throws: what cannot be used is told of where it is used.
     */
    readonly warmUp: () => void;
  };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
  /** The fence of all writes. @throws LeadershipLostError. Absent: there is no election. */
  readonly beforeWrite?: () => void;
  readonly runtimeMetrics: {
    readonly requests?: RequestMetrics;
    readonly watches?: WatchMetrics;
    readonly controllers?: ControllerMetrics;
    readonly queues?: WorkQueueMetrics & {
      observeQueue(queue: Pick<WorkQueue, "name" | "unfinished">): Disposable;
    };
    /** Removes the series of namespaces that hold nothing any more. Absent: others see to that. */
    readonly keepNamespaces?: (holds: (namespace: string) => boolean) => void;
  };
  readonly settings: AgentSettings;
}
