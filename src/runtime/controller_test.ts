import assert from "node:assert/strict";
import type { LogFields, Logger } from "../lib/log.ts";
import { randomInt, seededRandom } from "../lib/random.ts";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { Controller, type ControllerOptions, type Outcome } from "./controller.ts";
import { LeadershipLostError } from "./leadership.ts";
import { KubeApiError, KubeConnectionError } from "./ports/errors.ts";
import { ReconcileTimeoutError } from "./retry.ts";
import { WorkQueue } from "./work_queue.ts";

const DONE: Outcome = { kind: "done" };
const failed = (error: unknown): Outcome => ({ kind: "retry", error });

interface Line {
  level: string;
  message: string;
  fields: LogFields;
}

function recordingLog(lines: Line[]): Logger {
  const at = (level: string) => (message: string, fields: LogFields = {}) => {
    lines.push({ level, message, fields });
  };
  const log: Logger = {
    debug: at("debug"),
    info: at("info"),
    warning: at("warning"),
    error: at("error"),
    with: () => log,
  };
  return log;
}

function setUp(
  reconcile: ControllerOptions["reconcile"],
  options: Partial<ControllerOptions> = {},
) {
  const clock = new VirtualClock();
  const queue = new WorkQueue({ clock });
  const lines: Line[] = [];
  const results: string[] = [];
  const slow: string[] = [];
  const controller = new Controller({
    name: "test",
    queue,
    reconcile,
    workers: 1,
    inflight: 4,
    maxRetries: 3,
    slowRetryMs: 30_000,
    timeoutMs: 60_000,
    clock,
    random: seededRandom(1),
    log: recordingLog(lines),
    metrics: {
      reconciled: ({ result, errorType }) => results.push(`${result} ${errorType}`.trim()),
      turnedSlow: (_, key) => slow.push(key),
    },
    ...options,
  });
  const stop = new AbortController();
  let ended: unknown;
  const run = () => void controller.run(stop.signal).then(() => ended = true, (e) => ended = e);
  return { clock, queue, controller, lines, results, slow, stop, run, ended: () => ended };
}

/** A reconcile that gives `outcomes` in turn (the last again and again) and notes when it was called. */
function scripted(clock: () => VirtualClock, outcomes: (Outcome | Error)[]) {
  const times: number[] = [];
  const reconcile = () => {
    times.push(clock().monotonic());
    const outcome = (outcomes.length > 1 ? outcomes.shift() : outcomes[0]) as Outcome | Error;
    return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome);
  };
  return { times, reconcile };
}

Deno.test("failures back off exponentially, then go on at the slow pace for ever", async () => {
  const script = scripted(() => world.clock, [failed(new Error("down"))]);
  const world = setUp(script.reconcile);
  world.run();
  world.queue.add("a");
  await world.clock.advance(300_000);
  assert.deepEqual(script.times.slice(0, 4), [0, 5, 15, 35]);
  const gaps = script.times.slice(4).map((at, i) => at - (script.times[i + 3] as number));
  assert.ok(gaps.length >= 6, "never given up");
  assert.ok(gaps.every((gap) => gap >= 30_000 && gap <= 45_001), `${gaps}`);
  assert.deepEqual(world.slow, ["a"]);
  assert.equal(world.controller.slowKeys, 1);
  const turned = world.lines.filter(({ message }) => message.includes("slow pace"));
  assert.equal(turned.length, 1);
  assert.equal(turned[0]?.fields.key, "a");
});

Deno.test("a server that is away uses up no key's fast tries, and costs a line a minute for all keys", async () => {
  const down = failed(new KubeConnectionError("connect", "Cannot connect: refused"));
  let away = true;
  const world = setUp(() => Promise.resolve(away ? down : DONE), { inflight: 32 });
  world.run();
  for (let i = 0; i < 100; i++) world.queue.add(`k${i}`);
  await world.clock.advance(1_000);
  away = false;
  await world.clock.advance(1_500);
  const done = world.results.filter((result) => result === "done");
  assert.equal(done.length, 100, "a second's outage is over after another");
  assert.deepEqual(world.slow, []);

  away = true;
  for (let i = 0; i < 100; i++) world.queue.add(`k${i}`);
  await world.clock.advance(600_000);
  const lines = world.lines.filter(({ message }) => message.includes("without an answer"));
  assert.ok(lines.length >= 10 && lines.length <= 12, `${lines.length} lines`);
  assert.equal(world.lines.length, lines.length + 1, "one line more: the end of the first outage");
  away = false;
  await world.clock.advance(30_000);
  assert.equal(world.results.filter((result) => result === "done").length, 200);
});

Deno.test("a success ends the row of failures and says that it works again", async () => {
  const down = failed(new Error("down"));
  const script = scripted(() => world.clock, [down, down, down, down, DONE, down, DONE]);
  const world = setUp(script.reconcile);
  world.run();
  world.queue.add("a");
  await world.clock.advance(60_000);
  assert.equal(script.times.length, 5);
  assert.equal(world.controller.slowKeys, 0);
  assert.ok(world.lines.some(({ message }) => message === "Reconcile works again"));
  world.queue.add("a");
  await world.clock.advance(100);
  assert.equal((script.times[6] as number) - (script.times[5] as number), 5);
});

Deno.test("after(ms) comes back in ms, done does not", async () => {
  const script = scripted(() => world.clock, [{ kind: "after", ms: 500 }, DONE]);
  const world = setUp(script.reconcile);
  world.run();
  world.queue.add("a");
  await world.clock.advance(100_000);
  assert.deepEqual(script.times, [0, 500]);
  assert.deepEqual(world.results, ["after", "done"]);
});

Deno.test("terminal outcomes and errors that no retry helps wait for a change", async () => {
  const details = { causes: [{ reason: "FieldValueInvalid", field: "data" }] };
  const invalid = new KubeApiError({ status: 422, message: "invalid", details });
  for (const outcome of [{ kind: "terminal", reason: "bad spec" } as const, failed(invalid)]) {
    const script = scripted(() => world.clock, [outcome]);
    const world = setUp(script.reconcile);
    world.run();
    world.queue.add("a");
    await world.clock.advance(3_600_000);
    assert.equal(script.times.length, 1);
    assert.match(world.results[0] as string, /^terminal/);
    assert.equal(world.lines.filter(({ level }) => level === "warning").length, 1);
  }
});

Deno.test("work in a terminating namespace ends without a retry and without a warning", async () => {
  const details = { causes: [{ reason: "NamespaceTerminating" }] };
  const script = scripted(() => world.clock, [
    failed(new KubeApiError({ status: 403, message: "no", details })),
  ]);
  const world = setUp(script.reconcile);
  world.run();
  world.queue.add("a");
  await world.clock.advance(3_600_000);
  assert.equal(script.times.length, 1);
  assert.deepEqual(world.results, ["dropped namespace_terminating"]);
  assert.ok(world.lines.every(({ level }) => level === "debug"));
});

Deno.test("a missing permission is tried at the slow pace from the start", async () => {
  const script = scripted(() => world.clock, [
    failed(new KubeApiError({ status: 403, reason: "Forbidden", message: "no" })),
    DONE,
  ]);
  const world = setUp(script.reconcile);
  world.run();
  world.queue.add("a");
  await world.clock.advance(45_001);
  assert.equal(script.times.length, 2);
  assert.ok(script.times[1] as number >= 30_000);
  assert.deepEqual(world.slow, ["a"]);
});

Deno.test("the delay the server asks for is the least; conflicts come back fast and quietly", async () => {
  const throttled = new KubeApiError({ status: 429, message: "busy", retryAfterMs: 2_000 });
  const conflict = new KubeApiError({ status: 409, reason: "Conflict", message: "changed" });
  const script = scripted(() => world.clock, [failed(throttled), failed(conflict), DONE]);
  const world = setUp(script.reconcile);
  world.run();
  world.queue.add("a");
  await world.clock.advance(10_000);
  assert.deepEqual(script.times, [0, 2_000, 2_010]);
  const warnings = world.lines.filter(({ level }) => level === "warning");
  assert.deepEqual(warnings.map(({ fields }) => fields.err), [throttled]);
});

Deno.test("whatever is thrown is contained and retried", async () => {
  const thrown: unknown[] = [new Error("x"), "text", undefined, null];
  let calls = 0;
  const world = setUp(() => {
    const error = thrown[calls++];
    if (calls === 1) throw error;
    return calls <= thrown.length ? Promise.reject(error) : Promise.resolve(DONE);
  }, { maxRetries: 10 });
  world.run();
  world.queue.add("a");
  await world.clock.advance(1_000);
  assert.equal(calls, 5);
  assert.equal(world.ended(), undefined);
  assert.deepEqual(world.results.at(-1), "done");
});

Deno.test("a reconcile past its deadline is told so, and its key waits until it has ended", async () => {
  let started = 0;
  let end: (outcome: Outcome) => void = () => {};
  let signal: AbortSignal | undefined;
  const world = setUp((_, abort) => {
    started++;
    signal = abort;
    return new Promise((resolve) => end = resolve);
  }, { timeoutMs: 1_000 });
  world.run();
  world.queue.add("a");
  await world.clock.advance(999);
  assert.equal(signal?.aborted, false);
  await world.clock.advance(1);
  assert.ok(signal?.reason instanceof ReconcileTimeoutError);
  assert.equal(signal.reason.code, "CONTROLLER_RECONCILIATION_TIMEOUT");
  world.queue.add("a");
  await world.clock.advance(60_000);
  assert.equal(started, 1, "not again while the first is under way");
  end(failed(new DOMException("aborted", "AbortError")));
  await world.clock.settle();
  assert.equal(started, 2);
  assert.deepEqual(world.results, ["retry timeout"]);
});

Deno.test("workers x inflight keys are worked on at once, never more", async () => {
  let running = 0;
  let most = 0;
  const ends: (() => void)[] = [];
  const world = setUp(() => {
    most = Math.max(most, ++running);
    return new Promise((resolve) =>
      ends.push(() => {
        running--;
        resolve(DONE);
      })
    );
  }, { workers: 2, inflight: 3 });
  world.run();
  for (let i = 0; i < 20; i++) world.queue.add(`k${i}`);
  await world.clock.settle();
  assert.equal(running, 6);
  while (ends.length > 0) {
    ends.shift()?.();
    await world.clock.settle();
  }
  assert.equal(most, 6);
  assert.equal(world.results.length, 20);
});

Deno.test("on a stop no key is taken, running work may end, and run resolves then", async () => {
  const ends = new Map<string, () => void>();
  const aborted: string[] = [];
  const world = setUp((key, signal) => {
    signal.addEventListener("abort", () => aborted.push(key));
    return new Promise((resolve) => ends.set(key, () => resolve(DONE)));
  }, { inflight: 2 });
  world.run();
  for (const key of ["a", "b", "c"]) world.queue.add(key);
  await world.clock.settle();
  world.stop.abort();
  ends.get("a")?.();
  await world.clock.advance(2_000);
  assert.equal(world.ended(), undefined);
  ends.get("b")?.();
  await world.clock.settle();
  assert.equal(world.ended(), true);
  assert.deepEqual(aborted, []);
  assert.deepEqual([...ends.keys()], ["a", "b"]);
  assert.equal(world.queue.depth, 1, "the rest stays in the queue");
  assert.equal(world.clock.pendingTimers, 0);
});

Deno.test("a key handed out in the moment of the stop goes back", async () => {
  const world = setUp(() => Promise.resolve(DONE));
  world.run();
  await world.clock.settle();
  world.queue.add("a");
  world.stop.abort();
  await world.clock.settle();
  assert.equal(world.ended(), true);
  assert.deepEqual(world.results, []);
  assert.equal(world.queue.depth, 1);
});

Deno.test("work that outlasts the grace is aborted; work that ignores that is left behind", async () => {
  const world = setUp((key, signal) =>
    new Promise((_, reject) => {
      if (key === "deaf") return;
      signal.addEventListener("abort", () => reject(signal.reason));
    })
  );
  world.run();
  world.queue.add("a");
  world.queue.add("deaf");
  await world.clock.settle();
  world.stop.abort();
  await world.clock.advance(2_999);
  assert.equal(world.controller.running, 2);
  await world.clock.advance(1);
  assert.equal(world.controller.running, 1);
  await world.clock.advance(999);
  assert.equal(world.ended(), undefined);
  await world.clock.advance(1);
  assert.equal(world.ended(), true);
  const error = world.lines.find(({ level }) => level === "error");
  assert.deepEqual(error?.fields.keys, ["deaf"]);
});

Deno.test("lost leadership aborts running work at once", async () => {
  const world = setUp((_, signal) =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    })
  );
  world.run();
  world.queue.add("a");
  await world.clock.settle();
  world.stop.abort(new LeadershipLostError("lost"));
  await world.clock.advance(1);
  assert.equal(world.ended(), true);
  assert.deepEqual(world.results, ["retry leadership_lost"]);
});

Deno.test("a queue that is shut down and drained ends the run", async () => {
  const world = setUp(() => Promise.resolve(DONE));
  world.queue.add("a");
  world.run();
  await world.queue.drain();
  await world.clock.settle();
  assert.equal(world.ended(), true);
  assert.deepEqual(world.results, ["done"]);
});

Deno.test("a storm of failures is logged at a bounded rate, with the number left out", async () => {
  const world = setUp(() => Promise.resolve(failed(new Error("down"))), { inflight: 32 });
  world.run();
  for (let i = 0; i < 1_000; i++) world.queue.add(`k${i}`);
  await world.clock.advance(10_000);
  const warnings = world.lines.filter(({ level }) => level === "warning");
  assert.ok(warnings.length >= 20 && warnings.length <= 31, `${warnings.length} lines`);
  assert.ok(world.results.length >= 4_000);
  assert.equal(world.slow.length, 1_000, "each key is counted");
  assert.ok(world.lines.every(({ fields }) => typeof fields.key === "string"));
  await world.clock.advance(60_000);
  assert.ok(world.lines.some(({ fields }) => fields.suppressed as number > 1_000));
});

/**
 * Random outcomes, durations and adds. Invariants: a key is never reconciled twice at once; every key
 * whose last outcome was a failure is tried again; the run ends on a stop with nothing under way.
 */
Deno.test("fuzz: exclusive keys, nothing given up, a clean stop", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed);
    const busy = new Set<string>();
    const owed = new Set<string>();
    const overlaps: string[] = [];
    let healthy = false;
    const world = setUp(async (key, signal) => {
      // Noted, not thrown: the controller contains what a reconcile throws.
      if (busy.has(key)) overlaps.push(key);
      busy.add(key);
      owed.add(key);
      await new Promise<void>((resolve) => {
        world.clock.setTimer(randomInt(random, 0, 3_000), resolve);
        if (random.next() < 0.5) signal.addEventListener("abort", () => resolve());
      });
      busy.delete(key);
      if (!healthy && random.next() < 0.6) throw new Error("down");
      owed.delete(key);
      return DONE;
    }, { timeoutMs: 1_500 });
    world.run();
    for (let i = 0; i < 60; i++) {
      world.queue.add(`k${randomInt(random, 0, 9)}`, { bulk: random.next() < 0.5 });
      await world.clock.advance(randomInt(random, 0, 400));
    }
    healthy = true;
    await world.clock.advance(100_000);
    assert.deepEqual(overlaps, [], `seed ${seed}: twice at once`);
    assert.equal(owed.size, 0, `seed ${seed}: given up ${[...owed]}`);
    assert.equal(world.controller.slowKeys, 0);
    world.stop.abort();
    await world.clock.advance(4_000);
    assert.equal(world.ended(), true, `seed ${seed}: ${world.ended()}`);
    assert.equal(busy.size, 0);
  }
});
