import { deepEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { Ledger, type PairState } from "./ledger.ts";

const STATES: readonly PairState[] = ["pending", "in-place", "waiting", "conflict", "failed"];

function open(ledger: Ledger, generation: number, pods: string[]): boolean {
  return ledger.begin("ns/config", { uid: "u", generation, at: 5, matching: pods });
}

Deno.test("a generation opens once, with every matching Pod pending", () => {
  const ledger = new Ledger();
  equal(open(ledger, 1, ["ns/a", "ns/b"]), true);
  equal(open(ledger, 1, []), false);
  equal(ledger.tally("ns/config")?.pending, 2);
  equal(ledger.tally("ns/config")?.since, 5);
  equal(ledger.isOpen("ns/config", "u", 1), true);
  equal(ledger.isOpen("ns/config", "other uid", 1), false);
});

Deno.test("a record of an older generation or of another uid does not count", () => {
  const ledger = new Ledger();
  open(ledger, 2, ["ns/a"]);
  const pair = { podKey: "ns/a", state: "in-place" as const };
  equal(ledger.record("ns/config", { uid: "u", generation: 1, ...pair }), false);
  equal(ledger.record("ns/config", { uid: "v", generation: 2, ...pair }), false);
  equal(ledger.tally("ns/config")?.inPlace, 0);
  equal(ledger.record("ns/config", { uid: "u", generation: 2, ...pair }), true);
  equal(ledger.tally("ns/config")?.inPlace, 1);
});

Deno.test("the example of a trouble is the first Pod by name, and leaves with the trouble", () => {
  const ledger = new Ledger();
  open(ledger, 1, []);
  const base = { uid: "u", generation: 1, state: "conflict" as const };
  ledger.record("ns/config", { ...base, podKey: "ns/b", reason: "b is foreign" });
  ledger.record("ns/config", { ...base, podKey: "ns/a", reason: "a is foreign" });
  equal(ledger.tally("ns/config")?.conflictExample, "a is foreign");
  ledger.forgetPod("ns/config", "ns/a");
  equal(ledger.tally("ns/config")?.conflictExample, "b is foreign");
  ledger.record("ns/config", { uid: "u", generation: 1, podKey: "ns/b", state: "in-place" });
  equal(ledger.tally("ns/config")?.conflictExample, undefined);
});

Deno.test("counts equal a full recount after any sequence of records", () => {
  const step = fc.record({
    pod: fc.integer({ min: 0, max: 6 }),
    state: fc.constantFrom(...STATES, undefined),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ledger = new Ledger();
      const model = new Map<string, PairState>();
      open(ledger, 1, []);
      for (const { pod, state } of steps) {
        const podKey = `ns/p${pod}`;
        ledger.record("ns/config", { uid: "u", generation: 1, podKey, state });
        if (state === undefined) model.delete(podKey);
        else model.set(podKey, state);
      }
      const count = (state: PairState) => [...model.values()].filter((s) => s === state).length;
      const tally = ledger.tally("ns/config");
      deepEqual(
        [tally?.matched, tally?.pending, tally?.inPlace, tally?.waiting, tally?.conflicts],
        [model.size, count("pending"), count("in-place"), count("waiting"), count("conflict")],
      );
      equal(tally?.failed, count("failed"));
    }),
    { seed: 1 },
  );
});
