import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { Pace } from "./pace.ts";

Deno.test("each key has its burst, then one every interval", async () => {
  const clock = new VirtualClock();
  const pace = new Pace({ clock, burst: 3, intervalMs: 1_000 });
  const take = (key: string, times: number) => Array.from({ length: times }, () => pace.take(key));
  assert.deepEqual(take("a", 5), [0, 0, 0, 1_000, 1_000]);
  assert.deepEqual(take("b", 1), [0], "another key has its own");
  await clock.advance(999);
  assert.deepEqual(take("a", 1), [1]);
  await clock.advance(1);
  assert.deepEqual(take("a", 2), [0, 1_000]);
  await clock.advance(60_000);
  assert.deepEqual(take("a", 4), [0, 0, 0, 1_000], "a rest gives the burst back, no more");
});

Deno.test("only keys in use are remembered", async () => {
  const clock = new VirtualClock();
  const pace = new Pace({ clock, burst: 2, intervalMs: 1_000 });
  for (let i = 0; i < 100; i++) pace.take(`key ${i}`);
  assert.equal(pace.size, 100);
  await clock.advance(2_500);
  pace.take("one");
  assert.equal(pace.size, 1);
});
