import assert from "node:assert/strict";
import { ruleOf } from "../../src/domain/firewall_rules.ts";
import { EbpfError } from "../../src/agent/ports.ts";
import { AgentWorld } from "./agent_world.ts";

const EXPORT = { metricsExport: { enabled: true, updateInterval: "1s" } };
const firewall = (part: object = {}) => ({
  l4Firewall: { enabled: true, defaultAction: "block", allowedPorts: [80], ...part },
  ...EXPORT,
});
const calls = (...syscallNames: string[]) => ({
  syscallMonitoring: { enabled: true, syscallNames },
  ...EXPORT,
});
const READ = 0;

async function withWorld(
  play: (world: AgentWorld) => Promise<void>,
  options: { lax?: boolean } = {},
): Promise<void> {
  const world = new AgentWorld(1, options);
  try {
    await play(world);
    await world.stop();
    world.end();
    assert.equal(world.clock.pendingTimers, 0, "timers of a stopped agent");
  } finally {
    world.end();
  }
}

/** What the firewall of that Pod says of an incoming TCP port; undefined without a whole one. */
function ingressRule(world: AgentWorld, uid: string, port: number): number | undefined {
  const { spec, hooks } = world.node.firewalls.get(uid) ?? {};
  if (spec === undefined || hooks?.size !== 3) return undefined;
  return ruleOf(spec.planes[0] as Uint8Array, port);
}

Deno.test("agent: a Pod that says to be a static Pod that is another one does not get at that one's cgroup", () =>
  withWorld(async (world) => {
    const mirrorOf = "0123456789abcdef0123456789abcdef";
    world.node.addCgroup(mirrorOf);
    world.pcmc("web", firewall());
    const real = world.pod("real", { mirrorOf });
    world.start();
    await world.clock.advance(1_000);
    assert.equal(world.condition("real")?.status, "True");
    const before = world.node.firewalls.get(real.metadata.uid)?.cgroupId;
    const thief = world.pod("thief", { mirrorOf });
    await world.clock.advance(10_000);
    assert.equal(world.condition("thief")?.reason, "CgroupNotFound");
    assert.equal(world.node.firewalls.get(thief.metadata.uid), undefined);
    // What holds goes on holding.
    assert.equal(world.node.firewalls.get(real.metadata.uid)?.cgroupId, before);
  }));

Deno.test("agent: config, Pod and kernel follow each other, and nothing is left in the end", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    const { metadata: { uid } } = world.pod("a");
    world.start();
    await world.clock.advance(1_000);
    assert.deepEqual([80, 81].map((port) => ingressRule(world, uid, port)), [0, 1]);
    const condition = world.condition("a");
    assert.deepEqual([condition?.status, condition?.reason], ["True", "Applied"]);
    assert.match(condition?.message ?? "", /^revision [0-9a-f]{12}: /);
    // The kubelet's conditions are still there.
    assert.ok(world.conditions("a").has("Initialized"));

    await world.changePcmc("web", firewall({ allowedPorts: [81] }));
    await world.clock.advance(1_000);
    assert.deepEqual([80, 81].map((port) => ingressRule(world, uid, port)), [1, 0]);
    const changed = world.condition("a");
    assert.notEqual(changed?.message, condition?.message);
    assert.equal(changed?.lastTransitionTime, condition?.lastTransitionTime);

    await world.changePcmc("web", undefined);
    await world.clock.advance(1_000);
    assert.deepEqual(world.node.leftovers, []);
    assert.equal(world.condition("a"), undefined);
    assert.ok(world.conditions("a").has("Initialized"));
  }));

Deno.test("agent: a Pod that goes, a Pod that ends and a config that goes take their programs along", () =>
  withWorld(async (world) => {
    world.pcmc("web", { ...firewall(), ...calls("read") }, { matchLabels: { app: "x" } });
    const labels = { app: "x" };
    for (const name of ["a", "b", "c"]) world.pod(name, { labels });
    world.pod("other");
    const { tally } = world.start();
    await world.clock.advance(1_000);
    assert.equal(world.node.firewalls.size, 3);
    assert.equal(world.node.rows.size, 3);
    assert.equal(world.condition("other"), undefined);

    await world.deletePod("a");
    await world.send("PATCH", "/api/v1/namespaces/ns/pods/b/status", {
      status: { phase: "Succeeded" },
    }, "application/merge-patch+json");
    await world.clock.advance(1_000);
    assert.equal(world.node.firewalls.size, 1);
    assert.equal(world.node.rows.size, 1);
    assert.deepEqual([...tally.attachedNow.keys()], ["ns/c l4_firewall", "ns/c syscall_counter"]);

    await world.deletePcmc("web");
    await world.clock.advance(1_000);
    assert.deepEqual(world.node.leftovers, []);
    assert.deepEqual([...tally.attachedNow], []);
  }));

Deno.test("agent: with the readiness gate True comes once the rules hold, and at once where nothing is required", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall(), { matchLabels: { app: "x" } });
    world.start();
    await world.clock.advance(500);
    const { metadata: { uid } } = world.pod("a", {
      labels: { app: "x" },
      gated: true,
      phase: "Pending",
      cgroup: false,
    });
    world.pod("free", { gated: true, phase: "Pending", cgroup: false });
    await world.clock.advance(200);
    assert.equal(world.condition("free")?.reason, "NotRequired");
    await world.clock.advance(2_000);
    assert.equal(world.condition("a"), undefined);
    assert.equal(world.current?.agent.readiness().ok, true);
    world.node.addCgroup(uid);
    await world.clock.advance(1_000);
    assert.deepEqual(world.condition("a")?.status, "True");
    assert.equal(ingressRule(world, uid, 22), 1);
    // Nothing is required any more: the gate still needs its True.
    await world.deletePcmc("web");
    await world.clock.advance(1_000);
    assert.equal(world.condition("a")?.reason, "NotRequired");
  }));

Deno.test("agent: a cgroup that stays away is told, retried at a bounded pace, and found when it comes", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    const { metadata: { uid } } = world.pod("a", { cgroup: false });
    const { agent } = world.start();
    await world.clock.advance(5_000);
    assert.equal(world.condition("a")?.reason, "CgroupNotFound");
    assert.match(agent.readiness().detail, /ns\/a: CgroupNotFound/);
    await world.clock.advance(120_000);
    const before = world.node.steps;
    await world.clock.advance(60_000);
    assert.ok(world.node.steps - before < 20, `${world.node.steps - before} steps a minute`);
    world.node.addCgroup(uid);
    await world.clock.advance(60_000);
    assert.equal(world.condition("a")?.reason, "Applied");
    assert.equal(agent.readiness().ok, true);
  }));

Deno.test("agent: a failure has its reason, names the configs, leaves nothing half attached, and passes", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    world.pcmc("count", calls("read"));
    world.pod("a");
    world.node.onStep = (step) => {
      if (step === "firewall attach m6") throw new EbpfError("AttachConflict", "Cannot attach: x");
    };
    const { tally, agent } = world.start();
    await world.clock.advance(20_000);
    assert.equal(world.node.firewalls.size, 0);
    assert.equal(world.node.rows.size, 1);
    const { status, reason, message = "" } = world.condition("a") ?? {};
    assert.deepEqual([status, reason], ["False", "AttachConflict"]);
    assert.match(message, /^revision [0-9a-f]{12}, failed web: Cannot attach: x\.$/);
    assert.ok((tally.errors.get("ns/a l4_firewall AttachConflict") ?? 0) < 15);
    assert.deepEqual([...tally.failingNow], [["AttachConflict", 1]]);
    assert.equal(tally.attachedNow.get("ns/a l4_firewall"), 0);
    assert.equal(tally.attachedNow.get("ns/a syscall_counter"), 1);
    assert.equal(agent.readiness().ok, false);
    const events = world.cluster.list("events.k8s.io/v1", "Event");
    assert.deepEqual(events.map((event) => event["reason"]), ["EbpfNotApplied"]);

    world.node.onStep = () => {};
    await world.clock.advance(60_000);
    assert.equal(world.condition("a")?.reason, "Applied");
    assert.deepEqual([...tally.failingNow], []);
    assert.equal(agent.readiness().ok, true);
  }));

Deno.test("agent: one Pod's failure is that Pod's, and the node stays served; at the start it has a minute", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    world.pod("a");
    // Running before a reboot, and not yet again.
    const { metadata: { uid } } = world.pod("b", { cgroup: false });
    const first = world.start();
    await world.clock.advance(30_000);
    assert.deepEqual(["a", "b"].map((pod) => world.condition(pod)?.reason), [
      "Applied",
      "CgroupNotFound",
    ]);
    assert.equal(first.agent.readiness().ok, false);
    await world.clock.advance(31_000);
    assert.deepEqual(first.agent.readiness(), { ok: true, detail: "Pod ns/b: CgroupNotFound" });
    world.node.addCgroup(uid);
    await world.clock.advance(60_000);
    assert.equal(first.agent.readiness().detail, "all Pods are as wanted");
    await world.stop();

    // Once all were as wanted, a single failure never counts.
    const second = world.start();
    await world.clock.advance(1_000);
    assert.equal(second.agent.readiness().ok, true);
    world.node.removeCgroup(uid);
    await world.changePcmc("web", firewall({ allowedPorts: [81] }));
    await world.clock.advance(5_000);
    assert.deepEqual(second.agent.readiness(), { ok: true, detail: "Pod ns/b: CgroupNotFound" });
    assert.equal(world.condition("a")?.reason, "Applied");
  }));

Deno.test("agent: counts go on over a restart, what happened meanwhile included, and are never added twice", () =>
  withWorld(async (world) => {
    world.pcmc("count", calls("read"));
    const { metadata: { uid } } = world.pod("a");
    const first = world.start();
    await world.clock.advance(3_000);
    world.node.call(uid, READ, 100);
    await world.clock.advance(3_000);
    world.node.call(uid, READ, 11);
    await world.clock.advance(3_000);
    assert.equal(first.tally.calls.get("ns/a read"), 111);
    first.process.crash();
    world.node.call(uid, READ, 1_000);
    const { tally } = world.start();
    await world.clock.advance(3_000);
    world.node.call(uid, READ, 1);
    await world.clock.advance(3_000);
    assert.equal(tally.calls.get("ns/a read"), 1_112);
    assert.equal(world.node.rows.size, 1);
  }));

Deno.test("agent: updateInterval is how often metrics are read, and without export there are no series", () =>
  withWorld(async (world) => {
    const slow = { metricsExport: { enabled: true, updateInterval: "30s" } };
    world.pcmc("count", { ...calls("read"), ...slow });
    const { metadata: { uid } } = world.pod("a");
    const { tally } = world.start();
    await world.clock.advance(10_000);
    world.node.call(uid, READ, 5);
    await world.clock.advance(10_000);
    assert.equal(tally.calls.get("ns/a read"), undefined);
    await world.clock.advance(15_000);
    assert.equal(tally.calls.get("ns/a read"), 5);

    await world.changePcmc("count", { ...calls("read"), metricsExport: { enabled: false } });
    await world.clock.advance(1_000);
    world.node.call(uid, READ, 5);
    await world.clock.advance(60_000);
    assert.deepEqual([...tally.calls, ...tally.attachedNow], []);
    assert.equal(world.condition("a")?.status, "True");
  }));

Deno.test("agent: a Pod of the same name begins anew", () =>
  withWorld(async (world) => {
    world.pcmc("count", calls("read"));
    const { metadata: { uid } } = world.pod("a");
    const { tally } = world.start();
    await world.clock.advance(2_000);
    world.node.call(uid, READ, 7);
    await world.clock.advance(2_000);
    await world.deletePod("a");
    const again = world.pod("a");
    await world.clock.advance(2_000);
    world.node.call(again.metadata.uid, READ, 2);
    await world.clock.advance(2_000);
    assert.equal(tally.calls.get("ns/a read"), 2);
    assert.equal(world.node.rows.size, 1);
  }));

Deno.test("agent: a failing canary makes every firewall not applied, and its recovery applied", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    world.pcmc("count", calls("read"), { matchLabels: { app: "count" } });
    const { metadata: { uid } } = world.pod("a");
    world.node.canaryPasses = false;
    const { agent, tally } = world.start({ canaryMs: 60_000 });
    await world.clock.advance(2_000);
    assert.equal(world.condition("a")?.reason, "CanaryFailed");
    // The rules are there all the same: better than none.
    assert.equal(ingressRule(world, uid, 22), 1);
    assert.equal(agent.readiness().ok, false);
    world.node.canaryPasses = true;
    await world.clock.advance(70_000);
    assert.equal(world.condition("a")?.reason, "Applied");
    assert.deepEqual(tally.canaries, ["failed", "ok"]);
  }));

Deno.test("agent: a namespace that options exclude gets a clear word and no program", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    world.pod("a");
    const { agent } = world.start({ ebpfNamespaces: ["other"] });
    await world.clock.advance(2_000);
    assert.equal(world.condition("a")?.reason, "NamespaceExcluded");
    assert.deepEqual(world.node.leftovers, []);
    assert.equal(agent.readiness().ok, true);
  }));

Deno.test("agent: a second agent of the node waits, reports so, and takes over", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    const { metadata: { uid } } = world.pod("a");
    const first = world.start();
    await world.clock.advance(1_000);
    const second = world.start();
    await world.clock.advance(5_000);
    assert.equal(second.agent.readiness().ok, false);
    assert.match(second.agent.readiness().detail, /another agent/);
    first.process.crash();
    await world.clock.advance(60_000);
    assert.equal(second.agent.readiness().ok, true);
    assert.equal(world.condition("a")?.reason, "Applied");
    assert.equal(ingressRule(world, uid, 22), 1);
  }));

Deno.test("agent: beyond the counter's capacity a Pod is told so, and counted once a row is free", () =>
  withWorld(async (world) => {
    world.node.capacity = 1;
    world.pcmc("count", calls("read"));
    world.pod("a");
    world.start();
    await world.clock.advance(1_000);
    world.pod("b");
    await world.clock.advance(5_000);
    assert.equal(world.condition("b")?.reason, "CapacityExceeded");
    await world.deletePod("a");
    await world.clock.advance(60_000);
    assert.equal(world.condition("b")?.reason, "Applied");
  }));

Deno.test("agent: what Pods left that went while no agent ran is removed before the agent is ready", () =>
  withWorld(async (world) => {
    world.pcmc("both", { ...firewall(), ...calls("read") });
    world.pod("a");
    world.pod("b");
    const first = world.start();
    await world.clock.advance(1_000);
    first.process.crash();
    await world.deletePod("a");
    await world.deletePod("b");
    const { agent } = world.start();
    await world.clock.advance(2_000);
    assert.deepEqual(world.node.leftovers, []);
    assert.equal(agent.readiness().ok, true);
  }));

Deno.test("agent: a world that is as wanted costs no write", () =>
  withWorld(async (world) => {
    world.pcmc("both", { ...firewall(), ...calls("read", "nonsense") });
    world.pod("a");
    const first = world.start();
    await world.clock.advance(2_000);
    assert.match(world.condition("a")?.message ?? "", /no such system call: nonsense\./);
    first.process.crash();
    const changing: string[] = [];
    world.node.onStep = (step) => {
      if (/attach|maps|put|load|remove|detach/.test(step)) changing.push(step);
    };
    world.onWrite = ({ path }) => changing.push(path);
    world.start();
    await world.clock.advance(200_000);
    assert.deepEqual(changing, []);
  }));

Deno.test("agent: a config that nobody can read keeps what it last asked for, and holds the rules over a restart", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    const { metadata: { uid } } = world.pod("a");
    const first = world.start();
    await world.clock.advance(1_000);
    await world.changePcmc("web", firewall({ allowedPorts: [0] }));
    await world.clock.advance(1_000);
    assert.deepEqual([80, 81].map((port) => ingressRule(world, uid, port)), [0, 1]);
    first.process.crash();
    world.start();
    await world.clock.advance(1_000);
    assert.deepEqual([80, 81].map((port) => ingressRule(world, uid, port)), [0, 1]);
    assert.equal(world.condition("a")?.reason, "ConfigInvalid");
    await world.changePcmc("web", firewall({ allowedPorts: [81] }));
    await world.clock.advance(1_000);
    assert.deepEqual([80, 81].map((port) => ingressRule(world, uid, port)), [1, 0]);
    assert.equal(world.condition("a")?.reason, "Applied");
  }, { lax: true }));

Deno.test("agent: what an agent of another version left holds, too, where nobody can read its config", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    const { metadata: { uid } } = world.pod("a");
    const first = world.start();
    await world.clock.advance(1_000);
    first.process.crash();
    await world.changePcmc("web", firewall({ allowedPorts: [0] }));
    // Not whole, as this version sees it; it is made so, by the same rules.
    const [hook] = world.node.firewalls.get(uid)?.hooks ?? [];
    world.node.firewalls.get(uid)?.hooks.delete(hook as string);
    world.start();
    await world.clock.advance(1_000);
    assert.deepEqual([80, 81].map((port) => ingressRule(world, uid, port)), [0, 1]);
    assert.equal(world.condition("a")?.reason, "ConfigInvalid");
  }, { lax: true }));

Deno.test("agent: series of a namespace without Pods of the node go", () =>
  withWorld(async (world) => {
    world.pod("a");
    world.pod("b", { namespace: "other" });
    world.pod("c", { namespace: "elsewhere", nodeName: "node-2" });
    world.start();
    await world.clock.advance(1_000);
    const kept = () =>
      ["ns", "other", "elsewhere"].map((namespace) => world.keeps?.(namespace) ?? "not asked");
    assert.deepEqual(kept(), [true, true, false]);
    world.keeps = undefined;
    const path = "/api/v1/namespaces/other/pods/b";
    await world.send("DELETE", path, { gracePeriodSeconds: 0 });
    await world.clock.advance(61_000);
    assert.deepEqual(kept(), [true, false, false]);
  }));

Deno.test("agent: blocked connections are logged with their Pod", () =>
  withWorld(async (world) => {
    world.pcmc("web", firewall());
    const { metadata: { uid } } = world.pod("a");
    world.start({ verdictLogPerSecond: 10 });
    await world.clock.advance(1_000);
    world.node.verdicts.push({
      cgroupId: world.node.cgroups.get(uid) ?? 0n,
      direction: "ingress",
      protocol: "tcp",
      family: "ipv4",
      verdict: "blocked",
      remote: "00000000000000000000ffff0a000007",
      remotePort: 40_000,
      localPort: 22,
    });
    await world.clock.advance(1_000);
    assert.deepEqual(world.logged("Connection blocked"), [{
      logger: "verdicts",
      pod: "ns/a",
      direction: "ingress",
      protocol: "tcp",
      remote: "10.0.0.7",
      remotePort: 40_000,
      localPort: 22,
    }]);
    assert.equal(world.node.firewalls.get(uid)?.spec?.logPerSecond, 10);
  }));
