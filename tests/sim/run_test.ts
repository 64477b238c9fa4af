import assert from "node:assert/strict";
import { PCMCS, RunWorld } from "./run_world.ts";

const CONFIG = {
  l4Firewall: { enabled: true, blockedPorts: [22] },
  syscallMonitoring: { enabled: true, syscallNames: ["read"] },
  metricsExport: { enabled: true, updateInterval: "1s" },
};
const READ = 0;

async function withWorld(play: (world: RunWorld) => Promise<void>): Promise<void> {
  const world = new RunWorld(5);
  world.pcmc("web", CONFIG);
  try {
    await play(world);
    await world.end();
  } finally {
    world.cluster.stop();
  }
}

const applied = (world: RunWorld, node: string) => world.node(node).leftovers.length === 3;

/** c-1 leads on node-1, whose Pods have their rules; c-2 stands by on `node`. */
async function leaderAndStandby(world: RunWorld, node: string) {
  const first = world.start("c-1", "node-1");
  await world.until("applied", () => applied(world, "node-1"));
  const second = world.start("c-2", node);
  await world.clock.advance(5_000);
  return { first, second };
}

Deno.test("run: the leader serves its own node, and says so of the others", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1");
    world.pod("b", "node-2");
    world.pod("gate", "node-2", { gated: true, app: "other" });
    world.pod("free", "node-2", { app: "other" });
    const { first } = await leaderAndStandby(world, "node-2");
    assert.equal(first.agent.ready, true);
    assert.deepEqual(["a", "b"].map((pod) => world.ebpfStatus(pod)), ["applied", "unserved"]);
    assert.equal(world.condition("a")?.reason, "Applied");
    const { status, reason, message } = world.condition("b") ?? {};
    assert.deepEqual([status, reason], ["False", "NodeUnserved"]);
    assert.match(message ?? "", /^revision [0-9a-f]{12}: No eBPF programs run on this node/);
    assert.equal(world.condition("gate")?.reason, "NotRequired");
    assert.equal(world.condition("free"), undefined);
    assert.deepEqual(world.node("node-2").leftovers, []);

    // Nothing is wanted any more: what was said goes.
    await world.send("DELETE", `${PCMCS}/web`, {});
    await world.clock.advance(2_000);
    assert.deepEqual([world.condition("a"), world.condition("b")], [undefined, undefined]);
    assert.deepEqual(world.node("node-1").leftovers, []);
  }));

Deno.test("run: a new leader of the same node adopts what is there, and nothing is written twice", () =>
  withWorld(async (world) => {
    const uid = world.pod("a", "node-1");
    const { first, second } = await leaderAndStandby(world, "node-1");
    world.node("node-1").call(uid, READ, 100);
    await world.clock.advance(2_000);
    assert.equal(first.tally.calls.get("ns/a read"), 100);
    world.steps.length = 0;
    const version = () =>
      ["Pod a", "ConfigMap pod-a-from-web-cfg"].map((object) => {
        const [kind = "", name = ""] = object.split(" ");
        return world.cluster.get("v1", kind, "ns", name)?.metadata.resourceVersion;
      });
    const before = version();
    first.terminate();
    world.node("node-1").call(uid, READ, 10);
    await world.until("the second leads", () => second.agent.ready);
    await world.clock.advance(10_000);
    assert.deepEqual(world.steps, [], "adopted");
    assert.deepEqual(version(), before);
    assert.equal(second.tally.calls.get("ns/a read"), 110);
    // What no longer leads shows no series.
    assert.deepEqual([...first.tally.calls, ...first.tally.attachedNow], []);
    assert.equal(first.ended, true);
  }));

Deno.test("run: leadership goes to another node in order, and the programs with it, within a second", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1");
    world.pod("b", "node-2");
    const { first } = await leaderAndStandby(world, "node-2");
    first.terminate();
    await world.until("the other node leads", () => world.leadingNode === "node-2");
    await world.clock.advance(1_000);
    assert.deepEqual(world.node("node-1").leftovers, []);
    assert.ok(applied(world, "node-2"));
    assert.equal(first.ended, true);
    await world.clock.advance(1_000);
    assert.deepEqual(["a", "b"].map((pod) => world.condition(pod)?.reason), [
      "NodeUnserved",
      "Applied",
    ]);
    assert.deepEqual(["a", "b"].map((pod) => world.ebpfStatus(pod)), ["unserved", "applied"]);
  }));

Deno.test("run: who has stood by knows what is missing, and adds it before the term's caches are read", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1");
    const uid = world.pod("b", "node-2");
    const { first, second } = await leaderAndStandby(world, "node-2");
    assert.equal(world.node("node-2").warmUps, 1);
    assert.equal(world.node("node-2").steps, 0, "a standby asks nothing of the kernel");
    second.connection.holdReads();
    first.terminate();
    await world.until("the other node leads", () => world.leadingNode === "node-2");
    await world.clock.advance(500);
    assert.deepEqual(world.node("node-2").leftovers, [`firewall ${uid}`]);
    assert.match(second.agent.readiness().detail, /caches are not synced/);
    second.connection.answerReads();
    await world.until("it is ready", () => second.agent.ready);
    assert.ok(applied(world, "node-2"));
    assert.equal(world.steps.filter((step) => step === "node-2 firewall attach in").length, 1);
  }));

Deno.test("run: what a standby knows may be old: nothing that is in place is changed by it", () =>
  withWorld(async (world) => {
    const uid = world.pod("a", "node-1");
    const { first, second } = await leaderAndStandby(world, "node-1");
    second.connection.silence();
    second.connection.holdReads();
    await world.changePcmc("web", { l4Firewall: { enabled: true, blockedPorts: [23] } });
    await world.clock.advance(1_000);
    const spec = () => world.node("node-1").firewalls.get(uid)?.spec;
    const before = spec();
    world.steps.length = 0;
    first.terminate();
    await world.until("the other leads", () => second.manager.leading);
    await world.clock.advance(5_000);
    assert.deepEqual([world.steps, spec()], [[], before]);
    second.connection.answerReads();
    await world.until("it is ready", () => second.agent.ready);
    assert.deepEqual([world.steps, spec()], [[], before]);
  }));

Deno.test("run: what a standby added by what was no longer so goes once the caches are read", () =>
  withWorld(async (world) => {
    const uid = world.pod("a", "node-1");
    const { first, second } = await leaderAndStandby(world, "node-1");
    second.connection.silence();
    second.connection.holdReads();
    await world.send("DELETE", `${PCMCS}/web`, {});
    await world.until("nothing is left", () => world.node("node-1").leftovers.length === 0);
    first.terminate();
    await world.until("the other leads", () => second.manager.leading);
    await world.clock.advance(500);
    assert.deepEqual(world.node("node-1").leftovers, [`firewall ${uid}`]);
    second.connection.answerReads();
    await world.clock.advance(500);
    assert.deepEqual(world.node("node-1").leftovers, []);
  }));

Deno.test("run: after a crash rules hold; a process that starts there takes them down once another node leads", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1");
    const { first } = await leaderAndStandby(world, "node-2");
    world.crash(first);
    await world.until("the other node leads", () => world.leadingNode === "node-2");
    await world.clock.advance(10_000);
    assert.ok(applied(world, "node-1"), "nobody is there to take them down");
    world.start("c-3", "node-1");
    await world.clock.advance(1_000);
    assert.deepEqual(world.node("node-1").leftovers, []);
  }));

Deno.test("run: a leader that crashes and comes back before its lease ends goes on with what it finds", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1");
    const { first } = await leaderAndStandby(world, "node-2");
    world.steps.length = 0;
    world.crash(first);
    const again = world.start("c-1", "node-1");
    await world.until("it leads again", () => again.agent.ready);
    assert.deepEqual(world.steps, []);
  }));

Deno.test("run: a leader cut off keeps its rules while it cannot know, and takes them down once it does", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1");
    const { first } = await leaderAndStandby(world, "node-2");
    first.connection.cut();
    await world.until("the other node leads", () => world.leadingNode === "node-2");
    await world.clock.advance(30_000);
    assert.ok(applied(world, "node-1"));
    assert.equal(first.agent.ready, false);
    first.connection.heal();
    await world.clock.advance(1_500);
    assert.deepEqual(world.node("node-1").leftovers, []);
  }));

Deno.test("run: a leader that stood still past its lease wakes, writes nothing, and takes its programs down", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1");
    const { first } = await leaderAndStandby(world, "node-2");
    first.process.pause();
    await world.until("the other node leads", () => world.leadingNode === "node-2");
    await world.until("it says so", () => world.condition("a")?.reason === "NodeUnserved");
    await world.clock.advance(5_000);
    const version = () => world.cluster.get("v1", "Pod", "ns", "a")?.metadata.resourceVersion;
    const before = version();
    first.process.wake();
    await world.clock.advance(1_500);
    assert.deepEqual(world.node("node-1").leftovers, []);
    assert.equal(version(), before);
  }));

Deno.test("run: while a leader that stood still holds the node, the next one of that node waits, and rules hold", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1");
    const { first, second } = await leaderAndStandby(world, "node-1");
    first.process.pause();
    await world.until("the other leads", () => second.manager.leading);
    await world.clock.advance(10_000);
    assert.match(second.agent.readiness().detail, /another agent/);
    assert.ok(applied(world, "node-1"));
    world.steps.length = 0;
    first.process.wake();
    await world.until("it is ready", () => second.agent.ready);
    assert.deepEqual(world.steps, []);
  }));

Deno.test("run: with nobody to come after it, a process that stops leaves the rules in place, and ends in time", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1");
    const only = world.start("c-1", "node-1");
    await world.until("applied", () => applied(world, "node-1"));
    only.terminate();
    const took = await world.until("it has ended", () => only.ended);
    assert.ok(took < 4_000, `${took} ms`);
    assert.ok(applied(world, "node-1"));
    assert.equal(world.leadingNode, "");
  }));

Deno.test("run: where nobody asks for programs, the kernel is not asked for anything", () =>
  withWorld(async (world) => {
    world.pod("a", "node-1", { app: "other" });
    const only = world.start("c-1", "node-1");
    await world.until("it leads", () => only.manager.leading);
    await world.clock.advance(70_000);
    assert.deepEqual([world.node("node-1").steps, world.node("node-1").warmUps], [0, 0]);
    assert.equal(only.agent.readiness().ok, true);
  }));
