/**
 * What observability is tested on: the program as controller and, where the kernel allows it, as an
 * agent, on a real API server, with things that go well and things that go wrong.
 */
import { Actor, connectNetworks, PEER_V4 } from "../kernel/support/actor.ts";
import { makePod, type QosClass } from "../kernel/support/kubelet.ts";
import { Sandbox } from "../kernel/support/sandbox.ts";
import { controllerCommand, HOME_NAMESPACE } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { documents, kustomize } from "../support/manifests.ts";
import { freePort, RunningProcess } from "../support/processes.ts";
import { AGENT_USER } from "./agents.ts";
import {
  condition,
  type KubeObject,
  type Namespace,
  NODE,
  type Stage,
  type Strings,
} from "./stage.ts";

export const AGENT_NAMESPACE = "podconfigmap-agent";
const OPEN = 9000;
const CLOSED = 9001;
const EBPF_CONFIG = {
  syscallMonitoring: {
    enabled: true,
    syscallNames: ["getppid", "close", "connect"],
    errors: true,
    latency: true,
  },
  l4Firewall: { enabled: true, blockedPorts: [CLOSED], directions: ["egress"] },
  metricsExport: { enabled: true, updateInterval: "1s" },
};

/** A running process and where its metrics are. */
export class Target implements AsyncDisposable {
  readonly address: string;
  readonly #process: RunningProcess;

  private constructor(address: string, process: RunningProcess) {
    this.address = address;
    this.#process = process;
  }

  /** Waits until it serves. @param before what executes the program, such as a shell that prepares. */
  static async start(
    name: string,
    options: { args: readonly string[]; env: Strings; logFile: string; before?: readonly string[] },
  ): Promise<Target> {
    const address = `127.0.0.1:${freePort()}`;
    const [command = "", ...args] = [...options.before ?? [], ...controllerCommand()];
    const process = await RunningProcess.start({
      command,
      args: [...args, ...options.args],
      env: { METRICS_ADDR: address, POD_NAME: name, ...options.env },
      logFile: options.logFile,
    });
    const target = new Target(address, process);
    await eventually(`${name} serves`, async () => {
      return process.ended !== undefined || (await target.get("/healthz")).status === 200;
    });
    if (process.ended === undefined) return target;
    throw new Error(`Cannot start ${name}: it ended\n${await process.tail()}`);
  }

  /** @throws only when nothing listens. */
  async get(path: "/healthz" | "/metrics"): Promise<{ status: number; body: string }> {
    const response = await fetch(`http://${this.address}${path}`);
    return { status: response.status, body: await response.text() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop();
  }
}

export function startController(stage: Stage): Promise<Target> {
  return Target.start("replica-1", {
    args: ["controller", "--kubeconfig", stage.kubeconfig],
    env: {
      POD_NAMESPACE: HOME_NAMESPACE,
      NODE_NAME: NODE,
      LEADER_ELECTION_LOCK_NAMESPACE: HOME_NAMESPACE,
      LEADER_ELECTION_LEASE_DURATION: "30s",
      LEADER_ELECTION_RENEW_DEADLINE: "20s",
      LEADER_ELECTION_RETRY_PERIOD: "200ms",
      AGENT_NAMESPACE,
      CONTROLLER_MAX_RETRIES: "1",
    },
    logFile: `${stage.plane.dir}/replica-1.log`,
  });
}

/** Something that goes on while it is watched, and what it takes. */
export class Shop implements AsyncDisposable {
  readonly namespace: Namespace;
  #rounds = 0;

  private constructor(namespace: Namespace) {
    this.namespace = namespace;
  }

  /** Two namespaces: one where all goes well, and one whose quota leaves no room for ConfigMaps. */
  static async open(stage: Stage): Promise<Shop> {
    const shop = new Shop(await stage.namespace("shop"));
    await shop.namespace.createPcmc("web", { labelsToInclude: ["round"], ebpfConfig: EBPF_CONFIG });
    const full = await stage.namespace("full");
    await stage.plane.expect("POST", `/api/v1/namespaces/${full.name}/resourcequotas`, {
      metadata: { name: "none" },
      spec: { hard: { "count/configmaps": "0" } },
    });
    await eventually("the quota is at work", async () => {
      const path = `/api/v1/namespaces/${full.name}/resourcequotas/none`;
      return (await stage.plane.expect("GET", path)).status.hard !== undefined;
    });
    await full.createPcmc("web", {});
    await full.createPod("web");
    await shop.namespace.createPod("web");
    // No node has a cgroup of this one.
    await shop.namespace.createPod("ghost");
    await shop.namespace.untilConfigMap("pod-web-from-web-cfg");
    await eventually("the quota is told", async () => {
      return condition(await full.pcmc("web"), "Ready")?.status === "False";
    });
    return shop;
  }

  /** One ConfigMap is created, one changed, one deleted. */
  async act(): Promise<void> {
    const round = `${this.#rounds++}`;
    const passer = `passer-${round}`;
    await this.namespace.createPod(passer);
    await this.namespace.changePod("web", { metadata: { labels: { round } } });
    await this.namespace.untilConfigMap(`pod-${passer}-from-web-cfg`);
    await this.namespace.deletePod(passer);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** The agent of the node {@link NODE}, and a process in a Pod of its. */
export class AgentScene implements AsyncDisposable {
  readonly agent: Target;
  readonly #pod: Actor;
  readonly #container: string;
  readonly #owned: AsyncDisposableStack;

  private constructor(
    agent: Target,
    pod: { actor: Actor; container: string },
    owned: AsyncDisposableStack,
  ) {
    this.agent = agent;
    this.#pod = pod.actor;
    this.#container = pod.container;
    this.#owned = owned;
  }

  /** @param pod in the API; the kubelet's part is played here. */
  static async open(stage: Stage, pod: KubeObject): Promise<AgentScene> {
    await using owned = new AsyncDisposableStack();
    const sandbox = owned.use(await Sandbox.create());
    const { qosClass } = (pod as { status?: { qosClass?: QosClass } }).status ?? {};
    const { container } = makePod(sandbox, {
      uid: pod.metadata.uid,
      ...(qosClass && { qosClass }),
    });
    const inside = owned.use(await Actor.start({ cgroup: container, network: true }));
    const peer = owned.use(await Actor.start({ network: true }));
    await connectNetworks(inside, peer);
    await peer.server(4, "stream", OPEN);
    await installAgent(stage);
    {
      // What programs cost is read every 30 s, and when an agent starts: there must be programs then.
      await using first = await startAgent(stage, sandbox);
      await untilApplied(first);
    }
    owned.use(measureProgramRuns());
    const agent = owned.use(await startAgent(stage, sandbox));
    return new AgentScene(agent, { actor: inside, container }, owned.move());
  }

  /** Connections that pass and that do not; calls that succeed and that fail. */
  async act(): Promise<void> {
    for (const port of [OPEN, CLOSED]) {
      const id = await this.#pod.socket(4, "stream");
      await this.#pod.try("connect", { id, host: PEER_V4, port, timeout: 0.5 });
      await this.#pod.do("close", { id });
    }
    const steps = [["getppid", 100], ["failing_close", 10]];
    await this.#pod.do("work", { cgroup: this.#container, steps });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

async function installAgent({ plane }: Stage): Promise<void> {
  const manifests = await kustomize(plane, "deploy/agent");
  await plane.apply(documents(manifests.filter(({ kind }) => kind !== "DaemonSet")));
  await plane.untilAllowed(AGENT_USER, { verb: "list", resource: "pods", namespace: "" });
}

async function startAgent({ plane }: Stage, sandbox: Sandbox): Promise<Target> {
  const token = await plane.serviceAccountToken(AGENT_NAMESPACE, "podconfigmap-agent");
  const kubeconfig = await plane.kubeconfigFor(token, AGENT_NAMESPACE);
  // The self-test of the firewall attaches to the agent's own cgroup.
  const script = `echo $$ > ${sandbox.cgroup("agent")}/cgroup.procs && exec "$@"`;
  return await Target.start("agent-1", {
    before: ["sh", "-c", script, "sh"],
    args: ["agent", "--kubeconfig", kubeconfig],
    env: {
      POD_NAMESPACE: AGENT_NAMESPACE,
      NODE_NAME: NODE,
      BPFFS_FOLDER: `${sandbox.bpffs}/podconfigmap`,
      CGROUP_ROOT: sandbox.root,
      EBPF_SYSCALL_PODS: "8",
    },
    logFile: `${plane.dir}/agent-1.log`,
  });
}

async function untilApplied(agent: Target): Promise<void> {
  await eventually("both programs are in place", async () => {
    const { body } = await agent.get("/metrics");
    return body.match(/^podconfigmap_controller_ebpf_attached_programs\{.* 1$/gm)?.length === 2;
  });
}

/** The kernel measures until this is disposed of. */
function measureProgramRuns(): Disposable {
  const path = "/proc/sys/kernel/bpf_stats_enabled";
  const before = Deno.readTextFileSync(path);
  Deno.writeTextFileSync(path, "1");
  return { [Symbol.dispose]: () => Deno.writeTextFileSync(path, before) };
}
