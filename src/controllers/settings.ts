/** What the controllers need to be told, and what they tell the metrics: ports filled by the composition root. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { ObservedConfigMap, PodFacts } from "../domain/model.ts";
import type { PcmcView } from "../domain/projections.ts";
import type { RequestMetrics } from "../runtime/api_client.ts";
import type { ControllerMetrics } from "../runtime/controller.ts";
import type { LeaderElectionMetrics } from "../runtime/leader_election.ts";
import type { WatchMetrics } from "../runtime/informer.ts";
import type { Codec } from "../runtime/ports/codec.ts";
import type { RestClient } from "../runtime/ports/rest.ts";
import type { WorkQueue, WorkQueueMetrics } from "../runtime/work_queue.ts";

export interface ControllerSettings {
  /** Namespaces to work in; empty means all. */
  readonly namespaces: readonly string[];
  readonly leaderElection: {
    readonly enabled: boolean;
    readonly leaseDurationMs: number;
    readonly renewDeadlineMs: number;
    readonly retryPeriodMs: number;
    readonly lockName: string;
    readonly lockNamespace: string;
  };
  /** Where the eBPF agents' Pods are, in addition to `namespaces` when `watch` is set. Absent: anywhere. */
  readonly agents?: { readonly namespace: string; readonly watch: boolean };
  /** Identity in the lease and in Events: unique among replicas. */
  readonly identity: string;
  readonly resyncPeriodMs: number;
  readonly podWorkers: number;
  readonly pcmcWorkers: number;
  /** Keys that one worker keeps waiting for the API server at once. */
  readonly workerInflight: number;
  readonly maxRetries: number;
  readonly reconciliationTimeoutMs: number;
}

/** Where programs run on the leader's node alone: that node's agent, in this process. */
export interface LeaderService {
  readonly nodeName: string;
  /** The node is as wanted. */
  readonly ready: boolean;
  /** `changed` is called when {@link ready} has changed, until disposed. */
  subscribe(changed: () => void): Disposable;
  /**
   * Works for the node while this process leads, and until `signal` aborts.
   *
   * @param assertLeading the fence of its writes.
   * @param begun called soon, and in any case: what is most urgent is done, the controller's turn begins.
   */
  lead(signal: AbortSignal, assertLeading: () => void, begun: () => void): Promise<void>;
}

/** Domain metrics; label values are object names or closed sets. */
export interface DomainMetrics {
  configMapOperation(
    operation: "create" | "update" | "delete",
    namespace: string,
    result: "success" | "error",
  ): void;
  /** 1 when Ready, else 0. */
  pcmcStatus(namespace: string, name: string, ready: boolean): void;
  activeConfigMaps(namespace: string, pcmcName: string, count: number): void;
  /** Removes the series of a deleted PCMC. */
  forgetPcmc(namespace: string, name: string): void;
  /** Removes the series of namespaces that hold nothing any more. */
  keepNamespaces?(holds: (namespace: string) => boolean): void;
  /** From the first event that made a Pod's ConfigMaps stale to the last write that mended them. */
  eventToWrite(seconds: number): void;
}

export interface ControllerDependencies {
  /** Separate clients, so that lease traffic never queues behind other traffic. */
  readonly rest: {
    readonly api: RestClient;
    readonly watch: RestClient;
    readonly lease: RestClient;
  };
  readonly codecs: {
    readonly pods: Codec<PodFacts>;
    readonly configMaps: Codec<ObservedConfigMap>;
    readonly pcmcs: Codec<PcmcView>;
  };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: DomainMetrics;
  readonly runtimeMetrics: {
    readonly requests?: RequestMetrics;
    readonly watches?: WatchMetrics;
    readonly controllers?: ControllerMetrics;
    readonly election?: LeaderElectionMetrics;
    /** `observeQueue` reads a queue's unfinished work until disposed. */
    readonly queues?: WorkQueueMetrics & {
      observeQueue(queue: Pick<WorkQueue, "name" | "unfinished">): Disposable;
    };
  };
  /** Absent: agents' Pods tell which nodes are served. */
  readonly service?: LeaderService;
  readonly settings: ControllerSettings;
}
