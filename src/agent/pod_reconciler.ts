/**
 * Brings one Pod of the node to what the PodConfigMapConfigs of its namespace ask for, and reports it:
 * Pod condition, Events, metrics.
 *
 * Level-triggered: it takes a Pod's uid, reads the caches and the kernel, and acts on the difference.
 * Guarantees: a failure is retried at a bounded pace and reported with its reason; the condition says
 * True only of what was seen in place; a world that is as wanted costs no write.
 */
import { backoffMs } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import {
  hasFinished,
  type NodePod,
  type PodCondition,
  projectNodePod,
} from "../domain/node_pod.ts";
import { conditionPatch, sameCondition } from "../domain/pod_condition.ts";
import type { ApiClient } from "../runtime/api_client.ts";
import type { Outcome } from "../runtime/controller.ts";
import type { EventRecorder } from "../runtime/event_recorder.ts";
import { Pace } from "../runtime/pace.ts";
import { objectKey } from "../runtime/resource.ts";
import type { Collector } from "./collector.ts";
import { desiredCondition, type ProgramFailure } from "./condition.ts";
import { decide, type Decision } from "./decision.ts";
import { asEbpfError } from "./kernel.ts";
import type { NodeCaches } from "./node_caches.ts";
import { EbpfError, type FailureReason, type PodCgroup } from "./ports.ts";
import type { Application, Programs } from "./programs.ts";
import type { Records } from "./records.ts";
import { PODS } from "./resources.ts";
import type { AgentMetrics, AgentSettings } from "./settings.ts";

/** A cgroup comes within a moment of the Pod: looked for often at first. */
const CGROUP_RETRY = { initialMs: 50, factor: 1.5, maxMs: 500, jitter: 0.2 };
/** So long it is looked for that often, and so long its absence may be normal. */
const CGROUP_EAGER_MS = 60_000;
const CGROUP_GRACE_MS = 3_000;
const RETRY = { initialMs: 200, factor: 2, maxMs: 30_000, jitter: 0.5 };
/** Writes of one Pod's condition: someone who keeps undoing it costs no more than that. */
const WRITE_BURST = 10;
const WRITE_INTERVAL_MS = 2_000;
/** What only another kernel, image or option changes. */
const SLOW_RETRY = { ...RETRY, maxMs: 300_000 };
const SLOW: ReadonlySet<FailureReason> = new Set([
  "UnsupportedKernel",
  "UnsupportedCgroups",
  "LibraryMissing",
  "NamespaceExcluded",
  "TooManyProbePorts",
]);

export interface PodReconcilerOptions {
  readonly caches: NodeCaches;
  readonly programs: Programs;
  readonly records: Records;
  readonly collector: Collector;
  readonly api: ApiClient;
  readonly recorder: EventRecorder;
  readonly settings: AgentSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Pick<AgentMetrics, "programError" | "failing">;
}

interface Trouble {
  failures: number;
  readonly since: number;
}

export class PodReconciler {
  readonly #options: PodReconcilerOptions;
  /** By uid: failures in a row. */
  readonly #trouble = new Map<string, Trouble>();
  readonly #pace: Pace;

  constructor(options: PodReconcilerOptions) {
    this.#options = options;
    const { clock } = options;
    this.#pace = new Pace({ clock, burst: WRITE_BURST, intervalMs: WRITE_INTERVAL_MS });
  }

  /** `key`: namespace and uid. */
  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    const uid = key.slice(key.indexOf("/") + 1);
    const [found] = this.#options.caches.pods.byIndex("uid", uid);
    if (found === undefined || hasFinished(found)) return await this.#goodbye(uid, found);
    const pod = this.#believed(found);
    const { caches, settings } = this.#options;
    const decision = decide(pod, caches.sources(pod.namespace), settings);
    const result = await this.#carryOutAndNote(pod, decision);
    const pauseMs = await this.#report(pod, decision, { failures: result.failures, signal });
    const next = this.#next(uid, result.failures);
    return pauseMs === 0 ? next : { kind: "after", ms: pauseMs };
  }

  /** Of two that say to be the same static Pod one is not: neither is led to its cgroup. */
  #believed(pod: NodePod): NodePod {
    if (pod.configHash === "") return pod;
    const same = [...this.#options.caches.pods.values()].filter(({ configHash }) =>
      configHash === pod.configHash
    );
    return same.length > 1 ? { ...pod, configHash: "" } : pod;
  }

  async #goodbye(uid: string, pod: NodePod | undefined): Promise<Outcome> {
    const { programs, records, collector } = this.#options;
    // The series go first: whatever comes of the rest, nobody reads them any more.
    collector.forget(uid);
    try {
      await programs.clear(uid, pod, records.cgroupOf(uid));
    } catch (error) {
      return this.#retry(uid, asEbpfError(error, "take programs down"));
    }
    records.delete(uid);
    this.#trouble.delete(uid);
    this.#tellFailing();
    return { kind: "done" };
  }

  /** What is attached counts at once; what is to be said of it waits for the canary's word. */
  async #carryOutAndNote(pod: NodePod, decision: Decision): Promise<Application> {
    const { programs } = this.#options;
    const attached = await this.#carryOut(pod, decision);
    const noted = attached.failures.length === 0 && !programs.areDistrusted;
    if (noted) this.#note(pod, decision, attached);
    const { wanted } = decision;
    const asks = wanted.firewall !== undefined &&
      !attached.failures.some(({ type }) => type === "l4_firewall");
    const failure = asks ? await programs.distrust(pod, wanted) : undefined;
    if (failure === undefined && noted) return attached;
    const failures = failure === undefined ? attached.failures : [...attached.failures, failure];
    const result = { ...attached, failures };
    this.#note(pod, decision, result);
    return result;
  }

  async #carryOut(pod: NodePod, { wanted, hold, excluded }: Decision): Promise<Application> {
    const { programs, records } = this.#options;
    const cgroupId = records.cgroupOf(pod.uid);
    const located = ({ id }: PodCgroup) => records.locate(pod.uid, id);
    const nothing = wanted.firewall === undefined && wanted.syscalls === undefined;
    if (!nothing || hold.length > 0) {
      return await programs.apply(pod, wanted, { hold, located });
    }
    const failures: ProgramFailure[] = [];
    try {
      await programs.clear(pod.uid, pod, cgroupId);
    } catch (cause) {
      const error = asEbpfError(cause, "take programs down");
      // A kernel that nobody can open is told of where programs are wanted, and by readiness.
      if (cgroupId !== undefined) failures.push({ type: "l4_firewall", error });
    }
    if (excluded) failures.push({ type: "l4_firewall", error: excludedError(pod.namespace) });
    return { cgroup: undefined, row: undefined, failures };
  }

  #note(pod: NodePod, { wanted }: Decision, { cgroup, row, failures }: Application): void {
    const { records, collector, metrics } = this.#options;
    const { uid } = pod;
    const { namespace, name } = pod;
    const failing = (type: ProgramFailure["type"]) => failures.some((one) => one.type === type);
    records.set({
      uid,
      pod: { namespace, name },
      failures: failures.map(({ error }) => error.reason),
      starting: pod.phase !== "Running",
      wantsFirewall: wanted.firewall !== undefined,
      wantsSyscalls: wanted.syscalls !== undefined,
    });
    const { firewall, syscalls } = wanted;
    collector.track(uid, { namespace, name }, {
      firewall: firewall && {
        exportMs: firewall.exportMs,
        inPlace: !failing("l4_firewall"),
        id: String(cgroup?.id),
      },
      syscalls: syscalls && {
        exportMs: syscalls.exportMs,
        inPlace: !failing("syscall_counter"),
        row,
        id: `${cgroup?.id} ${row}`,
      },
    });
    for (const { type, error } of failures) {
      const exported = (type === "l4_firewall" ? firewall : syscalls)?.exportMs !== undefined;
      if (exported) metrics.programError({ namespace, name }, type, error.reason);
    }
    this.#tellFailing();
  }

  #tellFailing(): void {
    this.#options.metrics.failing(this.#options.records.failing());
  }

  /** 0, or the milliseconds after which the condition may be written. */
  async #report(
    pod: NodePod,
    { wanted }: Decision,
    { failures, signal }: { failures: readonly ProgramFailure[]; signal: AbortSignal },
  ): Promise<number> {
    const { caches, api, clock, settings } = this.#options;
    const condition = desiredCondition(wanted, failures, {
      gated: pod.gated,
      architecture: settings.architecture,
    });
    if (sameCondition(pod.condition, condition) || this.#isEarly(pod, failures)) return 0;
    // The condition is the other agent's: it knows what holds.
    if (failures.some(({ error }) => error.reason === "AnotherAgent")) return 0;
    const pauseMs = this.#pace.take(pod.uid);
    if (pauseMs > 0) return pauseMs;
    const at = { namespace: pod.namespace, name: pod.name, subresource: "status" };
    const patch = conditionPatch(pod, condition, clock.now());
    caches.pods.observeWrite(projectNodePod(await api.patch(PODS, at, patch, signal)));
    this.#tell(pod, condition, failures);
    return 0;
  }

  /** A cgroup that is just not there yet is no news, unless the condition claims otherwise. */
  #isEarly(pod: NodePod, failures: readonly ProgramFailure[]): boolean {
    if (pod.condition?.status === "True" || failures.length === 0) return false;
    const { clock } = this.#options;
    const since = this.#trouble.get(pod.uid)?.since ?? clock.monotonic();
    return clock.monotonic() - since < CGROUP_GRACE_MS &&
      failures.every(({ error }) => error.reason === "CgroupNotFound");
  }

  #tell(
    pod: NodePod,
    condition: PodCondition | undefined,
    failures: readonly ProgramFailure[],
  ): void {
    const { log, recorder } = this.#options;
    const key = objectKey(pod.namespace, pod.name);
    const [first] = failures;
    const regarding = { apiVersion: "v1", kind: "Pod", ...pick(pod) };
    if (first !== undefined) {
      const { reason, message } = first.error;
      if (pod.condition?.status === "False" && pod.condition.reason === reason) return;
      log.warning("eBPF programs are not in place", { pod: key, reason, err: first.error });
      recorder.record(regarding, {
        type: "Warning",
        reason: "EbpfNotApplied",
        action: "ApplyPrograms",
        note: `${reason}: ${message}`,
      });
    } else if (pod.condition?.status === "False") {
      log.info("eBPF programs are in place again", { pod: key });
      recorder.record(regarding, {
        type: "Normal",
        reason: "EbpfApplied",
        action: "ApplyPrograms",
        note: condition?.message ?? "No eBPF programs are wanted any more.",
      });
    } else log.debug("Reported on eBPF programs", { pod: key, reason: condition?.reason ?? "" });
  }

  #next(uid: string, failures: readonly ProgramFailure[]): Outcome {
    const { settings, random } = this.#options;
    const [first] = failures;
    if (first !== undefined) return this.#retry(uid, first.error);
    this.#trouble.delete(uid);
    return { kind: "after", ms: settings.verifyMs * (1 + random.next() / 4) };
  }

  #retry(uid: string, { reason }: EbpfError): Outcome {
    const { clock, random } = this.#options;
    const now = clock.monotonic();
    const trouble = this.#trouble.get(uid) ?? { failures: 0, since: now };
    this.#trouble.set(uid, trouble);
    const count = trouble.failures++;
    const eager = reason === "CgroupNotFound" && now - trouble.since < CGROUP_EAGER_MS;
    const pace = eager ? CGROUP_RETRY : SLOW.has(reason) ? SLOW_RETRY : RETRY;
    return { kind: "after", ms: backoffMs(pace, Math.min(count, 30), random) };
  }
}

function excludedError(namespace: string): EbpfError {
  return new EbpfError(
    "NamespaceExcluded",
    `Cannot apply eBPF programs: ebpfConfig has no effect in the namespace ${namespace} on this node`,
  );
}

function pick({ namespace, name, uid }: NodePod) {
  return { namespace, name, uid };
}
