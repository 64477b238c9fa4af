import assert from "node:assert/strict";
import { type LogFields, type Logger, silentLogger } from "../lib/log.ts";
import { seededRandom } from "../lib/random.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { ApiClient } from "./api_client.ts";
import { type EventContent, EventRecorder, type ObjectReference } from "./event_recorder.ts";
import { LeadershipLostError } from "./leadership.ts";
import { KubeApiError, KubeConnectionError } from "./ports/errors.ts";
import type { JsonObject, RequestOptions, RestClient } from "./ports/rest.ts";

const ABOUT: ObjectReference = {
  apiVersion: "example.com/v1",
  kind: "Thing",
  namespace: "ns",
  name: "thing",
  uid: "uid-1",
};
const CONFLICT: EventContent = {
  type: "Warning",
  reason: "NameConflict",
  action: "Apply",
  note: "somebody else's",
};

/** A server that keeps Events by path; `fault` may refuse, before or after a write is carried out. */
function setUp() {
  const clock = new VirtualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 6));
  const events = new Map<string, JsonObject>();
  const requests: string[] = [];
  const dropped: LogFields[] = [];
  const server = { fault: (_method: string): Error | undefined => undefined, lose: false };
  const performRequest = async ({ method, path, bodyJson, contentType }: RequestOptions) => {
    requests.push(`${method} ${clock.monotonic()}`);
    const fault = server.fault(method);
    if (fault && !server.lose) throw fault;
    await Promise.resolve();
    const body = bodyJson as JsonObject;
    const missing = new KubeApiError({ status: 404, reason: "NotFound", message: "gone" });
    if (method === "POST") {
      const key = `${path}/${(body.metadata as JsonObject).name}`;
      if (events.has(key)) {
        throw new KubeApiError({ status: 409, reason: "AlreadyExists", message: "exists" });
      }
      events.set(key, body);
    } else {
      assert.equal(contentType, "application/merge-patch+json");
      events.set(path, { ...(events.get(path) ?? raise(missing)), ...body });
    }
    if (fault) throw fault;
    return body;
  };
  const log: Logger = { ...silentLogger, warning: (_, fields = {}) => dropped.push(fields) };
  const recorder = new EventRecorder({
    api: new ApiClient({ rest: { performRequest } as RestClient, clock }),
    clock,
    random: seededRandom(1),
    log,
    reportingController: "example.com/controller",
    reportingInstance: "node-1_" + "x".repeat(200),
  });
  const stop = new AbortController();
  let ended = false;
  void recorder.run(stop.signal).then(() => ended = true);
  const stored = () => [...events.values()];
  return { clock, events, stored, requests, dropped, server, recorder, stop, ended: () => ended };
}

function raise(error: Error): never {
  throw error;
}

Deno.test("an Event carries what events.k8s.io/v1 requires", async () => {
  const { clock, events, stored, recorder } = setUp();
  const related = { ...ABOUT, kind: "Other", uid: "uid-2" };
  recorder.record(ABOUT, { ...CONFLICT, related });
  await clock.settle();
  const [event] = stored() as [JsonObject];
  const { name, namespace } = event.metadata as { name: string; namespace: string };
  assert.match(name, /^thing\.[0-9a-f]{20}$/);
  assert.equal(namespace, "ns");
  assert.deepEqual([...events.keys()], [`/apis/events.k8s.io/v1/namespaces/ns/events/${name}`]);
  const { metadata: _, ...rest } = event;
  assert.deepEqual(rest, {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    eventTime: "2026-01-02T03:04:05.006000Z",
    type: "Warning",
    reason: "NameConflict",
    action: "Apply",
    note: "somebody else's",
    regarding: ABOUT,
    related,
    reportingController: "example.com/controller",
    reportingInstance: ("node-1_" + "x".repeat(200)).slice(0, 128),
  });
});

Deno.test("cluster-scoped objects, long names and long notes fit the limits", async () => {
  const { clock, stored, recorder } = setUp();
  const name = "a".repeat(231) + "." + "b".repeat(21);
  recorder.record({ ...ABOUT, namespace: "", name }, { ...CONFLICT, note: "ü".repeat(2_000) });
  await clock.settle();
  const [event] = stored() as [{ metadata: JsonObject; note: string; regarding: JsonObject }];
  assert.equal(event.metadata.namespace, "default");
  assert.match(event.metadata.name as string, /^a{231}\.[0-9a-f]{20}$/);
  const bytes = new TextEncoder().encode(event.note).length;
  assert.ok(bytes <= 1_024 && bytes > 1_018 && event.note.endsWith("ü…"));
  assert.ok(!("namespace" in event.regarding));
});

Deno.test("repeats become a series, written at most once a minute", async () => {
  const { clock, stored, requests, recorder } = setUp();
  for (let i = 0; i < 100; i++) {
    recorder.record(ABOUT, { ...CONFLICT, note: `time ${i}` });
    await clock.advance(1_000);
  }
  await clock.advance(120_000);
  assert.deepEqual(requests, ["POST 0", "PATCH 60000", "PATCH 120000"]);
  const [event, ...others] = stored() as [JsonObject];
  assert.deepEqual(others, []);
  assert.equal(event.note, "time 0");
  assert.deepEqual(event.series, { count: 100, lastObservedTime: "2026-01-02T03:05:44.006000Z" });
  assert.equal(clock.pendingTimers, 0, "a quiet series costs nothing");
});

Deno.test("a repeat while its Event is being written is not forgotten", async () => {
  const { clock, server, stored, requests, recorder } = setUp();
  let during = 0;
  server.fault = () => {
    if (during++ === 0) recorder.record(ABOUT, CONFLICT);
    return undefined;
  };
  recorder.record(ABOUT, CONFLICT);
  await clock.advance(60_000);
  assert.deepEqual(requests, ["POST 0", "PATCH 60000"]);
  assert.equal((stored()[0]?.series as JsonObject).count, 2);
});

Deno.test("a repeat after six quiet minutes, or of another object or reason, is a new Event", async () => {
  const { clock, stored, recorder } = setUp();
  recorder.record(ABOUT, CONFLICT);
  await clock.advance(6 * 60_000);
  recorder.record(ABOUT, CONFLICT);
  recorder.record({ ...ABOUT, uid: "uid-9" }, CONFLICT);
  recorder.record(ABOUT, { ...CONFLICT, reason: "TooLarge" });
  await clock.settle();
  assert.equal(stored().length, 4);
  assert.ok(stored().every((event) => event.series === undefined));
});

Deno.test("an Event that expired on the server is made again with its count", async () => {
  const { clock, events, stored, recorder } = setUp();
  recorder.record(ABOUT, CONFLICT);
  await clock.settle();
  events.clear();
  recorder.record(ABOUT, CONFLICT);
  await clock.advance(60_000);
  assert.equal(stored().length, 1);
  assert.equal((stored()[0]?.series as JsonObject).count, 2);
});

Deno.test("one object gets ten Events at once, then one every five minutes", async () => {
  const { clock, stored, dropped, recorder } = setUp();
  const burst = (from: number, count: number) => {
    for (let i = from; i < from + count; i++) {
      recorder.record(ABOUT, { ...CONFLICT, reason: `Reason${i}` });
    }
  };
  burst(0, 15);
  recorder.record({ ...ABOUT, name: "other" }, CONFLICT);
  await clock.settle();
  assert.equal(stored().length, 11);
  await clock.advance(5 * 60_000);
  burst(100, 3);
  await clock.settle();
  assert.equal(stored().length, 12);
  assert.ok(dropped.length >= 1 && dropped.length <= 5);
  assert.equal(dropped[0]?.why, "too many on one object");
});

Deno.test("record returns at once and bounds what waits while the server is away", async () => {
  const { clock, server, stored, dropped, recorder } = setUp();
  server.fault = () => new KubeConnectionError("connect", "refused");
  for (let i = 0; i < 1_500; i++) {
    recorder.record({ ...ABOUT, name: `n${i}`, uid: `${i}` }, CONFLICT);
  }
  await clock.advance(2_000);
  assert.ok(dropped.some(({ why }) => why === "too many wait"));
  server.fault = () => undefined;
  await clock.advance(60_000);
  assert.ok(stored().length >= 999 && stored().length <= 1_001, `${stored().length}`);
});

Deno.test("a request without an answer is repeated and makes no second Event", async () => {
  const { clock, server, stored, requests, dropped, recorder } = setUp();
  let faults = 0;
  server.lose = true;
  server.fault = () => faults++ < 2 ? new KubeConnectionError("interrupted", "cut") : undefined;
  recorder.record(ABOUT, CONFLICT);
  await clock.advance(60_000);
  assert.equal(stored().length, 1);
  assert.equal(requests.length, 2, "the second says that it exists");
  assert.deepEqual(dropped, []);
});

Deno.test("what the server refuses is dropped at once, what it does not take after five tries", async () => {
  const cases: [error: Error, tries: number][] = [
    [new KubeApiError({ status: 403, message: "no", reason: "Forbidden" }), 1],
    [new KubeApiError({ status: 422, message: "invalid" }), 1],
    [new KubeApiError({ status: 500, message: "broken" }), 5],
    [new LeadershipLostError("lost"), 1],
  ];
  for (const [error, tries] of cases) {
    const { clock, server, stored, requests, dropped, recorder } = setUp();
    server.fault = () => error;
    recorder.record(ABOUT, CONFLICT);
    await clock.advance(600_000);
    assert.equal(requests.length, tries);
    assert.equal(dropped.length, 1);
    server.fault = () => undefined;
    recorder.record(ABOUT, CONFLICT);
    await clock.settle();
    assert.equal(stored().length, 1, "the next occurrence tries anew");
  }
});

Deno.test("a stop ends the run, whatever waits", async () => {
  const { clock, server, recorder, stop, ended } = setUp();
  server.fault = () => new KubeConnectionError("connect", "refused");
  recorder.record(ABOUT, CONFLICT);
  await clock.advance(100);
  stop.abort();
  await clock.settle();
  assert.equal(ended(), true);
  assert.equal(clock.pendingTimers, 0);
});
