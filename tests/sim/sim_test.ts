/** The simulation tier: many seeds, all faults, and that equal seeds give equal runs. */
import assert from "node:assert/strict";
import { FAULTS, noCounts } from "./faults.ts";
import { MENDED_SEEDS } from "./seeds.ts";
import { run, type RunResult } from "./simulation.ts";

const SEEDS = Number(Deno.env.get("SIM_SEEDS") ?? (Deno.env.get("CI") === "true" ? 1_000 : 200));
/** With fewer, a fault may miss its chance. */
const SEEDS_FOR_ALL_FAULTS = 200;
/** More of them tell nothing new. */
const FAILURES_MAX = 3;

Deno.test("equal seeds write the same things at the same times", async () => {
  for (const seed of [1, 2, 3]) {
    const [one, other] = [await run({ seed }), await run({ seed })];
    assert.equal(one.hash, other.hash, `seed ${seed}`);
    assert.ok(one.writes > 0);
  }
  assert.notEqual((await run({ seed: 1 })).hash, (await run({ seed: 2 })).hash);
});

Deno.test(`invariants hold for ${SEEDS} seeds, and every fault fires`, async () => {
  const seeds = Array.from({ length: SEEDS }, (_, index) => index + 1);
  const counts = noCounts();
  const failures: RunResult[] = [];
  for (const seed of new Set([...MENDED_SEEDS, ...seeds])) {
    const result = await run({ seed });
    for (const fault of FAULTS) counts[fault] += result.counts[fault];
    if (result.violations.length > 0) failures.push(result);
    if (failures.length >= FAILURES_MAX) break;
  }
  assert.equal(failures.map(describe).join("\n"), "");
  for (const fault of FAULTS) say(`report: ${String(counts[fault]).padStart(7)} ${fault}`);
  const silent = FAULTS.filter((fault) => counts[fault] === 0);
  if (SEEDS >= SEEDS_FOR_ALL_FAULTS) assert.deepEqual(silent, [], "faults that never fired");
});

function describe({ seed, violations, excerpt }: RunResult): string {
  return [
    `seed ${seed} (deno run -A tests/sim/main.ts --seed=${seed} --trace):`,
    ...violations.map(({ invariant, detail, atMs }) => `  at ${atMs} ms: ${invariant}: ${detail}`),
    ...excerpt,
  ].join("\n");
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
