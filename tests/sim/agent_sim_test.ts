/**
 * The agent by seed: Pods and configs come, change and go, the kernel refuses steps, the agent dies
 * between any two of them. What must hold at every moment, and what must be true once all is quiet.
 */
import assert from "node:assert/strict";
import { EbpfError, FAILURE_REASONS } from "../../src/agent/ports.ts";
import { ruleOf } from "../../src/domain/firewall_rules.ts";
import { pick, randomInt, seededRandom } from "../../src/lib/random.ts";
import type { JsonObject, RequestOptions } from "../../src/runtime/ports/rest.ts";
import type { KubeObject } from "../../src/simulator/cluster.ts";
import { hooksOf } from "../support/fake_kernel.ts";
import { AgentWorld, CONDITION } from "./agent_world.ts";

const SEEDS = 40;
const STEPS = 60;
const POD_NAMES = ["a", "b", "c", "d"];
const PCMC_NAMES = ["one", "two", "three"];
const APPS = ["x", "y"];
const CALLS = { read: 0, write: 1, openat: 257 } as const;
const PORTS = [22, 80, 443];

interface Config {
  readonly l4Firewall?: {
    enabled: boolean;
    blockedPorts: number[];
    allowedPorts: number[];
    defaultAction: string;
  };
  readonly syscallMonitoring?: { enabled: boolean; syscallNames: (keyof typeof CALLS)[] };
}

interface Spec {
  readonly podSelector?: { readonly matchLabels: { readonly app: string } };
  readonly ebpfConfig?: Config;
}

/** How often each fault fired, over all seeds: one that never does proves nothing. */
const fired = { failure: 0, crash: 0, podGone: 0, cgroupGone: 0, pcmcGone: 0 };

class Run {
  readonly world: AgentWorld;
  readonly #random;
  #failing = false;
  #crashAt = Infinity;

  constructor(seed: number) {
    this.world = new AgentWorld(seed);
    this.#random = seededRandom(seed * 7919);
    this.world.node.onStep = () => this.#step();
    this.world.onWrite = (request) => this.#checkClaim(request);
    this.world.start();
  }

  #step(): void {
    const { node, current } = this.world;
    if (node.steps >= this.#crashAt) {
      this.#crashAt = Infinity;
      fired.crash++;
      current?.process.crash();
    }
    if (!this.#failing || this.#random.next() > 0.3) return;
    fired.failure++;
    throw new EbpfError(
      pick(this.#random, FAILURE_REASONS.filter((r) => r !== "AnotherAgent")),
      "Cannot",
    );
  }

  /** What an agent says to be applied holds in that moment. */
  #checkClaim({ path, bodyJson }: RequestOptions): void {
    const name = /\/pods\/(\w+)\/status$/.exec(path)?.[1];
    const { metadata, status } = (bodyJson ?? {}) as {
      metadata?: { uid: string };
      status?: { conditions: { type: string; status: string; reason: string; message: string }[] };
    };
    const condition = status?.conditions.find(({ type }) => type === CONDITION);
    if (name === undefined || condition?.reason !== "Applied" || metadata === undefined) return;
    const firewall = this.world.node.firewalls.get(metadata.uid);
    if (firewall === undefined) return;
    assert.ok(firewall.spec !== undefined, "applied without rules");
    assert.deepEqual([...firewall.hooks].sort(), hooksOf(firewall.spec).sort());
    assert.equal(firewall.cgroupId, this.world.node.cgroups.get(metadata.uid));
  }

  async act(): Promise<void> {
    const { world } = this;
    const random = this.#random;
    const pods = world.cluster.list("v1", "Pod");
    const pcmcs = this.#pcmcs();
    const name = pick(random, POD_NAMES);
    const pcmc = pick(random, PCMC_NAMES);
    const pod = pods.find(({ metadata }) => metadata.name === name);
    switch (randomInt(random, 0, 8)) {
      case 0:
      case 1:
        if (pod === undefined) {
          world.pod(name, { labels: { app: pick(random, APPS) }, gated: random.next() < 0.5 });
        }
        break;
      case 2:
        if (pod === undefined) break;
        fired.podGone++;
        if (random.next() < 0.5) world.node.removeCgroup(pod.metadata.uid);
        await world.deletePod(name);
        world.node.removeCgroup(pod.metadata.uid);
        break;
      case 3: {
        if (pod === undefined) break;
        fired.cgroupGone++;
        world.node.removeCgroup(pod.metadata.uid);
        world.node.addCgroup(pod.metadata.uid);
        break;
      }
      case 4:
      case 5:
        await this.#changeConfig(pcmcs, pcmc);
        break;
      case 6:
        if (!pcmcs.has(pcmc)) break;
        fired.pcmcGone++;
        await world.deletePcmc(pcmc);
        break;
      case 7:
        this.#failing = !this.#failing;
        break;
      case 8:
        if (world.current?.process.crashed) world.start();
        else this.#crashAt = world.node.steps + randomInt(random, 1, 25);
    }
    await world.clock.advance(randomInt(random, 0, 2_000));
  }

  async #changeConfig(pcmcs: Map<string, KubeObject>, name: string): Promise<void> {
    const random = this.#random;
    const some = <T>(items: readonly T[]) => items.filter(() => random.next() < 0.5);
    const config: Config = {
      l4Firewall: {
        enabled: random.next() < 0.7,
        blockedPorts: some(PORTS),
        allowedPorts: some(PORTS),
        defaultAction: pick(random, ["allow", "block"]),
      },
      syscallMonitoring: {
        enabled: random.next() < 0.5,
        syscallNames: some(["read", "write", "openat"] as const),
      },
    };
    const selector = random.next() < 0.5 ? { matchLabels: { app: pick(random, APPS) } } : undefined;
    const given = config as unknown as JsonObject;
    if (pcmcs.has(name)) await this.world.changePcmc(name, given, selector);
    else this.world.pcmc(name, given, selector);
  }

  #pcmcs(): Map<string, KubeObject> {
    const all = this.world.cluster.list(
      "podconfig.example.com/v1alpha1",
      "PodConfigMapConfig",
    );
    return new Map(all.map((pcmc) => [pcmc.metadata.name, pcmc]));
  }

  /** Trouble ends; the agent runs. */
  async quiet(): Promise<void> {
    this.#failing = false;
    this.#crashAt = Infinity;
    if (this.world.current?.process.crashed) this.world.start();
    // Past the longest retry, and a look without a reason.
    await this.world.clock.advance(600_000);
  }

  checkEnd(): void {
    const { world } = this;
    const pods = world.cluster.list("v1", "Pod");
    const uids = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const uid of world.node.firewalls.keys()) assert.ok(uids.has(uid), "a firewall is left");
    const expectedRows = pods.filter((pod) => this.#checkPod(pod)).length;
    assert.equal(world.node.rows.size, expectedRows, "rows");
    const counting = expectedRows > 0;
    assert.deepEqual(world.node.counter, { attached: counting, present: counting });
    const { agent } = world.current ?? assert.fail("no agent");
    assert.deepEqual(agent.readiness(), { ok: true, detail: "all Pods are as wanted" });
  }

  /** Whether the Pod is to have a row. */
  #checkPod(pod: KubeObject): boolean {
    const { node } = this.world;
    const { uid, name, labels = {} } = pod.metadata;
    const specs = [...this.#pcmcs().values()].map((pcmc) => pcmc["spec"] as Spec)
      .filter(({ podSelector }) => !podSelector || podSelector.matchLabels.app === labels["app"]);
    const firewalls = specs.flatMap(({ ebpfConfig }) =>
      ebpfConfig?.l4Firewall?.enabled ? [ebpfConfig.l4Firewall] : []
    );
    const monitors = specs.flatMap(({ ebpfConfig }) =>
      ebpfConfig?.syscallMonitoring?.enabled ? [ebpfConfig.syscallMonitoring] : []
    );
    const firewall = node.firewalls.get(uid);
    assert.equal(firewall !== undefined, firewalls.length > 0, `firewall of ${name}`);
    if (firewall !== undefined) {
      assert.equal(firewall.cgroupId, node.cgroups.get(uid));
      const plane = firewall.spec?.planes[0] ?? assert.fail("no rules");
      for (const port of [...PORTS, 9]) {
        const blocked = firewalls.some((one) => one.blockedPorts.includes(port)) ||
          (!firewalls.some((one) => one.allowedPorts.includes(port)) &&
            firewalls.some((one) => one.defaultAction === "block"));
        assert.equal(ruleOf(plane, port), blocked ? 1 : 0, `port ${port} of ${name}`);
      }
    }
    const cgroup = node.cgroups.get(uid);
    const row = [...node.rows.values()].find(({ ids }) => cgroup !== undefined && ids.has(cgroup));
    const numbers = monitors.some(({ syscallNames }) => syscallNames.length === 0)
      ? undefined
      : new Set(monitors.flatMap(({ syscallNames }) => syscallNames.map((call) => CALLS[call])));
    assert.equal(row !== undefined, monitors.length > 0, `row of ${name}`);
    if (row !== undefined) assert.equal(row.spec.numbers.length, numbers?.size ?? 512);
    const wanted = firewalls.length + monitors.length > 0;
    const gated = (pod["spec"] as { readinessGates?: unknown[] }).readinessGates !== undefined;
    const reason = wanted ? "Applied" : gated ? "NotRequired" : undefined;
    assert.equal(this.world.condition(name)?.reason, reason, `condition of ${name}`);
    return monitors.length > 0;
  }
}

Deno.test("agent: by seed, through refusals and deaths at any step, the kernel ends as wanted and nothing leaks", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = new Run(seed);
    try {
      for (let step = 0; step < STEPS; step++) await run.act();
      await run.quiet();
      run.checkEnd();
      await run.world.stop();
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    } finally {
      run.world.end();
    }
  }
  for (const [fault, times] of Object.entries(fired)) assert.ok(times > 20, `${fault}: ${times}`);
});
