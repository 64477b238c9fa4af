import assert from "node:assert/strict";
import { EbpfError } from "../../src/agent/ports.ts";
import { Manager } from "../../src/controllers/manager.ts";
import { projectConfigMap, projectPcmc, projectPod } from "../../src/domain/projections.ts";
import { silentLogger } from "../../src/lib/log.ts";
import { jsonCodec } from "../../src/runtime/json_codec.ts";
import type { JsonObject } from "../../src/runtime/ports/rest.ts";
import { AgentWorld } from "./agent_world.ts";

const FIREWALL = { l4Firewall: { enabled: true, blockedPorts: [22] } };

function startController(world: AgentWorld) {
  const rest = world.cluster.client({ user: "controller" });
  const ignore = () => {};
  const manager = new Manager({
    rest: { api: rest, watch: rest, lease: rest },
    codecs: {
      pods: jsonCodec(projectPod),
      configMaps: jsonCodec(projectConfigMap),
      pcmcs: jsonCodec(projectPcmc),
    },
    clock: world.clock,
    random: world.random,
    log: silentLogger,
    metrics: {
      configMapOperation: ignore,
      pcmcStatus: ignore,
      activeConfigMaps: ignore,
      forgetPcmc: ignore,
      eventToWrite: ignore,
    },
    runtimeMetrics: {},
    settings: {
      // The agents' namespace is watched for them alone.
      namespaces: ["ns"],
      agents: { namespace: "system", watch: true },
      leaderElection: {
        enabled: false,
        leaseDurationMs: 15_000,
        renewDeadlineMs: 10_000,
        retryPeriodMs: 2_000,
        lockName: "lock",
        lockNamespace: "ns",
      },
      identity: "controller",
      resyncPeriodMs: 600_000,
      podWorkers: 1,
      pcmcWorkers: 1,
      workerInflight: 32,
      maxRetries: 5,
      reconciliationTimeoutMs: 30_000,
    },
  });
  const stop = new AbortController();
  const done = manager.run(stop.signal);
  return async () => {
    stop.abort();
    await world.clock.advance(5_000);
    await done;
  };
}

function addAgentPod(world: AgentWorld): void {
  world.pod("agent-x", {
    namespace: "system",
    cgroup: false,
    labels: {
      "app.kubernetes.io/name": "podconfigmap-controller",
      "app.kubernetes.io/component": "agent",
    },
  });
}

/** As the kubelet does after asking /readyz. */
async function setReady(world: AgentWorld, ready: boolean): Promise<void> {
  const status = ready ? "True" : "False";
  await world.send("PATCH", "/api/v1/namespaces/system/pods/agent-x/status", {
    status: { conditions: [{ type: "Ready", status }] },
  }, "application/strategic-merge-patch+json");
  await world.clock.advance(1_000);
}

function view(world: AgentWorld) {
  const data = world.cluster.get("v1", "ConfigMap", "ns", "pod-a-from-web-cfg")?.["data"];
  const status = world.cluster.get(
    "podconfig.example.com/v1alpha1",
    "PodConfigMapConfig",
    "ns",
    "web",
  )?.["status"] as { conditions?: { type: string; reason: string }[]; ebpf?: JsonObject };
  return {
    configMap: (data as Record<string, string>)["ebpf_status"],
    reason: status.conditions?.find(({ type }) => type === "EbpfApplied")?.reason,
  };
}

function resourceVersions(world: AgentWorld): string[] {
  return [
    world.cluster.get("v1", "ConfigMap", "ns", "pod-a-from-web-cfg"),
    world.cluster.get("podconfig.example.com/v1alpha1", "PodConfigMapConfig", "ns", "web"),
  ].map((object) => object?.metadata.resourceVersion ?? "none");
}

Deno.test("what agents do is seen in ConfigMaps and in the PodConfigMapConfig, and what no agent does, too", async () => {
  const world = new AgentWorld(3);
  world.pcmc("web", FIREWALL);
  world.pod("a");
  const stopController = startController(world);
  await world.clock.advance(2_000);
  assert.deepEqual(view(world), { configMap: "unserved", reason: "NoAgent" });

  addAgentPod(world);
  world.start();
  await world.clock.advance(1_000);
  assert.equal(world.current?.agent.readiness().ok, true);
  // It has done its work, and is not Ready yet.
  assert.equal(view(world).configMap, "unserved");
  await setReady(world, true);
  assert.deepEqual(view(world), { configMap: "applied", reason: "Applied" });

  world.node.onStep = (step) => {
    if (step === "firewall maps") throw new EbpfError("LoadFailed", "Cannot load: y");
  };
  await world.changePcmc("web", { l4Firewall: { enabled: true, blockedPorts: [23] } });
  await world.clock.advance(2_000);
  assert.deepEqual(view(world), { configMap: "failed", reason: "ApplyFailed" });
  world.node.onStep = () => {};
  await world.clock.advance(10_000);
  assert.deepEqual(view(world), { configMap: "applied", reason: "Applied" });

  // A restart of the agent: nothing is written.
  const before = resourceVersions(world);
  await setReady(world, false);
  await world.clock.advance(25_000);
  await setReady(world, true);
  await world.clock.advance(60_000);
  assert.deepEqual(resourceVersions(world), before);

  await setReady(world, false);
  await world.clock.advance(30_000);
  assert.deepEqual(view(world), { configMap: "unserved", reason: "NoAgent" });
  await setReady(world, true);
  assert.equal(view(world).configMap, "applied");
  await world.send("DELETE", "/api/v1/namespaces/system/pods/agent-x", { gracePeriodSeconds: 0 });
  await world.clock.advance(31_000);
  assert.equal(view(world).configMap, "unserved");

  // The rules hold all the while.
  assert.equal(world.node.firewalls.size, 1);
  await stopController();
  await world.stop();
  world.end();
  assert.equal(world.clock.pendingTimers, 0);
});
