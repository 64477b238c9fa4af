/**
 * Pods that come and go under a running agent: what it, and the kernel, hold before and after.
 * AGENT_PODS: how many; the default keeps the whole suite short.
 */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import { eventually } from "../support/eventually.ts";
import { makeNode, pinsOf, type Role, TestCluster, type TestNode } from "./support/cluster.ts";
import { heldIds, KINDS } from "./support/held.ts";
import { type FakePod, removePod } from "./support/kubelet.ts";
import { kernelTest } from "./support/sandbox.ts";

const PODS = Number(Deno.env.get("AGENT_PODS") ?? 100);
/** There at a time. */
const BATCH = 50;
const CONFIG = {
  l4Firewall: { enabled: true, defaultAction: "block", allowedPorts: [80] },
  syscallMonitoring: { enabled: true, syscallNames: ["getppid"] },
  metricsExport: { enabled: true, updateInterval: "1s" },
};
/** Heap that a collection has not come to yet. */
const RSS_GROWTH_MAX_KIB = 24 * 1024;

interface Held {
  readonly pins: number;
  readonly links: number;
  readonly maps: number;
  readonly programs: number;
  readonly descriptors: number;
  readonly rssKib: number;
}

function held(node: TestNode, agent: Role): Held {
  const ids = heldIds([agent.child.pid]);
  const [links = 0, maps = 0, programs = 0] = KINDS.map((kind) => ids[kind].length);
  return { pins: pinsOf(node).length, links, maps, programs, ...agent.usage() };
}

const COUNTS = ["pins", "links", "maps", "programs", "descriptors"] as const;

function say(what: string, counts: Held): void {
  const text = `report: ${what}: ${JSON.stringify(counts)}\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

kernelTest(`${PODS} Pods come and go under an agent, and leave nothing`, async (sandbox) => {
  await using cluster = new TestCluster(sandbox);
  const node = makeNode(sandbox, "node-1");
  cluster.pcmc(CONFIG);
  // One that stays keeps the shared maps, as on a node with more than one Pod.
  cluster.pod("stays", node);
  const agent = cluster.start("agent", "agent-1", node);
  await cluster.until("the first is applied", () => cluster.condition("stays") === "Applied");
  let number = 0;
  const play = async (count: number) => {
    const pods = new Map<string, FakePod>();
    for (let index = 0; index < count; index++) {
      const name = `p-${++number}`;
      pods.set(name, cluster.pod(name, node));
    }
    const names = [...pods.keys()];
    await cluster.until(
      "all are applied",
      () => names.every((name) => cluster.condition(name) === "Applied"),
    );
    const peak = held(node, agent);
    for (const [name, pod] of pods) {
      await removePod(pod);
      await cluster.deletePod(name);
    }
    await cluster.until("one is left", () => pinsOf(node).length === pinsBefore);
    return peak;
  };
  const pinsBefore = pinsOf(node).length;
  // What is made once: compiled code, buffers.
  await play(BATCH);
  const before = held(node, agent);
  say("before", before);
  const from = systemClock.monotonic();
  for (let done = 0; done < PODS; done += BATCH) {
    const peak = await play(Math.min(BATCH, PODS - done));
    if (done / BATCH % Math.ceil(PODS / BATCH / 4) === 0) {
      say(`with ${BATCH} more, after ${done}`, peak);
    }
  }
  const seconds = (systemClock.monotonic() - from) / 1000;
  // The kernel frees a little later.
  const after = await eventually("the kernel has let go", () => {
    const now = held(node, agent);
    const more = COUNTS.filter((kind) => now[kind] > before[kind]);
    assert.deepEqual(more, [], JSON.stringify({ before, now }));
    return now;
  });
  say(`after ${PODS} Pods in ${seconds.toFixed(1)} s`, after);
  assert.equal(after.pins, before.pins);
  assert.ok(after.rssKib - before.rssKib < RSS_GROWTH_MAX_KIB, `${before.rssKib} ${after.rssKib}`);
  await cluster.deletePcmc();
  await cluster.until("nothing is left", () => pinsOf(node).length === 0);
  await agent.terminate();
});
