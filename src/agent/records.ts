/**
 * What came of each Pod of the node: for readiness, metrics and the verdict log. Notes of this
 * process only; what is attached is always read from the kernel.
 */
import type { FailureReason } from "./ports.ts";
import type { PodName } from "./settings.ts";

export interface PodRecord {
  readonly uid: string;
  readonly pod: PodName;
  /** Empty: as wanted. */
  readonly failures: readonly FailureReason[];
  /** The Pod has not started: a cgroup that is not there is no trouble. */
  readonly starting: boolean;
  readonly wantsSyscalls: boolean;
  readonly wantsFirewall: boolean;
}

/** Failures that a config or an option brings about: they say nothing about the node. */
const NOT_OF_THE_NODE: ReadonlySet<FailureReason> = new Set([
  "NamespaceExcluded",
  "TooManyProbePorts",
  "ConfigInvalid",
]);

export class Records {
  readonly #byUid = new Map<string, PodRecord>();
  readonly #cgroups = new Map<string, bigint>();

  get(uid: string): PodRecord | undefined {
    return this.#byUid.get(uid);
  }

  set(record: PodRecord): void {
    this.#byUid.set(record.uid, record);
  }

  delete(uid: string): void {
    this.#byUid.delete(uid);
    this.#cgroups.delete(uid);
  }

  /** Noted before anything is attached there, so that no sweep takes it for a stray. */
  locate(uid: string, cgroupId: bigint): void {
    this.#cgroups.set(uid, cgroupId);
  }

  /** Where the Pod's cgroup was last found. */
  cgroupOf(uid: string): bigint | undefined {
    return this.#cgroups.get(uid);
  }

  get cgroupIds(): Set<bigint> {
    return new Set(this.#cgroups.values());
  }

  values(): Iterable<PodRecord> {
    return this.#byUid.values();
  }

  podOf(cgroupId: bigint): PodName | undefined {
    for (const [uid, id] of this.#cgroups) {
      if (id === cgroupId) return this.#byUid.get(uid)?.pod;
    }
    return undefined;
  }

  get wantsFirewall(): boolean {
    return [...this.#byUid.values()].some((record) => record.wantsFirewall);
  }

  get wantsSyscalls(): boolean {
    return [...this.#byUid.values()].some((record) => record.wantsSyscalls);
  }

  get wantsPrograms(): boolean {
    return this.wantsFirewall || this.wantsSyscalls;
  }

  /** Pods by reason; one with several counts for each. */
  failing(): Map<FailureReason, number> {
    const counts = new Map<FailureReason, number>();
    for (const { failures } of this.#byUid.values()) {
      for (const reason of new Set(failures)) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
    return counts;
  }

  /** A Pod that is not as wanted through a trouble of the node. */
  trouble(): PodRecord | undefined {
    for (const record of this.#byUid.values()) {
      const failures = record.failures.filter((reason) =>
        !NOT_OF_THE_NODE.has(reason) && !(record.starting && reason === "CgroupNotFound")
      );
      if (failures.length > 0) return record;
    }
    return undefined;
  }
}
