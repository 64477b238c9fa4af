import assert from "node:assert/strict";
import { seededRandom } from "../lib/random.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { KubeApiError, KubeConnectionError } from "../runtime/ports/errors.ts";
import type { JsonValue, RestClient } from "../runtime/ports/rest.ts";
import { SimulatedCluster } from "./cluster.ts";
import { at } from "./objects.ts";

const MAPS = "/api/v1/namespaces/default/configmaps";

function clusterOf(seed = 1): SimulatedCluster {
  return new SimulatedCluster({ clock: new VirtualClock(), random: seededRandom(seed) });
}

function create(client: RestClient, name: string, data: JsonValue = { k: "v" }) {
  const bodyJson = { metadata: { name }, data };
  return client.performRequest({ method: "POST", path: MAPS, bodyJson, expectJson: true });
}

function patch(client: RestClient, name: string, bodyJson: JsonValue) {
  return client.performRequest({
    method: "PATCH",
    path: `${MAPS}/${name}`,
    contentType: "application/merge-patch+json",
    bodyJson,
    expectJson: true,
  });
}

Deno.test("the same seed and requests give the same cluster, another seed other uids", async () => {
  const play = async (seed: number) => {
    const cluster = clusterOf(seed);
    const client = cluster.client();
    await create(client, "a");
    const bodyJson = { metadata: { generateName: "gen-" } };
    await client.performRequest({ method: "POST", path: MAPS, bodyJson });
    return JSON.stringify(cluster.snapshot());
  };
  assert.equal(await play(1), await play(1));
  assert.notEqual(await play(1), await play(2));
});

Deno.test("an answer is the caller's own: changing it changes nothing that is stored", async () => {
  const cluster = clusterOf();
  const given = { k: "v" };
  const answer = await create(cluster.client(), "a", given) as { data: Record<string, string> };
  answer.data["k"] = "changed";
  given.k = "changed too";
  assert.deepEqual(cluster.get("v1", "ConfigMap", "default", "a")?.["data"], { k: "v" });
});

Deno.test("every request that could change something is on record, with its effect", async () => {
  const cluster = clusterOf();
  const client = cluster.client({ user: "controller" });
  const start = cluster.writes.length;
  await create(client, "a");
  await patch(client, "a", { data: { k: "v" } });
  await patch(client, "a", { data: { k: "w" } });
  await assert.rejects(create(client, "a"));
  await client.performRequest({ method: "GET", path: `${MAPS}/a` });
  await client.performRequest({ method: "DELETE", path: `${MAPS}/a` });
  const seen = cluster.writes.slice(start).map((record) =>
    `${record.user} ${record.verb} ${record.namespace}/${record.name} ${record.code} ` +
    `${record.changed} ${at(record.before, "data", "k")}>${at(record.after, "data", "k")}`
  );
  assert.deepEqual(seen, [
    "controller create default/a 201 true undefined>v",
    "controller patch default/a 200 false v>v",
    "controller patch default/a 200 true v>w",
    "controller create default/a 409 false undefined>undefined",
    "controller delete default/a 200 true w>undefined",
  ]);
});

Deno.test("the write log is bounded", async () => {
  const cluster = new SimulatedCluster({ clock: new VirtualClock(), writeLogMax: 10 });
  const client = cluster.client();
  for (let index = 0; index < 50; index++) await create(client, `c${index}`);
  assert.ok(cluster.writes.length >= 10 && cluster.writes.length <= 20);
  assert.equal(cluster.writes.at(-1)?.name, "c49");
});

Deno.test("an update without a difference is no commit", async () => {
  const cluster = clusterOf();
  await create(cluster.client(), "a");
  const before = cluster.revision;
  const answer = await patch(cluster.client(), "a", { data: { k: "v" }, metadata: { labels: {} } });
  assert.equal(cluster.revision, before);
  assert.equal(at(answer, "metadata", "resourceVersion"), String(before));
});

Deno.test("seed() makes namespaces as needed, keeps status, and says what is wrong", () => {
  const cluster = clusterOf();
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "made" },
    spec: { nodeName: "n", containers: [{ name: "c", image: "i" }] },
    status: { phase: "Running" },
  };
  const [stored] = cluster.seed([pod]);
  assert.equal(at(stored, "status", "phase"), "Running");
  assert.equal(stored, cluster.get("v1", "Pod", "made", "p"));
  assert.ok(cluster.get("v1", "Namespace", "", "made"));
  assert.throws(() => cluster.seed([pod]), /pods "p" already exists/);
  assert.throws(
    () => cluster.seed([{ apiVersion: "v9", kind: "Thing" }]),
    /no such type is served/,
  );
});

Deno.test("historyAt() gives the whole cluster as it was", async () => {
  const cluster = clusterOf();
  await create(cluster.client(), "a");
  const then = cluster.revision;
  const before = cluster.snapshot();
  await create(cluster.client(), "b");
  await cluster.client().performRequest({ method: "DELETE", path: `${MAPS}/a` });
  assert.deepEqual(cluster.historyAt(then), before);
  assert.notDeepEqual(cluster.snapshot(), before);
  cluster.compact();
  assert.throws(() => cluster.historyAt(then), /too old resource version/);
});

Deno.test("refusals are KubeApiError with status, reason, causes and retry time", async () => {
  const client = clusterOf().client();
  const refused = (promise: Promise<unknown>) =>
    promise.then(() => assert.fail("accepted"), (error) => error);
  const missing = await refused(client.performRequest({ method: "GET", path: `${MAPS}/nope` }));
  assert.ok(missing instanceof KubeApiError);
  assert.deepEqual([missing.status, missing.reason], [404, "NotFound"]);
  const querystring = new URLSearchParams("resourceVersion=99999");
  const early = await refused(client.performRequest({ method: "GET", path: MAPS, querystring }));
  assert.ok(early.hasCause("ResourceVersionTooLarge"));
  assert.equal(early.retryAfterMs, 1_000);
  const nowhere = await refused(client.performRequest({ method: "GET", path: "/apis/x.io/v1/y" }));
  assert.equal(nowhere.status, 404);
  const tunnel = client.performRequest({ method: "GET", path: "/x", expectTunnel: ["v4"] });
  assert.ok(await refused(tunnel) instanceof KubeConnectionError);
});

Deno.test("bodies can be bytes or a stream, answers bytes, JSON or streams of either", async () => {
  const client = clusterOf().client();
  const bytes = new TextEncoder().encode(JSON.stringify({ metadata: { name: "a" } }));
  const bodyStream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.slice(0, 5));
      controller.enqueue(bytes.slice(5));
      controller.close();
    },
  });
  const made = await client.performRequest({ method: "POST", path: MAPS, bodyStream });
  assert.equal(JSON.parse(new TextDecoder().decode(made)).metadata.name, "a");
  const bodyRaw = new TextEncoder().encode(
    '{"metadata":{"name":"__proto__x"},"data":{"__proto__":"kept"}}',
  );
  await assert.rejects(client.performRequest({ method: "POST", path: MAPS, bodyRaw }), /RFC 1123/);
  const streamed = await client.performRequest({ method: "GET", path: MAPS, expectStream: true });
  assert.equal(
    JSON.parse(await new Response(streamed.pipeThrough(copied())).text()).items.length,
    1,
  );
  const values: JsonValue[] = [];
  const json = { method: "GET", path: MAPS, expectStream: true, expectJson: true } as const;
  for await (const value of await client.performRequest(json)) values.push(value);
  assert.equal(at(values[0], "kind"), "ConfigMapList");
});

/** Bytes in buffers of their own, as Response wants them. */
function copied(): TransformStream<Uint8Array, Uint8Array<ArrayBuffer>> {
  return new TransformStream({ transform: (chunk, out) => out.enqueue(chunk.slice()) });
}

Deno.test("a key named __proto__ is a key like any other", async () => {
  const cluster = clusterOf();
  const data = JSON.parse('{"__proto__":"kept"}');
  const answer = await create(cluster.client(), "a", data);
  assert.ok(Object.hasOwn(at(answer, "data") as object, "__proto__"));
  const text = await cluster.client().performRequest({ method: "GET", path: `${MAPS}/a` });
  assert.match(new TextDecoder().decode(text), /"data":\{"__proto__":"kept"\}/);
});

Deno.test("a body of more than 3 MiB is refused before anything looks at it, in whatever form it comes", async () => {
  const client = clusterOf().client();
  const post = (length: number, asBytes: boolean) => {
    const body = { metadata: { name: "a" }, data: { k: "é".repeat(length) } };
    const bodyRaw = new TextEncoder().encode(JSON.stringify(body));
    const given = asBytes ? { bodyRaw } : { bodyJson: body };
    return client.performRequest({ method: "POST", path: MAPS, ...given });
  };
  const limit = 3 * 1024 * 1024;
  for (const asBytes of [true, false]) {
    await assert.rejects(post(limit / 2, asBytes), /limit is 3145728/);
    // Below the limit of bodies, above that of ConfigMaps.
    await assert.rejects(post(limit / 2 - 100, asBytes), /may not be more than 1048576 bytes/);
  }
});
