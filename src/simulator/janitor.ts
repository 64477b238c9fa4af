/**
 * What other components of a cluster do by themselves, reduced to what a controller notices: the garbage
 * collector, the namespace controller, the clean-up of CustomResourceDefinitions, and, when asked for, a
 * scheduler and kubelet that start and stop Pods.
 *
 * Guarantees: everything happens in timers of the injected clock, as requests of its own users; the order
 * depends on the order of commits alone. Garbage collection can be held back and let go.
 */
import type { Clock } from "../lib/clock.ts";
import type { JsonValue } from "../runtime/ports/rest.ts";
import { type KubeObject, type OwnerRef, storeKey } from "./objects.ts";
import type { ApiServer } from "./api_server.ts";
import { CRD_FINALIZER } from "./deletes.ts";
import { Kubelet, type KubeletOptions } from "./kubelet.ts";
import type { StoreEvent } from "./store.ts";
import { apiVersionOf, CRDS, NAMESPACES, PODS, type ServedType } from "./types.ts";

export interface JanitorOptions {
  readonly server: ApiServer;
  readonly clock: Clock;
  readonly garbageCollectionDelayMs: number;
  readonly namespaceDelayMs: number;
  readonly kubelet: KubeletOptions | undefined;
}

const GARBAGE_COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector";
const NAMESPACE_CONTROLLER = "system:serviceaccount:kube-system:namespace-controller";
const API_SERVER = "system:apiserver";

export class Janitor {
  readonly #server: ApiServer;
  readonly #clock: Clock;
  readonly #options: JanitorOptions;
  readonly #kubelet: Kubelet | undefined;
  /** "storage key" of the objects that name an owner of this uid. */
  readonly #dependents = new Map<string, Set<string>>();
  readonly #pending = new Map<string, Disposable>();
  readonly #held = new Map<string, () => void>();
  #holding = false;

  constructor(options: JanitorOptions) {
    this.#options = options;
    this.#server = options.server;
    this.#clock = options.clock;
    this.#kubelet = options.kubelet === undefined ? undefined : new Kubelet({
      ...options.kubelet,
      now: () => options.clock.now(),
      request: (...args) => this.#request(...args),
    });
  }

  /** A commit happened. */
  observe(storage: string, event: StoreEvent): void {
    this.#index(storage, event);
    const { object } = event;
    if (event.type === "DELETED") {
      this.#onDeleted(storage, object);
      return;
    }
    for (const owner of object.metadata.ownerReferences ?? []) {
      if (!this.#owner(object, owner)) this.#checkDependent(storage, event.key);
    }
    if (object.metadata.deletionTimestamp !== undefined) this.#onTerminating(storage, event.key);
    if (storage === PODS.storage && this.#kubelet !== undefined) {
      for (const { name, delayMs, run } of this.#kubelet.plan(object)) {
        this.#schedule(`kubelet ${name} ${event.key}`, delayMs, run);
      }
    }
  }

  /** Garbage stays where it is until {@link release}. */
  hold(): void {
    this.#holding = true;
  }

  /** Collects what was held back, after the usual delay. */
  release(): void {
    this.#holding = false;
    const held = [...this.#held];
    this.#held.clear();
    for (const [task, run] of held) {
      this.#schedule(task, this.#options.garbageCollectionDelayMs, run);
    }
  }

  /** No timer is left behind. */
  stop(): void {
    for (const timer of this.#pending.values()) timer[Symbol.dispose]();
    this.#pending.clear();
    this.#held.clear();
  }

  #onDeleted(storage: string, object: KubeObject): void {
    for (const dependent of this.#dependents.get(object.metadata.uid) ?? []) {
      const [where = "", key = ""] = dependent.split(" ");
      this.#checkDependent(where, key);
    }
    // An owner that waits for its dependents may go on.
    for (const owner of object.metadata.ownerReferences ?? []) {
      const found = this.#owner(object, owner);
      if (found !== undefined && found !== "unknown") this.#onTerminating(found.storage, found.key);
    }
    const { namespace = "" } = object.metadata;
    if (namespace !== "") this.#onTerminating(NAMESPACES.storage, namespace);
    if (this.#crdOf(storage) !== undefined) {
      this.#onTerminating(CRDS.storage, this.#crdOf(storage) ?? "");
    }
  }

  #onTerminating(storage: string, key: string): void {
    const object = this.#server.store.get(storage, key);
    if (object?.metadata.deletionTimestamp === undefined) return;
    if (storage === NAMESPACES.storage) {
      this.#schedule(`namespace ${key}`, this.#options.namespaceDelayMs, () => this.#empty(key));
    } else if (storage === CRDS.storage) {
      this.#schedule(`crd ${key}`, this.#options.namespaceDelayMs, () => this.#dropCustom(key));
    }
    const finalizers = object.metadata.finalizers ?? [];
    if (finalizers.includes("orphan")) {
      this.#collect(`orphan ${storage} ${key}`, () => this.#orphan(storage, key));
    } else if (finalizers.includes("foregroundDeletion")) {
      this.#collect(`foreground ${storage} ${key}`, () => this.#foreground(storage, key));
    }
  }

  #checkDependent(storage: string, key: string): void {
    this.#collect(`garbage ${storage} ${key}`, () => this.#judge(storage, key));
  }

  /** Deletes the object when all its owners are gone; forgets the gone ones when some are not. */
  #judge(storage: string, key: string): void {
    const object = this.#server.store.get(storage, key);
    const owners = object?.metadata.ownerReferences ?? [];
    if (object === undefined || owners.length === 0) return;
    const solid = owners.filter((owner) => this.#owner(object, owner) !== undefined);
    if (solid.length === owners.length) return;
    if (solid.length > 0) {
      this.#patch(object, { ownerReferences: solid as unknown as JsonValue });
      return;
    }
    if (object.metadata.deletionTimestamp === undefined) this.#delete(object, "Background");
  }

  /** The owner as stored; "unknown" when its kind is not served here. */
  #owner(
    dependent: KubeObject,
    owner: OwnerRef,
  ): { storage: string; key: string } | "unknown" | undefined {
    const type = this.#server.registry.byKind(owner.apiVersion, owner.kind);
    if (type === undefined) return "unknown";
    const namespace = type.namespaced ? dependent.metadata.namespace ?? "" : "";
    const key = storeKey(namespace, owner.name);
    const found = this.#server.store.get(type.storage, key);
    return found?.metadata.uid === owner.uid ? { storage: type.storage, key } : undefined;
  }

  #orphan(storage: string, key: string): void {
    const owner = this.#server.store.get(storage, key);
    if (!owner?.metadata.finalizers?.includes("orphan")) return;
    for (const dependent of this.#dependentsOf(owner)) {
      const owners = dependent.metadata.ownerReferences ?? [];
      const others = owners.filter((item) => item.uid !== owner.metadata.uid);
      this.#patch(dependent, { ownerReferences: others as unknown as JsonValue });
    }
    this.#dropFinalizer(owner, "orphan");
  }

  #foreground(storage: string, key: string): void {
    const owner = this.#server.store.get(storage, key);
    if (!owner?.metadata.finalizers?.includes("foregroundDeletion")) return;
    const dependents = this.#dependentsOf(owner);
    for (const dependent of dependents) {
      if (dependent.metadata.deletionTimestamp === undefined) this.#delete(dependent, "Foreground");
    }
    const blocked = this.#dependentsOf(owner).some((dependent) =>
      dependent.metadata.ownerReferences?.some((item) =>
        item.uid === owner.metadata.uid && item.blockOwnerDeletion === true
      )
    );
    if (!blocked) this.#dropFinalizer(owner, "foregroundDeletion");
  }

  #dependentsOf(owner: KubeObject): KubeObject[] {
    return [...this.#dependents.get(owner.metadata.uid) ?? []].flatMap((dependent) => {
      const [storage = "", key = ""] = dependent.split(" ");
      return this.#server.store.get(storage, key) ?? [];
    });
  }

  /** Deletes a terminating namespace's content; removes the namespace once there is none. */
  #empty(name: string): void {
    const { store, registry } = this.#server;
    const namespace = store.get(NAMESPACES.storage, name);
    if (namespace?.metadata.deletionTimestamp === undefined) return;
    let left = 0;
    const seen = new Set<string>();
    for (const type of registry.values()) {
      if (!type.namespaced || seen.has(type.storage)) continue;
      seen.add(type.storage);
      const inside = this.#contentOf(type.storage, name);
      for (const object of inside) {
        if (object.metadata.deletionTimestamp === undefined) {
          this.#delete(object, "Background", NAMESPACE_CONTROLLER);
        }
      }
      left += this.#contentOf(type.storage, name).length;
    }
    // What is left waits for finalizers or kubelets; its going starts this again.
    if (left > 0) return;
    const body = { metadata: { name }, spec: { finalizers: [] } };
    const path = `/api/v1/namespaces/${name}/finalize`;
    this.#request(NAMESPACE_CONTROLLER, "PUT", path, body);
  }

  #contentOf(storage: string, namespace: string): KubeObject[] {
    const { objects } = this.#server.store.collection(storage);
    return [...objects.values()].filter((object) => object.metadata.namespace === namespace);
  }

  /** Deletes the objects of a definition that is going away, then lets it go. */
  #dropCustom(name: string): void {
    const { store, registry } = this.#server;
    const crd = store.get(CRDS.storage, name);
    if (crd?.metadata.deletionTimestamp === undefined) return;
    const type = [...registry.values()].find((served) => served.custom?.crd === name);
    const objects = type === undefined ? [] : [...store.collection(type.storage).objects.values()];
    for (const object of objects) {
      if (object.metadata.deletionTimestamp === undefined) {
        this.#delete(object, "Background", API_SERVER);
      }
    }
    if (type !== undefined && store.collection(type.storage).objects.size > 0) return;
    this.#dropFinalizer(crd, CRD_FINALIZER, API_SERVER);
    if (type !== undefined) this.#server.hub.closeAll((storage) => storage === type.storage);
  }

  #crdOf(storage: string): string | undefined {
    for (const type of this.#server.registry.values()) {
      if (type.storage === storage) return type.custom?.crd;
    }
    return undefined;
  }

  #index(storage: string, event: StoreEvent): void {
    const entry = `${storage} ${event.key}`;
    const now = event.type === "DELETED" ? [] : event.object.metadata.ownerReferences ?? [];
    const before = event.previous?.metadata.ownerReferences ?? [];
    if (now === before) return;
    for (const { uid } of before) {
      const entries = this.#dependents.get(uid);
      entries?.delete(entry);
      if (entries?.size === 0) this.#dependents.delete(uid);
    }
    for (const { uid } of now) {
      const entries = this.#dependents.get(uid) ?? new Set();
      entries.add(entry);
      this.#dependents.set(uid, entries);
    }
  }

  #collect(task: string, run: () => void): void {
    if (this.#holding) this.#held.set(task, run);
    else {this.#schedule(task, this.#options.garbageCollectionDelayMs, () => {
        // Held since it was planned: it waits.
        if (this.#holding) this.#held.set(task, run);
        else run();
      });}
  }

  #schedule(task: string, delayMs: number, run: () => void): void {
    if (this.#pending.has(task)) return;
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#pending.delete(task);
      run();
    });
    this.#pending.set(task, timer);
  }

  #delete(object: KubeObject, propagationPolicy: string, user = GARBAGE_COLLECTOR): void {
    const { uid } = object.metadata;
    const body = { preconditions: { uid }, propagationPolicy };
    this.#request(user, "DELETE", this.#pathOf(object), body);
  }

  #patch(object: KubeObject, metadata: Record<string, JsonValue>, user = GARBAGE_COLLECTOR): void {
    const { uid, resourceVersion } = object.metadata;
    const body = { metadata: { uid, resourceVersion, ...metadata } };
    this.#request(user, "PATCH", this.#pathOf(object), body);
  }

  #dropFinalizer(object: KubeObject, finalizer: string, user = GARBAGE_COLLECTOR): void {
    const left = (object.metadata.finalizers ?? []).filter((item) => item !== finalizer);
    this.#patch(object, { finalizers: left }, user);
  }

  #pathOf(object: KubeObject): string {
    const type = this.#server.registry.byKind(object.apiVersion, object.kind) as ServedType;
    const { namespace, name } = object.metadata;
    const root = type.group === "" ? "/api" : "/apis";
    const place = namespace === undefined ? "" : `/namespaces/${namespace}`;
    return `${root}/${apiVersionOf(type)}${place}/${type.plural}/${encodeURIComponent(name)}`;
  }

  #request(user: string, method: string, path: string, body: JsonValue): void {
    const contentType = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    // A refusal (gone already, changed meanwhile) is fine: the next commit brings it up again.
    this.#server.handle({
      method,
      path,
      query: new URLSearchParams(),
      contentType,
      bodyJson: body,
      user,
    });
  }
}
