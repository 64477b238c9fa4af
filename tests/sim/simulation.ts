/**
 * One run: a seed in, what happened out. Faults and changes for some virtual minutes; then the world
 * must come to rest as it should be, stay so without a single write, and end without a trace.
 */
import { createHash } from "node:crypto";
import { randomInt } from "../../src/lib/random.ts";
import type { WriteRecord } from "../../src/simulator/cluster.ts";
import type { FaultCounts } from "./faults.ts";
import { AT_REST, isController, OF_HISTORY, stateOf } from "./invariants.ts";
import type { Violation } from "./journal.ts";
import { endTrouble, startLastTrouble, startTrouble } from "./trouble.ts";
import { randomFor, World } from "./world.ts";
import { Workload } from "./workload.ts";

export interface RunOptions {
  readonly seed: number;
  readonly keepTrace?: boolean;
}

export interface RunResult {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly counts: FaultCounts;
  /** Of all that was written: equal for equal seeds. */
  readonly hash: string;
  readonly writes: number;
  /** Most requests of one process in a virtual minute. */
  readonly requestsMax: number;
  /** From the last fault to rest, virtual ms. */
  readonly restAfterMs: number;
  readonly excerpt: readonly string[];
  readonly trace: readonly string[];
}

const ACTIVE_MS = [60_000, 240_000] as const;
const REST_STEP_MS = 5_000;
/** The longest silence that a controller bears (150 s), the longest pause after failures (60 s), and some. */
const REST_LIMIT_MS = 8 * 60_000;
/** Counts in a status and series of Events are written late. */
const AFTERMATH_MS = 2 * 60_000;
const QUIET_MS = 15 * 60_000;
/** The promise for SIGTERM. */
const STOP_LIMIT_MS = 5_000;

export async function run({ seed, keepTrace = false }: RunOptions): Promise<RunResult> {
  const random = randomFor(seed, "run");
  const controllers = randomInt(random, 1, 3);
  const world = new World({ seed, controllers, keepTrace });
  const { clock, cluster, faults, journal } = world;
  const workload = new Workload(world, randomFor(seed, "workload"));
  const activeMs = randomInt(random, ...ACTIVE_MS);
  workload.start(activeMs);
  startTrouble(world, workload, randomFor(seed, "trouble"));
  for (let slot = 0; slot < controllers; slot++) {
    world.startLater(slot, randomInt(random, 0, 5_000));
  }
  await clock.advance(activeMs);
  startLastTrouble(world, workload, randomFor(seed, "last trouble"));
  faults.stop();
  journal.note("the faults stop");
  endTrouble(world);
  workload.finish();
  const restAfterMs = await comeToRest(world);
  if (journal.violations.length === 0) await stayQuiet(world);
  await stopAll(world);
  for (const { sentence, check } of OF_HISTORY) {
    for (const problem of check(cluster.writes)) journal.violate(sentence, problem);
  }
  return {
    seed,
    violations: journal.violations,
    counts: faults.counts,
    hash: hashOf(cluster.writes),
    writes: cluster.writes.length,
    requestsMax: Math.max(...world.instances.map(({ witness }) => witness.requestsMax)),
    restAfterMs,
    excerpt: journal.excerpt(),
    trace: keepTrace ? journal.trace() : [],
  };
}

async function comeToRest({ clock, cluster, journal }: World): Promise<number> {
  const begin = clock.monotonic();
  while (true) {
    await clock.advance(REST_STEP_MS);
    const state = stateOf(cluster);
    const problems = AT_REST.flatMap(({ sentence, check }) =>
      check(state).map((problem) => ({ sentence, problem }))
    );
    const elapsed = clock.monotonic() - begin;
    if (problems.length === 0) return elapsed;
    if (elapsed < REST_LIMIT_MS) continue;
    for (const { sentence, problem } of problems) journal.violate(sentence, problem);
    return elapsed;
  }
}

async function stayQuiet({ clock, cluster, journal }: World): Promise<void> {
  await clock.advance(AFTERMATH_MS);
  const before = cluster.writes.length;
  journal.note("the quiet window begins");
  await clock.advance(QUIET_MS);
  const written = cluster.writes.slice(before).filter((record) => !isIdle(record));
  for (const { user, verb, kind, namespace, name } of written) {
    journal.violate(
      "a world at rest is written to by nobody",
      `${user} did ${verb} on ${kind} ${namespace}/${name}`,
    );
  }
  const state = stateOf(cluster);
  for (const { sentence, check } of AT_REST) {
    for (const problem of check(state)) journal.violate(sentence, `no longer: ${problem}`);
  }
}

/** Leases are renewed; whether a foreign object is still there is found out by trying to create. */
function isIdle({ user, kind, verb, code }: WriteRecord): boolean {
  return !isController(user) || kind === "Lease" ||
    (kind === "ConfigMap" && verb === "create" && code === 409);
}

async function stopAll(world: World): Promise<void> {
  const { clock, cluster, journal } = world;
  world.close();
  const running = world.controllers.flatMap((instance) => instance ?? []);
  for (const { stop } of running) stop.abort(new DOMException("SIGTERM", "AbortError"));
  await clock.advanceUntil(() => running.every(({ ended }) => ended), STOP_LIMIT_MS);
  for (const { process, ended } of running) {
    if (!ended) journal.violate("a stop takes less than 5 s", `${process.name} still runs`);
    if (!ended || process.pendingTimers + process.openConnections === 0) continue;
    const { name, pendingTimers, openConnections } = process;
    const left = `${name} left ${pendingTimers} timers and ${openConnections} connections`;
    journal.violate("nothing is left behind by a stop", left);
  }
  cluster.stop();
  await clock.settle();
  if (cluster.openWatches > 0) {
    journal.violate("nothing is left behind by a stop", `${cluster.openWatches} watches`);
  }
}

function hashOf(writes: readonly WriteRecord[]): string {
  const hash = createHash("sha256");
  for (const { elapsed, user, verb, kind, namespace, name, code, changed, after } of writes) {
    const version = after?.metadata.resourceVersion;
    hash.update(
      JSON.stringify([elapsed, user, verb, kind, namespace, name, code, changed, version]),
    );
  }
  return hash.digest("hex");
}
