/**
 * Faults of the world rather than of a request: processes that die, stop or lose their sense of time,
 * servers that go away or fall behind, leases and namespaces that vanish. Every two seconds the seed
 * decides anew. When faults stop, what is needed to go on is restored; what is merely wrong stays wrong.
 */
import type { Random } from "../../src/lib/random.ts";
import { pick } from "../../src/lib/random.ts";
import type { Fault } from "./faults.ts";
import type { Instance, World } from "./world.ts";
import { LOCK, NAMESPACES } from "./world.ts";
import type { Workload } from "./workload.ts";

const LEASE_PATH = `/apis/coordination.k8s.io/v1/namespaces/${LOCK.namespace}/leases/${LOCK.name}`;
const TICK_MS = 2_000;
const HOUR_MS = 60 * 60_000;
const PAUSE_MAX_MS = 45_000;
const DOWN_MAX_MS = 30_000;
const WRITES_FAIL_MAX_MS = 60_000;
const GARBAGE_HELD_MAX_MS = 100_000;
/** A server that insists on old data for a minute is believed to have lost the newer: not a fault but a restore. */
const STALE_MAX_MS = 45_000;
const STALE_PAUSE_MS = 90_000;
const TIME_TRAVEL_REVISIONS_MAX = 60;
/** Holds the lease without working, and without ever renewing it. */
const THIEF = "thief";

type Trouble = (world: World, workload: Workload, random: Random) => boolean;

/** Answers whether it could be done. */
const TROUBLES = {
  "stale-replica": (world, _, random) => fallBehind(world, 0, random),
  "time-travel": (world, _, random) =>
    fallBehind(world, 1 + Math.floor(random.next() * TIME_TRAVEL_REVISIONS_MAX), random),
  "server-down": (world, _, random) => {
    if (world.down) return false;
    world.down = true;
    for (const watch of [...world.watches.keys()]) watch.break();
    world.clock.setTimer(random.next() * DOWN_MAX_MS, () => (world.down = false));
    return true;
  },
  "history-compacted": ({ cluster }) => {
    cluster.compact();
    return true;
  },
  "process-paused": (world, _, random) => {
    const process = somebody(world, random)?.process;
    if (process === undefined || process.paused) return false;
    process.pause();
    const deletesLease = random.next() < 0.4;
    world.clock.setTimer(random.next() * PAUSE_MAX_MS, () => {
      if (deletesLease && world.faults.active && deleteLease(world)) {
        world.faults.fired("lease-deleted");
      }
      process.wake();
    });
    return true;
  },
  "process-killed": (world, _, random) => {
    const instance = somebody(world, random);
    if (instance !== undefined) world.crash(instance.process, "process-killed");
    return instance !== undefined;
  },
  "process-restarted": (world, _, random) => {
    const running = world.controllers.flatMap((instance, slot) => instance ? [slot] : []);
    if (running.length === 0) return false;
    world.restart(pick(random, running));
    return true;
  },
  "deleted-while-all-down": (world, workload) => {
    for (const instance of world.controllers) {
      if (instance !== undefined) world.crash(instance.process, "deleted-while-all-down");
    }
    workload.deleteUnseen();
    return true;
  },
  "changed-unseen": (world, workload) => {
    for (const watch of [...world.watches.keys()]) watch.break();
    workload.replaceUnseen();
    // Whoever asks for what came after the last event learns that it is forgotten.
    world.cluster.compact();
    return true;
  },
  "wall-clock-jump": (world, _, random) => {
    const ms = (random.next() * 2 - 1) * HOUR_MS;
    const process = somebody(world, random)?.process;
    if (process === undefined) world.clock.jumpWallClock(ms);
    else process.jumpWallClock(ms);
    return true;
  },
  "lease-deleted": deleteLease,
  "lease-stolen": (world) => {
    const body = { spec: { holderIdentity: THIEF } };
    return world.request("user", "PATCH", LEASE_PATH, body, "application/merge-patch+json") < 400;
  },
  "namespace-deleted": (_world, workload, random) => {
    workload.deleteNamespace(pick(random, NAMESPACES));
    return true;
  },
  "writes-fail": (world, _, random) => {
    if (world.writesFail) return false;
    world.writesFail = true;
    world.clock.setTimer(random.next() * WRITES_FAIL_MAX_MS, () => (world.writesFail = false));
    return true;
  },
  "garbage-collection-held": (world, _, random) => {
    world.cluster.holdGarbageCollection();
    world.clock.setTimer(random.next() * GARBAGE_HELD_MAX_MS, () => {
      if (world.collectsGarbage) world.cluster.releaseGarbageCollection();
    });
    return true;
  },
} satisfies Partial<Record<Fault, Trouble>>;

type TroubleName = keyof typeof TROUBLES;

export function startTrouble(world: World, workload: Workload, random: Random): void {
  const { clock, cluster, faults, journal } = world;
  if (faults.strikes("garbage-collection-off")) {
    world.collectsGarbage = false;
    cluster.holdGarbageCollection();
    faults.fired("garbage-collection-off");
  }
  const tick = () => {
    if (!faults.active) return;
    for (const fault of Object.keys(TROUBLES) as TroubleName[]) {
      if (!faults.strikes(fault)) continue;
      const cause: Trouble = TROUBLES[fault];
      journal.note(`fault ${fault}`);
      if (cause(world, workload, random)) faults.fired(fault);
    }
    clock.setTimer(TICK_MS, tick);
  };
  clock.setTimer(TICK_MS, tick);
}

/** Now and then the last thing to happen is one that nobody sees, so that nothing later covers it up. */
export function startLastTrouble(world: World, workload: Workload, random: Random): void {
  const { calm, slow } = world.faults;
  if (calm || slow || random.next() < 0.7) return;
  const fault = pick(random, ["changed-unseen", "deleted-while-all-down"] as const);
  world.journal.note(`fault ${fault}`);
  const cause: Trouble = TROUBLES[fault];
  if (cause(world, workload, random)) world.faults.fired(fault);
}

/** The servers are up and current, and everybody is awake. Where garbage is not collected, it stays so. */
export function endTrouble(world: World): void {
  world.down = false;
  world.writesFail = false;
  world.stale.server.thaw();
  world.stale.slot = undefined;
  if (world.collectsGarbage) world.cluster.releaseGarbageCollection();
  for (const { process } of world.instances) process.wake();
}

function deleteLease(world: World): boolean {
  return world.request("user", "DELETE", LEASE_PATH, {}) < 400;
}

function somebody({ controllers }: World, random: Random): Instance | undefined {
  const running = controllers.flatMap((instance) => instance ?? []);
  return running.length === 0 ? undefined : pick(random, running);
}

/** Moves one process over to a server that stands still, `back` revisions ago. */
function fallBehind(world: World, back: number, random: Random): boolean {
  const { clock, cluster, stale } = world;
  const process = somebody(world, random)?.process;
  if (process === undefined || !world.mayFallBehind(STALE_PAUSE_MS)) return false;
  stale.server.freeze(Math.max(1, cluster.revision - back));
  stale.slot = world.controllers.findIndex((instance) => instance?.process === process);
  const covered = ["/pods", "/configmaps", "/podconfigmapconfigs"].filter(() =>
    random.next() < 0.6
  );
  stale.covers = (path) => covered.some((end) => path.endsWith(end));
  for (const [watch, owner] of [...world.watches]) if (owner === process) watch.break();
  clock.setTimer(random.next() * STALE_MAX_MS, () => {
    stale.server.thaw();
    stale.slot = undefined;
  });
  // With cold caches all that it knows is what that server says.
  if (back > 0 && random.next() < 0.5) world.crash(process, "time-travel");
  return true;
}
