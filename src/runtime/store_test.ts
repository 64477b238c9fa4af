import assert from "node:assert/strict";
import type { Logger } from "../lib/log.ts";
import { silentLogger } from "../lib/log.ts";
import type { StoredObject } from "./ports/codec.ts";
import { type Change, Store, TOMBSTONES_MAX } from "./store.ts";

interface Thing extends StoredObject {
  readonly owner: string;
}

function thing(name: string, version: number, more: Partial<Thing> = {}): Thing {
  return {
    namespace: "ns",
    name,
    uid: `${name}-1`,
    resourceVersion: String(version),
    owner: "o",
    ...more,
  };
}

function world(log: Logger = silentLogger) {
  const store = new Store<Thing>({ indexes: { owner: (thing) => [thing.owner] }, log });
  const changes: Change<Thing>[] = [];
  store.subscribe((change) => changes.push(change));
  const seen = () =>
    changes.splice(0).map(({ key, before, after, cause, initial }) =>
      `${cause}${initial ? "!" : ""} ${key} ${before?.resourceVersion ?? "-"}>${
        after?.resourceVersion ?? "-"
      }`
    );
  return { store, changes, seen };
}

Deno.test("the first list adds its objects as initial changes, later ones only what differs", () => {
  const { store, seen } = world();
  store.replace([thing("a", 1), thing("b", 2)], { resourceVersion: "5", initial: true });
  assert.deepEqual(seen(), ["list! ns/a ->1", "list! ns/b ->2"]);
  store.replace([thing("b", 2), thing("c", 7)], { resourceVersion: "9", initial: false });
  assert.deepEqual(seen(), ["list ns/c ->7", "list ns/a 1>-"]);
  assert.equal(store.size, 2);
});

Deno.test("an older or repeated event changes nothing and tells nobody", () => {
  const { store, seen } = world();
  store.upsert(thing("a", 10), "watch");
  store.upsert(thing("a", 9), "watch");
  store.upsert(thing("a", 10, { owner: "else" }), "watch");
  assert.deepEqual(seen(), ["watch ns/a ->10"]);
  assert.equal(store.get("ns/a")?.owner, "o");
});

Deno.test("an own write is visible at once and older watch events do not undo it", () => {
  const { store, seen } = world();
  store.upsert(thing("a", 10), "watch");
  store.observeWrite(thing("a", 20, { owner: "mine" }));
  store.upsert(thing("a", 15, { owner: "theirs" }), "watch");
  store.remove("ns/a", { uid: "a-1", resourceVersion: "18" }, "watch");
  assert.equal(store.get("ns/a")?.owner, "mine");
  assert.deepEqual(seen(), ["watch ns/a ->10", "own-write ns/a 10>20"]);
});

Deno.test("a list older than an own write keeps the written object", () => {
  const { store } = world();
  store.observeWrite(thing("new", 12));
  store.observeWrite(thing("changed", 13, { owner: "mine" }));
  store.replace([thing("changed", 3)], { resourceVersion: "11", initial: true });
  assert.equal(store.get("ns/new")?.resourceVersion, "12");
  assert.equal(store.get("ns/changed")?.owner, "mine");
});

Deno.test("a list as new as an own write, without the object, removes it", () => {
  const { store, seen } = world();
  store.observeWrite(thing("a", 12));
  store.replace([], { resourceVersion: "12", initial: false });
  assert.equal(store.get("ns/a"), undefined);
  assert.deepEqual(seen(), ["own-write ns/a ->12", "list ns/a 12>-"]);
});

Deno.test("the answer to a write that the watch has already passed does not bring the object back", () => {
  const { store } = world();
  store.replace([], { resourceVersion: "10", initial: true });
  store.upsert(thing("a", 11), "watch");
  store.remove("ns/a", { uid: "a-1", resourceVersion: "12" }, "watch");
  store.observeProgress("12");
  store.observeWrite(thing("a", 11));
  assert.equal(store.get("ns/a"), undefined);
});

Deno.test("an object whose labels were stripped leaves with DELETED and returns with our repair", () => {
  const { store, seen } = world();
  store.replace([thing("a", 5)], { resourceVersion: "5", initial: true });
  store.remove("ns/a", { uid: "a-1", resourceVersion: "6" }, "watch");
  store.observeProgress("6");
  store.observeWrite(thing("a", 7));
  store.upsert(thing("a", 7), "watch");
  assert.deepEqual(seen(), ["list! ns/a ->5", "watch ns/a 5>-", "own-write ns/a ->7"]);
});

Deno.test("a DELETED for stripped labels that comes after our repair is too late to remove it", () => {
  const { store } = world();
  store.replace([thing("a", 5)], { resourceVersion: "5", initial: true });
  store.observeWrite(thing("a", 7));
  store.remove("ns/a", { uid: "a-1", resourceVersion: "6" }, "watch");
  assert.equal(store.get("ns/a")?.resourceVersion, "7");
});

Deno.test("an own delete is visible at once; late events and lists do not bring the object back", () => {
  const { store, seen } = world();
  store.replace([thing("a", 5)], { resourceVersion: "9", initial: true });
  store.observeDelete("ns/a", "a-1", "5");
  assert.equal(store.get("ns/a"), undefined);
  store.upsert(thing("a", 5), "watch");
  store.replace([thing("a", 5)], { resourceVersion: "9", initial: false });
  assert.deepEqual(seen(), ["list! ns/a ->5", "own-write ns/a 5>-"]);
  assert.equal(store.tombstones, 1);
});

Deno.test("a tombstone goes with the DELETED event, with a list that lacks the object, with a successor", () => {
  const { store } = world();
  const begin = () => {
    store.upsert(thing("a", 5), "own-write");
    store.observeDelete("ns/a", "a-1", "5");
    assert.equal(store.tombstones, 1);
  };
  begin();
  store.remove("ns/a", { uid: "a-1", resourceVersion: "6" }, "watch");
  assert.equal(store.tombstones, 0);
  begin();
  store.observeWrite(thing("a", 8, { uid: "a-2" }));
  assert.equal(store.tombstones, 0);
  store.remove("ns/a", { uid: "a-2", resourceVersion: "9" }, "watch");
  begin();
  store.replace([], { resourceVersion: "4", initial: false });
  assert.equal(store.tombstones, 1, "that list is from before the delete");
  store.replace([], { resourceVersion: "10", initial: false });
  assert.equal(store.tombstones, 0);
});

Deno.test("a delete whose DELETED event came first leaves no tombstone", () => {
  const { store } = world();
  store.replace([thing("a", 5)], { resourceVersion: "5", initial: true });
  store.remove("ns/a", { uid: "a-1", resourceVersion: "6" }, "watch");
  store.observeProgress("6");
  store.observeDelete("ns/a", "a-1", "5");
  assert.equal(store.tombstones, 0);
});

Deno.test("an object that finalizers hold after our delete is shown again", () => {
  const { store } = world();
  store.upsert(thing("a", 5), "watch");
  store.observeDelete("ns/a", "a-1");
  store.upsert(thing("a", 6, { owner: "terminating" }), "watch");
  assert.equal(store.get("ns/a")?.owner, "terminating");
  assert.equal(store.tombstones, 0);
});

Deno.test("an own delete of an earlier incarnation does not touch its successor", () => {
  const { store, seen } = world();
  store.upsert(thing("a", 8, { uid: "a-2" }), "watch");
  store.observeDelete("ns/a", "a-1", "5");
  assert.equal(store.get("ns/a")?.uid, "a-2");
  store.remove("ns/a", { uid: "a-1", resourceVersion: "6" }, "watch");
  store.remove("ns/a", { uid: "a-1" }, "watch");
  assert.equal(store.get("ns/a")?.uid, "a-2");
  assert.deepEqual(seen(), ["watch ns/a ->8"]);
});

Deno.test("tombstones are bounded: the oldest is forgotten", () => {
  const { store } = world();
  for (let i = 0; i <= TOMBSTONES_MAX; i++) store.observeDelete(`ns/t${i}`, `t${i}-1`, "5");
  assert.equal(store.tombstones, TOMBSTONES_MAX);
  store.upsert(thing("t0", 4), "watch");
  store.upsert(thing("t1", 4), "watch");
  assert.deepEqual([...store.values()].map(({ name }) => name), ["t0"]);
});

Deno.test("an object replaced under its name is one change with both uids", () => {
  const { store, changes } = world();
  store.upsert(thing("a", 5), "watch");
  store.upsert(thing("a", 9, { uid: "a-2" }), "watch");
  assert.deepEqual(
    changes.map(({ before, after }) => [before?.uid, after?.uid]),
    [[undefined, "a-1"], ["a-1", "a-2"]],
  );
});

Deno.test("resource versions are compared as numbers, not as text", () => {
  const { store } = world();
  store.upsert(thing("a", 9), "watch");
  store.upsert(thing("a", 10), "watch");
  assert.equal(store.get("ns/a")?.resourceVersion, "10");
});

Deno.test("scopes are replaced one by one", () => {
  const { store } = world();
  const other = thing("b", 3, { namespace: "other" });
  store.replace([thing("a", 1)], { scope: "ns", resourceVersion: "5", initial: true });
  store.replace([other], { scope: "other", resourceVersion: "6", initial: true });
  store.replace([], { scope: "ns", resourceVersion: "7", initial: false });
  assert.deepEqual([...store.values()], [other]);
});

Deno.test("progress of one scope says nothing of another", () => {
  const { store } = world();
  store.replace([], { scope: "ns", resourceVersion: "50", initial: true });
  store.replace([], { scope: "other", resourceVersion: "5", initial: true });
  store.observeWrite(thing("b", 9, { namespace: "other" }));
  store.observeWrite(thing("a", 9));
  assert.deepEqual([...store.values()].map(({ name }) => name), ["b"]);
});

Deno.test("a list from before what the watch has passed brings nothing back", () => {
  const { store } = world();
  store.replace([thing("a", 1)], { resourceVersion: "5", initial: true });
  store.remove("ns/a", { uid: "a-1", resourceVersion: "8" }, "watch");
  store.observeProgress("8");
  store.replace([thing("a", 1)], { resourceVersion: "5", initial: false });
  assert.equal(store.size, 0);
});

Deno.test("a reset takes an older history over a newer one", () => {
  const { store } = world();
  store.replace([thing("a", 100), thing("b", 101)], { resourceVersion: "110", initial: true });
  store.observeDelete("ns/b", "b-1");
  store.replace([thing("a", 20), thing("b", 21)], {
    resourceVersion: "30",
    initial: false,
    reset: true,
  });
  assert.deepEqual([...store.values()].map((t) => t.resourceVersion), ["20", "21"]);
  store.upsert(thing("c", 31), "watch");
  assert.equal(store.get("ns/c")?.resourceVersion, "31");
});

Deno.test("indexes follow objects as they come, change and go", () => {
  const { store } = world();
  const owners = (owner: string) => store.byIndex("owner", owner).map(({ name }) => name).sort();
  store.upsert(thing("a", 1), "watch");
  store.upsert(thing("b", 2), "watch");
  store.upsert(thing("c", 3), "watch");
  assert.deepEqual(owners("o"), ["a", "b", "c"]);
  store.upsert(thing("b", 4, { owner: "p" }), "watch");
  store.remove("ns/c", { resourceVersion: "5" }, "watch");
  assert.deepEqual([owners("o"), owners("p"), owners("q")], [["a"], ["b"], []]);
  assert.deepEqual(["o", "p", "q"].map((o) => store.countByIndex("owner", o)), [1, 1, 0]);
});

Deno.test("asking for an index that does not exist is an error, not an empty answer", () => {
  assert.throws(() => world().store.byIndex("nope", "x"), /no index nope/);
});

Deno.test("subscribers of a list see all of it, index included, at the first change", () => {
  const { store } = world();
  const counts: number[] = [];
  store.subscribe(() => counts.push(store.size, store.countByIndex("owner", "o")));
  store.replace([thing("a", 1), thing("b", 2)], { resourceVersion: "5", initial: true });
  assert.deepEqual(counts, [2, 2, 2, 2]);
});

Deno.test("a subscriber that throws is logged and the others still hear", () => {
  const lines: unknown[] = [];
  const log = { ...silentLogger, error: (_: string, fields: unknown) => lines.push(fields) };
  const store = new Store<Thing>({ log });
  const heard: string[] = [];
  const err = new Error("mine");
  store.subscribe(() => {
    throw err;
  });
  store.subscribe(({ key }) => heard.push(key));
  store.upsert(thing("a", 1), "watch");
  store.upsert(thing("b", 2), "watch");
  assert.deepEqual(heard, ["ns/a", "ns/b"]);
  assert.deepEqual(lines, [{ key: "ns/a", err }, { key: "ns/b", err }]);
});

Deno.test("changes that a subscriber causes are heard by all in the order they happened", () => {
  const store = new Store<Thing>();
  const heard: string[] = [];
  store.subscribe(({ key, after }) => {
    if (key === "ns/a" && after?.resourceVersion === "1") store.observeWrite(thing("a", 2));
  });
  store.subscribe(({ after }) => heard.push(String(after?.resourceVersion)));
  store.upsert(thing("a", 1), "watch");
  assert.deepEqual(heard, ["1", "2"]);
});

Deno.test("resync tells each object of the scope again, unchanged", () => {
  const { store, seen } = world();
  store.replace([thing("a", 1)], { scope: "ns", resourceVersion: "5", initial: true });
  store.replace([thing("b", 2, { namespace: "other" })], {
    scope: "other",
    resourceVersion: "5",
    initial: true,
  });
  seen();
  store.resync("other");
  assert.deepEqual(seen(), ["resync other/b 2>2"]);
});
