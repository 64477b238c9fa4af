import assert from "node:assert/strict";
import { silentLogger } from "../lib/log.ts";
import { seededRandom } from "../lib/random.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { leaderElectionProblems, LeaderElector } from "./leader_election.ts";
import type { RestClient } from "./ports/rest.ts";

Deno.test("the settings' problems are told all at once", () => {
  const of = (leaseDurationMs: number, renewDeadlineMs: number, retryPeriodMs: number) =>
    leaderElectionProblems({ leaseDurationMs, renewDeadlineMs, retryPeriodMs, identity: "x" })
      .map((problem) => problem.option);
  assert.deepEqual(of(15_000, 10_000, 2_000), []);
  assert.deepEqual(of(8_000, 5_000, 1_000), []);
  assert.deepEqual(of(10_000, 10_000, 2_000), ["leaseDurationMs"]);
  assert.deepEqual(of(15_000, 2_400, 2_000), ["renewDeadlineMs"]);
  assert.deepEqual(of(1_000, 1_200, 1_000), ["leaseDurationMs", "renewDeadlineMs"]);
  assert.deepEqual(of(0, -1, NaN), ["leaseDurationMs", "renewDeadlineMs", "retryPeriodMs"]);
  const elector = () =>
    new LeaderElector({
      rest: { performRequest: () => assert.fail("no request") } as unknown as RestClient,
      namespace: "ns",
      name: "lease",
      identity: "",
      leaseDurationMs: 8_000,
      renewDeadlineMs: 5_000,
      retryPeriodMs: 0,
      clock: new VirtualClock(),
      random: seededRandom(1),
      log: silentLogger,
    });
  assert.throws(
    elector,
    /retryPeriodMs must be .*; identity must not be empty/,
  );
});
