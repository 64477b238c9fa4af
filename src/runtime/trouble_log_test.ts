import assert from "node:assert/strict";
import type { LogFields, Logger } from "../lib/log.ts";
import { silentLogger } from "../lib/log.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { TroubleLog } from "./trouble_log.ts";

function world() {
  const lines: string[] = [];
  const line = (level: string) => (message: string, fields?: LogFields) => {
    lines.push([level, message, ...Object.entries(fields ?? {}).map((f) => f.join("="))].join(" "));
  };
  const log: Logger = { ...silentLogger, info: line("info"), warning: line("warning") };
  const clock = new VirtualClock();
  const troubles = new TroubleLog(log, clock, { trouble: "Cannot work", recovery: "Works again" });
  return { troubles, clock, seen: () => lines.splice(0) };
}

Deno.test("a trouble is logged at once, then once a minute with the repeats in between", async () => {
  const { troubles, clock, seen } = world();
  for (let second = 0; second <= 120; second++) {
    troubles.trouble("down", { n: second });
    await clock.advance(1_000);
  }
  assert.deepEqual(seen(), [
    "warning Cannot work reason=down n=0",
    "warning Cannot work reason=down n=60 repeats=59",
    "warning Cannot work reason=down n=120 repeats=59",
  ]);
});

Deno.test("another kind of trouble is logged at once", () => {
  const { troubles, seen } = world();
  for (const kind of ["down", "down", "forbidden", "forbidden"]) troubles.trouble(kind, {});
  assert.deepEqual(seen(), [
    "warning Cannot work reason=down",
    "warning Cannot work reason=forbidden",
  ]);
});

Deno.test("a recovery is logged once, with how long it took, and only after a logged trouble", async () => {
  const { troubles, clock, seen } = world();
  troubles.recovered();
  troubles.trouble("down", {});
  await clock.advance(7_400);
  troubles.recovered();
  troubles.recovered();
  assert.deepEqual(seen(), ["warning Cannot work reason=down", "info Works again afterSeconds=7"]);
});

Deno.test("coming and going many times in a minute is two lines", () => {
  const { troubles, seen } = world();
  for (let i = 0; i < 50; i++) {
    troubles.trouble("short", {});
    troubles.recovered();
  }
  assert.equal(seen().length, 2);
});

Deno.test("an expected trouble is information, not a warning", () => {
  const { troubles, seen } = world();
  troubles.trouble("expired", {}, true);
  assert.deepEqual(seen(), ["info Cannot work reason=expired"]);
});
