/**
 * The role `run` by seed: processes on three nodes stop, die, stand still and are cut off while Pods and
 * configs come and go. `RunWorld` watches over every moment; here is what must be true once all is quiet.
 */
import assert from "node:assert/strict";
import { ruleOf } from "../../src/domain/firewall_rules.ts";
import { pick, randomInt, seededRandom } from "../../src/lib/random.ts";
import type { JsonObject } from "../../src/runtime/ports/rest.ts";
import { hooksOf } from "../support/fake_kernel.ts";
import { type RunProcess, RunWorld } from "./run_world.ts";

const SEEDS = Number(Deno.env.get("RUN_SIM_SEEDS") ?? 60);
const STEPS = 40;
const NODES = ["node-1", "node-2", "node-3"];
const PODS = ["a", "b", "c", "d"];
const PORTS = [22, 80, 443];

/** How often each thing happened, over all seeds: one that never does proves nothing. */
const fired = { stop: 0, crash: 0, pause: 0, cut: 0, podGone: 0, change: 0, otherNode: 0 };

class Run {
  readonly world: RunWorld;
  readonly #random;
  #names = 0;
  #blocked: readonly number[] = [];
  /** Pod -> its node. */
  readonly #pods = new Map<string, { readonly uid: string; readonly nodeName: string }>();
  #leadingNode = "";

  constructor(seed: number) {
    this.world = new RunWorld(seed);
    this.#random = seededRandom(seed * 104_729);
    this.world.pcmc("web", this.#config());
    for (const node of NODES) this.#start(node);
  }

  #config(): JsonObject {
    this.#blocked = PORTS.filter(() => this.#random.next() < 0.5);
    return {
      l4Firewall: { enabled: true, blockedPorts: [...this.#blocked] },
      syscallMonitoring: { enabled: true, syscallNames: ["read"] },
    };
  }

  #start(node: string): void {
    this.world.start(`c-${++this.#names}`, node);
  }

  get #running(): RunProcess[] {
    return this.world.processes.filter(({ process, stop }) =>
      !process.crashed && !stop.signal.aborted
    );
  }

  async act(): Promise<void> {
    const { world } = this;
    const random = this.#random;
    const running = this.#running;
    // The one that leads more often than its share: the others' end changes little.
    const leader = running.find(({ manager }) => manager.leading);
    const one = leader !== undefined && random.next() < 0.5 ? leader : running.at(
      randomInt(random, 0, Math.max(0, running.length - 1)),
    );
    switch (randomInt(random, 0, 8)) {
      case 0:
      case 1:
        if (running.length < 4) this.#start(pick(random, NODES));
        break;
      case 2:
        if (one === undefined) break;
        fired.stop++;
        one.process.wake();
        one.connection.heal();
        one.terminate();
        break;
      case 3:
        if (one === undefined) break;
        fired.crash++;
        world.crash(one);
        break;
      case 4:
        if (one === undefined) break;
        if (one.process.paused) one.process.wake();
        else {
          fired.pause++;
          one.process.pause();
        }
        break;
      case 5:
        if (one === undefined) break;
        if (one.connection.down) one.connection.heal();
        else {
          fired.cut++;
          one.connection.cut();
        }
        break;
      case 6:
      case 7:
        await this.#changePod(pick(random, PODS));
        break;
      case 8:
        fired.change++;
        await world.changePcmc("web", this.#config());
    }
    await world.clock.advance(randomInt(random, 0, 12_000));
    this.#noteLeader();
  }

  #noteLeader(): void {
    const { leadingNode } = this.world;
    if (leadingNode !== "" && this.#leadingNode !== "" && leadingNode !== this.#leadingNode) {
      fired.otherNode++;
    }
    if (leadingNode !== "") this.#leadingNode = leadingNode;
  }

  async #changePod(name: string): Promise<void> {
    const { world } = this;
    const known = this.#pods.get(name);
    if (known === undefined) {
      const nodeName = pick(this.#random, NODES);
      this.#pods.set(name, { uid: world.pod(name, nodeName), nodeName });
      return;
    }
    fired.podGone++;
    world.node(known.nodeName).removeCgroup(known.uid);
    this.#pods.delete(name);
    await world.send("DELETE", `/api/v1/namespaces/ns/pods/${name}`, { gracePeriodSeconds: 0 });
  }

  /** Trouble ends, and a process runs on every node. */
  async quiet(): Promise<void> {
    for (const { process, connection } of this.world.processes) {
      process.wake();
      connection.heal();
    }
    await this.world.clock.advance(5_000);
    for (const node of NODES) {
      if (!this.#running.some(({ nodeName }) => nodeName === node)) this.#start(node);
    }
    await this.world.clock.advance(120_000);
  }

  checkEnd(): void {
    const { world } = this;
    const leaders = this.#running.filter(({ manager }) => manager.leading);
    assert.deepEqual(leaders.map(({ nodeName }) => nodeName), [world.leadingNode]);
    for (const node of NODES) {
      const served = node === world.leadingNode;
      const uids = [...this.#pods.values()].filter(({ nodeName }) => nodeName === node)
        .map(({ uid }) => uid).sort();
      const { firewalls, rows } = world.node(node);
      assert.deepEqual([...firewalls.keys()].sort(), served ? uids : [], `firewalls of ${node}`);
      assert.equal(rows.size, served ? uids.length : 0, `rows of ${node}`);
      if (!served) assert.deepEqual(world.node(node).leftovers, []);
    }
    for (const [name, { uid, nodeName }] of this.#pods) {
      const served = nodeName === world.leadingNode;
      assert.equal(world.condition(name)?.reason, served ? "Applied" : "NodeUnserved", name);
      assert.equal(world.ebpfStatus(name), served ? "applied" : "unserved", name);
      if (served) this.#checkRules(nodeName, uid);
    }
  }

  #checkRules(nodeName: string, uid: string): void {
    const { spec, hooks = new Set() } = this.world.node(nodeName).firewalls.get(uid) ?? {};
    assert.ok(spec !== undefined);
    assert.deepEqual([...hooks].sort(), hooksOf(spec).sort());
    for (const port of PORTS) {
      const expected = this.#blocked.includes(port) ? 1 : 0;
      assert.equal(ruleOf(spec.planes[0] as Uint8Array, port), expected, `port ${port}`);
    }
  }
}

Deno.test("run: by seed, one node at a time has programs, each with one owner, and the leader's Pods end as wanted", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = new Run(seed);
    try {
      for (let step = 0; step < STEPS; step++) await run.act();
      await run.quiet();
      run.checkEnd();
      await run.world.end();
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    } finally {
      run.world.cluster.stop();
    }
  }
  for (const [what, times] of Object.entries(fired)) {
    assert.ok(times > SEEDS / 2, `${what}: ${times}`);
  }
});
