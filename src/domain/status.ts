/**
 * The status of a PodConfigMapConfig, worked out from counts. Pure.
 *
 * Guarantees: the same counts give the same status, so that a restart changes nothing; observedGeneration
 * names a generation whose Pods have all been dealt with; condition messages name an example, the counts stand in fields.
 * While Pods of a generation that is already reported are looked at again (a new leader, a resync),
 * what is reported stays, unless trouble shows up.
 */
import { formatProblem } from "../api/decode.ts";
import {
  findCondition,
  type NewCondition,
  removeCondition,
  setCondition,
} from "../api/conditions.ts";
import type { Condition, EbpfCounts, PcmcStatus } from "../api/status_schema.ts";
import { CONDITION_EBPF, CONDITION_READY, CONDITION_VALID } from "../api/well_known.ts";
import type { PcmcView } from "./projections.ts";

/** What became of the Pods that a PCMC selects, for its current generation. */
export interface StatusTally {
  /** Pods that the selector matches: the sum of the five below. */
  readonly matched: number;
  /** Not looked at yet. */
  readonly pending: number;
  /** ConfigMap as desired. */
  readonly inPlace: number;
  /** Nothing to be done now, such as for a terminating Pod. */
  readonly waiting: number;
  readonly conflicts: number;
  readonly failed: number;
  /** A sentence about one of the conflicts, of the failures. */
  readonly conflictExample?: string | undefined;
  readonly failedExample?: string | undefined;
  /** CamelCase reason of the failures; `ConfigMapsFailed` unless given. */
  readonly failedReason?: string | undefined;
  /** Over Pods for which eBPF programs are wanted; what is in none of the last three is pending. */
  readonly ebpf?: EbpfCounts | undefined;
}

/** Longest condition message; every problem of a spec is in `kubectl describe` as far as it fits. */
const MESSAGE_CHARS_MAX = 1024;
const NO_EBPF: EbpfCounts = { desired: 0, applied: 0, failed: 0, unserved: 0 };

/** `nowMs`: wall clock, for lastTransitionTime. Conditions of types that are not ours stay. */
export function nextStatus(view: PcmcView, tally: StatusTally, nowMs: number): PcmcStatus {
  if (view.spec === undefined) return invalidStatus(view, nowMs);
  const { status, generation } = view;
  const reported = status.observedGeneration === generation;
  const settled = tally.pending === 0;
  if (!settled && reported && tally.conflicts + tally.failed === 0) return status;
  const conditions = new ConditionList(status.conditions, generation, nowMs);
  if (settled || findCondition(status.conditions, CONDITION_VALID)?.status !== "True") {
    conditions.set(CONDITION_VALID, {
      status: "True",
      reason: "Valid",
      message: "The spec is valid.",
    });
  }
  const ready = readyCondition(tally);
  if (ready !== undefined) conditions.set(CONDITION_READY, ready);
  else if (findCondition(status.conditions, CONDITION_READY) === undefined) {
    conditions.set(CONDITION_READY, RECONCILING);
  }
  const hasEbpf = view.spec.ebpfData !== undefined;
  const ebpf = tally.ebpf ?? NO_EBPF;
  if (settled && hasEbpf) setEbpf(conditions, ebpf);
  else if (settled) conditions.remove(CONDITION_EBPF);
  const observedGeneration = settled ? generation : status.observedGeneration;
  return {
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
    conditions: conditions.list,
    matchedPods: tally.matched,
    configMaps: tally.inPlace,
    conflicts: tally.conflicts,
    failed: tally.failed,
    ...(hasEbpf ? { ebpf } : {}),
  };
}

/** Invalid is dealt with: nothing more happens until the spec changes. Counts stay as they were. */
function invalidStatus(view: PcmcView, nowMs: number): PcmcStatus {
  const conditions = new ConditionList(view.status.conditions, view.generation, nowMs);
  const message = cut(view.problems.map(formatProblem).join("; "));
  conditions.set(CONDITION_VALID, { status: "False", reason: "InvalidSpec", message });
  conditions.set(CONDITION_READY, {
    status: "False",
    reason: "InvalidSpec",
    message: "The spec is invalid; existing ConfigMaps stay as they are.",
  });
  return { ...view.status, observedGeneration: view.generation, conditions: conditions.list };
}

type ConditionState = Pick<NewCondition, "status" | "reason" | "message">;

class ConditionList {
  #list: readonly Condition[];
  readonly #generation: number;
  readonly #nowMs: number;

  constructor(list: readonly Condition[] | undefined, generation: number, nowMs: number) {
    this.#list = list ?? [];
    this.#generation = generation;
    this.#nowMs = nowMs;
  }

  get list(): Condition[] {
    return [...this.#list];
  }

  set(type: string, state: ConditionState): void {
    const next = { type, ...state, observedGeneration: this.#generation };
    this.#list = setCondition(this.#list, next, this.#nowMs);
  }

  remove(type: string): void {
    this.#list = removeCondition(this.#list, type);
  }

  /** Whether the condition is True for the current generation. */
  holds(type: string): boolean {
    const condition = findCondition(this.#list, type);
    return condition?.status === "True" && condition.observedGeneration === this.#generation;
  }
}

const RECONCILING: ConditionState = {
  status: "Unknown",
  reason: "Reconciling",
  message: "The Pods of the namespace are being looked at.",
};

/** Undefined while nothing can be said: Pods are left, and no trouble so far. */
function readyCondition(tally: StatusTally): ConditionState | undefined {
  if (tally.conflicts > 0) {
    return {
      status: "False",
      reason: "NameConflict",
      message: cut(tally.conflictExample ?? "A ConfigMap's name is taken by another object."),
    };
  }
  if (tally.failed > 0) {
    return {
      status: "False",
      reason: tally.failedReason ?? "ConfigMapsFailed",
      message: cut(tally.failedExample ?? "A ConfigMap cannot be written."),
    };
  }
  if (tally.pending > 0) return undefined;
  return {
    status: "True",
    reason: "ConfigMapsInPlace",
    message: "Every selected Pod has its ConfigMap.",
  };
}

function setEbpf(conditions: ConditionList, counts: EbpfCounts): void {
  const state = ebpfCondition(counts);
  // New Pods are pending for a moment: what held for the others still holds.
  if (state.reason === "Pending" && conditions.holds(CONDITION_EBPF)) return;
  conditions.set(CONDITION_EBPF, state);
}

function ebpfCondition({ desired, applied, failed, unserved }: EbpfCounts): ConditionState {
  if (desired === 0) {
    return {
      status: "True",
      reason: "NotRequired",
      message: "No Pod needs an eBPF program.",
    };
  }
  if (failed > 0) {
    return {
      status: "False",
      reason: "ApplyFailed",
      message:
        "The eBPF programs of some Pods could not be put in place; their condition says why.",
    };
  }
  if (unserved > 0 && applied === 0) {
    return {
      status: "Unknown",
      reason: "NoAgent",
      message: "No node of the selected Pods has a ready eBPF agent.",
    };
  }
  if (unserved > 0) {
    return {
      status: "False",
      reason: "NodesUnserved",
      message: "Some Pods are on nodes without a ready eBPF agent.",
    };
  }
  if (applied < desired) {
    return {
      status: "False",
      reason: "Pending",
      message: "The nodes' agents have not reported on every Pod yet.",
    };
  }
  return {
    status: "True",
    reason: "Applied",
    message: "The eBPF programs of every selected Pod are in place.",
  };
}

function cut(message: string): string {
  if (message.length <= MESSAGE_CHARS_MAX) return message;
  // Not in the middle of a surrogate pair.
  return `${message.slice(0, MESSAGE_CHARS_MAX - 3).replace(/[\uD800-\uDBFF]$/, "")}...`;
}

/**
 * Whether and when `next` is to be written over `current`:
 * `now` when a condition's status or reason, or a generation, differs; `counts-only` (at most every 10 s) when
 * only counts or messages do; `none` when nothing does.
 */
export function statusChange(
  current: PcmcStatus,
  next: PcmcStatus,
): "none" | "now" | "counts-only" {
  if (current.observedGeneration !== next.observedGeneration) return "now";
  const [before, after] = [current.conditions ?? [], next.conditions ?? []];
  const urgent = before.length !== after.length || after.some((condition) => {
    const old = findCondition(before, condition.type);
    return old?.status !== condition.status || old.reason !== condition.reason ||
      old.observedGeneration !== condition.observedGeneration;
  });
  if (urgent) return "now";
  return canonical(current) === canonical(next) ? "none" : "counts-only";
}

/** JSON with the keys of every object in order; a status holds no undefined. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member !== "object" || member === null || Array.isArray(member)) return member;
    return Object.fromEntries(
      Object.entries(member).sort(([one], [other]) => one < other ? -1 : 1),
    );
  });
}

/** Body of the merge patch on `/status` that makes `next` of the object as it was seen. */
export function statusPatch(view: PcmcView, next: PcmcStatus) {
  const dropped = view.status.ebpf !== undefined && next.ebpf === undefined;
  return {
    metadata: { uid: view.uid, resourceVersion: view.resourceVersion },
    status: { ...next, ...(dropped ? { ebpf: null } : {}) },
  };
}
