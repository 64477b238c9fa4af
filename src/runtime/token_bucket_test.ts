import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { TokenBucket } from "./token_bucket.ts";

Deno.test("a bucket allows its burst, then one per refill time, and never saves up more", async () => {
  const clock = new VirtualClock();
  const bucket = new TokenBucket({ clock, burst: 2, refillMs: 100 });
  const take = (times: number) => Array.from({ length: times }, () => bucket.tryTake());
  assert.deepEqual(take(3), [true, true, false]);
  await clock.advance(99);
  assert.deepEqual(take(1), [false]);
  await clock.advance(1);
  assert.deepEqual(take(2), [true, false]);
  await clock.advance(10_000);
  assert.deepEqual(take(3), [true, true, false]);
});

Deno.test("a bucket counts what it refused", () => {
  const bucket = new TokenBucket({ clock: new VirtualClock(), burst: 1, refillMs: 100 });
  for (let i = 0; i < 4; i++) bucket.tryTake();
  assert.equal(bucket.takeRefused(), 3);
  assert.equal(bucket.takeRefused(), 0);
});
