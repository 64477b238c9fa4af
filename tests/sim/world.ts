/**
 * One run's world: a cluster, controllers as processes of their own, the network between them, and a
 * virtual clock over all. Everything in it follows from the seed.
 */
import { type Random, randomInt, seededRandom } from "../../src/lib/random.ts";
import { VirtualClock } from "../../src/lib/virtual_clock.ts";
import { customResourceDefinition } from "../../src/api/crd.ts";
import { Manager } from "../../src/controllers/manager.ts";
import type { ControllerSettings, DomainMetrics } from "../../src/controllers/settings.ts";
import { projectConfigMap, projectPcmc, projectPod } from "../../src/domain/projections.ts";
import type { StoredObject } from "../../src/runtime/ports/codec.ts";
import type { Change } from "../../src/runtime/store.ts";
import { jsonCodec } from "../../src/runtime/json_codec.ts";
import type {
  JsonObject,
  JsonValue,
  RequestOptions,
  RestClient,
} from "../../src/runtime/ports/rest.ts";
import { type Replica, SimulatedCluster } from "../../src/simulator/cluster.ts";
import { type Fault, Faults } from "./faults.ts";
import { type Channel, FaultyClient, type Network } from "./faulty_client.ts";
import type { FaultyWatch } from "./faulty_watch.ts";
import { Journal } from "./journal.ts";
import { SimulatedProcess } from "./process.ts";
import { Leadership, ProcessWitness } from "./witness.ts";

export const NAMESPACES = ["one", "two"] as const;
export const LOCK = { namespace: "kube-system", name: "lock" } as const;

/** Lease duration, renew deadline, retry period. */
const LEASE_TIMES = [[15_000, 10_000, 2_000], [8_000, 5_000, 1_000], [40_000, 30_000, 6_000]];
const RESYNC_MS = 7 * 60_000;
const NEVER_MS = 24 * 60 * 60_000;
const RESTART_MAX_MS = 20_000;
const NO_METRICS: DomainMetrics = {
  configMapOperation() {},
  pcmcStatus() {},
  activeConfigMaps() {},
  forgetPcmc() {},
  eventToWrite() {},
};
const CODECS = {
  pods: jsonCodec(projectPod),
  configMaps: jsonCodec(projectConfigMap),
  pcmcs: jsonCodec(projectPcmc),
};

/** One life of a controller. */
export interface Instance {
  readonly process: SimulatedProcess;
  readonly witness: ProcessWitness;
  readonly manager: Manager;
  readonly stop: AbortController;
  /** Its `run` has come to an end. */
  ended: boolean;
}

export interface WorldOptions {
  readonly seed: number;
  readonly controllers: number;
  readonly keepTrace: boolean;
}

/** A random stream for each concern, so that one more draw here changes nothing there. */
export function randomFor(seed: number, concern: string): Random {
  let state = seed >>> 0;
  for (const char of concern) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193) >>> 0;
  return seededRandom(state ^ 0x9e3779b9);
}

export class World implements Network {
  readonly clock = new VirtualClock();
  readonly cluster: SimulatedCluster;
  readonly faults: Faults;
  readonly journal: Journal;
  readonly leadership = new Leadership();
  readonly watches = new Map<FaultyWatch, SimulatedProcess>();
  /** The controllers that are meant to run, by slot; undefined between a crash and the restart. */
  readonly controllers: (Instance | undefined)[] = [];
  /** All instances that ever were. */
  readonly instances: Instance[] = [];
  readonly pagesLists: boolean;
  /** Whether the CRD lets anything through as a spec. */
  readonly laxCrd: boolean;
  readonly random: Random;
  down = false;
  /** All writes but those of leases are answered with a failure. */
  writesFail = false;
  collectsGarbage = true;
  /** Who is connected to the server that lags. */
  readonly stale: {
    readonly server: Replica;
    slot: number | undefined;
    /** Of which collections: each watch has a connection of its own, perhaps to another server. */
    covers: (path: string) => boolean;
  };
  readonly #clients = new Map<string, RestClient>();
  readonly #settings: Omit<ControllerSettings, "identity">;
  readonly #seed: number;
  #incarnations = 0;
  #closing = false;
  #fellBehindAt = -Infinity;

  constructor({ seed, controllers, keepTrace }: WorldOptions) {
    this.#seed = seed;
    this.random = randomFor(seed, "world");
    this.faults = new Faults(randomFor(seed, "faults"));
    this.journal = new Journal(this.clock, keepTrace);
    this.pagesLists = this.random.next() < 0.3;
    this.laxCrd = this.random.next() < 0.5;
    this.cluster = new SimulatedCluster({
      clock: this.clock,
      random: randomFor(seed, "cluster"),
      crds: [this.laxCrd ? LAX_CRD : STRICT_CRD],
      garbageCollectionDelayMs: randomInt(this.random, 1, 5_000),
      namespaceDelayMs: randomInt(this.random, 1, 5_000),
    });
    this.stale = { server: this.cluster.replica(), slot: undefined, covers: () => true };
    this.stale.server.thaw();
    this.#settings = drawSettings(this.random);
    for (let slot = 0; slot < controllers; slot++) this.controllers.push(undefined);
  }

  get renewDeadlineMs(): number {
    return this.#settings.leaderElection.renewDeadlineMs;
  }

  get resyncs(): boolean {
    return this.#settings.resyncPeriodMs === RESYNC_MS;
  }

  serverFor(process: SimulatedProcess, { method, path, querystring }: RequestOptions): RestClient {
    const { stale } = this;
    // Reads of single objects and of the newest list go through to the store; the rest comes from a cache.
    const isCached = method === "GET" && Boolean(querystring?.get("resourceVersion"));
    const isBehind = stale.slot !== undefined && this.controllers[stale.slot]?.process === process;
    const isStale = isCached && isBehind && stale.covers(path);
    const key = `${isStale ? "stale" : "live"} ${process.name}`;
    const known = this.#clients.get(key);
    if (known !== undefined) return known;
    const client = (isStale ? this.stale.server : this.cluster).client({ user: process.name });
    this.#clients.set(key, client);
    return client;
  }

  /** A new process in that slot, with cold caches. */
  start(slot: number): void {
    const name = `controller-${slot}.${++this.#incarnations}`;
    const random = randomFor(this.#seed, name);
    const process = new SimulatedProcess({ name, clock: this.clock, random });
    const witness = new ProcessWitness({
      process,
      cluster: this.cluster,
      journal: this.journal,
      leadership: this.leadership,
      renewDeadlineMs: this.renewDeadlineMs,
      watchesArePrompt: this.faults.calm || this.faults.slow,
    });
    const client = (channel: Channel) => new FaultyClient(this, { process, channel, witness });
    const stop = new AbortController();
    const manager = new Manager({
      rest: { api: client("api"), watch: client("watch"), lease: client("lease") },
      codecs: CODECS,
      clock: process.clock,
      random,
      log: this.journal.logger(process),
      metrics: NO_METRICS,
      runtimeMetrics: {},
      settings: { ...this.#settings, identity: name },
    });
    const instance: Instance = { process, witness, manager, stop, ended: false };
    watchCaches(
      manager,
      (problem) => this.journal.violate("no cache goes back in time", `${name}: ${problem}`),
    );
    this.controllers[slot] = instance;
    this.instances.push(instance);
    const { journal } = this;
    journal.note(`${name} starts`);
    manager.run(stop.signal).then(() => {
      instance.ended = true;
      if (stop.signal.aborted || process.crashed) return;
      journal.violate("a controller runs until it is told to stop", `${name} ended by itself`);
    }, (error) => {
      instance.ended = true;
      journal.violate("a controller runs until it is told to stop", `${name}: ${error?.stack}`);
    });
  }

  crash(process: SimulatedProcess, why: Fault): void {
    if (process.crashed) return;
    this.journal.note(`${process.name} crashes (${why})`);
    process.crash();
    const slot = this.controllers.findIndex((instance) => instance?.process === process);
    if (slot < 0) return;
    this.controllers[slot] = undefined;
    this.startLater(slot, this.faults.between(0, RESTART_MAX_MS));
  }

  startLater(slot: number, ms: number): void {
    this.clock.setTimer(ms, () => {
      if (this.controllers[slot] === undefined && !this.#closing) this.start(slot);
    });
  }

  /** SIGTERM: it ends by itself, and another takes its place. */
  restart(slot: number): void {
    const instance = this.controllers[slot];
    if (instance === undefined) return;
    this.journal.note(`${instance.process.name} is told to stop`);
    this.controllers[slot] = undefined;
    instance.process.wake();
    instance.stop.abort(new DOMException("SIGTERM", "AbortError"));
    this.startLater(slot, this.faults.between(0, RESTART_MAX_MS));
  }

  note(text: () => string): void {
    this.journal.note(text());
  }

  /** A request of someone else than the controllers; answers at once. */
  request(
    user: string,
    method: string,
    path: string,
    body?: JsonValue,
    contentType?: string,
  ): number {
    const { status } = this.cluster.handle({
      method,
      path,
      query: new URLSearchParams(),
      user,
      ...(body === undefined ? {} : { bodyJson: body }),
      ...(contentType === undefined ? {} : { contentType }),
    });
    return status;
  }

  /** Whether the last time that a server fell behind is long enough ago; if so, now is the next. */
  mayFallBehind(pauseMs: number): boolean {
    const now = this.clock.monotonic();
    if (now - this.#fellBehindAt < pauseMs) return false;
    this.#fellBehindAt = now;
    return true;
  }

  /** No crashed process comes back from now on. */
  close(): void {
    this.#closing = true;
  }
}

/** Versions of one object only rise: servers here never lose what they have once said. */
function watchCaches({ caches }: Manager, report: (problem: string) => void): void {
  const check = (change: Change<StoredObject>) => {
    const { key, before, after } = change;
    if (before === undefined || after === undefined) return;
    if (Number(after.resourceVersion) >= Number(before.resourceVersion)) return;
    report(`${key} from ${before.resourceVersion} to ${after.resourceVersion}`);
  };
  caches.pods.subscribe(check);
  caches.pcmcs.subscribe(check);
  caches.configMaps.subscribe(check);
}

function drawSettings(random: Random): Omit<ControllerSettings, "identity"> {
  const [leaseDurationMs = 0, renewDeadlineMs = 0, retryPeriodMs = 0] =
    LEASE_TIMES[randomInt(random, 0, LEASE_TIMES.length - 1)] ?? [];
  return {
    namespaces: random.next() < 0.3 ? [...NAMESPACES] : [],
    leaderElection: {
      enabled: true,
      leaseDurationMs,
      renewDeadlineMs,
      retryPeriodMs,
      lockName: LOCK.name,
      lockNamespace: LOCK.namespace,
    },
    resyncPeriodMs: random.next() < 0.5 ? RESYNC_MS : NEVER_MS,
    podWorkers: randomInt(random, 1, 2),
    pcmcWorkers: 1,
    workerInflight: randomInt(random, 1, 16),
    maxRetries: 5,
    reconciliationTimeoutMs: 30_000,
  };
}

const STRICT_CRD = JSON.parse(JSON.stringify(customResourceDefinition())) as JsonValue;
const LAX_CRD = laxCrd();

/** As an older version of the CRD might be: every spec is let through. */
function laxCrd(): JsonValue {
  const crd = JSON.parse(JSON.stringify(STRICT_CRD)) as JsonObject;
  const [version] = (crd["spec"] as JsonObject)["versions"] as JsonObject[];
  const schema = (version?.["schema"] as JsonObject)["openAPIV3Schema"] as JsonObject;
  const properties = schema["properties"] as JsonObject;
  properties["spec"] = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  return crd;
}
