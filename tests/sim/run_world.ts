/**
 * Several nodes, each with a kernel that stays, and processes of the role `run` on them, which can be
 * stopped, die, stand still or be cut off. Watches over what must hold at every moment.
 */
import assert from "node:assert/strict";
import { LeaderAgent } from "../../src/agent/leader_agent.ts";
import { customResourceDefinition } from "../../src/api/crd.ts";
import { Manager } from "../../src/controllers/manager.ts";
import { projectConfigMap, projectPcmc, projectPod } from "../../src/domain/projections.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { silentLogger } from "../../src/lib/log.ts";
import { type Random, seededRandom } from "../../src/lib/random.ts";
import { VirtualClock } from "../../src/lib/virtual_clock.ts";
import { nodeOfIdentity } from "../../src/ops/identity.ts";
import { jsonCodec } from "../../src/runtime/json_codec.ts";
import type {
  JsonObject,
  JsonValue,
  RequestOptions,
  RestClient,
} from "../../src/runtime/ports/rest.ts";
import { type KubeObject, SimulatedCluster } from "../../src/simulator/cluster.ts";
import { FakeNode } from "../support/fake_kernel.ts";
import { AgentTally, CONDITION, type Condition } from "./agent_world.ts";
import { Faults } from "./faults.ts";
import { type Channel, FaultyClient, type Network } from "./faulty_client.ts";
import type { FaultyWatch } from "./faulty_watch.ts";
import { SimulatedProcess } from "./process.ts";

const LOCK = { namespace: "kube-system", name: "lock" } as const;
/** As the shipped manifests have it. */
const LEASE = { leaseDurationMs: 8_000, renewDeadlineMs: 5_000, retryPeriodMs: 1_000 };
/** A node whose Pods another one's leader does not serve is empty so long after that began. */
export const TAKEN_DOWN_MS = 2_000;
const CHECK_MS = 100;

/** One process' way to the server. */
class Connection implements Network {
  readonly clock: Clock;
  readonly faults: Faults;
  readonly watches = new Map<FaultyWatch, SimulatedProcess>();
  readonly pagesLists = false;
  readonly writesFail = false;
  /** Cut off. */
  down = false;
  readonly #client: RestClient;
  #unread: PromiseWithResolvers<void> | undefined;

  constructor(world: RunWorld, user: string) {
    this.clock = world.clock;
    this.faults = new Faults(world.random);
    this.faults.stop();
    this.#client = world.cluster.client({ user });
  }

  serverFor(_process: SimulatedProcess, { method, path }: RequestOptions): RestClient {
    const unread = this.#unread?.promise;
    if (unread === undefined || method !== "GET" || /\/leases\//.test(path)) return this.#client;
    // deno-lint-ignore no-explicit-any
    const later = async (request: any): Promise<any> => {
      await unread;
      return await this.#client.performRequest(request);
    };
    return { defaultNamespace: "default", performRequest: later };
  }

  /** From now on reads are not answered; watches go on. */
  holdReads(): void {
    this.#unread = Promise.withResolvers();
  }

  answerReads(): void {
    this.#unread?.resolve();
    this.#unread = undefined;
  }

  /** Nothing comes of what is watched, and nobody knows. */
  silence(): void {
    for (const watch of this.watches.keys()) watch.silence();
  }

  cut(): void {
    this.down = true;
    for (const watch of [...this.watches.keys()]) watch.break();
  }

  heal(): void {
    this.down = false;
  }

  crash(process: SimulatedProcess): void {
    process.crash();
  }

  note(): void {}
}

export class RunProcess {
  readonly name: string;
  readonly nodeName: string;
  readonly process: SimulatedProcess;
  readonly connection: Connection;
  readonly agent: LeaderAgent;
  readonly manager: Manager;
  readonly tally = new AgentTally();
  readonly stop = new AbortController();
  readonly done: Promise<void>;
  ended = false;
  /** Seen to have ended or died. */
  gone = false;
  /** Monotonic ms since which it could have seen to its node without a break. */
  ableSince: number;

  constructor(world: RunWorld, name: string, nodeName: string) {
    this.name = name;
    this.nodeName = nodeName;
    const { clock } = world;
    this.process = new SimulatedProcess({ name, clock, random: world.random });
    this.connection = new Connection(world, name);
    const rest = (channel: Channel) =>
      new FaultyClient(this.connection, {
        process: this.process,
        channel,
        witness: { sent: () => {}, reached: () => {}, answered: () => {} },
      });
    const clients = { api: rest("api"), watch: rest("watch"), lease: rest("lease") };
    const identity = `system/${name}_${nodeName}`;
    this.agent = new LeaderAgent({
      dependencies: {
        rest: clients,
        node: world.node(nodeName).ports(this.process),
        clock: this.process.clock,
        random: world.random,
        log: silentLogger,
        metrics: this.tally,
        runtimeMetrics: {},
        settings: agentSettings(nodeName, identity),
      },
      lease: { rest: clients.lease, ...LOCK, identity, nodeOf: nodeOfIdentity },
    });
    this.manager = createManager({ world, clients, process: this.process, identity }, this.agent);
    this.ableSince = clock.monotonic();
    this.done = this.#run();
  }

  async #run(): Promise<void> {
    const { signal } = this.stop;
    await Promise.all([this.manager.run(signal), this.agent.run(signal)]);
    this.ended = true;
  }

  /** Runs, and reaches the server. */
  get able(): boolean {
    const { crashed, paused } = this.process;
    return !crashed && !paused && !this.ended && !this.connection.down;
  }

  /** SIGTERM. */
  terminate(): void {
    this.stop.abort(new DOMException("SIGTERM", "AbortError"));
  }
}

function agentSettings(nodeName: string, identity: string) {
  return {
    role: "leader",
    nodeName,
    namespaces: [],
    ebpfNamespaces: [],
    identity,
    architecture: "x86_64",
    pids: false,
    verdictLogPerSecond: 0,
    verifyMs: 60_000,
    canaryMs: 300_000,
    maxRetries: 5,
    reconciliationTimeoutMs: 30_000,
  } as const;
}

function createManager(
  { world, clients, process, identity }: {
    world: RunWorld;
    clients: { api: RestClient; watch: RestClient; lease: RestClient };
    process: SimulatedProcess;
    identity: string;
  },
  service: LeaderAgent,
): Manager {
  const ignore = () => {};
  return new Manager({
    rest: clients,
    codecs: {
      pods: jsonCodec(projectPod),
      configMaps: jsonCodec(projectConfigMap),
      pcmcs: jsonCodec(projectPcmc),
    },
    clock: process.clock,
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
    service,
    settings: {
      namespaces: [],
      leaderElection: {
        enabled: true,
        ...LEASE,
        lockName: LOCK.name,
        lockNamespace: LOCK.namespace,
      },
      identity,
      resyncPeriodMs: 600_000,
      podWorkers: 1,
      pcmcWorkers: 1,
      workerInflight: 32,
      maxRetries: 5,
      reconciliationTimeoutMs: 30_000,
    },
  });
}

export const PCMCS = "/apis/podconfig.example.com/v1alpha1/namespaces/ns/podconfigmapconfigs";
const specOf = (ebpfConfig: JsonObject) => ({
  podSelector: { matchLabels: { app: "x" } },
  ebpfConfig,
});

export class RunWorld {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly cluster: SimulatedCluster;
  readonly processes: RunProcess[] = [];
  readonly violations: string[] = [];
  /** What was done to a kernel, as `node step`. */
  readonly steps: string[] = [];
  readonly #nodes = new Map<string, FakeNode>();
  readonly #client: RestClient;
  readonly #watching: AbortController = new AbortController();
  /** The node that the lease names, and since when. */
  #holder = { node: "", since: 0 };
  /** The same of the last one that it named. */
  #lastHolder = { node: "", since: 0 };
  readonly #claimedAt = new Map<string, number>();

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.cluster = new SimulatedCluster({
      clock: this.clock,
      random: seededRandom(seed + 1),
      crds: [customResourceDefinition() as unknown as JsonValue],
    });
    this.#client = this.cluster.client();
    this.#watchOver();
  }

  node(name: string): FakeNode {
    let node = this.#nodes.get(name);
    if (node === undefined) {
      node = new FakeNode();
      this.#nodes.set(name, node);
      node.onTouch = (process, step) => this.#touched(name, process, step);
      node.onClaim = () => this.#claimedAt.set(name, this.clock.monotonic());
    }
    return node;
  }

  #touched(name: string, process: SimulatedProcess, step: string): void {
    this.steps.push(`${name} ${step}`);
    if (this.node(name).owner !== process) {
      this.violations.push(`${process.name} did "${step}" on ${name}, which it does not own`);
    }
    this.#noteHolder();
    const { node, since } = this.#lastHolder;
    if (step === "clear" && node === name && since < (this.#claimedAt.get(name) ?? 0)) {
      this.violations.push(`${process.name} took down what is at work on ${name}, which leads`);
    }
  }

  start(name: string, nodeName: string): RunProcess {
    const process = new RunProcess(this, name, nodeName);
    this.processes.push(process);
    return process;
  }

  crash(process: RunProcess): void {
    process.process.crash();
  }

  /** The node that the lease names; empty: nobody holds it. */
  get leadingNode(): string {
    const spec = this.#lease?.["spec"] as { holderIdentity?: string } | undefined;
    return nodeOfIdentity(spec?.holderIdentity ?? "") ?? "";
  }

  get #lease(): KubeObject | undefined {
    return this.cluster.get("coordination.k8s.io/v1", "Lease", LOCK.namespace, LOCK.name);
  }

  #watchOver(): void {
    if (this.#watching.signal.aborted) return;
    this.#look();
    this.clock.setTimer(CHECK_MS, () => this.#watchOver());
  }

  #noteHolder(): void {
    const node = this.leadingNode;
    if (node === this.#holder.node) return;
    this.#holder = { node, since: this.clock.monotonic() };
    if (node !== "" && node !== this.#lastHolder.node) this.#lastHolder = this.#holder;
  }

  #look(): void {
    this.#noteHolder();
    const now = this.clock.monotonic();
    const { node } = this.#holder;
    for (const process of this.processes) {
      // One that has died has let the node go by then.
      if (!process.able && !process.gone) process.ableSince = now;
      if (process.process.crashed || process.ended) process.gone = true;
    }
    if (node === "") return;
    for (const [name, { leftovers }] of this.#nodes) {
      if (name === node || leftovers.length === 0) continue;
      // Whoever stands still or is cut off may hold the node: nobody else can do anything there.
      const here = this.processes.filter(({ nodeName }) => nodeName === name);
      const since = Math.max(this.#holder.since, ...here.map(({ ableSince }) => ableSince));
      if (here.every(({ gone }) => gone) || now - since <= TAKEN_DOWN_MS) continue;
      this.violations.push(`${name} does not lead and still has ${leftovers.join(", ")}`);
    }
  }

  pod(name: string, nodeName: string, options: { gated?: boolean; app?: string } = {}): string {
    const { gated = false, app = "x" } = options;
    const [pod] = this.cluster.seed([{
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "ns", labels: { app } },
      spec: {
        nodeName,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: "c", image: "i" }],
        ...(gated ? { readinessGates: [{ conditionType: CONDITION }] } : {}),
      },
      status: { phase: "Running", podIP: "10.1.0.9" },
    }]);
    const { uid } = (pod as KubeObject).metadata;
    this.node(nodeName).addCgroup(uid);
    return uid;
  }

  pcmc(name: string, ebpfConfig: JsonObject): void {
    this.cluster.seed([{
      apiVersion: "podconfig.example.com/v1alpha1",
      kind: "PodConfigMapConfig",
      metadata: { name, namespace: "ns" },
      spec: specOf(ebpfConfig),
    }]);
  }

  async changePcmc(name: string, ebpfConfig: JsonObject): Promise<void> {
    const body = [{ op: "replace", path: "/spec", value: specOf(ebpfConfig) }];
    await this.send("PATCH", `${PCMCS}/${name}`, body, "application/json-patch+json");
  }

  send(method: string, path: string, bodyJson: JsonValue, contentType?: string): Promise<unknown> {
    const request = { method, path, bodyJson, expectJson: true };
    const more = contentType === undefined ? {} : { contentType };
    return this.#client.performRequest({ ...request, ...more } as RequestOptions);
  }

  condition(pod: string): Condition | undefined {
    const status = this.cluster.get("v1", "Pod", "ns", pod)?.["status"] as
      | { conditions?: (Condition & { type: string })[] }
      | undefined;
    return status?.conditions?.find(({ type }) => type === CONDITION);
  }

  /** What the ConfigMap of that Pod and PodConfigMapConfig says. */
  ebpfStatus(pod: string, pcmc = "web"): string | undefined {
    const data = this.cluster.get("v1", "ConfigMap", "ns", `pod-${pod}-from-${pcmc}-cfg`)?.["data"];
    return (data as Record<string, string> | undefined)?.["ebpf_status"];
  }

  /** Seconds of the clock until `holds`, looked at ten times a second. */
  async until(what: string, holds: () => boolean, limitMs = 60_000): Promise<number> {
    const from = this.clock.monotonic();
    while (!holds()) {
      assert.ok(this.clock.monotonic() - from < limitMs, `not within ${limitMs} ms: ${what}`);
      await this.clock.advance(CHECK_MS);
    }
    return this.clock.monotonic() - from;
  }

  /** Stops what runs; nothing may be left of it. */
  async end(): Promise<void> {
    for (const process of this.processes) {
      process.connection.heal();
      process.process.wake();
      process.terminate();
    }
    await this.clock.advance(20_000);
    this.#watching.abort();
    await this.clock.advance(CHECK_MS);
    this.cluster.stop();
    const alive = this.processes.filter(({ process, ended }) => !process.crashed && !ended);
    assert.deepEqual(alive.map(({ name }) => name), [], "processes that do not end");
    assert.equal(this.clock.pendingTimers, 0, "timers of processes that ended");
    assert.deepEqual(this.violations, []);
  }
}
