import assert from "node:assert/strict";
import type { KubeObject } from "./objects.ts";
import { lowerBound, Store, type StoreEvent } from "./store.ts";

function object(name: string, value = ""): KubeObject {
  return { apiVersion: "v1", kind: "Thing", metadata: { name, uid: name }, value };
}

function storeWith(historyWindow = 100): { store: Store; events: StoreEvent[] } {
  const events: StoreEvent[] = [];
  const store = new Store({ historyWindow, onCommit: (_storage, event) => events.push(event) });
  return { store, events };
}

Deno.test("each commit takes the next revision, whatever the collection", () => {
  const { store, events } = storeWith();
  const first = store.put("a", "x", object("x"));
  const second = store.put("b", "x", object("x"));
  const gone = store.remove("a", "x");
  const revisions = [first, second, gone].map((item) => Number(item.metadata.resourceVersion));
  assert.deepEqual(revisions, [2, 3, 4]);
  assert.equal(store.revision, 4);
  assert.deepEqual(events.map(({ type, revision }) => `${type} ${revision}`), [
    "ADDED 2",
    "ADDED 3",
    "DELETED 4",
  ]);
});

Deno.test("stored objects are frozen to the bottom, and what was handed in stays as it was", () => {
  const { store } = storeWith();
  const given = object("x");
  const stored = store.put("a", "x", given);
  assert.equal(given.metadata.resourceVersion, undefined);
  assert.ok(Object.isFrozen(stored) && Object.isFrozen(stored.metadata));
});

Deno.test("keys stay sorted as objects come and go", () => {
  const { store } = storeWith();
  for (const key of ["b/1", "a/2", "a-b/1", "a/1"]) store.put("t", key, object(key));
  store.remove("t", "a/2");
  assert.deepEqual(store.collection("t").keys, ["a-b/1", "a/1", "b/1"]);
  assert.equal(lowerBound(store.collection("t").keys, "a/"), 1);
});

Deno.test("any state within the history can be read: creations, changes and deletions undone", () => {
  const { store } = storeWith();
  const states: Record<number, string[]> = {};
  const note = () => {
    const { objects, keys } = store.collection("t");
    states[store.revision] = keys.map((key) => `${key}=${objects.get(key)?.["value"]}`);
  };
  store.put("t", "a", object("a", "1"));
  note();
  store.put("t", "b", object("b", "1"));
  note();
  store.put("t", "a", object("a", "2"));
  note();
  store.remove("t", "a");
  note();
  store.put("other", "z", object("z"));
  note();
  store.put("t", "a", object("a", "3"));
  note();
  for (const [revision, expected] of Object.entries(states)) {
    const snapshot = store.collection("t").at(Number(revision));
    const seen = snapshot?.keys.map((key) => `${key}=${snapshot.objects.get(key)?.["value"]}`);
    assert.deepEqual(seen, expected, `at ${revision}`);
  }
});

Deno.test("history is bounded: at least the window stays, older reads and watches are refused", () => {
  const { store } = storeWith(10);
  for (let index = 0; index < 100; index++) store.put("t", "a", object("a", String(index)));
  const collection = store.collection("t");
  assert.equal(collection.after(store.revision - 10)?.length, 10);
  assert.equal(collection.after(1), undefined);
  assert.equal(collection.at(1), undefined);
  assert.ok(collection.floor >= store.revision - 20 && collection.floor <= store.revision - 10);
  assert.equal(collection.after(collection.floor - 1), undefined);
  assert.equal(
    collection.at(collection.floor)?.objects.get("a")?.["value"],
    String(collection.floor - 2),
  );
});

Deno.test("compaction forgets history of all collections, also of those made later", () => {
  const { store } = storeWith();
  store.put("t", "a", object("a", "1"));
  store.put("t", "a", object("a", "2"));
  const middle = store.revision;
  store.put("t", "a", object("a", "3"));
  store.compact(middle);
  assert.equal(store.collection("t").at(middle)?.objects.get("a")?.["value"], "2");
  assert.equal(store.collection("t").at(middle - 1), undefined);
  assert.equal(store.collection("new").after(middle - 1), undefined);
  assert.deepEqual(store.collection("new").after(middle), []);
});

Deno.test("an event is encoded once for all watchers that see it alike", () => {
  const { store, events } = storeWith();
  store.put("t", "a", object("a"));
  const represent = { name: "v1", of: (item: KubeObject) => item };
  const event = events[0] as StoreEvent;
  assert.equal(event.line("ADDED", represent), event.line("ADDED", represent));
  assert.notEqual(event.line("ADDED", represent), event.line("MODIFIED", represent));
  const text = new TextDecoder().decode(event.line("ADDED", represent));
  assert.deepEqual(JSON.parse(text), { type: "ADDED", object: event.object });
  assert.ok(text.endsWith("}\n"));
});
