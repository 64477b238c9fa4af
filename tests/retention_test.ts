/**
 * What is over must hold on to nothing: garbage that refers to garbage outlives it, once the
 * collector has taken the one for old, and so on without end under load.
 */
import assert from "node:assert/strict";
import { output } from "./support/processes.ts";

const CLOCK = new URL("../src/lib/clock.ts", import.meta.url).href;

Deno.test("a long timer that was disposed holds on to nothing, whoever holds on to it", async () => {
  const code = `
    import { systemClock } from ${JSON.stringify(CLOCK)};
    const another = systemClock.setTimer(5_000, () => {});
    function timerOf(what) {
      return systemClock.setTimer(5_000, () => what.called = true);
    }
    function weakly() {
      const what = {};
      return { seen: new WeakRef(what), timer: timerOf(what) };
    }
    const { seen, timer } = weakly();
    const later = () => new Promise((resolve) => setTimeout(resolve, 0));
    await later();
    gc();
    const before = seen.deref() !== undefined;
    timer[Symbol.dispose]();
    await later();
    gc();
    console.log(before, seen.deref() === undefined, typeof timer[Symbol.dispose]);
    another[Symbol.dispose]();
  `;
  const args = ["eval", "--no-check", "--v8-flags=--expose-gc", "--ext=ts", code];
  assert.equal((await output(Deno.execPath(), args)).trim(), "true true function");
});
