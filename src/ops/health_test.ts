import assert from "node:assert/strict";
import { seededRandom } from "../lib/random.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { EventLoopMonitor, TICK_MS } from "./event_loop.ts";
import {
  eventLoopCheck,
  leaseReadyCheck,
  WATCH_SILENCE_MAX_MS,
  watchProgressCheck,
  watchReadyCheck,
} from "./health.ts";
import { processIdentity } from "./identity.ts";
import { processStartSeconds, processUsage } from "./process_usage.ts";
import { versionInfo } from "./version.ts";

Deno.test("a watch is healthy while it makes progress, and in trouble at once when not following", async () => {
  const clock = new VirtualClock();
  const watch = { synced: false, lastProgress: 0, trouble: undefined as Error | undefined };
  const alive = watchProgressCheck("pods", watch, clock);
  const ready = watchReadyCheck("pods", watch);
  assert.deepEqual(ready.check(), { ok: false, detail: "not yet synced" });
  watch.synced = true;
  assert.equal(ready.check().ok, true);
  watch.trouble = new Error("Cannot list pods", { cause: new Error("connection refused") });
  assert.deepEqual(ready.check(), { ok: false, detail: "Cannot list pods: connection refused" });
  await clock.advance(WATCH_SILENCE_MAX_MS - 1);
  assert.equal(alive.check().ok, true);
  await clock.advance(1);
  assert.deepEqual(alive.check(), { ok: false, detail: "last progress 300 s ago" });
  watch.lastProgress = clock.monotonic();
  assert.equal(alive.check().ok, true);
});

Deno.test("a lease out of reach for its limit makes it unready, and says why", async () => {
  const clock = new VirtualClock();
  const lease = { answeredAt: clock.monotonic(), trouble: undefined as Error | undefined };
  const ready = leaseReadyCheck(lease, clock, 10_000);
  await clock.advance(9_999);
  assert.deepEqual(ready.check(), { ok: true, detail: "last answer 10 s ago" });
  await clock.advance(1);
  assert.deepEqual(ready.check(), { ok: false, detail: "last answer 10 s ago: no answer yet" });
  lease.trouble = new Error("Unauthorized");
  assert.deepEqual(ready.check(), { ok: false, detail: "last answer 10 s ago: Unauthorized" });
  lease.answeredAt = clock.monotonic();
  assert.equal(ready.check().ok, true);
});

/** A clock whose event loop can be held up: time passes and no timer fires. */
class HeldClock extends VirtualClock {
  heldMs = 0;
  override monotonic(): number {
    return super.monotonic() + this.heldMs;
  }
}

Deno.test("the event loop's hold-up is measured, remembered for a minute, then forgotten", async () => {
  const clock = new HeldClock();
  using monitor = new EventLoopMonitor(clock);
  const check = eventLoopCheck(monitor);
  await clock.advance(10 * TICK_MS);
  assert.equal(monitor.lagMaxSeconds(), 0);
  clock.heldMs += 31_000;
  assert.equal(check.check().ok, false);
  await clock.advance(TICK_MS);
  assert.equal(monitor.lagMaxSeconds(), 31);
  assert.equal(check.check().ok, false);
  await clock.advance(71_000);
  assert.equal(monitor.lagMaxSeconds(), 0);
  assert.equal(check.check().ok, true);
});

Deno.test("the event loop monitor leaves no timer behind", () => {
  const clock = new VirtualClock();
  const monitor = new EventLoopMonitor(clock);
  assert.equal(clock.pendingTimers, 1);
  monitor[Symbol.dispose]();
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("identities carry the node and are unique outside of Pods", () => {
  const random = seededRandom(1);
  const pod = { podName: "c-7d9", podNamespace: "sys", nodeName: "n1", hostName: "c-7d9" };
  assert.equal(processIdentity(pod, random), "sys/c-7d9_n1");
  assert.equal(processIdentity({ ...pod, podNamespace: "" }, random), "c-7d9_n1");
  const host = { podName: "", podNamespace: "", nodeName: "", hostName: "box" };
  const first = processIdentity(host, random);
  assert.match(first, /^box_box_[0-9a-z]{8}$/);
  assert.notEqual(processIdentity(host, random), first);
});

Deno.test("versionInfo() takes the build's stamp, else deno.json and unknown", () => {
  const plain = versionInfo(undefined);
  assert.match(plain.version, /^\d+\.\d+\.\d+/);
  assert.equal(plain.commit, "unknown");
  assert.equal(plain.deno, Deno.version.deno);
  const stamped = versionInfo({ version: "9.9.9", commit: "abc", target: "t" });
  assert.deepEqual([stamped.version, stamped.commit, stamped.target], ["9.9.9", "abc", "t"]);
  assert.equal(versionInfo({ commit: "" }).commit, "unknown");
});

Deno.test("processUsage() reads this process", () => {
  const before = processUsage();
  assert.ok(before.residentBytes > before.heapBytes && before.heapBytes > 1e6);
  assert.ok(before.cpuSeconds > 0 && before.cpuSeconds < 3_600);
  const start = processStartSeconds();
  assert.ok(start > 1.7e9 && start <= Date.now() / 1000);
});
