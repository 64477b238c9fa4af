/** Watches: where they start, what they tell, how they end. */
import assert from "node:assert/strict";
import { type Behaviour, type Json, MERGE, refused, type World } from "../world.ts";

/** Keeps the namespace's own ConfigMap out of the way. */
const OURS = { labelSelector: "suite=watches" };

function make(t: World, name: string, labels: Record<string, string> = {}): Promise<Json> {
  return t.create(t.configMaps(), { metadata: { name, labels: { suite: "watches", ...labels } } });
}

function versions(events: readonly Json[]): bigint[] {
  return events.map(({ object }) => BigInt(object.metadata.resourceVersion));
}

export const watches: readonly Behaviour[] = [
  {
    name: "a watch without a version tells what is there, then what happens",
    async run(t) {
      await make(t, "a");
      await using watch = await t.watch(t.configMaps(), OURS);
      await watch.see(1);
      await make(t, "b");
      await t.patch(t.configMaps("a"), MERGE, { data: { k: "v" } });
      await t.delete(t.configMaps("b"));
      assert.deepEqual(await watch.see(4), ["ADDED a", "ADDED b", "MODIFIED a", "DELETED b"]);
      const [, added, modified, deleted] = versions(watch.events);
      assert.ok(added !== undefined && modified !== undefined && deleted !== undefined);
      // A deletion has a version of its own, later than the object's last one.
      assert.ok(added < modified && modified < deleted);
      assert.equal(watch.events[2].object.data.k, "v");
      assert.equal(watch.events[2].object.kind, "ConfigMap");
      assert.equal(watch.events[2].object.apiVersion, "v1");
    },
  },
  {
    name: "a watch from version 0 starts with what is there",
    async run(t) {
      await make(t, "a");
      await using watch = await t.watch(t.configMaps(), { ...OURS, resourceVersion: "0" });
      assert.deepEqual(await watch.see(1), ["ADDED a"]);
    },
  },
  {
    name: "a watch from a list's version tells all that came after it and nothing before",
    async run(t) {
      await make(t, "a");
      const { metadata: { resourceVersion } } = await t.get(t.configMaps());
      await make(t, "b");
      await t.patch(t.configMaps("a"), MERGE, { data: { k: "v" } });
      await using watch = await t.watch(t.configMaps(), { ...OURS, resourceVersion });
      assert.deepEqual(await watch.see(2), ["ADDED b", "MODIFIED a"]);
    },
  },
  {
    name: "objects that come to match a selector are ADDED, that cease to are DELETED",
    async run(t) {
      await make(t, "a", { color: "red" });
      const selector = { labelSelector: "suite=watches,color=red" };
      await using watch = await t.watch(t.configMaps(), selector);
      await watch.see(1);
      const label = (color: string | null) =>
        t.patch(t.configMaps("a"), MERGE, { metadata: { labels: { color } } });
      const green = await label("green");
      await t.patch(t.configMaps("a"), MERGE, { data: { unseen: "1" } });
      const red = await label("red");
      await label(null);
      assert.deepEqual(await watch.see(4), ["ADDED a", "DELETED a", "ADDED a", "DELETED a"]);
      // The object as it last matched, at the version at which it ceased to.
      const left = watch.events[1].object;
      assert.equal(left.metadata.labels.color, "red");
      assert.equal(left.metadata.resourceVersion, green.metadata.resourceVersion);
      assert.equal(
        watch.events[2].object.metadata.resourceVersion,
        red.metadata.resourceVersion,
      );
    },
  },
  {
    name: "field selectors work on watches, transitions included",
    async run(t) {
      const spec = { nodeName: "n", containers: [{ name: "c", image: "i" }] };
      await t.create(t.pods(), { metadata: { name: "p" }, spec });
      await t.create(t.pods(), { metadata: { name: "q" }, spec: { ...spec, nodeName: "m" } });
      await using watch = await t.watch(t.pods(), {
        fieldSelector: "spec.nodeName=n,status.phase=Pending",
      });
      await watch.see(1);
      await t.patch(`${t.pods("p")}/status`, MERGE, { status: { phase: "Running" } });
      assert.deepEqual(await watch.see(2), ["ADDED p", "DELETED p"]);
      await using one = await t.watch(t.pods(), { fieldSelector: "metadata.name=q" });
      assert.deepEqual(await one.see(1), ["ADDED q"]);
    },
  },
  {
    name: "timeoutSeconds ends a watch, with a bookmark before it when they are allowed",
    async run(t) {
      const { metadata: { resourceVersion } } = await t.get(t.configMaps());
      const query = { ...OURS, timeoutSeconds: "4", resourceVersion };
      await using plain = await t.watch(t.configMaps(), query);
      await using marked = await t.watch(t.configMaps(), { ...query, allowWatchBookmarks: "true" });
      await make(t, "a");
      await plain.end();
      await marked.end();
      assert.deepEqual(plain.summary(), ["ADDED a"]);
      const bookmark = marked.events.at(-1);
      assert.equal(bookmark.type, "BOOKMARK");
      assert.equal(bookmark.object.kind, "ConfigMap");
      assert.equal(bookmark.object.apiVersion, "v1");
      assert.ok(
        BigInt(bookmark.object.metadata.resourceVersion) >=
          BigInt(plain.events[0].object.metadata.resourceVersion),
      );
      assert.equal(bookmark.object.metadata.annotations, undefined);
    },
  },
  {
    name: "sendInitialEvents gives the state, a bookmark that ends it, then what happens",
    async run(t) {
      await make(t, "a");
      const made = await make(t, "b");
      await using watch = await t.watch(t.configMaps(), {
        ...OURS,
        sendInitialEvents: "true",
        resourceVersionMatch: "NotOlderThan",
        allowWatchBookmarks: "true",
      });
      const seen = await watch.see(3);
      assert.deepEqual(seen.slice(0, 2).sort(), ["ADDED a", "ADDED b"]);
      const end = watch.events[2];
      assert.equal(end.type, "BOOKMARK");
      assert.deepEqual(end.object.metadata.annotations, { "k8s.io/initial-events-end": "true" });
      assert.ok(
        BigInt(end.object.metadata.resourceVersion) >= BigInt(made.metadata.resourceVersion),
      );
      await make(t, "c");
      assert.equal((await watch.see(4))[3], "ADDED c");
    },
  },
  {
    name: "sendInitialEvents needs its companions",
    async run(t) {
      const base = { watch: "1", sendInitialEvents: "true" };
      const match =
        "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
      await refused(t.get(t.configMaps(), { ...base, allowWatchBookmarks: "true" }), {
        code: 422,
        reason: "Invalid",
        message: new RegExp(match),
      });
      await refused(
        t.get(t.configMaps(), {
          sendInitialEvents: "true",
          resourceVersionMatch: "NotOlderThan",
        }),
        { code: 422, reason: "Invalid", message: /sendInitialEvents is forbidden for list/ },
      );
    },
  },
  {
    name: "a watch from a forgotten version is told 410 in its first event or answer",
    async run(t) {
      const made = await make(t, "a");
      await make(t, "b");
      await t.patch(t.configMaps("a"), MERGE, { data: { k: "v" } });
      await t.forgetHistory();
      const { resourceVersion } = made.metadata;
      const watch = await t.watch(t.configMaps(), { ...OURS, resourceVersion }).catch((error) => {
        assert.equal(error.status, 410);
        assert.equal(error.reason, "Expired");
      });
      if (watch === undefined) return;
      await watch.see(1);
      const [{ type, object }] = watch.events;
      assert.equal(type, "ERROR");
      assert.equal(object.kind, "Status");
      assert.equal(object.code, 410);
      assert.equal(object.reason, "Expired");
      assert.match(object.message, /^too old resource version: /);
      await watch.end();
      await watch[Symbol.asyncDispose]();
    },
  },
  {
    name: "a get at version 0 is answered with some version of the object",
    async run(t) {
      await make(t, "a");
      const object = await t.eventually("the cache has it", () => {
        return t.get(t.configMaps("a"), { resourceVersion: "0" }).catch((error) => {
          if (error.status !== 404) throw error;
        });
      });
      assert.equal(object.metadata.name, "a");
    },
  },
  {
    name: "the version of a watch must be a number",
    async run(t) {
      await refused(t.get(t.configMaps(), { watch: "1", resourceVersion: "x" }), {
        code: 500,
        reason: "",
        message: /resourceVersion: Invalid value: "x"/,
      });
    },
  },
  {
    name: "watch events come as tables when that is asked for",
    async run(t) {
      await make(t, "a");
      const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
      await using watch = await t.watch(t.configMaps(), OURS, accept);
      await watch.see(1);
      await make(t, "b");
      await t.eventually("two events came", () => watch.events.length >= 2);
      const [first, second] = watch.events.map(({ object }) => object);
      assert.equal(first.kind, "Table");
      assert.equal(first.columnDefinitions[0].name, "Name");
      assert.equal(first.rows[0].cells[0], "a");
      // Only the first event carries the columns.
      assert.equal(second.columnDefinitions, null);
      assert.equal(second.rows[0].cells[0], "b");
      assert.equal(second.rows[0].object.kind, "PartialObjectMetadata");
    },
  },
  {
    name: "watches over all namespaces see this one's events",
    async run(t) {
      const { metadata: { resourceVersion } } = await t.get("/api/v1/configmaps", { limit: "1" });
      await using watch = await t.watch("/api/v1/configmaps", {
        fieldSelector: `metadata.namespace=${t.namespace}`,
        ...OURS,
        resourceVersion,
      });
      await make(t, "a");
      assert.deepEqual(await watch.see(1), ["ADDED a"]);
      assert.equal(watch.events[0].object.metadata.namespace, t.namespace);
    },
  },
];
