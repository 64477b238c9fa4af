/**
 * `agent`: eBPF on one node, for the Pods of that node; no election, and nothing but their condition is written.
 *
 * It is ready when the node's Pods are served. What is attached stays when it ends.
 */
import type { Logger } from "../lib/log.ts";
import { systemClock } from "../lib/clock.ts";
import { systemRandom } from "../lib/random.ts";
import { nodePorts } from "../agent/adapters/mod.ts";
import { NodeAgent } from "../agent/agent.ts";
import type { AgentDependencies, AgentSettings } from "../agent/settings.ts";
import { ARCHITECTURES } from "../domain/syscall_table.ts";
import type { Clients } from "../kube/clients.ts";
import { EventLoopMonitor } from "../ops/event_loop.ts";
import { type Check, watchProgressCheck, watchReadyCheck } from "../ops/health.ts";
import { machineArchitecture, processIdentity } from "../ops/identity.ts";
import type { InvocationOf } from "../ops/options/parse.ts";
import type { Metrics } from "../ops/metrics/metrics.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { createMetrics, runServing, withCluster } from "./long_running.ts";
import { EXIT, type Shell } from "./shell.ts";

export function agent(
  invocation: InvocationOf<"agent">,
  shell: Shell,
  signal: AbortSignal,
): Promise<number> {
  const { options } = invocation;
  return withCluster(invocation, shell, async ({ log, clients }) => {
    using monitor = new EventLoopMonitor(systemClock);
    const metrics = createMetrics(monitor);
    const dependencies = agentDependencies({
      options,
      role: "agent",
      shell,
      clients,
      metrics,
      log,
    });
    if (dependencies === undefined) return EXIT.failed;
    const node = new NodeAgent(dependencies);
    log.info("Working for a node", { node: dependencies.settings.nodeName });
    const { healthz, readyz } = agentChecks(node);
    return await runServing({
      work: { name: "agent", run: (stop) => node.run(stop) },
      address: options.metricsAddress,
      metrics,
      monitor,
      healthz,
      readyz,
      signal,
      log,
    });
  });
}

/** What health asks of the node's agent. Evaluated at each look: it may come and go. */
export function agentChecks(
  node: Pick<NodeAgent, "informers" | "readiness">,
  watched = "",
): { healthz: () => Check[]; readyz: () => Check[] } {
  const nameOf = ({ resource }: { resource: string }) => `${resource}${watched}`;
  return {
    healthz: () =>
      node.informers.map((watch) => watchProgressCheck(nameOf(watch), watch, systemClock)),
    readyz: () => [
      ...node.informers.map((watch) => watchReadyCheck(nameOf(watch), watch)),
      { name: "node", check: () => node.readiness() },
    ],
  };
}

export interface AgentParts {
  readonly options: Omit<OptionsOf<"agent">, "kubeconfig" | "context">;
  readonly role: AgentSettings["role"];
  readonly shell: Shell;
  readonly clients: Clients;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Undefined, the reason being printed, on an architecture whose system calls are not known. */
export function agentDependencies(
  { options, role, shell, clients, metrics, log }: AgentParts,
): AgentDependencies | undefined {
  const settings = agentSettings(options, role, shell);
  if (settings === undefined) {
    shell.printError(`error: there is no agent for the architecture ${machineArchitecture()}\n`);
    return undefined;
  }
  if (options.podName !== "" && options.nodeName === "") {
    const taken = { host: settings.nodeName };
    log.warning("NODE_NAME is not set: taking the host's name, which in a Pod is the Pod's", taken);
  }
  const { bpffsFolder, cgroupRoot, syscallRows } = options;
  const [clock, random] = [systemClock, systemRandom];
  return {
    rest: clients,
    node: nodePorts({ bpffsFolder, cgroupRoot, syscallRows, clock, random }),
    clock,
    random,
    log,
    metrics: metrics.ebpf(),
    runtimeMetrics: {
      requests: metrics,
      watches: metrics,
      controllers: metrics,
      queues: metrics,
      // A controller in the same process knows more namespaces than one node's agent.
      ...(role === "agent" && { keepNamespaces: (holds) => metrics.keepNamespaces(holds) }),
    },
    settings,
  };
}

function agentSettings(
  options: AgentParts["options"],
  role: AgentSettings["role"],
  shell: Shell,
): AgentSettings | undefined {
  const architecture = ARCHITECTURES.find((known) => known === machineArchitecture());
  if (architecture === undefined) return undefined;
  const { podName, podNamespace } = options;
  const hostName = shell.hostName();
  const nodeName = nodeNameOf(options, shell);
  return {
    role,
    nodeName,
    namespaces: options.watchNamespaces,
    ebpfNamespaces: options.ebpfNamespaces,
    identity: processIdentity({ podName, podNamespace, nodeName, hostName }, systemRandom),
    architecture,
    pids: options.syscallPids,
    verdictLogPerSecond: options.verdictLogPerSecond,
    verifyMs: options.verifyMs,
    canaryMs: options.canaryMs,
    maxRetries: options.maxRetries,
    reconciliationTimeoutMs: options.reconciliationTimeoutMs,
  };
}

/** As the kubelet names its node unless told otherwise. */
function nodeNameOf(options: AgentParts["options"], shell: Shell): string {
  return options.nodeName === "" ? shell.hostName().toLowerCase() : options.nodeName;
}
