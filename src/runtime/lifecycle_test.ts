import assert from "node:assert/strict";
import { silentLogger } from "../lib/log.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { type Exit, runTasks, type Task } from "./lifecycle.ts";

/** Tasks that note when they start, are told to stop, and end. */
function setUp() {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const journal: string[] = [];
  const note = (what: string) => journal.push(`${clock.monotonic()} ${what}`);
  /** Ends `endMs` after it was told to; never when that is Infinity. */
  const task = (name: string, endMs = 0): Task => ({
    name,
    run(signal) {
      note(`${name} starts`);
      return new Promise((resolve) => {
        signal.addEventListener("abort", () => {
          note(`${name} told`);
          if (endMs === Infinity) return;
          clock.setTimer(endMs, () => {
            note(`${name} ended`);
            resolve();
          });
        });
      });
    },
  });
  let exit: Exit | undefined;
  const run = (stages: Task[][], limitMs?: number) => {
    const limit = limitMs === undefined ? {} : { limitMs };
    const options = { stages, signal: stop.signal, clock, log: silentLogger, ...limit };
    void runTasks(options).then((result) => exit = result);
  };
  return { clock, stop, journal, note, task, run, exit: () => exit };
}

Deno.test("stages start together and stop one after another, the last first", async () => {
  const { clock, stop, journal, task, run, exit } = setUp();
  run([[task("probes")], [task("watch", 100)], [task("work-1", 500), task("work-2", 200)]]);
  await clock.advance(1_000);
  assert.equal(exit(), undefined);
  const reason = new Error("SIGTERM");
  stop.abort(reason);
  await clock.advance(4_000);
  assert.deepEqual(journal, [
    "0 probes starts",
    "0 watch starts",
    "0 work-1 starts",
    "0 work-2 starts",
    "1000 work-1 told",
    "1000 work-2 told",
    "1200 work-2 ended",
    "1500 work-1 ended",
    "1500 watch told",
    "1600 watch ended",
    "1600 probes told",
    "1600 probes ended",
  ]);
  assert.deepEqual(exit(), { cause: { kind: "signal", reason }, unfinished: [] });
  assert.equal(clock.pendingTimers, 0);
});

Deno.test("a task that fails stops the others, and is the cause", async () => {
  const { clock, journal, task, run, exit } = setUp();
  const error = new Error("broken");
  const failing: Task = {
    name: "failing",
    run: () => new Promise((_, reject) => clock.setTimer(50, () => reject(error))),
  };
  run([[task("other")], [failing]]);
  await clock.advance(50);
  assert.deepEqual(exit(), { cause: { kind: "failed", task: "failing", error }, unfinished: [] });
  assert.deepEqual(journal, ["0 other starts", "50 other told", "50 other ended"]);
});

Deno.test("a task that throws at once counts as failed", async () => {
  const { clock, run, exit } = setUp();
  run([[{
    name: "failing",
    run() {
      throw new TypeError("bad");
    },
  }]]);
  await clock.settle();
  assert.equal(exit()?.cause.kind, "failed");
});

Deno.test("a task that returns unasked stops the process, unless it may end", async () => {
  const { clock, task, run, exit } = setUp();
  const brief = (name: string, ms: number): Task => ({
    name,
    run: () => new Promise((resolve) => clock.setTimer(ms, resolve)),
  });
  run([[task("other"), { ...brief("once", 10), mayEnd: true }, brief("early", 20)]]);
  await clock.advance(19);
  assert.equal(exit(), undefined);
  await clock.advance(1);
  assert.deepEqual(exit()?.cause, { kind: "ended", task: "early" });
});

Deno.test("time up: all are told to stop, those that still run are named and not waited for", async () => {
  const { clock, stop, journal, task, run, exit } = setUp();
  run([[task("probes")], [task("deaf", Infinity), task("good", 100)]], 2_000);
  await clock.settle();
  stop.abort();
  await clock.advance(1_999);
  assert.equal(exit(), undefined);
  await clock.advance(1);
  assert.deepEqual(exit()?.unfinished, ["probes", "deaf"]);
  assert.ok(journal.includes("2000 probes told"));
});

Deno.test("the default limit keeps the exit under five seconds", async () => {
  const { clock, stop, task, run, exit } = setUp();
  run([[task("deaf", Infinity)]]);
  await clock.settle();
  stop.abort();
  await clock.advance(4_999);
  assert.deepEqual(exit()?.unfinished, ["deaf"]);
});

Deno.test("a task that throws the reason of its stop has stopped as it should", async () => {
  const { clock, stop, run, exit } = setUp();
  run([[{
    name: "a",
    run: (signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  }]]);
  await clock.settle();
  stop.abort(new Error("SIGINT"));
  await clock.settle();
  assert.equal(exit()?.cause.kind, "signal");
  assert.deepEqual(exit()?.unfinished, []);
});

Deno.test("a signal that has already aborted stops at once", async () => {
  const { clock, stop, journal, task, run, exit } = setUp();
  stop.abort();
  run([[task("a")]]);
  await clock.advance(1);
  assert.equal(exit()?.cause.kind, "signal");
  assert.deepEqual(exit()?.unfinished, []);
  assert.ok(!journal.includes("0 a starts"), "nothing starts only to be stopped");
});
