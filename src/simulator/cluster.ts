/**
 * A Kubernetes cluster in memory: an API server that behaves as kube-apiserver does, and as much of the
 * rest as controllers notice. Used in process by tests and the seeded simulation, over HTTP by the demo.
 *
 * Guarantees: deterministic (time and randomness are injected; nothing but microtasks between a request
 * and its answer), objects shared and frozen, every write on record. Not a cluster for production: no
 * authentication, no admission but the built-in rules, no server-side apply (415), no quota.
 */
import type { Clock } from "../lib/clock.ts";
import { type Random, seededRandom } from "../lib/random.ts";
import type { JsonObject, JsonValue, RestClient } from "../runtime/ports/rest.ts";
import { ApiServer, LIVE } from "./api_server.ts";
import { InProcessClient } from "./client.ts";
import { Janitor } from "./janitor.ts";
import type { KubeletOptions } from "./kubelet.ts";
import { cloneJson, isRecord, type KubeObject, storeKey } from "./objects.ts";
import { Replica } from "./replica.ts";
import type { ApiRequest, ApiResponse } from "./request.ts";
import { tooOld } from "./watch_hub.ts";
import { apiVersionOf, type ServedType } from "./types.ts";
import type { WriteRecord } from "./write_log.ts";

export type { KubeObject } from "./objects.ts";
export type { ApiRequest, ApiResponse } from "./request.ts";
export type { WriteRecord } from "./write_log.ts";
export type { Replica } from "./replica.ts";

export interface SimulatedClusterOptions {
  readonly clock: Clock;
  /** For uids and generated names. Without it every cluster makes the same ones. */
  readonly random?: Random;
  /** Events that stay known of each collection, at least; older watches get 410. */
  readonly historyWindow?: number;
  /** CustomResourceDefinitions installed from the start. */
  readonly crds?: readonly JsonValue[];
  /** Between the deletion of an owner and that of its dependents. */
  readonly garbageCollectionDelayMs?: number;
  /** Between the deletion of a namespace (or of a definition) and that of its content. */
  readonly namespaceDelayMs?: number;
  /** A stand-in for scheduler and kubelets. Without it Pods stay as they are written. */
  readonly kubelet?: KubeletOptions;
  /** Write records kept, at least. */
  readonly writeLogMax?: number;
}

const HISTORY_WINDOW = 10_000;
const WRITE_LOG_MAX = 100_000;
const GARBAGE_COLLECTION_DELAY_MS = 100;
const NAMESPACE_DELAY_MS = 100;
const FIRST_NAMESPACES = ["default", "kube-node-lease", "kube-public", "kube-system"];
const SEED_USER = "seed";

export class SimulatedCluster {
  readonly #server: ApiServer;
  readonly #janitor: Janitor;

  constructor(options: SimulatedClusterOptions) {
    const { clock, random = seededRandom(0) } = options;
    this.#server = new ApiServer({
      clock,
      random,
      historyWindow: options.historyWindow ?? HISTORY_WINDOW,
      writeLogMax: options.writeLogMax ?? WRITE_LOG_MAX,
      onCommit: (storage, event) => this.#janitor.observe(storage, event),
    });
    this.#janitor = new Janitor({
      server: this.#server,
      clock,
      garbageCollectionDelayMs: options.garbageCollectionDelayMs ?? GARBAGE_COLLECTION_DELAY_MS,
      namespaceDelayMs: options.namespaceDelayMs ?? NAMESPACE_DELAY_MS,
      kubelet: options.kubelet,
    });
    const namespaces = FIRST_NAMESPACES.map((name) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name },
    }));
    this.seed([...namespaces, ...options.crds ?? []]);
  }

  /** A client; `user` is what the write log shows. */
  client(options: { user?: string } = {}): RestClient {
    const user = options.user ?? "admin";
    return new InProcessClient({ user, handle: (request) => this.#server.handle(request, LIVE) });
  }

  /** An API server that lags: its reads and watches show an older state until it is told to move on. */
  replica(options: { at?: number } = {}): Replica {
    return new Replica(this.#server, options.at ?? this.#server.store.revision);
  }

  /** For fronts: one request, answered at once. */
  handle(request: ApiRequest): ApiResponse {
    return this.#server.handle(request, LIVE);
  }

  /** Revision of the newest commit. */
  get revision(): number {
    return this.#server.store.revision;
  }

  /** Every request that could change something, oldest first. */
  get writes(): readonly WriteRecord[] {
    return this.#server.log.records;
  }

  /** Watches that are open now. */
  get openWatches(): number {
    return this.#server.hub.size;
  }

  /**
   * Creates objects as given, status included, and the namespaces they need. Answers the stored objects.
   * @throws {Error} when the API server refuses one.
   */
  seed(objects: readonly JsonValue[]): KubeObject[] {
    return objects.map((object) => {
      const document = cloneJson(isRecord(object) ? object : {});
      const type = this.#typeOf(String(document["apiVersion"]), String(document["kind"]));
      const metadata = document["metadata"];
      const given = isRecord(metadata) ? metadata["namespace"] : undefined;
      const namespace = type.namespaced ? String(given ?? "default") : "";
      if (namespace !== "" && this.get("v1", "Namespace", "", namespace) === undefined) {
        this.seed([{ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } }]);
      }
      const path = collectionPath(type, namespace);
      const created = this.#send("POST", path, document);
      const { name } = created.metadata;
      const { status } = document;
      if (status === undefined || !type.subresources.includes("status")) {
        return this.#stored(type, namespace, name);
      }
      const { resourceVersion } = this.#stored(type, namespace, name).metadata;
      const withStatus = { ...cloneJson(created), status } as unknown as JsonObject;
      withStatus["metadata"] = { ...created.metadata as unknown as JsonObject, resourceVersion };
      this.#send("PUT", `${path}/${encodeURIComponent(name)}/status`, withStatus);
      return this.#stored(type, namespace, name);
    });
  }

  /** A stored object, now. */
  get(apiVersion: string, kind: string, namespace: string, name: string): KubeObject | undefined {
    const type = this.#typeOf(apiVersion, kind);
    return this.#server.store.get(type.storage, storeKey(namespace, name));
  }

  /** All objects of a kind, now, in order of their keys. */
  list(apiVersion: string, kind: string): KubeObject[] {
    const { keys, objects } = this.#server.store.collection(this.#typeOf(apiVersion, kind).storage);
    return keys.map((key) => objects.get(key) as KubeObject);
  }

  /** Everything that is stored, in order of type and key. */
  snapshot(): KubeObject[] {
    return this.historyAt(this.revision);
  }

  /** Everything that was stored at `revision`. @throws {Error} when history does not reach back that far. */
  historyAt(revision: number): KubeObject[] {
    const { store } = this.#server;
    return [...store.storages()].sort().flatMap((storage) => {
      const collection = store.collection(storage);
      const state = collection.at(revision);
      if (state === undefined) throw tooOld(revision, collection.floor);
      return state.keys.map((key) => state.objects.get(key) as KubeObject);
    });
  }

  /** Forgets history up to `revision`: older watches, exact lists and continue tokens get 410. */
  compact(revision = this.revision): void {
    this.#server.store.compact(revision);
  }

  /** Ends open watches of the live server, without an event, as a restarting server does. */
  disconnectWatches(): void {
    this.#server.hub.closeAll((_storage, view) => view === LIVE);
  }

  /** Ends the open watches of a kind with a 410 event. */
  expireWatches(apiVersion: string, kind: string): void {
    const { storage } = this.#typeOf(apiVersion, kind);
    const { revision } = this.#server.store;
    this.#server.hub.failAll(storage, tooOld(revision - 1, revision));
  }

  /** Garbage stays until {@link releaseGarbageCollection}. */
  holdGarbageCollection(): void {
    this.#janitor.hold();
  }

  releaseGarbageCollection(): void {
    this.#janitor.release();
  }

  /** Ends watches and timers: nothing of the cluster stays on the clock. */
  stop(): void {
    this.#janitor.stop();
    this.#server.hub.closeAll();
  }

  #typeOf(apiVersion: string, kind: string): ServedType {
    const type = this.#server.registry.byKind(apiVersion, kind);
    if (type === undefined) {
      throw new Error(`Cannot find ${apiVersion} ${kind}: no such type is served`);
    }
    return type;
  }

  #stored(type: ServedType, namespace: string, name: string): KubeObject {
    return this.#server.store.get(type.storage, storeKey(namespace, name)) as KubeObject;
  }

  #send(method: string, path: string, bodyJson: JsonValue): KubeObject {
    const query = new URLSearchParams();
    const response = this.#server.handle({ method, path, query, bodyJson, user: SEED_USER });
    const answer = response.body?.value();
    if (response.status < 400) return answer as unknown as KubeObject;
    const message = isRecord(answer) ? answer["message"] : answer;
    throw new Error(`Cannot seed ${path}: ${message}`);
  }
}

function collectionPath(type: ServedType, namespace: string): string {
  const root = type.group === "" ? "/api" : "/apis";
  const place = namespace === "" ? "" : `/namespaces/${namespace}`;
  return `${root}/${apiVersionOf(type)}${place}/${type.plural}`;
}
