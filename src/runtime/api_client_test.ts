import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { ApiClient, type RequestMetrics } from "./api_client.ts";
import { jsonCodec } from "./json_codec.ts";
import { LeadershipLostError } from "./leadership.ts";
import { KubeApiError, KubeConnectionError } from "./ports/errors.ts";
import type { JsonValue, RequestOptions, RestClient } from "./ports/rest.ts";
import type { ResourceType } from "./resource.ts";

const MAPS: ResourceType = {
  group: "",
  version: "v1",
  plural: "configmaps",
  kind: "ConfigMap",
  namespaced: true,
};
const AT = { namespace: "ns", name: "a" };
const JSON_PATCH = "application/json-patch+json";

/** Answers in turn; the last one is given again and again. A function decides by itself. */
type Answer = JsonValue | Error | ((request: RequestOptions) => Promise<JsonValue>);

interface SetUpOptions {
  beforeWrite?: () => void;
  timeoutMs?: number;
  concurrency?: number;
}

function setUp(answers: Answer[], options: SetUpOptions = {}) {
  const clock = new VirtualClock();
  const requests: RequestOptions[] = [];
  const observed: string[] = [];
  const performRequest = (request: RequestOptions) => {
    requests.push(request);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (typeof answer === "function") return answer(request);
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const metrics: RequestMetrics = {
    observe: ({ verb, resource, code, seconds }) =>
      observed.push(`${verb} ${resource} ${code} ${seconds}`),
  };
  const rest = { performRequest } as RestClient;
  const client = new ApiClient({ rest, clock, metrics, ...options });
  return { clock, client, requests, observed };
}

/** What a request says, without the parts every request has. */
function sent({ abortSignal, accept, expectJson, ...rest }: RequestOptions) {
  assert.ok(abortSignal && expectJson && accept === "application/json");
  return rest;
}

function refusal(status: number, init: { reason?: string; retryAfterMs?: number } = {}) {
  return new KubeApiError({ status, message: `status ${status}`, ...init });
}

/** How `promise` ends; kept, so that a rejection is never unhandled while time moves. */
function watch(promise: Promise<unknown>): { end?: unknown } {
  const watched: { end?: unknown } = {};
  promise.then((value) => watched.end = { value }, (error) => watched.end = error);
  return watched;
}

Deno.test("each verb sends what the API expects", async () => {
  const { client, requests } = setUp([{ kind: "ConfigMap" }]);
  const body = { data: { a: "1" } };
  const patch = { contentType: JSON_PATCH, body: [{ op: "add", path: "/data/a", value: "1" }] };
  assert.deepEqual(await client.get(MAPS, AT), { kind: "ConfigMap" });
  await client.create(MAPS, { namespace: "ns" }, body);
  await client.update(MAPS, AT, body);
  await client.patch(MAPS, { ...AT, subresource: "status" }, patch);
  await client.delete(MAPS, AT, { uid: "u", resourceVersion: "7" });
  await client.delete(MAPS, AT, {});
  const path = "/api/v1/namespaces/ns/configmaps";
  const options = { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background" };
  assert.deepEqual(requests.map(sent), [
    { method: "GET", path: `${path}/a` },
    { method: "POST", path, bodyJson: body },
    { method: "PUT", path: `${path}/a`, bodyJson: body },
    { method: "PATCH", path: `${path}/a/status`, contentType: JSON_PATCH, bodyJson: patch.body },
    {
      method: "DELETE",
      path: `${path}/a`,
      bodyJson: { ...options, preconditions: { uid: "u", resourceVersion: "7" } },
    },
    { method: "DELETE", path: `${path}/a`, bodyJson: options },
  ]);
});

Deno.test("deleting what is gone succeeds; a precondition that does not hold surfaces", async () => {
  await setUp([refusal(404, { reason: "NotFound" })]).client.delete(MAPS, AT, { uid: "u" });
  const conflict = refusal(409, { reason: "Conflict" });
  const { client } = setUp([conflict]);
  await assert.rejects(client.delete(MAPS, AT, { uid: "u" }), conflict);
});

Deno.test("an attempt without an answer ends at its deadline, even if the transport does not", async () => {
  const { clock, client, requests, observed } = setUp([() => new Promise(() => {})]);
  const result = watch(client.update(MAPS, AT, {}));
  await clock.advance(14_999);
  assert.ok(!("end" in result));
  await clock.advance(1);
  assert.ok(result.end instanceof KubeConnectionError && result.end.failure === "timeout");
  assert.equal(requests[0]?.abortSignal?.reason, result.end);
  assert.deepEqual(observed, ["update configmaps timeout 15"]);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("the caller's abort ends the request at once with its reason, and is not retried", async () => {
  const { clock, client, requests, observed } = setUp([() => new Promise(() => {})]);
  const stop = new AbortController();
  const result = watch(client.get(MAPS, AT, stop.signal));
  await clock.advance(1_000);
  const reason = new LeadershipLostError("lost");
  stop.abort(reason);
  await clock.advance(60_000);
  assert.equal(result.end, reason);
  assert.equal(requests.length, 1);
  assert.equal(requests[0]?.abortSignal?.aborted, true);
  assert.deepEqual(observed, ["get configmaps aborted 1"]);
  await assert.rejects(client.get(MAPS, AT, stop.signal), reason);
  assert.equal(requests.length, 1, "an aborted caller sends nothing");
});

Deno.test("a finished request leaves no timer and no listener", async () => {
  const { clock, client } = setUp([{}, refusal(404)]);
  const { signal } = new AbortController();
  let listeners = 0;
  let added = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  Object.assign(signal, {
    addEventListener(...args: Parameters<typeof add>) {
      listeners++;
      added++;
      add(...args);
    },
    removeEventListener(...args: Parameters<typeof remove>) {
      listeners--;
      remove(...args);
    },
  });
  await client.get(MAPS, AT, signal);
  await client.get(MAPS, AT, signal).catch(() => {});
  assert.equal(listeners, 0, "as many removed as added");
  assert.ok(added > 0);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("429 and 5xx are retried after the delay the server asked for", async () => {
  const { clock, client, requests, observed } = setUp([
    refusal(429, { retryAfterMs: 1_000 }),
    refusal(503, { retryAfterMs: 2_000 }),
    { ok: true },
  ]);
  const result = watch(client.create(MAPS, { namespace: "ns" }, {}));
  await clock.advance(999);
  assert.equal(requests.length, 1);
  await clock.advance(1);
  assert.equal(requests.length, 2);
  await clock.advance(2_000);
  assert.deepEqual(result.end, { value: { ok: true } });
  assert.deepEqual(observed.map((line) => line.split(" ")[2]), ["429", "503", "2xx"]);
});

Deno.test("refusals without Retry-After, and others with one, are the caller's to decide", async () => {
  const refusals = [refusal(500), refusal(429), refusal(409, { retryAfterMs: 1_000 })];
  for (const error of refusals) {
    const { clock, client, requests } = setUp([error]);
    const result = watch(client.update(MAPS, AT, {}));
    await clock.advance(60_000);
    assert.equal(result.end, error);
    assert.equal(requests.length, 1);
  }
});

Deno.test("retries end: at most ten, and none that begins after 30 s", async () => {
  const cases: [retryAfterMs: number, attempts: number][] = [[10, 11], [7_000, 5], [40_000, 1]];
  for (const [retryAfterMs, attempts] of cases) {
    const error = refusal(429, { retryAfterMs });
    const { clock, client, requests } = setUp([error]);
    const result = watch(client.get(MAPS, AT));
    await clock.advance(120_000);
    assert.equal(result.end, error);
    assert.equal(requests.length, attempts, `Retry-After ${retryAfterMs} ms`);
  }
});

Deno.test("reads that met no server are retried a little, writes never", async () => {
  for (const failure of ["connect", "interrupted"] as const) {
    const error = new KubeConnectionError(failure, "no server");
    const read = setUp([error]);
    const result = watch(read.client.get(MAPS, AT));
    await read.clock.advance(60_000);
    assert.equal(result.end, error);
    assert.equal(read.requests.length, 4);
    const write = setUp([error]);
    await assert.rejects(write.client.update(MAPS, AT, {}), error);
    assert.equal(write.requests.length, 1);
  }
  const tls = new KubeConnectionError("tls", "unknown CA");
  const read = setUp([tls]);
  await assert.rejects(read.client.get(MAPS, AT), tls);
});

Deno.test("beforeWrite guards each attempt of a write, and no read", async () => {
  let calls = 0;
  const beforeWrite = () => {
    if (++calls > 1) throw new LeadershipLostError("lost");
  };
  const answers = [refusal(429, { retryAfterMs: 1_000 })];
  const { clock, client, requests, observed } = setUp(answers, { beforeWrite });
  const read = watch(client.get(MAPS, AT));
  await clock.advance(60_000);
  assert.ok(read.end instanceof KubeApiError);
  assert.equal(calls, 0);
  requests.length = 0;
  observed.length = 0;
  const write = watch(client.patch(MAPS, AT, { contentType: JSON_PATCH, body: [] }));
  await clock.advance(1_000);
  assert.ok(write.end instanceof LeadershipLostError);
  assert.equal(requests.length, 1, "nothing is sent after the guard has spoken");
  assert.deepEqual(observed, ["patch configmaps 429 0"]);
});

Deno.test("a transport that throws at once rejects like any other", async () => {
  const { client, clock } = setUp([() => {
    throw new TypeError("bad header");
  }]);
  await assert.rejects(client.update(MAPS, AT, {}), TypeError);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("attempts beyond the bound wait, before their deadline and the fence", async () => {
  const finish: (() => void)[] = [];
  let fenced = 0;
  const { client, clock, requests } = setUp(
    [() => new Promise((resolve) => finish.push(() => resolve({ kind: "ConfigMap" })))],
    { concurrency: 2, timeoutMs: 1_000, beforeWrite: () => fenced++ },
  );
  const stop = new AbortController();
  const first = [1, 2].map(() => client.create(MAPS, { namespace: "ns" }, {}));
  const third = client.create(MAPS, { namespace: "ns" }, {});
  const given = watch(client.create(MAPS, { namespace: "ns" }, {}, stop.signal));
  await clock.advance(900);
  assert.equal(requests.length, 2);
  assert.equal(fenced, 2);
  stop.abort("enough");
  await clock.settle();
  assert.equal(given.end, "enough");
  for (const end of finish.splice(0)) end();
  await Promise.all(first);
  await clock.advance(900);
  assert.equal(requests.length, 3);
  finish[0]?.();
  assert.deepEqual(await third, { kind: "ConfigMap" });
});

Deno.test("an answer is asked for and read as a codec says; one that cannot be read is a broken connection", async () => {
  const codec = jsonCodec((json) => {
    const { name } = json.metadata as { name: string };
    return { namespace: "ns", name, uid: "u", resourceVersion: "1" };
  });
  const bytes = (text: string) => () =>
    Promise.resolve(new TextEncoder().encode(text) as unknown as JsonValue);
  const { client, requests, observed } = setUp([bytes('{"metadata":{"name":"a"}}')]);
  const accepting = { ...codec, listAccept: "application/x" };
  const a = { namespace: "ns", name: "a", uid: "u", resourceVersion: "1" };
  assert.deepEqual(
    await client.create(MAPS, { namespace: "ns" }, {}, undefined, accepting),
    a,
  );
  const patch = { contentType: JSON_PATCH, body: [] };
  assert.deepEqual(await client.patch(MAPS, AT, patch, undefined, accepting), a);
  assert.deepEqual(await client.read(MAPS, AT, accepting), a);
  for (const request of requests) {
    assert.deepEqual([request.accept, request.expectJson], ["application/x", undefined]);
  }
  const isBroken = (error: unknown) =>
    error instanceof KubeConnectionError && error.failure === "interrupted";
  // The last: a Status, as a gateway in front of the server may say.
  for (const body of ["<html>", '{"metadata":{"name":""}}']) {
    const broken = setUp([bytes(body)]);
    const answer = broken.client.create(MAPS, { namespace: "ns" }, {}, undefined, codec);
    await assert.rejects(answer, isBroken);
    assert.deepEqual(broken.observed, ["create configmaps interrupted 0"]);
  }
  assert.deepEqual(observed[0], "create configmaps 2xx 0");
});
