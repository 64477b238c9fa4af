/**
 * The store against a model of a server: random histories, in which watch events, lists and the
 * answers to our own writes arrive in any order that a real connection allows.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { silentLogger } from "../lib/log.ts";
import type { StoredObject } from "./ports/codec.ts";
import { Store } from "./store.ts";

interface Thing extends StoredObject {
  readonly owner: string;
}

type Happening =
  | { readonly type: "put"; readonly object: Thing }
  | { readonly type: "gone"; readonly key: string; readonly uid: string; readonly version: number };

const NAMES = ["a", "b", "c"];
const OWNERS = ["x", "y"];
const keyOf = (name: string) => `ns/${name}`;

class World {
  readonly store = new Store<Thing>({
    indexes: { owner: (thing) => [thing.owner] },
    log: { ...silentLogger, error: (_message, fields) => fail(fields?.err as Error) },
  });
  /** What subscribers make of the changes they hear. */
  readonly told = new Map<string, Thing>();
  readonly #server = new Map<string, Thing>();
  readonly #history: Happening[] = [];
  readonly #answers: (() => void)[] = [];
  readonly #written: Thing[] = [];
  readonly #deletedUids = new Set<string>();
  #version = 10;
  #uid = 0;
  /** How much of the history the watch has delivered; a list under way stops it. */
  #delivered = 0;
  #listing: { objects: Thing[]; at: number; version: number } | undefined;
  #listed = false;

  constructor() {
    this.store.subscribe(({ key, before, after }) => {
      assert.equal(this.told.get(key), before, "each change starts where the last one ended");
      if (after) this.told.set(key, after);
      else this.told.delete(key);
      if (before && after) {
        assert.ok(Number(after.resourceVersion) > Number(before.resourceVersion));
      }
      if (after) assert.ok(!this.#deletedUids.has(after.uid), `${after.uid} rose from the dead`);
    });
  }

  /** Someone (`own`: we) creates or changes an object. */
  put(name: string, owner: string, own: boolean): void {
    const uid = this.#server.get(keyOf(name))?.uid ?? `u${++this.#uid}`;
    const resourceVersion = String(++this.#version);
    const object = { namespace: "ns", name, uid, resourceVersion, owner };
    this.#server.set(keyOf(name), object);
    this.#history.push({ type: "put", object });
    if (own) this.#answers.push(() => this.#answerPut(object));
  }

  gone(name: string, own: boolean): void {
    const key = keyOf(name);
    const object = this.#server.get(key);
    if (!object) return;
    this.#server.delete(key);
    this.#history.push({ type: "gone", key, uid: object.uid, version: ++this.#version });
    if (own) this.#answers.push(() => this.#answerGone(key, object));
  }

  answer(which: number): void {
    const [answer] = this.#answers.splice(which % Math.max(1, this.#answers.length), 1);
    answer?.();
  }

  /** The watch delivers up to `count` events; before the first list there is no watch. */
  deliver(count: number): void {
    if (this.#listing || !this.#listed) return;
    for (; count > 0 && this.#delivered < this.#history.length; count--, this.#delivered++) {
      const event = this.#history[this.#delivered] as Happening;
      if (event.type === "put") {
        this.store.upsert(event.object, "watch");
        this.store.observeProgress(event.object.resourceVersion);
      } else {
        const resourceVersion = String(event.version);
        this.store.remove(event.key, { uid: event.uid, resourceVersion }, "watch");
        this.store.observeProgress(resourceVersion);
      }
    }
  }

  /** The server makes up a list; it arrives later. */
  list(): void {
    this.#listing ??= {
      objects: [...this.#server.values()],
      at: this.#history.length,
      version: this.#version,
    };
  }

  listArrives(): void {
    if (!this.#listing) return;
    const { objects, at, version } = this.#listing;
    this.store.replace(objects, { resourceVersion: String(version), initial: !this.#listed });
    this.#listed = true;
    this.#delivered = at;
    this.#listing = undefined;
  }

  check(): void {
    for (const object of this.#written) {
      const now = this.store.get(keyOf(object.name));
      if (now) assert.ok(Number(now.resourceVersion) >= Number(object.resourceVersion));
      else assert.ok(this.#endedAfter(object), "an own write is visible unless it is gone");
    }
    assert.deepEqual([...this.told].sort(), [...this.store.values()].map(entry).sort());
    for (const owner of OWNERS) {
      const expected = [...this.store.values()].filter((thing) => thing.owner === owner);
      assert.deepEqual(
        this.store.byIndex("owner", owner).map(entry).sort(),
        expected.map(entry).sort(),
      );
      assert.equal(this.store.countByIndex("owner", owner), expected.length);
    }
  }

  /** Everything under way arrives. */
  settle(): void {
    this.listArrives();
    while (this.#answers.length > 0) this.answer(0);
    if (!this.#listed) {
      this.list();
      this.listArrives();
    }
    this.deliver(Infinity);
    assert.deepEqual([...this.store.values()].map(entry).sort(), [...this.#server].sort());
  }

  #answerPut(object: Thing): void {
    this.store.observeWrite(object);
    this.#written.push(object);
  }

  #answerGone(key: string, object: Thing): void {
    this.store.observeDelete(key, object.uid, object.resourceVersion);
    this.#deletedUids.add(object.uid);
    assert.notEqual(this.store.get(key)?.uid, object.uid);
  }

  #endedAfter(object: Thing): boolean {
    return this.#history.some((event) =>
      event.type === "gone" && event.uid === object.uid &&
      event.version > Number(object.resourceVersion)
    );
  }
}

function fail(error: Error): never {
  throw error;
}

function entry(thing: Thing): [string, Thing] {
  return [keyOf(thing.name), thing];
}

const name = fc.constantFrom(...NAMES);
const step: fc.Arbitrary<(world: World) => void> = fc.oneof(
  fc.tuple(name, fc.constantFrom(...OWNERS), fc.boolean())
    .map(([name, owner, own]) => (world: World) => world.put(name, owner, own)),
  fc.tuple(name, fc.boolean()).map(([name, own]) => (world: World) => world.gone(name, own)),
  fc.nat(9).map((which) => (world: World) => world.answer(which)),
  fc.nat(4).map((count) => (world: World) => world.deliver(count)),
  fc.constant((world: World) => world.list()),
  fc.constant((world: World) => world.listArrives()),
);

Deno.test("whatever the order of arrival, nobody sees time go back and the end is the server's", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const world = new World();
      for (const step of steps) {
        step(world);
        world.check();
      }
      world.settle();
      world.check();
    }),
    { numRuns: 2000 },
  );
});
