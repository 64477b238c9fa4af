/** The simulation tier: many seeds, all faults, and that equal seeds give equal runs. */
import assert from "node:assert/strict";
import { run } from "./simulation.ts";

const SEEDS = Number(Deno.env.get("SIM_SEEDS") ?? (Deno.env.get("CI") === "true" ? 1_000 : 200));

Deno.test("equal seeds write the same things at the same times", async () => {
  for (const seed of [1, 2, 3]) {
    const [one, other] = [await run({ seed }), await run({ seed })];
    assert.equal(one.hash, other.hash, `seed ${seed}`);
    assert.ok(one.writes > 0);
  }
  assert.notEqual((await run({ seed: 1 })).hash, (await run({ seed: 2 })).hash);
});

Deno.test(`invariants hold for ${SEEDS} seeds`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { violations, excerpt } = await run({ seed });
    assert.deepEqual(violations, [], excerpt.join("\n"));
  }
});
