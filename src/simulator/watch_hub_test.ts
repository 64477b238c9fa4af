import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import type { JsonValue, RestClient } from "../runtime/ports/rest.ts";
import { SimulatedCluster } from "./cluster.ts";
import { at } from "./objects.ts";

const PODS = "/api/v1/namespaces/t/pods";

function worldOf(options: { historyWindow?: number } = {}) {
  const clock = new VirtualClock();
  const cluster = new SimulatedCluster({ clock, ...options });
  cluster.seed([{ apiVersion: "v1", kind: "Namespace", metadata: { name: "t" } }]);
  const client = cluster.client();
  const call = (method: "POST" | "PATCH" | "DELETE", path: string, bodyJson?: JsonValue) =>
    client.performRequest({
      method,
      path,
      expectJson: true,
      ...(bodyJson === undefined ? {} : { bodyJson }),
      ...(method === "PATCH" ? { contentType: "application/merge-patch+json" } : {}),
    });
  return { clock, cluster, client, call };
}

function pod(name: string, labels: Record<string, string> = {}): JsonValue {
  return { metadata: { name, labels }, spec: { containers: [{ name: "c", image: "i" }] } };
}

interface Watch {
  /** "TYPE name rv" of every event so far. */
  readonly seen: string[];
  readonly raw: JsonValue[];
  ended: "no" | "closed" | "failed";
}

/** Watches and keeps what comes. */
async function watch(
  client: RestClient,
  query: string,
  options: { path?: string; signal?: AbortSignal } = {},
): Promise<Watch> {
  const stream = await client.performRequest({
    method: "GET",
    path: options.path ?? PODS,
    querystring: new URLSearchParams(`watch=1&${query}`),
    expectStream: true,
    expectJson: true,
    ...(options.signal === undefined ? {} : { abortSignal: options.signal }),
  });
  const result: Watch = { seen: [], raw: [], ended: "no" };
  const read = async () => {
    for await (const event of stream) {
      result.raw.push(event);
      const name = at(event, "object", "metadata", "name") ?? "-";
      const version = at(event, "object", "metadata", "resourceVersion") ?? "-";
      result.seen.push(`${at(event, "type")} ${name} ${version}`);
    }
  };
  read().then(() => result.ended = "closed", () => result.ended = "failed");
  return result;
}

Deno.test("objects that come into and leave a selector are added and deleted", async () => {
  const { clock, client, call, cluster } = worldOf();
  const watcher = await watch(client, "labelSelector=a%3Db");
  await call("POST", PODS, pod("p", { a: "b" }));
  await call("PATCH", `${PODS}/p`, { metadata: { labels: { a: "c" } } });
  await call("PATCH", `${PODS}/p`, { metadata: { annotations: { x: "unseen" } } });
  await call("PATCH", `${PODS}/p`, { metadata: { labels: { a: "b" } } });
  await call("POST", PODS, pod("q", { a: "other" }));
  await call("DELETE", `${PODS}/p`);
  await clock.settle();
  const base = cluster.revision - 7;
  assert.deepEqual(watcher.seen, [
    `ADDED p ${base + 1}`,
    `DELETED p ${base + 2}`,
    `ADDED p ${base + 4}`,
    `MODIFIED p ${base + 6}`,
    `DELETED p ${base + 7}`,
  ]);
  // What leaves is shown as it was while it matched.
  assert.equal(at(watcher.raw[1], "object", "metadata", "labels", "a"), "b");
  cluster.stop();
});

Deno.test("bookmarks come each minute and two seconds before the end", async () => {
  const { clock, client, call, cluster } = worldOf();
  const watcher = await watch(client, "allowWatchBookmarks=true&timeoutSeconds=150");
  const start = cluster.revision;
  await clock.advance(59_999);
  assert.deepEqual(watcher.seen, [`BOOKMARK - ${start}`]);
  assert.deepEqual(at(watcher.raw[0], "object", "metadata", "annotations"), {
    "k8s.io/initial-events-end": "true",
  });
  await call("POST", "/api/v1/namespaces/t/configmaps", { metadata: { name: "c" } });
  await clock.advance(1);
  // Its revision goes on with other collections, too.
  assert.deepEqual(watcher.seen.slice(1), [`BOOKMARK - ${start + 1}`]);
  await clock.advance(60_000);
  assert.equal(watcher.seen.length, 3);
  await clock.advance(28_000);
  assert.equal(watcher.seen.length, 4);
  assert.equal(watcher.ended, "no");
  await clock.advance(2_000);
  assert.equal(watcher.ended, "closed");
  assert.equal(cluster.openWatches, 0);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("a watch from a revision gets what came after it; from a forgotten one, a 410 event", async () => {
  const { clock, client, call, cluster } = worldOf();
  await call("POST", PODS, pod("a"));
  const before = cluster.revision;
  await call("POST", PODS, pod("b"));
  const fresh = await watch(client, `resourceVersion=${before}`);
  await clock.settle();
  assert.deepEqual(fresh.seen, [`ADDED b ${before + 1}`]);
  cluster.compact();
  const stale = await watch(client, `resourceVersion=${before}`);
  await clock.settle();
  assert.equal(stale.ended, "closed");
  assert.deepEqual(stale.raw, [{
    type: "ERROR",
    object: {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: `too old resource version: ${before} (${before + 1})`,
      reason: "Expired",
      code: 410,
    },
  }]);
  assert.equal(fresh.ended, "no");
  cluster.stop();
});

Deno.test("a watch from the future waits for it", async () => {
  const { clock, client, call, cluster } = worldOf();
  const watcher = await watch(client, `resourceVersion=${cluster.revision + 1}`);
  await call("POST", PODS, pod("a"));
  await call("POST", PODS, pod("b"));
  await clock.settle();
  assert.deepEqual(watcher.seen, [`ADDED b ${cluster.revision}`]);
  cluster.stop();
});

Deno.test("sendInitialEvents sends the state, then the annotated bookmark, then changes", async () => {
  const { clock, client, call, cluster } = worldOf();
  await call("POST", PODS, pod("b"));
  await call("POST", PODS, pod("a"));
  const query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const watcher = await watch(client, query);
  const start = cluster.revision;
  await call("DELETE", `${PODS}/a`);
  await clock.settle();
  assert.deepEqual(watcher.seen.map((line) => line.replace(/ \d+$/, "")), [
    "ADDED a",
    "ADDED b",
    "BOOKMARK -",
    "MODIFIED a",
    "DELETED a",
  ]);
  assert.equal(watcher.seen[2], `BOOKMARK - ${start}`);
  cluster.stop();
});

Deno.test("aborting ends the watch with the signal's reason and leaves nothing behind", async () => {
  const { clock, client, call, cluster } = worldOf();
  const aborted = new AbortController();
  const watcher = await watch(client, "allowWatchBookmarks=true", { signal: aborted.signal });
  assert.equal(cluster.openWatches, 1);
  aborted.abort(new Error("enough"));
  await clock.settle();
  assert.equal(watcher.ended, "failed");
  assert.equal(cluster.openWatches, 0);
  assert.equal(clock.pendingTimers, 0);
  await call("POST", PODS, pod("late"));
  await clock.settle();
  assert.equal(watcher.seen.some((line) => line.includes("late")), false);
  await assert.rejects(watch(client, "", { signal: aborted.signal }), /enough/);
});

Deno.test("a disconnected watch ends without an event, an expired one with 410", async () => {
  const { clock, client, cluster } = worldOf();
  const first = await watch(client, "");
  cluster.disconnectWatches();
  const second = await watch(client, "");
  const other = await watch(client, "", { path: "/api/v1/configmaps" });
  cluster.expireWatches("v1", "Pod");
  await clock.settle();
  assert.deepEqual([first.ended, first.raw], ["closed", []]);
  assert.equal(second.ended, "closed");
  assert.equal(at(second.raw[0], "object", "code"), 410);
  assert.equal(other.ended, "no");
  cluster.stop();
});

Deno.test("a frozen replica reads and watches the past, writes to the present, and catches up", async () => {
  const { clock, call, cluster } = worldOf();
  await call("POST", PODS, pod("old"));
  const replica = cluster.replica();
  const stale = replica.client();
  const watcher = await watch(stale, "resourceVersion=0");
  await call("POST", PODS, pod("new"));
  await call("DELETE", `${PODS}/old`);
  const list = async () => {
    const answer = await stale.performRequest({ method: "GET", path: PODS, expectJson: true });
    const items = at(answer, "items");
    return Array.isArray(items) ? items.map((item) => at(item, "metadata", "name")) : [];
  };
  assert.deepEqual(await list(), ["old"]);
  await clock.settle();
  assert.deepEqual(watcher.seen.map((line) => line.split(" ", 2).join(" ")), ["ADDED old"]);
  const patch = stale.performRequest({
    method: "PATCH",
    path: `${PODS}/new`,
    contentType: "application/merge-patch+json",
    bodyJson: { metadata: { labels: { a: "b" } } },
    expectJson: true,
  });
  assert.equal(at(await patch, "metadata", "labels", "a"), "b");
  replica.thaw();
  await clock.settle();
  assert.deepEqual(await list(), ["new"]);
  assert.deepEqual(watcher.seen.slice(1).map((line) => line.split(" ", 2).join(" ")), [
    "ADDED new",
    "MODIFIED old",
    "DELETED old",
    "MODIFIED new",
  ]);
  cluster.stop();
});

Deno.test("a replica may go backwards: reads do, and no event comes twice", async () => {
  const { clock, call, cluster } = worldOf();
  await call("POST", PODS, pod("a"));
  const before = cluster.revision;
  await call("POST", PODS, pod("b"));
  const replica = cluster.replica();
  const watcher = await watch(replica.client(), "resourceVersion=0");
  replica.freeze(before);
  const past = await replica.client().performRequest({
    method: "GET",
    path: PODS,
    expectJson: true,
  });
  assert.equal(at(past, "metadata", "resourceVersion"), String(before));
  await assert.rejects(
    replica.client().performRequest({
      method: "GET",
      path: PODS,
      querystring: new URLSearchParams(`resourceVersion=${before + 1}`),
      expectJson: true,
    }),
    /Too large resource version/,
  );
  await call("POST", PODS, pod("c"));
  replica.freeze();
  await clock.settle();
  assert.deepEqual(watcher.seen.map((line) => line.split(" ")[1]), ["a", "b", "c"]);
  replica.disconnect();
  await clock.settle();
  assert.equal(watcher.ended, "closed");
  cluster.stop();
});
