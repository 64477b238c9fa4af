/**
 * Runs the parts of a process until it is told to stop or one of them ends, then stops them in order.
 *
 * - All tasks start at once, in the order given. A task that ends before the stop, well or badly, stops
 *   the process: nothing runs on half.
 * - Shutdown goes from the last stage to the first: the tasks of a stage are told to stop and awaited
 *   before the stage before it is told. So put servers of probes first, work last.
 * - It takes at most `limitMs`: then all that still run are aborted and reported by name, not waited for.
 *
 * It knows no signals of the operating system and does not exit: the caller maps both.
 */
import { type Clock, sleep } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";

export interface Task {
  readonly name: string;
  /** Runs until `signal` aborts, then ends soon. */
  run(signal: AbortSignal): Promise<void>;
  /** True for a task that may end by itself before the stop. */
  readonly mayEnd?: boolean;
}

export type ExitCause =
  /** The caller's signal aborted; `reason` is its reason. */
  | { readonly kind: "signal"; readonly reason: unknown }
  /** A task threw. */
  | { readonly kind: "failed"; readonly task: string; readonly error: unknown }
  /** A task returned although nothing had told it to. */
  | { readonly kind: "ended"; readonly task: string };

export interface Exit {
  /** What came first. */
  readonly cause: ExitCause;
  /** Tasks that had not ended when time was up. */
  readonly unfinished: readonly string[];
}

export interface LifecycleOptions {
  /** Stopped from the last stage to the first. */
  readonly stages: readonly (readonly Task[])[];
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Logger;
  /** Longest time from the stop to the return. Default 4.8 s. */
  readonly limitMs?: number;
}

const LIMIT_MS = 4_800;

interface Running {
  readonly task: Task;
  readonly stop: AbortController;
  readonly end: Promise<void>;
  ended: boolean;
}

/** Resolves when everything has ended, or time was up. Never rejects for what a task does. */
export async function runTasks(options: LifecycleOptions): Promise<Exit> {
  const { signal, log, clock } = options;
  if (signal.aborted) return { cause: { kind: "signal", reason: signal.reason }, unfinished: [] };
  let stopping = false;
  let onCause: (cause: ExitCause) => void = () => {};
  const first = new Promise<ExitCause>((resolve) => onCause = resolve);
  const onSignal = () => onCause({ kind: "signal", reason: signal.reason });
  signal.addEventListener("abort", onSignal, { once: true });

  const report = (task: Task, cause: ExitCause) => {
    if (cause.kind === "failed") log.error("Task failed", { task: task.name, err: cause.error });
    if (cause.kind === "ended" && !stopping && !task.mayEnd) {
      log.error("Task ended unexpectedly", { task: task.name });
    }
    if (cause.kind === "failed" || !task.mayEnd) onCause(cause);
  };
  const stages = options.stages.map((stage) => stage.map((task) => start(task, report)));

  const cause = await first;
  stopping = true;
  signal.removeEventListener("abort", onSignal);
  log.info("Stopping", { cause: cause.kind });
  const timeUp = new AbortController();
  const limit = sleep(clock, options.limitMs ?? LIMIT_MS, timeUp.signal).then(
    () => true,
    () => true,
  );
  for (const stage of stages.toReversed()) {
    for (const running of stage) running.stop.abort(stopReason(cause));
    const ended = Promise.all(stage.map((running) => running.end)).then(() => false);
    if (await Promise.race([ended, limit])) break;
  }
  timeUp.abort();
  const unfinished = stages.flat().filter((running) => !running.ended);
  for (const running of unfinished) running.stop.abort(stopReason(cause));
  const names = unfinished.map((running) => running.task.name);
  if (names.length > 0) log.error("Stopped without waiting any longer", { unfinished: names });
  return { cause, unfinished: names };
}

function start(task: Task, report: (task: Task, cause: ExitCause) => void): Running {
  const stop = new AbortController();
  const run = async () => {
    try {
      await task.run(stop.signal);
      report(task, { kind: "ended", task: task.name });
    } catch (error) {
      // A task that throws the reason of its own stop has stopped as it should.
      if (stop.signal.aborted && error === stop.signal.reason) return;
      report(task, { kind: "failed", task: task.name, error });
    } finally {
      running.ended = true;
    }
  };
  // One turn later: `running` exists, and no task runs before all of them are registered.
  const running: Running = { task, stop, end: Promise.resolve().then(run), ended: false };
  return running;
}

function stopReason(cause: ExitCause): unknown {
  return cause.kind === "signal" ? cause.reason : new DOMException("Stopping", "AbortError");
}
