import assert from "node:assert/strict";
import { type Random, randomInt, seededRandom } from "../lib/random.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { WorkQueue, type WorkQueueMetrics } from "./work_queue.ts";

function setUp() {
  const clock = new VirtualClock();
  return { clock, queue: new WorkQueue({ clock }) };
}

/** The keys that can be taken at this moment, in order. */
async function takeAll(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  while (queue.depth > 0) keys.push(await queue.get() as string);
  return keys;
}

Deno.test("keys are handed out in order, each once however often it was added", async () => {
  const { queue } = setUp();
  for (const key of ["b", "a", "b", "c", "a"]) queue.add(key);
  assert.equal(queue.depth, 3);
  assert.deepEqual(await takeAll(queue), ["b", "a", "c"]);
});

Deno.test("a key added while it is worked on is handed out again after done, not before", async () => {
  const { queue } = setUp();
  queue.add("a");
  assert.equal(await queue.get(), "a");
  queue.add("a");
  queue.add("a");
  assert.equal(queue.depth, 0);
  queue.done("a");
  assert.deepEqual(await takeAll(queue), ["a"]);
  queue.done("a");
  assert.equal(queue.depth, 0);
});

Deno.test("live keys come before bulk ones; the higher priority of two wins", async () => {
  const { queue } = setUp();
  for (const key of ["b1", "b2", "b3"]) queue.add(key, { bulk: true });
  queue.add("live");
  queue.add("b3");
  queue.add("live", { bulk: true });
  assert.deepEqual(await takeAll(queue), ["live", "b3", "b1", "b2"]);
});

Deno.test("a waiting get receives the next key; an aborted one takes none", async () => {
  const { queue } = setUp();
  const stop = new AbortController();
  const aborted = queue.get(stop.signal);
  const waiting = queue.get();
  stop.abort();
  queue.add("a");
  assert.equal(await aborted, undefined);
  assert.equal(await waiting, "a");
  assert.equal(await queue.get(stop.signal), undefined);
});

Deno.test("addAfter keeps the earliest time and fires once", async () => {
  const { clock, queue } = setUp();
  queue.addAfter("a", 100);
  queue.addAfter("a", 50);
  queue.addAfter("a", 200);
  await clock.advance(49);
  assert.equal(queue.depth, 0);
  await clock.advance(1);
  assert.deepEqual(await takeAll(queue), ["a"]);
  queue.done("a");
  await clock.advance(1_000);
  assert.equal(queue.depth, 0);
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("an add does not cancel a delay", async () => {
  const { clock, queue } = setUp();
  queue.addAfter("a", 100);
  queue.add("a");
  assert.deepEqual(await takeAll(queue), ["a"]);
  queue.done("a");
  await clock.advance(100);
  assert.deepEqual(await takeAll(queue), ["a"]);
});

Deno.test("a delay that ends while its key is worked on waits for done", async () => {
  const { clock, queue } = setUp();
  queue.add("a");
  await queue.get();
  queue.addAfter("a", 10);
  await clock.advance(10);
  assert.equal(queue.depth, 0);
  queue.done("a");
  assert.deepEqual(await takeAll(queue), ["a"]);
});

Deno.test("a delay longer than a platform timer still ends in time", async () => {
  const { clock, queue } = setUp();
  const ms = 2 ** 31 + 5;
  queue.addAfter("a", ms);
  await clock.advance(ms - 1);
  assert.equal(queue.depth, 0);
  await clock.advance(1);
  assert.equal(queue.depth, 1);
});

Deno.test("a worker's own re-add keeps the priority its key was handed out with", async () => {
  const { clock, queue } = setUp();
  queue.add("bulk", { bulk: true });
  await queue.get();
  queue.addRateLimited("bulk");
  queue.done("bulk");
  await clock.advance(5);
  queue.add("live");
  assert.deepEqual(await takeAll(queue), ["live", "bulk"]);
});

Deno.test("failures double the delay up to the limit, per key, until forgotten", () => {
  const queue = new WorkQueue({ clock: new VirtualClock(), retryMaxMs: 60 });
  const delays = Array.from({ length: 6 }, () => queue.addRateLimited("a"));
  assert.deepEqual(delays, [5, 10, 20, 40, 60, 60]);
  assert.equal(queue.addRateLimited("b"), 5);
  assert.equal(queue.failures("a"), 6);
  queue.forget("a");
  assert.equal(queue.addRateLimited("a"), 5);
  assert.equal(queue.addRateLimited("a", { minMs: 700 }), 700);
  assert.equal(queue.addRateLimited("a", { maxMs: 1 }), 1);
});

Deno.test("a shut-down queue hands out what waits, drops delays, accepts nothing", async () => {
  const { clock, queue } = setUp();
  queue.add("a");
  queue.addAfter("later", 10);
  queue.shutDown();
  queue.add("b");
  queue.addAfter("c", 1);
  assert.equal(clock.pendingTimers, 0);
  assert.equal(await queue.get(), "a");
  assert.equal(await queue.get(), undefined);
});

Deno.test("shutting down ends waiting gets", async () => {
  const { queue } = setUp();
  const waiting = [queue.get(), queue.get()];
  queue.shutDown();
  assert.deepEqual(await Promise.all(waiting), [undefined, undefined]);
});

Deno.test("drain waits for the keys being worked on, and for their re-adds", async () => {
  const { clock, queue } = setUp();
  let drained = false;
  queue.add("a");
  await queue.get();
  queue.add("a");
  void queue.drain().then(() => drained = true);
  queue.done("a");
  assert.equal(await queue.get(), "a");
  await clock.settle();
  assert.equal(drained, false);
  queue.done("a");
  await clock.settle();
  assert.equal(drained, true);
});

Deno.test("done for a key that is not worked on is a bug, and says so", () => {
  const { queue } = setUp();
  assert.throws(() => queue.done("a"), { name: "InvariantError" });
});

Deno.test("metrics tell depth, waiting and working time, retries and unfinished work", async () => {
  const seen: unknown[][] = [];
  const metrics: WorkQueueMetrics = {
    added: (...args) => seen.push(["added", ...args]),
    depth: (...args) => seen.push(["depth", ...args]),
    waited: (...args) => seen.push(["waited", ...args]),
    worked: (...args) => seen.push(["worked", ...args]),
    retried: (...args) => seen.push(["retried", ...args]),
  };
  const clock = new VirtualClock();
  const queue = new WorkQueue({ clock, name: "q", metrics });
  queue.add("a");
  queue.add("a");
  await clock.advance(2_000);
  await queue.get();
  await clock.advance(3_000);
  assert.deepEqual(queue.unfinished(), { seconds: 3, longestSeconds: 3 });
  queue.countFailure("a");
  queue.done("a");
  assert.deepEqual(seen, [
    ["added", "q"],
    ["depth", "q", 1],
    ["depth", "q", 0],
    ["waited", "q", 2],
    ["retried", "q"],
    ["worked", "q", 3],
  ]);
  assert.deepEqual(queue.unfinished(), { seconds: 0, longestSeconds: 0 });
});

Deno.test("a hundred thousand keys pass through, also when a tenth is moved to the front", async () => {
  const { clock, queue } = setUp();
  const total = 100_000;
  for (let i = 0; i < total; i++) queue.add(`k${i}`, { bulk: true });
  for (let i = 0; i < total; i += 10) queue.add(`k${i}`);
  for (let i = 0; i < total; i++) queue.addAfter(`d${i}`, 1 + i % 1000);
  const first = await queue.get();
  assert.equal(first, "k0");
  await clock.advance(1_000);
  const keys = await takeAll(queue);
  assert.equal(keys.length, 2 * total - 1);
  assert.equal(new Set(keys).size, keys.length);
});

/** What the fuzz knows of one key. */
interface Expected {
  /** Time from which it is owed a hand-out; undefined when it is not. */
  owedSince: number | undefined;
  owedBulk: boolean;
  delay: { due: number; bulk: boolean } | undefined;
  working: boolean;
}

/**
 * Invariants:
 * 1. a key is never handed out while it is worked on;
 * 2. a key is handed out only when it was added, or a delay of it ended, since its last hand-out;
 * 3. no bulk key is handed out while a live key could be;
 * 4. depth is the number of keys that could be handed out;
 * 5. every add, and every delay, is followed by a hand-out: nothing is lost;
 * 6. in the end nothing waits, nothing is worked on, and the queue is drained.
 */
Deno.test("fuzz: exclusive, stingy, by priority, and nothing is lost", async () => {
  for (let seed = 1; seed <= 150; seed++) {
    try {
      await fuzz(seededRandom(seed));
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});

class FuzzModel {
  readonly clock = new VirtualClock();
  readonly queue = new WorkQueue({ clock: this.clock });
  readonly keys = new Map<string, Expected>();
  readonly held: string[] = [];

  of(key: string): Expected {
    let state = this.keys.get(key);
    if (!state) {
      state = { owedSince: undefined, owedBulk: true, delay: undefined, working: false };
      this.keys.set(key, state);
    }
    return state;
  }

  owe(state: Expected, bulk: boolean): void {
    state.owedBulk = (state.owedSince === undefined || state.owedBulk) && bulk;
    state.owedSince ??= this.clock.monotonic();
  }

  ready(): Expected[] {
    return [...this.keys.values()].filter((s) => s.owedSince !== undefined && !s.working);
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
    for (const state of this.keys.values()) {
      if (!state.delay || state.delay.due > this.clock.monotonic()) continue;
      this.owe(state, state.delay.bulk);
      state.delay = undefined;
    }
  }

  async take(): Promise<void> {
    const ready = this.ready();
    assert.equal(this.queue.depth, ready.length, "depth");
    if (ready.length === 0) return;
    const key = await this.queue.get() as string;
    const state = this.of(key);
    assert.ok(!state.working, `${key} handed out twice at once`);
    assert.notEqual(state.owedSince, undefined, `${key} handed out unasked`);
    if (state.owedBulk) assert.ok(ready.every((other) => other.owedBulk), "bulk before live");
    state.owedSince = undefined;
    state.working = true;
    this.held.push(key);
  }

  finish(index: number): void {
    const [key] = this.held.splice(index, 1);
    if (key === undefined) return;
    this.of(key).working = false;
    this.queue.done(key);
  }
}

async function fuzz(random: Random): Promise<void> {
  const model = new FuzzModel();
  for (let step = 0; step < 300; step++) {
    const key = `k${randomInt(random, 0, 7)}`;
    const bulk = random.next() < 0.5;
    switch (randomInt(random, 0, 5)) {
      case 0:
        model.queue.add(key, { bulk });
        model.owe(model.of(key), bulk);
        break;
      case 1: {
        const due = model.clock.monotonic() + randomInt(random, 1, 50);
        model.queue.addAfter(key, due - model.clock.monotonic(), { bulk });
        const known = model.of(key).delay;
        model.of(key).delay = {
          due: Math.min(due, known?.due ?? Infinity),
          bulk: (known?.bulk ?? true) && bulk,
        };
        break;
      }
      case 2:
        await model.advance(randomInt(random, 0, 20));
        break;
      case 3:
        if (model.held.length > 0) model.finish(randomInt(random, 0, model.held.length - 1));
        break;
      default:
        await model.take();
    }
  }
  await model.advance(50);
  while (model.held.length > 0) model.finish(0);
  const drained = model.queue.drain();
  while (model.ready().length > 0) {
    await model.take();
    model.finish(0);
  }
  await drained;
  assert.equal(model.queue.depth + model.queue.working + model.queue.delayed, 0);
  assert.ok([...model.keys.values()].every((state) => state.owedSince === undefined));
}
