import assert from "node:assert/strict";
import { systemClock } from "./clock.ts";

Deno.test("long timers share a platform timer, fire in time and not once disposed", async () => {
  const fired: string[] = [];
  const done = Promise.withResolvers<void>();
  const startedAt = systemClock.monotonic();
  systemClock.setTimer(1_000, () => fired.push("first"));
  const dropped = systemClock.setTimer(1_000, () => fired.push("dropped"));
  systemClock.setTimer(1_001, () => done.resolve());
  dropped[Symbol.dispose]();
  dropped[Symbol.dispose]();
  await done.promise;
  assert.deepEqual(fired, ["first"]);
  assert.equal(systemClock.monotonic() - startedAt >= 1_001, true);
});

Deno.test({
  name: "a long timer that was disposed leaves nothing on the event loop",
  sanitizeOps: true,
  sanitizeResources: true,
  fn() {
    const timers = [1_000, 1_000, 60_000].map((ms) => systemClock.setTimer(ms, () => {}));
    for (const timer of timers) timer[Symbol.dispose]();
  },
});
