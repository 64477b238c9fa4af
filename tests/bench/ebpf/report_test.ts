import assert from "node:assert/strict";
import { FIREWALL_IN, FIREWALL_REMOVED, NFT_IN } from "./network.ts";
import { markdown, type Results, summary } from "./report.ts";
import { BASELINE, type Row } from "./rounds.ts";
import { COUNTER, SYSCOUNT } from "./syscalls.ts";

const ROUNDS = 8;
const METRIC = "TCP round trip";

/** The same in each round, or a little around it. */
const row = (variant: string, metric: string, value: number, spread = 0): Row => ({
  variant,
  values: {
    [metric]: Array.from({ length: ROUNDS }, (_, round) => value + spread * (round % 2 ? 1 : -1)),
  },
});

const results = (rows: Partial<Results>): Results => ({
  date: "2000-01-02",
  commit: "abc",
  machine: { cpus: 2, kernel: "6.18" },
  peers: {},
  rounds: ROUNDS,
  ...rows,
});

function network(ours: number, theirs: number): string {
  return markdown(results({
    network: [
      row(BASELINE, METRIC, 1_000),
      row(`${BASELINE}, again`, METRIC, 1_000, 10),
      row(FIREWALL_IN, METRIC, 1_000 + ours),
      row(NFT_IN, METRIC, 1_000 + theirs),
    ],
  }));
}

Deno.test("a bound holds up to its ratio, and is missed beyond", () => {
  assert.match(
    network(60, 100),
    /\| TCP round trip: firewall, ingress \|.* 0\.60 \| 0\.6: holds \|/,
  );
  assert.match(network(61, 100), / 0\.61 \| 0\.6: \*\*missed\*\* \|/);
});

Deno.test("what was not installed is said once, and no bound is said to hold", () => {
  const text = markdown(results({
    syscalls: [
      row(BASELINE, "monitored", 100),
      row(COUNTER, "monitored", 200),
      { variant: SYSCOUNT, missing: "not installed (how)", values: {} },
    ],
  }));
  assert.match(text, /\| monitored: counter \| syscount \| not installed \(how\) \| 1 \|/);
  assert.match(text, /\| syscount \| not installed \(how\) \|/);
  assert.doesNotMatch(text, /holds/);
});

Deno.test("nothing is measurable while it stays within the noise", () => {
  const removed = (added: number) =>
    markdown(results({
      network: [
        row(BASELINE, METRIC, 1_000),
        row(`${BASELINE}, again`, METRIC, 1_000, 10),
        row(FIREWALL_REMOVED, METRIC, 1_000 + added),
      ],
    }));
  assert.match(removed(9), /nothing measurable: holds/);
  assert.match(removed(11), /nothing: \*\*missed\*\*/);
});

Deno.test("the summary has medians and intervals, on a line each", () => {
  const text = summary(results({ network: [row(BASELINE, METRIC, 5), row(NFT_IN, METRIC, 7.26)] }));
  assert.match(text, /"TCP round trip": \[5, 5, 5\]/);
  assert.match(text, /"TCP round trip": \[2.3, 2.3, 2.3\]/);
  assert.deepEqual(JSON.parse(text).rounds, ROUNDS);
});
