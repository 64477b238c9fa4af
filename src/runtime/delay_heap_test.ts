import assert from "node:assert/strict";
import { randomInt, seededRandom } from "../lib/random.ts";
import { DelayHeap } from "./delay_heap.ts";

function takeAll(heap: DelayHeap, now: number): string[] {
  const keys: string[] = [];
  for (let top = heap.takeDue(now); top; top = heap.takeDue(now)) keys.push(top.key);
  return keys;
}

Deno.test("a heap gives what is due, the earliest first, ties in order of insertion", () => {
  const heap = new DelayHeap();
  heap.add("late", 30, false);
  heap.add("tie-1", 20, false);
  heap.add("early", 10, false);
  heap.add("tie-2", 20, false);
  assert.equal(heap.takeDue(9), undefined);
  assert.deepEqual(takeAll(heap, 20), ["early", "tie-1", "tie-2"]);
  assert.equal(heap.peek()?.key, "late");
  assert.equal(heap.size, 1);
});

Deno.test("a key added again keeps the earlier due time and the higher priority", () => {
  const heap = new DelayHeap();
  heap.add("a", 20, true);
  heap.add("a", 30, false);
  assert.deepEqual({ due: heap.peek()?.due, bulk: heap.peek()?.bulk }, { due: 20, bulk: false });
  heap.add("b", 15, false);
  heap.add("a", 10, true);
  assert.deepEqual({ key: heap.peek()?.key, bulk: heap.peek()?.bulk }, { key: "a", bulk: false });
  assert.equal(heap.size, 2);
});

Deno.test("a heap of random content comes out sorted by earliest due time", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = seededRandom(seed);
    const heap = new DelayHeap();
    const earliest = new Map<string, number>();
    for (let i = 0; i < 300; i++) {
      const key = `k${randomInt(random, 0, 99)}`;
      const due = randomInt(random, 0, 1000);
      heap.add(key, due, false);
      earliest.set(key, Math.min(due, earliest.get(key) ?? Infinity));
    }
    assert.equal(heap.size, earliest.size, `seed ${seed}`);
    const dues = takeAll(heap, 1000).map((key) => earliest.get(key) as number);
    assert.deepEqual(dues, [...earliest.values()].sort((a, b) => a - b), `seed ${seed}`);
  }
});
