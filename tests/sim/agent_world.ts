/** A node with an agent on a simulated cluster: processes that can die, a kernel that stays. */
import { customResourceDefinition } from "../../src/api/crd.ts";
import { NodeAgent } from "../../src/agent/agent.ts";
import type { FailureReason, ProgramType } from "../../src/agent/ports.ts";
import type { AgentMetrics, AgentSettings, PodName } from "../../src/agent/settings.ts";
import { type LogFields, type Logger, silentLogger } from "../../src/lib/log.ts";
import { type Random, seededRandom } from "../../src/lib/random.ts";
import { VirtualClock } from "../../src/lib/virtual_clock.ts";
import type {
  JsonObject,
  JsonValue,
  RequestOptions,
  RestClient,
} from "../../src/runtime/ports/rest.ts";
import { type KubeObject, SimulatedCluster } from "../../src/simulator/cluster.ts";
import { FakeNode } from "../support/fake_kernel.ts";
import { SimulatedProcess } from "./process.ts";

export const NODE = "node-1";
export const CONDITION = "podconfig.example.com/EbpfApplied";

export interface Condition {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}

/** What one process has told its metrics. */
export class AgentTally implements AgentMetrics {
  /** `namespace/name syscall` -> calls. */
  readonly calls = new Map<string, number>();
  readonly verdictCounts = new Map<string, number>();
  readonly attachedNow = new Map<string, number>();
  readonly errors = new Map<string, number>();
  readonly canaries: string[] = [];
  failingNow: ReadonlyMap<FailureReason, number> = new Map();

  attached(pod: PodName, type: ProgramType, count: number): void {
    this.attachedNow.set(`${keyOf(pod)} ${type}`, count);
  }
  programError(pod: PodName, type: ProgramType, reason: FailureReason): void {
    add(this.errors, `${keyOf(pod)} ${type} ${reason}`, 1);
  }
  syscalls(pod: PodName, deltas: readonly { syscall: string; count: number }[]): void {
    for (const { syscall, count } of deltas) add(this.calls, `${keyOf(pod)} ${syscall}`, count);
  }
  verdicts(pod: PodName, deltas: readonly { verdict: string; count: number }[]): void {
    for (const { verdict, count } of deltas) {
      add(this.verdictCounts, `${keyOf(pod)} ${verdict}`, count);
    }
  }
  forget(pod: PodName, type: ProgramType): void {
    const prefix = `${keyOf(pod)} `;
    this.attachedNow.delete(prefix + type);
    for (const map of [type === "syscall_counter" ? this.calls : this.verdictCounts]) {
      for (const key of map.keys()) if (key.startsWith(prefix)) map.delete(key);
    }
  }
  failing(pods: ReadonlyMap<FailureReason, number>): void {
    this.failingNow = pods;
  }
  canary(result: string): void {
    this.canaries.push(result);
  }
  syscallErrors() {}
  latencies() {}
  maps() {}
  programRuns() {}
  flowFailures() {}
  verdictsNotLogged() {}
  probeExemptions() {}
  compatCalls() {}
  stopped() {
    this.failingNow = new Map();
  }
}

const keyOf = ({ namespace, name }: PodName) => `${namespace}/${name}`;
const add = (map: Map<string, number>, key: string, count: number) =>
  map.set(key, (map.get(key) ?? 0) + count);

export interface RunningAgent {
  readonly agent: NodeAgent;
  readonly process: SimulatedProcess;
  readonly tally: AgentTally;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

export class AgentWorld {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly cluster: SimulatedCluster;
  readonly node = new FakeNode();
  readonly client: RestClient;
  /** Sees every write of an agent, before the server does. */
  onWrite: (request: RequestOptions) => void = () => {};
  current: RunningAgent | undefined;
  /** Whether the agent would have that namespace's series kept; undefined before it was asked. */
  keeps: ((namespace: string) => boolean) | undefined;
  #processes = 0;
  readonly #logged: { message: string; fields: LogFields }[] = [];

  /** `lax`: the definition takes any spec, as an older one might. */
  constructor(seed: number, options: { lax?: boolean } = {}) {
    this.random = seededRandom(seed);
    this.cluster = new SimulatedCluster({
      clock: this.clock,
      random: seededRandom(seed + 1),
      crds: [options.lax ? laxDefinition() : customResourceDefinition() as unknown as JsonValue],
    });
    this.client = this.cluster.client();
  }

  start(settings: Partial<AgentSettings> = {}): RunningAgent {
    const name = `agent-${++this.#processes}`;
    const process = new SimulatedProcess({ name, clock: this.clock, random: this.random });
    const tally = new AgentTally();
    const rest = this.#rest(process);
    const agent = new NodeAgent({
      rest: { api: rest, watch: rest },
      node: this.node.ports(process),
      clock: process.clock,
      random: this.random,
      log: this.#logger({}),
      metrics: tally,
      runtimeMetrics: { keepNamespaces: (holds) => void (this.keeps = holds) },
      settings: {
        nodeName: NODE,
        namespaces: [],
        ebpfNamespaces: [],
        identity: name,
        role: "agent",
        architecture: "x86_64",
        pids: false,
        verdictLogPerSecond: 0,
        verifyMs: 60_000,
        canaryMs: 300_000,
        maxRetries: 5,
        reconciliationTimeoutMs: 30_000,
        ...settings,
      },
    });
    const stop = new AbortController();
    this.current = { agent, process, tally, stop, done: agent.run(stop.signal) };
    return this.current;
  }

  #logger(common: LogFields): Logger {
    return {
      ...silentLogger,
      info: (message, fields) =>
        void this.#logged.push({ message, fields: { ...common, ...fields } }),
      with: (fields) => this.#logger({ ...common, ...fields }),
    };
  }

  /** Fields of the lines with that message. */
  logged(message: string): LogFields[] {
    return this.#logged.filter((line) => line.message === message).map(({ fields }) => fields);
  }

  /** A dead process sends nothing, and hears nothing. */
  #rest(process: SimulatedProcess): RestClient {
    const client = this.cluster.client({ user: process.name });
    const performRequest = (request: RequestOptions) => {
      if (process.crashed) return new Promise(() => {});
      if (request.method !== "GET") this.onWrite(request);
      return process.receive(client.performRequest(request));
    };
    return { defaultNamespace: "default", performRequest } as unknown as RestClient;
  }

  /** Stops the running agent in order. */
  async stop(): Promise<void> {
    const { stop, done } = this.current ?? {};
    stop?.abort();
    await this.clock.advance(5_000);
    await done;
    this.current = undefined;
  }

  end(): void {
    this.cluster.stop();
  }

  pod(name: string, options: {
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly gated?: boolean;
    readonly phase?: string;
    readonly cgroup?: boolean;
    readonly nodeName?: string;
    /** A mirror of a static Pod that the kubelet knows by this uid. */
    readonly mirrorOf?: string;
  } = {}): KubeObject {
    const { namespace = "ns", labels = {}, gated = false, phase = "Running" } = options;
    const { mirrorOf, nodeName = NODE } = options;
    const [pod] = this.cluster.seed([{
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name,
        namespace,
        labels,
        ...(mirrorOf && mirrorMetadata(this.cluster, mirrorOf, nodeName)),
      },
      spec: {
        nodeName,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: "c", image: "i" }],
        ...(gated ? { readinessGates: [{ conditionType: CONDITION }] } : {}),
      },
      status: { phase, podIP: "10.1.0.9", conditions: [condition("Initialized")] },
    }]);
    const created = pod as KubeObject;
    if (options.cgroup ?? mirrorOf === undefined) this.node.addCgroup(created.metadata.uid);
    return created;
  }

  pcmc(name: string, ebpfConfig: JsonObject | undefined, podSelector?: JsonObject): void {
    this.cluster.seed([{
      apiVersion: "podconfig.example.com/v1alpha1",
      kind: "PodConfigMapConfig",
      metadata: { name, namespace: "ns" },
      spec: spec(ebpfConfig, podSelector),
    }]);
  }

  async changePcmc(
    name: string,
    ebpfConfig: JsonObject | undefined,
    podSelector?: JsonObject,
  ): Promise<void> {
    const bodyJson = [{ op: "replace", path: "/spec", value: spec(ebpfConfig, podSelector) }];
    await this.send("PATCH", pcmcPath(name), bodyJson, "application/json-patch+json");
  }

  deletePcmc(name: string): Promise<unknown> {
    return this.send("DELETE", pcmcPath(name), {});
  }

  deletePod(name: string): Promise<unknown> {
    return this.send("DELETE", `/api/v1/namespaces/ns/pods/${name}`, { gracePeriodSeconds: 0 });
  }

  send(method: string, path: string, bodyJson: JsonValue, contentType?: string): Promise<unknown> {
    const request = {
      method,
      path,
      bodyJson,
      expectJson: true,
      ...(contentType && { contentType }),
    };
    return this.client.performRequest(request as RequestOptions);
  }

  conditions(name: string, namespace = "ns"): Map<string, Condition> {
    const status = this.cluster.get("v1", "Pod", namespace, name)?.["status"] as
      | { conditions?: (Condition & { type: string })[] }
      | undefined;
    return new Map((status?.conditions ?? []).map((one) => [one.type, one]));
  }

  condition(name: string, namespace = "ns"): Condition | undefined {
    return this.conditions(name, namespace).get(CONDITION);
  }
}

function laxDefinition(): JsonValue {
  const definition = JSON.parse(JSON.stringify(customResourceDefinition()));
  const { properties } = definition.spec.versions[0].schema.openAPIV3Schema;
  properties.spec = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  return definition;
}

function spec(ebpfConfig: JsonObject | undefined, podSelector?: JsonObject): JsonObject {
  return {
    ...(podSelector === undefined ? {} : { podSelector }),
    ...(ebpfConfig === undefined ? {} : { ebpfConfig }),
  };
}

const pcmcPath = (name: string) =>
  `/apis/podconfig.example.com/v1alpha1/namespaces/ns/podconfigmapconfigs/${name}`;

function condition(type: string): JsonObject {
  return { type, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" };
}

/** The Node is there, or the garbage collector takes the Pod. */
function mirrorMetadata(cluster: SimulatedCluster, uid: string, nodeName: string): JsonObject {
  const node = cluster.get("v1", "Node", "", nodeName) ??
    cluster.seed([{ apiVersion: "v1", kind: "Node", metadata: { name: nodeName } }])[0];
  const names = ["hash", "mirror"].map((name) => `kubernetes.io/config.${name}`);
  const owner = { apiVersion: "v1", kind: "Node", name: nodeName, uid: node?.metadata.uid ?? "" };
  return {
    annotations: Object.fromEntries(names.map((name) => [name, uid])),
    ownerReferences: [{ ...owner, controller: true }],
  };
}
