/**
 * `src/ops` may not import the runtime; here the compiler proves that what it offers fits the
 * runtime's ports, and that its closed sets hold the runtime's.
 */
import assert from "node:assert/strict";
import { ERROR_TYPES, METRICS } from "../src/ops/metrics/definitions.ts";
import { watchReadyCheck, type WatchState } from "../src/ops/health.ts";
import { Metrics, type ObservableQueue } from "../src/ops/metrics/metrics.ts";
import type { RequestMetrics } from "../src/runtime/api_client.ts";
import type { ControllerMetrics } from "../src/runtime/controller.ts";
import type { Informer, WatchMetrics } from "../src/runtime/informer.ts";
import type { LeaderElectionMetrics } from "../src/runtime/leader_election.ts";
import type { StoredObject } from "../src/runtime/ports/codec.ts";
import type { ErrorType } from "../src/runtime/retry.ts";
import type { WorkQueue, WorkQueueMetrics } from "../src/runtime/work_queue.ts";

type Ports =
  & RequestMetrics
  & ControllerMetrics
  & WatchMetrics
  & LeaderElectionMetrics
  & WorkQueueMetrics;
const asQueue = (queue: WorkQueue): ObservableQueue => queue;
const asWatch = (informer: Informer<StoredObject>): WatchState => informer;
const asKnown = (type: ErrorType): (typeof ERROR_TYPES)[number] => type;

Deno.test("Metrics fits every metric port of the runtime", async () => {
  const metrics: Ports & Metrics = new Metrics({
    build: { version: "1", commit: "c", deno: "2" },
    startTimeSeconds: 1,
    processUsage: () => ({ cpuSeconds: 1, residentBytes: 1, heapBytes: 1 }),
    eventLoopLagMax: () => 0,
  });
  metrics.leading("lock", true);
  assert.match(await metrics.scrape(), /leader_election_master_status\{name="lock"\} 1/);
  assert.equal(asKnown("too_large"), "too_large");
  assert.ok(Object.keys(METRICS).length > 20);
  using _handle = metrics.observeQueue(
    asQueue({ name: "q", unfinished: () => ({ seconds: 1, longestSeconds: 1 }) } as WorkQueue),
  );
  const watch = { synced: true, lastProgress: 0, trouble: undefined } as Informer<StoredObject>;
  assert.equal(watchReadyCheck("pods", asWatch(watch)).check().ok, true);
});
