/**
 * The informer against a small server that misbehaves at random, by seed: every kind of refusal, cut
 * and silent connections, truncated and torn frames, expired versions, stale replicas. Meanwhile the
 * objects change, by others and by us. Whatever happens, nobody is told of a step back, an own
 * write is visible at once, and when the server behaves again the store becomes what the server has.
 */
import assert from "node:assert/strict";
import { silentLogger } from "../lib/log.ts";
import { pick, type Random, randomInt, seededRandom } from "../lib/random.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { Informer } from "./informer.ts";
import { jsonCodec } from "./json_codec.ts";
import type { StoredObject } from "./ports/codec.ts";
import { KubeApiError, KubeConnectionError } from "./ports/errors.ts";
import type { RequestOptions, RestClient } from "./ports/rest.ts";
import { Store } from "./store.ts";

const SEEDS = 150;
const NAMES = ["a", "b", "c", "d", "é"];

const codec = jsonCodec<StoredObject>((json) => {
  const { namespace, name, uid, resourceVersion } = json.metadata as Record<string, string>;
  return {
    namespace: namespace ?? "",
    name: name ?? "",
    uid: uid ?? "",
    resourceVersion: resourceVersion ?? "",
  };
});

type Kind = "ADDED" | "MODIFIED" | "DELETED";

interface Happening {
  readonly type: Kind;
  readonly version: number;
  readonly object: StoredObject;
}

const wire = (object: StoredObject) => ({ metadata: object });
const frame = (type: string, object: unknown) => JSON.stringify({ type, object }) + "\n";

class FaultyServer {
  readonly objects = new Map<string, StoredObject>();
  readonly fired = new Map<string, number>();
  /** Probability of a fault at each place where there may be one. */
  faults = 0.3;
  /** Watches whose reader has not gone. */
  open = 0;
  readonly #history: Happening[] = [];
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #streams: boolean;
  /** Lists from version 0 come from a cache, whole; else in pages, as old servers do. */
  readonly #cached: boolean;
  #version = 100;
  #forgotten = 100;
  #uid = 0;

  constructor(clock: VirtualClock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.#streams = random.next() < 0.5;
    this.#cached = random.next() < 0.5;
  }

  put(name: string): StoredObject {
    const key = `ns/${name}`;
    const old = this.objects.get(key);
    const version = ++this.#version;
    const uid = old?.uid ?? `u${++this.#uid}`;
    const object = { namespace: "ns", name, uid, resourceVersion: String(version) };
    this.objects.set(key, object);
    this.#history.push({ type: old ? "MODIFIED" : "ADDED", version, object });
    return object;
  }

  delete(name: string): StoredObject | undefined {
    const key = `ns/${name}`;
    const object = this.objects.get(key);
    if (!object) return undefined;
    this.objects.delete(key);
    const version = ++this.#version;
    const last = { ...object, resourceVersion: String(version) };
    this.#history.push({ type: "DELETED", version, object: last });
    return object;
  }

  deletedAfter(key: string, version: number): boolean {
    return this.#history.some((event) =>
      event.type === "DELETED" && event.version > version && `ns/${event.object.name}` === key
    );
  }

  forget(): void {
    this.#forgotten = this.#version;
  }

  readonly rest = {
    performRequest: async (options: RequestOptions) => {
      await this.#pause(options.abortSignal);
      const query = Object.fromEntries(options.querystring ?? []);
      this.#refuse(query);
      if (query.watch) return this.#watch(query, options.abortSignal);
      const page = this.#list(query);
      await this.#pause(options.abortSignal);
      return page;
    },
  } as unknown as RestClient;

  #fault(name: string): boolean {
    if (this.#random.next() >= this.faults * 0.15) return false;
    this.fired.set(name, (this.fired.get(name) ?? 0) + 1);
    return true;
  }

  /** The network; sometimes it swallows a request. */
  #pause(signal: AbortSignal | undefined): Promise<void> {
    const lost = this.#fault("no answer");
    return new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      if (!lost) this.#clock.setTimer(randomInt(this.#random, 0, 300), resolve);
    });
  }

  #refuse(query: Record<string, string>): void {
    for (const status of [401, 403, 404, 429, 500, 503]) {
      if (this.#fault(String(status))) {
        const retryAfterMs = randomInt(this.#random, 0, 5_000);
        throw new KubeApiError({ status, message: `fault ${status}`, retryAfterMs });
      }
    }
    if (this.#fault("refused connection")) throw new KubeConnectionError("connect", "fault");
    if (query.sendInitialEvents && !this.#streams) {
      throw new KubeApiError({ status: 422, reason: "Invalid", message: "no sendInitialEvents" });
    }
    const version = Number(query.resourceVersion ?? "0");
    if (version > this.#version || this.#fault("too large")) {
      const details = { causes: [{ reason: "ResourceVersionTooLarge" }] };
      throw new KubeApiError({ status: 504, reason: "Timeout", message: "too large", details });
    }
    const expires = query.watch && !query.sendInitialEvents && version < this.#forgotten;
    if (expires || (query.continue && this.#fault("expired token"))) {
      throw new KubeApiError({ status: 410, reason: "Expired", message: "fault 410" });
    }
  }

  /** What was there at some version: the newest, or what a stale replica still shows. */
  #snapshot(query: Record<string, string>): { items: StoredObject[]; version: number } {
    const atLeast = Number(query.resourceVersion ?? "0");
    const stale = this.#history.length > 3 && this.#fault("stale replica");
    if (!stale) return { items: [...this.objects.values()], version: this.#version };
    const versions = this.#history.slice(-4).map(({ version }) => version);
    const version = query.resourceVersionMatch && atLeast > 0
      ? this.#version
      : pick(this.#random, versions);
    const items = new Map<string, StoredObject>();
    for (const event of this.#history) {
      if (event.version > version) break;
      if (event.type === "DELETED") items.delete(event.object.name);
      else items.set(event.object.name, event.object);
    }
    return { items: [...items.values()], version };
  }

  #list(query: Record<string, string>): Uint8Array {
    // Pages of two; a token is the rest of the snapshot.
    const { items, version } = query.continue
      ? JSON.parse(query.continue) as { items: StoredObject[]; version: number }
      : this.#snapshot(query);
    const whole = !query.limit || (this.#cached && query.resourceVersion === "0");
    const size = whole ? items.length : 2;
    const rest = items.slice(size);
    const token = rest.length > 0 ? { continue: JSON.stringify({ items: rest, version }) } : {};
    const metadata = { resourceVersion: String(version), ...token };
    const body = JSON.stringify({ metadata, items: items.slice(0, size).map(wire) });
    return new TextEncoder().encode(this.#fault("torn list") ? body.slice(0, -5) : body);
  }

  #watch(query: Record<string, string>, signal: AbortSignal | undefined) {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    let over = false;
    this.open++;
    const end = () => {
      if (!over) this.open--;
      over = true;
    };
    const stream = new ReadableStream<Uint8Array>({
      start: (given) => void (controller = given),
      cancel: end,
    });
    signal?.addEventListener("abort", end, { once: true });
    let at = Number(query.resourceVersion ?? "0");
    const send = (text: string) => {
      const bytes = new TextEncoder().encode(text);
      const cut = randomInt(this.#random, 0, bytes.length);
      for (const part of [bytes.slice(0, cut), bytes.slice(cut)]) controller?.enqueue(part);
    };
    if (query.sendInitialEvents) {
      const { items, version } = this.#snapshot(query);
      for (const item of items) send(frame("ADDED", wire(item)));
      const annotations = { "k8s.io/initial-events-end": "true" };
      const last = { metadata: { resourceVersion: String(version), annotations } };
      if (!this.#fault("no end of initial events")) send(frame("BOOKMARK", last));
      at = version;
    }
    const endAt = this.#clock.monotonic() + Number(query.timeoutSeconds) * 1000;
    const pump = () => {
      if (over) return;
      const then = this.#pumpOnce(at, endAt, send);
      at = then.at;
      if (then.kind === "go on") this.#clock.setTimer(randomInt(this.#random, 0, 2_000), pump);
      else if (then.kind === "close") controller?.close();
      else if (then.kind === "break") controller?.error(new KubeConnectionError("interrupted", ""));
    };
    pump();
    return stream;
  }

  /** Sends what is new, or does something else. "hang": it never says anything again. */
  #pumpOnce(
    at: number,
    endAt: number,
    send: (text: string) => void,
  ): { at: number; kind: "go on" | "close" | "break" | "hang" } {
    if (this.#fault("silence")) return { at, kind: "hang" };
    if (this.#fault("end of stream") || this.#clock.monotonic() >= endAt) {
      return { at, kind: "close" };
    }
    if (this.#fault("broken connection")) return { at, kind: "break" };
    const torn = pick(this.#random, [
      frame("ERROR", { code: 410, reason: "Expired", message: "fault" }),
      frame("ERROR", { code: 500, reason: "InternalError", message: "fault" }),
      frame("UNHEARD_OF", wire({ namespace: "", name: "", uid: "", resourceVersion: "1" })),
      "no JSON\n",
      '{"type":"ADDED","obj',
    ]);
    if (this.#fault("bad frame")) {
      send(torn);
      return { at, kind: "close" };
    }
    for (const event of this.#history) {
      if (event.version > at) send(frame(event.type, wire(event.object)));
    }
    if (this.#random.next() < 0.1) {
      send(frame("BOOKMARK", { metadata: { resourceVersion: String(this.#version) } }));
    }
    return { at: this.#version, kind: "go on" };
  }
}

class Run {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly server: FaultyServer;
  readonly store = new Store<StoredObject>({
    log: {
      ...silentLogger,
      error: (_message, fields) => {
        throw fields?.err;
      },
    },
  });
  readonly told = new Map<string, StoredObject>();
  readonly informer: Informer<StoredObject>;
  /** The newest of our own writes that was answered, by key. */
  readonly #written = new Map<string, StoredObject>();
  /** Uids whose end has been told. */
  readonly #buried = new Set<string>();
  #problem: unknown;
  readonly #controller = new AbortController();
  readonly #done: Promise<void>;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.server = new FaultyServer(this.clock, this.random);
    this.store.subscribe(({ key, before, after }) => {
      assert.equal(this.told.get(key), before);
      if (before && after) {
        assert.ok(
          Number(before.resourceVersion) < Number(after.resourceVersion),
          `${key} fell back`,
        );
      }
      if (after) assert.ok(!this.#buried.has(after.uid), `${key} rose from the dead`);
      if (after) this.told.set(key, after);
      else this.told.delete(key);
      if (before && before.uid !== after?.uid) this.#buried.add(before.uid);
    });
    this.informer = new Informer({
      rest: this.server.rest,
      type: { group: "", version: "v1", plural: "things", kind: "Thing", namespaced: true },
      codec,
      store: this.store,
      clock: this.clock,
      random: this.random,
      log: silentLogger,
    });
    this.#done = this.informer.run(this.#controller.signal);
  }

  async change(): Promise<void> {
    const name = pick(this.random, NAMES);
    const removes = this.random.next() < 0.35;
    const object = removes ? this.server.delete(name) : this.server.put(name);
    // Our own writes are answered sooner or later than the watch tells of them.
    if (object && this.random.next() < 0.5) {
      const answer = () => removes ? this.#deleteAnswered(object) : this.#writeAnswered(object);
      this.clock.setTimer(pick(this.random, [0, 100, 3_000]), () => this.#guard(answer));
    }
    if (this.random.next() < 0.1) this.server.forget();
    await this.clock.advance(pick(this.random, [0, 50, 1_000, 20_000, 100_000]));
    this.#guard(() => this.#seesOwnWrites());
    if (this.#problem) throw this.#problem;
    assert.ok(this.server.open <= 1, `${this.server.open} watches are open`);
    const quiet = this.clock.monotonic() - this.informer.lastProgress;
    assert.ok(quiet <= 150_000, `no progress for ${quiet} ms`);
  }

  /** A timer has nobody to throw to. */
  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#problem ??= error;
    }
  }

  #writeAnswered(object: StoredObject): void {
    this.store.observeWrite(object);
    const key = `ns/${object.name}`;
    const known = Number(this.#written.get(key)?.resourceVersion ?? "0");
    if (Number(object.resourceVersion) > known) this.#written.set(key, object);
    this.#seesOwnWrites();
  }

  #deleteAnswered(object: StoredObject): void {
    const key = `ns/${object.name}`;
    this.store.observeDelete(key, object.uid, object.resourceVersion);
    this.#buried.add(object.uid);
    assert.notEqual(this.store.get(key)?.uid, object.uid);
  }

  #seesOwnWrites(): void {
    for (const [key, object] of this.#written) {
      const seen = this.store.get(key);
      const written = Number(object.resourceVersion);
      if (seen) assert.ok(Number(seen.resourceVersion) >= written, `${key} is older than written`);
      else assert.ok(this.server.deletedAfter(key, written), `${key} is written and not seen`);
    }
  }

  async converges(): Promise<boolean> {
    this.server.faults = 0;
    const text = (objects: Iterable<StoredObject>) =>
      [...objects].map(({ name, resourceVersion }) => `${name}@${resourceVersion}`).sort().join();
    const equal = () => text(this.store.values()) === text(this.server.objects.values());
    // A silent connection may have to be found out first, and waits to run off.
    return await this.clock.advanceUntil(
      () => this.informer.synced && !this.informer.trouble && equal(),
      600_000,
    );
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.clock.settle();
    await this.#done;
    assert.equal(this.server.open, 0);
  }
}

Deno.test(`the informer converges and never steps back, ${SEEDS} seeds of faults`, async () => {
  const fired = new Map<string, number>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = new Run(seed);
    try {
      for (let i = 0; i < 60; i++) await run.change();
      assert.ok(await run.converges(), "the store became what the server has");
    } catch (cause) {
      throw new Error(`seed ${seed} failed: ${cause}`, { cause });
    }
    await run.stop();
    for (const [name, times] of run.server.fired) fired.set(name, (fired.get(name) ?? 0) + times);
  }
  const faults = [...fired].filter(([, times]) => times > 0);
  assert.equal(faults.length, 17, `every kind of fault fired: ${faults.join(" ")}`);
});
