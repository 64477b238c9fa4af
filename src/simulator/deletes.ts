/**
 * delete and deletecollection: preconditions, graceful Pods, finalizers, propagation policies. What
 * happens afterwards by itself (garbage, namespaces, kubelets) is in `janitor.ts`.
 */
import type { Clock } from "../lib/clock.ts";
import { readOptionalBody } from "./bodies.ts";
import {
  at,
  isRecord,
  type KubeObject,
  type MutableMeta,
  sameJson,
  storeKey,
  timestamp,
  withMeta,
  withoutMeta,
} from "./objects.ts";
import { type DeleteOptions, parseDeleteOptions } from "./options.ts";
import type { ApiRequest, Target } from "./request.ts";
import { forbidden, notFound, preconditionFailed } from "./status.ts";
import type { Store } from "./store.ts";
import { strategyOf } from "./strategies.ts";
import { CRDS, NAMESPACES, type ServedType } from "./types.ts";
import { GRACE_SECONDS } from "./validate_pod.ts";

/** The object's last state, or undefined when a Status answers instead. */
export interface DeleteResult {
  readonly object: KubeObject;
  readonly before: KubeObject;
  /** Gone now; else it waits for finalizers or a kubelet. */
  readonly removed: boolean;
  readonly changed: boolean;
  readonly dryRun: boolean;
  /** The answer shows the object, not a Status. */
  readonly showsObject: boolean;
}

/** Types whose deletion answers with the object even when it is gone. */
const RETURNED = ["pods", "serviceaccounts", "namespaces"];
const IMMORTAL = ["default", "kube-system", "kube-public"];
const ORPHAN = "orphan";
const FOREGROUND = "foregroundDeletion";
/** Holds a CustomResourceDefinition until its objects are gone. */
export const CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io";

export class Deleter {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(options: { store: Store; clock: Clock }) {
    this.#store = options.store;
    this.#clock = options.clock;
  }

  delete(target: Target, request: ApiRequest): DeleteResult {
    const options = parseDeleteOptions(request.query, readOptionalBody(request));
    return this.deleteOne(target, options);
  }

  deleteOne(target: Target, options: DeleteOptions): DeleteResult {
    const { type, namespace, name } = target;
    const old = this.#store.get(type.storage, storeKey(namespace, name));
    if (old === undefined) throw notFound(type, name);
    checkPreconditions(type, old, options);
    if (type.storage === NAMESPACES.storage && IMMORTAL.includes(name)) {
      throw forbidden(type, name, "this namespace may not be deleted");
    }
    if (type.storage === NAMESPACES.storage) return this.#terminateNamespace(target, old, options);
    if (type.storage === CRDS.storage) return this.#terminateCrd(target, old, options);
    const finalizers = finalizersFor(old, options.propagation);
    if (strategyOf(type).graceful) return this.#deletePod(target, old, finalizers, options);
    if (finalizers.length === 0) return this.#remove(target, old, old, options);
    return this.#mark(target, old, this.#marked(old, finalizers), options);
  }

  /** Waiting for finalizers, from now on. */
  #marked(old: KubeObject, finalizers: string[]): KubeObject {
    const { metadata } = old;
    const first = metadata.deletionGracePeriodSeconds === undefined;
    const change: Partial<MutableMeta> = {
      deletionTimestamp: metadata.deletionTimestamp ?? timestamp(this.#clock.now()),
      deletionGracePeriodSeconds: 0,
      finalizers,
    };
    const generation = metadata.generation ?? 0;
    if (first && generation > 0) change.generation = generation + 1;
    return withMeta(old, change);
  }

  #deletePod(
    target: Target,
    old: KubeObject,
    finalizers: string[],
    options: DeleteOptions,
  ): DeleteResult {
    const asked = gracePeriod(old, options.gracePeriodSeconds);
    const { deletionTimestamp, deletionGracePeriodSeconds, generation } = old.metadata;
    let next: KubeObject;
    if (deletionTimestamp === undefined) {
      const until = this.#clock.now() + asked * 1000;
      next = withMeta(old, {
        deletionTimestamp: timestamp(until),
        deletionGracePeriodSeconds: asked,
        generation: (generation ?? 0) + 1,
      });
    } else {
      const running = deletionGracePeriodSeconds ?? 0;
      const unchanged = options.gracePeriodSeconds === undefined || running <= asked;
      const start = Date.parse(deletionTimestamp) - running * 1000;
      next = unchanged ? old : withMeta(old, {
        deletionTimestamp: timestamp(start + asked * 1000),
        deletionGracePeriodSeconds: asked,
      });
    }
    if (!sameJson(finalizers, next.metadata.finalizers ?? [])) {
      next = finalizers.length > 0
        ? withMeta(next, { finalizers })
        : withoutMeta(next, "finalizers");
    }
    const over = (next.metadata.deletionGracePeriodSeconds ?? 0) === 0 && finalizers.length === 0;
    if (!over) return this.#mark(target, old, next, options);
    // The API server writes the final grace period first, then removes.
    if (!options.dryRun && next !== old) next = this.#put(target, next);
    return this.#remove(target, old, next, options);
  }

  #terminateNamespace(target: Target, old: KubeObject, options: DeleteOptions): DeleteResult {
    const held = at(old["spec"], "finalizers");
    const waits = (Array.isArray(held) && held.length > 0) || old.metadata.finalizers !== undefined;
    if (!waits) return this.#remove(target, old, old, options);
    if (old.metadata.deletionTimestamp !== undefined) return this.#mark(target, old, old, options);
    const marked = withMeta(old, { deletionTimestamp: timestamp(this.#clock.now()) });
    const status = isRecord(old["status"]) ? old["status"] : {};
    const next = { ...marked, status: { ...status, phase: "Terminating" } };
    return this.#mark(target, old, next, options);
  }

  #terminateCrd(target: Target, old: KubeObject, options: DeleteOptions): DeleteResult {
    if (old.metadata.deletionTimestamp !== undefined) return this.#mark(target, old, old, options);
    const now = timestamp(this.#clock.now());
    const status = isRecord(old["status"]) ? old["status"] : {};
    const conditions = Array.isArray(status["conditions"]) ? status["conditions"] : [];
    const terminating = {
      type: "Terminating",
      status: "True",
      lastTransitionTime: now,
      reason: "InstanceDeletionPending",
      message:
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    };
    const finalizers = [...old.metadata.finalizers ?? [], CRD_FINALIZER];
    const next = {
      ...withMeta(old, { deletionTimestamp: now, finalizers }),
      status: { ...status, conditions: [...conditions, terminating] },
    };
    return this.#mark(target, old, next, options);
  }

  #mark(
    target: Target,
    old: KubeObject,
    next: KubeObject,
    { dryRun }: DeleteOptions,
  ): DeleteResult {
    const changed = !dryRun && !sameJson(old, next);
    const object = changed ? this.#put(target, next) : next;
    return { object, before: old, removed: false, changed, dryRun, showsObject: true };
  }

  #remove(
    target: Target,
    old: KubeObject,
    last: KubeObject,
    { dryRun }: DeleteOptions,
  ): DeleteResult {
    const { type, namespace, name } = target;
    const object = dryRun ? last : this.#store.remove(type.storage, storeKey(namespace, name));
    const showsObject = RETURNED.includes(type.storage);
    return { object, before: old, removed: true, changed: !dryRun, dryRun, showsObject };
  }

  #put({ type, namespace, name }: Target, object: KubeObject): KubeObject {
    return this.#store.put(type.storage, storeKey(namespace, name), object);
  }
}

function checkPreconditions(type: ServedType, old: KubeObject, options: DeleteOptions): void {
  const { name, uid, resourceVersion = "" } = old.metadata;
  if (options.uid !== undefined && options.uid !== uid) {
    const why = `the UID in the precondition (${options.uid}) does not match the UID in record ` +
      `(${uid}). The object might have been deleted and then recreated`;
    throw preconditionFailed(type, name, why);
  }
  if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion) {
    const why =
      `the ResourceVersion in the precondition (${options.resourceVersion}) does not match ` +
      `the ResourceVersion in record (${resourceVersion}). The object might have been modified`;
    throw preconditionFailed(type, name, why);
  }
}

/** Orphan and Foreground are finalizers that the garbage collector works off. */
function finalizersFor(old: KubeObject, propagation: DeleteOptions["propagation"]): string[] {
  const present = [...old.metadata.finalizers ?? []];
  if (propagation === undefined) return present;
  const others = present.filter((finalizer) => finalizer !== ORPHAN && finalizer !== FOREGROUND);
  if (propagation === "Background") return others;
  const wanted = propagation === "Orphan" ? ORPHAN : FOREGROUND;
  return present.includes(wanted) ? present : [...others, wanted];
}

/** Seconds that a Pod gets; none when no kubelet has it or nothing runs any more. */
function gracePeriod(pod: KubeObject, asked: number | undefined): number {
  if (!at(pod, "spec", "nodeName")) return 0;
  if (["Succeeded", "Failed"].includes(String(at(pod, "status", "phase")))) return 0;
  const own = at(pod, "spec", "terminationGracePeriodSeconds");
  const seconds = asked ?? (typeof own === "number" ? own : GRACE_SECONDS);
  return seconds < 0 ? 1 : seconds;
}
