/**
 * An informer keeps one scope of a store equal to a collection of the API server.
 *
 * A thin driver: what to request, and what an answer means, is decided by the pure watch machine
 * (`watch_machine.ts`); this carries it out over a RestClient, under deadlines, and applies the
 * effects to the store. It never gives up: whatever the server does (down, forbidden, type not
 * installed, half-dead connections), it goes on trying at the machine's pace, tells so in `trouble`
 * and in log lines of bounded rate, and follows again by itself.
 *
 * Several informers may feed one store, one namespace each.
 */
import { assert, unreachable } from "../lib/assert.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { Codec, StoredObject } from "./ports/codec.ts";
import type { RestClient } from "./ports/rest.ts";
import { objectKey, resourcePath, type ResourceType } from "./resource.ts";
import type { Store } from "./store.ts";
import { TroubleLog } from "./trouble_log.ts";
import type { Failure, FailureReason } from "./watch_failure.ts";
import { INITIAL_STATE, step } from "./watch_machine.ts";
import type { Effect, Input, ListQuery, Next, WatchQuery } from "./watch_protocol.ts";
import { requestPage, WatchStream } from "./watch_stream.ts";

export interface WatchMetrics {
  /** A watch request ended, accepted or not; a normal end is `closed`. */
  restart(resource: string, reason: FailureReason): void;
  /** The collection was read whole again, after the first time. */
  relist(resource: string): void;
}

export interface InformerOptions<T extends StoredObject> {
  readonly rest: RestClient;
  readonly type: ResourceType;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly codec: Codec<T>;
  readonly store: Store<T>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: WatchMetrics;
  /** About how often subscribers hear of each object again; absent: never. */
  readonly resyncMs?: number;
}

/** An input less its moment. */
type Happening<T> = Input<T> extends infer I ? I extends unknown ? Omit<I, "now" | "random"> : never
  : never;

export class Informer<T extends StoredObject> {
  readonly #options: InformerOptions<T>;
  readonly #log: Logger;
  readonly #troubles: TroubleLog;
  readonly #staged = new Map<string, T>();
  #running = false;
  #synced = false;
  readonly #firstSync = Promise.withResolvers<void>();
  #lastProgress: number;
  #trouble: Error | undefined;
  #stream: WatchStream<T> | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    const { type, namespace, clock } = options;
    this.#log = options.log.with({
      resource: type.plural,
      ...(namespace === undefined ? {} : { namespace }),
    });
    this.#troubles = new TroubleLog(this.#log, clock, {
      trouble: "Cannot follow the API server's changes",
      recovery: "Following the API server's changes again",
    });
    this.#lastProgress = clock.monotonic();
  }

  /** Lower-case plural of what is watched. */
  get resource(): string {
    return this.#options.type.plural;
  }

  /** The one namespace it covers; undefined: all. */
  get namespace(): string | undefined {
    return this.#options.namespace;
  }

  /** Resolves once {@link synced}, or when `signal` aborts. */
  async whenSynced(signal: AbortSignal): Promise<void> {
    if (this.#synced || signal.aborted) return;
    const aborted = Promise.withResolvers<void>();
    const onAbort = () => aborted.resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    await Promise.race([this.#firstSync.promise, aborted.promise]);
    signal.removeEventListener("abort", onAbort);
  }

  /** The store's scope has held the whole collection at least once. */
  get synced(): boolean {
    return this.#synced;
  }

  /**
   * `clock.monotonic()` when something last moved: an answer, an event, a failure, the end of a wait.
   * While it runs, never longer ago than {@link WATCH_IDLE_MS} (150 s), unless the process stood still.
   */
  get lastProgress(): number {
    return this.#lastProgress;
  }

  /** Why it does not follow changes now; undefined while it does, and before the first failure. */
  get trouble(): Error | undefined {
    return this.#trouble;
  }

  /** Resolves when `signal` aborts. One run per informer. @throws only for a bug. */
  async run(signal: AbortSignal): Promise<void> {
    assert(!this.#running, "an informer runs once");
    this.#running = true;
    const resync = this.#startResync();
    let state = INITIAL_STATE;
    let happening: Happening<T> = { kind: "waited" };
    try {
      while (!signal.aborted) {
        const now = this.#options.clock.monotonic();
        this.#lastProgress = now;
        const random = this.#options.random.next();
        const { state: after, effects, next } = step(
          state,
          { ...happening, now, random } as Input<T>,
        );
        state = after;
        for (const effect of effects) this.#apply(effect);
        if (next.kind !== "read") this.#closeStream();
        happening = await this.#carryOut(next, signal);
      }
    } finally {
      resync[Symbol.dispose]();
      this.#closeStream();
      this.#staged.clear();
    }
  }

  async #carryOut(next: Next, signal: AbortSignal): Promise<Happening<T>> {
    try {
      switch (next.kind) {
        case "wait":
          await sleep(this.#options.clock, next.ms, signal);
          return { kind: "waited" };
        case "list": {
          const target = this.#target(listParameters(next.query));
          return { kind: "page", page: await requestPage({ ...this.#options, signal }, target) };
        }
        case "watch": {
          const target = this.#target(watchParameters(next.query));
          const timeoutMs = next.query.timeoutSeconds * 1000;
          this.#stream = await WatchStream.open({ ...this.#options, signal }, target, timeoutMs);
          return { kind: "opened" };
        }
        case "read":
          assert(this.#stream, "there is a stream to read");
          return await this.#stream.read(next.idleMs);
        default:
          return unreachable(next);
      }
    } catch (error) {
      // After an abort the loop ends, whatever this says.
      return next.kind === "wait" ? { kind: "waited" } : { kind: "failed", error };
    }
  }

  #target(parameters: Readonly<Record<string, string>>) {
    const { type, namespace, labelSelector, fieldSelector } = this.#options;
    const querystring = new URLSearchParams(parameters);
    if (labelSelector) querystring.set("labelSelector", labelSelector);
    if (fieldSelector) querystring.set("fieldSelector", fieldSelector);
    return { path: resourcePath(type, namespace === undefined ? {} : { namespace }), querystring };
  }

  #apply(effect: Effect<T>): void {
    const { store, metrics, type, namespace } = this.#options;
    switch (effect.kind) {
      case "stage-clear":
        this.#staged.clear();
        break;
      case "stage":
        for (const object of effect.objects) this.#staged.set(keyOf(object), object);
        break;
      case "unstage":
        this.#staged.delete(keyOf(effect.object));
        break;
      case "commit":
        this.#commit(effect);
        break;
      case "upsert":
        store.upsert(effect.object, "watch");
        break;
      case "remove":
        store.remove(keyOf(effect.object), effect.object, "watch");
        break;
      case "progress":
        store.observeProgress(effect.resourceVersion, namespace);
        break;
      case "watch-end":
        metrics?.restart(type.plural, effect.reason);
        break;
      case "trouble":
        this.#trouble = effect.failure.error;
        this.#logTrouble(effect.failure);
        break;
      case "following":
        this.#trouble = undefined;
        this.#troubles.recovered();
        break;
      default:
        unreachable(effect);
    }
  }

  #commit(effect: Extract<Effect<T>, { kind: "commit" }>): void {
    const { store, metrics, type, namespace } = this.#options;
    const { resourceVersion, initial, reset } = effect;
    const objects = this.#staged.size;
    if (reset) {
      this.#log.warning("The API server insists on older data: taking it", { resourceVersion });
    }
    store.replace([...this.#staged.values()], {
      ...(namespace === undefined ? {} : { scope: namespace }),
      resourceVersion,
      initial,
      reset,
    });
    this.#staged.clear();
    this.#synced = true;
    this.#firstSync.resolve();
    if (!initial) metrics?.relist(type.plural);
    this.#log.debug("Collection read", { objects, resourceVersion });
  }

  #logTrouble({ reason, error }: Failure): void {
    const { type } = this.#options;
    const hint = hintFor(reason, type);
    const expected = reason === "expired" || reason === "too_large";
    this.#troubles.trouble(reason, { err: error, ...(hint ? { hint } : {}) }, expected);
  }

  #closeStream(): void {
    this.#stream?.close();
    this.#stream = undefined;
  }

  /** Spread by 10 % either way, so that many informers do not resync together. */
  #startResync(): Disposable {
    const { resyncMs, clock, random, store, namespace } = this.#options;
    if (resyncMs === undefined) return { [Symbol.dispose]() {} };
    const after = () => clock.setTimer(resyncMs * (0.9 + 0.2 * random.next()), fire);
    const fire = () => {
      timer = after();
      if (this.#synced) store.resync(namespace);
    };
    let timer = after();
    return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
  }
}

function keyOf(object: StoredObject): string {
  return objectKey(object.namespace, object.name);
}

function listParameters(query: ListQuery): Record<string, string> {
  const { resourceVersion, limit, continueToken } = query;
  const paging = limit > 0 ? { limit: String(limit) } : {};
  if (continueToken !== "") return { ...paging, continue: continueToken };
  if (resourceVersion === "") return paging;
  if (resourceVersion === "0") return { ...paging, resourceVersion };
  return { ...paging, resourceVersion, resourceVersionMatch: "NotOlderThan" };
}

function watchParameters(query: WatchQuery): Record<string, string> {
  const { resourceVersion, sendInitialEvents, timeoutSeconds } = query;
  return {
    watch: "true",
    allowWatchBookmarks: "true",
    timeoutSeconds: String(timeoutSeconds),
    ...(resourceVersion === "" ? {} : { resourceVersion }),
    ...(sendInitialEvents
      ? { sendInitialEvents: "true", resourceVersionMatch: "NotOlderThan" }
      : {}),
  };
}

/** What someone has to do about it, where that is known. */
function hintFor(reason: FailureReason, type: ResourceType): string | undefined {
  switch (reason) {
    case "forbidden":
      return `allow the verbs list and watch on resource "${type.plural}" in API group "${type.group}"`;
    case "not_found":
      return `is ${type.plural}${type.group && `.${type.group}`}/${type.version} installed?`;
    default:
      return undefined;
  }
}
