import assert from "node:assert/strict";
import type { LogFields, Logger } from "../lib/log.ts";
import { silentLogger } from "../lib/log.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { Informer, type InformerOptions } from "./informer.ts";
import { jsonCodec } from "./json_codec.ts";
import type { StoredObject } from "./ports/codec.ts";
import { KubeApiError, KubeConnectionError } from "./ports/errors.ts";
import type { JsonObject, RequestOptions, RestClient } from "./ports/rest.ts";
import { Store } from "./store.ts";

interface Thing extends StoredObject {
  readonly note: string;
}

const THINGS = { group: "x.io", version: "v1", plural: "things", kind: "Thing", namespaced: true };

const codec = jsonCodec<Thing>((json) => {
  const meta = json.metadata as Record<string, string>;
  const of = (key: string) => meta[key] ?? "";
  return {
    namespace: of("namespace"),
    name: of("name"),
    uid: of("uid"),
    resourceVersion: of("resourceVersion"),
    note: String(json.note ?? ""),
  };
});

const thing = (name: string, version: number, note = "", namespace = "ns") => ({
  metadata: { namespace, name, uid: `u-${name}`, resourceVersion: String(version) },
  note,
});
const event = (type: string, object: unknown) => JSON.stringify({ type, object }) + "\n";
const bookmark = (version: number) =>
  event("BOOKMARK", { metadata: { resourceVersion: String(version) } });
const initialEnd = (version: number) =>
  event("BOOKMARK", {
    metadata: {
      resourceVersion: String(version),
      annotations: { "k8s.io/initial-events-end": "true" },
    },
  });
const listOf = (version: number, ...items: unknown[]) =>
  bytes(JSON.stringify({ metadata: { resourceVersion: String(version) }, items }));

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function refusal(status: number, reason = ""): KubeApiError {
  return new KubeApiError({ status, reason, message: `refused with ${status}` });
}

/** A body whose bytes the test sends; knows whether its reader went away. */
class Body {
  cancelled = false;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  readonly stream = new ReadableStream<Uint8Array>({
    start: (controller) => {
      this.#controller = controller;
    },
    cancel: () => {
      this.cancelled = true;
    },
  });

  send(...parts: (string | Uint8Array)[]): void {
    for (const part of parts) {
      this.#controller?.enqueue(typeof part === "string" ? bytes(part) : part);
    }
  }
  end(): void {
    this.#controller?.close();
  }
  break(error: unknown): void {
    this.#controller?.error(error);
  }
}

interface Call {
  readonly path: string;
  readonly query: Record<string, string>;
  readonly signal: AbortSignal;
  answer(value: unknown): void;
  refuse(error: unknown): void;
}

/** A client whose requests the test answers one by one. */
class Server {
  readonly calls: Call[] = [];
  readonly #open: Call[] = [];
  readonly rest = {
    performRequest: (options: RequestOptions) =>
      new Promise((answer, refuse) => {
        assert.equal(options.method, "GET");
        assert.ok(options.abortSignal);
        const query = Object.fromEntries(options.querystring ?? []);
        const call = { path: options.path, query, signal: options.abortSignal, answer, refuse };
        this.calls.push(call);
        this.#open.push(call);
      }),
  } as unknown as RestClient;

  /** The oldest request that has no answer yet. */
  take(): Call {
    const call = this.#open.shift();
    assert.ok(call, "there is a request");
    return call;
  }

  get waiting(): number {
    return this.#open.length;
  }

  accept(): Body {
    const body = new Body();
    this.take().answer(body.stream);
    return body;
  }
}

/** A signal that knows how many listeners it has. */
function countedSignal() {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  return { controller, signal, listeners: () => listeners };
}

class World {
  readonly clock = new VirtualClock();
  readonly server = new Server();
  readonly store: Store<Thing>;
  readonly informer: Informer<Thing>;
  readonly lines: string[] = [];
  readonly metrics: string[] = [];
  readonly counted = countedSignal();
  ended = false;

  constructor(options: Partial<InformerOptions<Thing>> = {}) {
    const line = (level: string) => (message: string, fields: LogFields = {}) => {
      const { reason, repeats, hint } = fields;
      this.lines.push([level, message, reason, repeats, hint].filter(Boolean).join(" | "));
    };
    const log: Logger = {
      ...silentLogger,
      info: line("info"),
      warning: line("warning"),
      error: line("error"),
      with: () => log,
    };
    this.store = options.store ?? new Store<Thing>();
    this.informer = new Informer<Thing>({
      rest: this.server.rest,
      type: THINGS,
      codec,
      store: this.store,
      clock: this.clock,
      random: { next: () => 0 },
      log,
      metrics: {
        restart: (resource, reason) => this.metrics.push(`restart ${resource} ${reason}`),
        relist: (resource) => this.metrics.push(`relist ${resource}`),
      },
      ...options,
    });
  }

  async begin(): Promise<void> {
    this.informer.run(this.counted.signal).then(() => this.ended = true);
    await this.clock.settle();
  }

  /** Begins, and follows from a first stream that ended at version 10. */
  async following(...objects: unknown[]): Promise<Body> {
    await this.begin();
    const body = this.server.accept();
    body.send(...objects.map((object) => event("ADDED", object)), initialEnd(10));
    await this.clock.settle();
    assert.ok(this.informer.synced);
    return body;
  }

  /** Aborts; nothing may be left of the run. */
  async stop(): Promise<void> {
    this.counted.controller.abort(new Error("stop"));
    await this.clock.settle();
    assert.ok(this.ended, "run() has ended");
    assert.equal(this.clock.pendingTimers, 0, "no timer is left");
    // Listeners added with `once` go with the abort without removeEventListener.
    assert.ok(this.counted.listeners() <= 1, "no listener is left");
    for (const call of this.server.calls) assert.ok(call.signal.aborted, "no request is left");
  }

  names(): string[] {
    return [...this.store.values()].map(({ name }) => name).sort();
  }
}

Deno.test("the first request is a stream of initial events with the scope's selectors", async () => {
  const world = new World({ namespace: "ns", labelSelector: "a=b", fieldSelector: "c=d" });
  await world.begin();
  const call = world.server.take();
  assert.equal(call.path, "/apis/x.io/v1/namespaces/ns/things");
  assert.deepEqual(call.query, {
    watch: "true",
    allowWatchBookmarks: "true",
    timeoutSeconds: "300",
    sendInitialEvents: "true",
    resourceVersionMatch: "NotOlderThan",
    labelSelector: "a=b",
    fieldSelector: "c=d",
  });
  await world.stop();
});

Deno.test("initial events fill the store at their end, and changes follow on the same stream", async () => {
  const world = new World();
  const initial: boolean[] = [];
  world.store.subscribe((change) => initial.push(change.initial));
  await world.begin();
  const body = world.server.accept();
  body.send(event("ADDED", thing("a", 1)), event("ADDED", thing("b", 2)));
  await world.clock.settle();
  assert.deepEqual(world.names(), []);
  assert.equal(world.informer.synced, false);
  body.send(initialEnd(10));
  await world.clock.settle();
  assert.deepEqual(world.names(), ["a", "b"]);
  assert.equal(world.informer.synced, true);
  body.send(event("DELETED", thing("a", 11)) + event("ADDED", thing("c", 12)));
  await world.clock.settle();
  assert.deepEqual(world.names(), ["b", "c"]);
  assert.deepEqual(initial, [true, true, false, false]);
  assert.equal(world.server.calls.length, 1);
  await world.stop();
  assert.equal(body.cancelled, true);
});

Deno.test("a server without streams is read in pages, then watched from the list's version", async () => {
  const world = new World();
  await world.begin();
  world.server.take().refuse(refusal(422, "Invalid"));
  await world.clock.settle();
  const first = world.server.take();
  assert.deepEqual(first.query, { limit: "500", resourceVersion: "0" });
  const page = { metadata: { resourceVersion: "9", continue: "more" }, items: [thing("a", 1)] };
  first.answer(bytes(JSON.stringify(page)));
  await world.clock.settle();
  const second = world.server.take();
  assert.deepEqual(second.query, { limit: "500", continue: "more" });
  second.answer(listOf(9, thing("b", 2)));
  await world.clock.settle();
  assert.deepEqual(world.names(), ["a", "b"]);
  const { watch, resourceVersion, sendInitialEvents } = world.server.take().query;
  assert.deepEqual([watch, resourceVersion, sendInitialEvents], ["true", "9", undefined]);
  await world.stop();
});

Deno.test("a watch that ends is renewed from the last version, without reading all again", async () => {
  const world = new World();
  const body = await world.following(thing("a", 1));
  body.send(bookmark(42));
  await world.clock.advance(5_000);
  body.end();
  await world.clock.settle();
  const call = world.server.take();
  assert.equal(call.query.resourceVersion, "42");
  assert.equal(call.query.sendInitialEvents, undefined);
  assert.deepEqual(world.metrics, ["restart things closed"]);
  assert.equal(world.informer.trouble, undefined);
  await world.stop();
});

Deno.test("an expired version reads all again, and what went meanwhile is removed", async () => {
  const world = new World();
  const body = await world.following(thing("a", 1), thing("b", 2));
  body.send(event("ERROR", { code: 410, reason: "Expired", message: "too old" }));
  await world.clock.settle();
  assert.equal(body.cancelled, true);
  const again = world.server.accept();
  assert.equal(world.server.calls.at(-1)?.query.resourceVersion, "10");
  again.send(event("ADDED", thing("b", 2)), initialEnd(30));
  await world.clock.settle();
  assert.deepEqual(world.names(), ["b"]);
  assert.equal(world.informer.trouble, undefined);
  assert.deepEqual(world.metrics, ["restart things expired", "relist things"]);
  await world.stop();
});

Deno.test("a type that is not installed is waited for, told once a minute, and followed once there", async () => {
  const world = new World();
  await world.begin();
  for (let i = 0; i < 25; i++) { // 2 minutes
    world.server.take().refuse(refusal(404, "NotFound"));
    await world.clock.advance(5_000);
  }
  assert.equal(world.informer.synced, false);
  assert.equal((world.informer.trouble as KubeApiError).status, 404);
  assert.deepEqual(
    world.lines.map((line) => line.replace(/.*changes /, "")),
    ["| not_found | is things.x.io/v1 installed?"].concat(
      Array(2).fill("| not_found | 11 | is things.x.io/v1 installed?"),
    ),
  );
  world.server.accept().send(initialEnd(3));
  await world.clock.settle();
  assert.equal(world.informer.synced, true);
  assert.equal(world.informer.trouble, undefined);
  assert.equal(world.lines.at(-1), "info | Following the API server's changes again");
  await world.stop();
});

Deno.test("a refusal for lack of rights names the rule that is missing", async () => {
  const world = new World();
  await world.begin();
  world.server.take().refuse(refusal(403, "Forbidden"));
  await world.clock.settle();
  assert.match(
    String(world.lines),
    /forbidden \| allow the verbs list and watch on resource "things" in API group "x.io"/,
  );
  await world.stop();
});

Deno.test("2.5 minutes without event or bookmark end the watch, though half an event came", async () => {
  const world = new World();
  const body = await world.following();
  await world.clock.advance(100_000);
  body.send('{"type":"ADD');
  await world.clock.advance(49_999);
  assert.equal(body.cancelled, false);
  await world.clock.advance(1);
  assert.equal(body.cancelled, true);
  assert.deepEqual(world.metrics, ["restart things stalled"]);
  assert.equal(world.informer.trouble, undefined, "silence may be peace");
  assert.equal(world.server.take().query.resourceVersion, "10");
  await world.stop();
});

Deno.test("bookmarks keep a watch alive, but not past its timeout and 30 s", async () => {
  const world = new World();
  const body = await world.following();
  for (let version = 11; version < 16; version++) {
    await world.clock.advance(60_000);
    body.send(bookmark(version));
  }
  await world.clock.advance(29_999);
  assert.equal(body.cancelled, false);
  await world.clock.advance(1);
  assert.equal(body.cancelled, true);
  assert.equal(world.server.take().query.resourceVersion, "15");
  await world.stop();
});

Deno.test("a watch without headers is given up after 30 s; what comes later is cancelled", async () => {
  const world = new World();
  await world.begin();
  const call = world.server.take();
  await world.clock.advance(29_999);
  assert.equal(world.server.waiting, 0);
  await world.clock.advance(1);
  assert.equal(call.signal.aborted, true);
  assert.equal(world.server.take().query.limit, "500");
  const late = new Body();
  call.answer(late.stream);
  await world.clock.settle();
  assert.equal(late.cancelled, true);
  await world.stop();
});

Deno.test("a page without an end is given up after a minute", async () => {
  const world = new World();
  await world.begin();
  world.server.take().refuse(refusal(422));
  await world.clock.settle();
  const call = world.server.take();
  await world.clock.advance(60_000);
  assert.equal(call.signal.aborted, true);
  assert.match(String(world.informer.trouble), /no answer within 60 s/);
  call.answer(listOf(5, thing("late", 1)));
  await world.clock.settle();
  assert.deepEqual(world.names(), []);
  await world.stop();
});

Deno.test("a stream without an end of its initial events falls back to a list after 30 s", async () => {
  const world = new World();
  await world.begin();
  const body = world.server.accept();
  body.send(event("ADDED", thing("a", 1)));
  await world.clock.advance(30_000);
  assert.equal(body.cancelled, true);
  world.server.take().answer(listOf(5, thing("b", 1)));
  await world.clock.settle();
  assert.deepEqual(world.names(), ["b"]);
  await world.stop();
});

Deno.test("a connection cut inside an event resumes at the last version, losing nothing", async () => {
  const world = new World();
  const body = await world.following();
  const second = event("ADDED", thing("b", 12, "é"));
  body.send(event("ADDED", thing("a", 11)), second.slice(0, -9));
  body.end();
  await world.clock.advance(800);
  const again = world.server.accept();
  assert.equal(world.server.calls.at(-1)?.query.resourceVersion, "11");
  const whole = bytes(second);
  const cut = whole.indexOf(0xc3) + 1; // inside the é
  again.send(whole.slice(0, cut), whole.slice(cut));
  await world.clock.settle();
  assert.equal(world.store.get("ns/b")?.note, "é");
  await world.stop();
});

Deno.test("bytes that are no events, and unknown events, read all again", async () => {
  for (const bad of ["nonsense\n", event("UNHEARD_OF", thing("a", 11))]) {
    const world = new World();
    const body = await world.following();
    body.send(bad);
    await world.clock.advance(800);
    assert.equal(body.cancelled, true);
    assert.equal(world.server.take().query.sendInitialEvents, "true");
    assert.deepEqual(world.metrics, ["restart things bad_stream"]);
    await world.stop();
  }
});

Deno.test("ten minutes without a server are a log line a minute, then it goes on where it was", async () => {
  const world = new World();
  const body = await world.following(thing("a", 1));
  body.break(new KubeConnectionError("interrupted", "reset"));
  const until = world.clock.monotonic() + 600_000;
  while (world.clock.monotonic() < until) {
    await world.clock.advanceUntil(() => world.server.waiting > 0, 60_000);
    world.server.take().refuse(new KubeConnectionError("connect", "refused"));
    await world.clock.settle();
    assert.ok(world.clock.monotonic() - world.informer.lastProgress < 1_000);
  }
  assert.ok(world.lines.length >= 10 && world.lines.length <= 12, String(world.lines));
  assert.ok(world.server.calls.length < 30, `${world.server.calls.length} requests`);
  assert.deepEqual(world.names(), ["a"]);
  await world.clock.advance(30_000);
  const again = world.server.accept();
  assert.equal(world.server.calls.at(-1)?.query.resourceVersion, "10");
  again.send(event("ADDED", thing("b", 11)));
  await world.clock.settle();
  assert.deepEqual(world.names(), ["a", "b"]);
  assert.match(world.lines.at(-1) ?? "", /changes again/);
  await world.stop();
});

Deno.test("a client that throws at once, or throws what is no Error, is one that failed", async () => {
  for (const thrown of [new TypeError("fetch failed"), "a string"]) {
    let calls = 0;
    const rest = {
      performRequest() {
        calls++;
        throw thrown;
      },
    } as unknown as RestClient;
    const world = new World({ rest });
    await world.begin();
    await world.clock.advance(800);
    assert.ok(calls >= 2);
    assert.ok(world.informer.trouble instanceof Error);
    await world.stop();
  }
});

Deno.test("an abort ends a run in every state and leaves nothing", async () => {
  const begun = async () => {
    const world = new World({ resyncMs: 1000 });
    await world.begin();
    return world;
  };
  const opening = await begun();
  await opening.stop();
  const late = new Body();
  opening.server.take().answer(late.stream);
  await opening.clock.settle();
  assert.equal(late.cancelled, true);

  const streaming = await begun();
  const body = streaming.server.accept();
  await streaming.clock.settle();
  await streaming.stop();
  assert.equal(body.cancelled, true);

  const listing = await begun();
  listing.server.take().refuse(refusal(422));
  await listing.clock.settle();
  await listing.stop();

  const waiting = await begun();
  waiting.server.take().refuse(refusal(403));
  await waiting.clock.settle();
  await waiting.stop();

  const before = new World();
  before.counted.controller.abort();
  await before.begin();
  assert.equal(before.ended, true);
  assert.equal(before.server.calls.length, 0);
});

Deno.test("a thousand renewed watches leave one listener and no timers behind", async () => {
  const world = new World();
  let body = await world.following();
  for (let i = 0; i < 1_000; i++) {
    await world.clock.advance(2_000);
    body.end();
    await world.clock.settle();
    body = world.server.accept();
    await world.clock.settle();
  }
  assert.equal(world.counted.listeners(), 1);
  assert.equal(world.clock.pendingTimers, 1);
  await world.stop();
});

Deno.test("resync tells subscribers of every object again, about as often as asked, once synced", async () => {
  const world = new World({ resyncMs: 10_000 });
  const causes: string[] = [];
  world.store.subscribe(({ cause, key }) => causes.push(`${cause} ${key}`));
  await world.begin();
  await world.clock.advance(20_000);
  assert.deepEqual(causes, []);
  world.server.accept().send(event("ADDED", thing("a", 1)), initialEnd(10));
  await world.clock.settle();
  causes.length = 0;
  await world.clock.advance(18_000);
  assert.deepEqual(causes, ["resync ns/a", "resync ns/a"]);
  await world.stop();
});

Deno.test("informers of two namespaces feed one store without removing each other's objects", async () => {
  const one = new World({ namespace: "ns" });
  const two = new World({ namespace: "other", store: one.store });
  await one.following(thing("a", 1));
  const body = await two.following(thing("b", 2, "", "other"));
  assert.deepEqual(one.names(), ["a", "b"]);
  body.send(event("ERROR", { code: 410, message: "too old" }));
  await two.clock.settle();
  two.server.accept().send(initialEnd(20));
  await two.clock.settle();
  assert.deepEqual(one.names(), ["a"]);
  await one.stop();
  await two.stop();
});

Deno.test("an own write that the stream has not reached survives a list from before it", async () => {
  const world = new World();
  await world.begin();
  world.store.observeWrite(codecProjection(thing("mine", 50)));
  world.server.accept().send(event("ADDED", thing("a", 1)), initialEnd(40));
  await world.clock.settle();
  assert.deepEqual(world.names(), ["a", "mine"]);
  await world.stop();
});

function codecProjection(json: unknown): Thing {
  const [item] = codec.decodeList(listOf(1, json as JsonObject)).items;
  assert.ok(item);
  return item;
}
