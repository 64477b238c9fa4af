/**
 * `agent`: eBPF on one node, for the Pods of that node; no election, and nothing but their condition is written.
 *
 * It is ready when all Pods of the node are as wanted. What is attached stays when it ends.
 */
import { systemClock } from "../lib/clock.ts";
import { createLogger } from "../lib/log_output.ts";
import { systemRandom } from "../lib/random.ts";
import { nodePorts } from "../agent/adapters/mod.ts";
import { NodeAgent } from "../agent/agent.ts";
import type { AgentSettings } from "../agent/settings.ts";
import { ARCHITECTURES } from "../domain/syscall_table.ts";
import { EventLoopMonitor } from "../ops/event_loop.ts";
import { type Check, eventLoopCheck, watchProgressCheck, watchReadyCheck } from "../ops/health.ts";
import { machineArchitecture, processIdentity } from "../ops/identity.ts";
import { givenOptions, type InvocationOf } from "../ops/options/parse.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { versionInfo } from "../ops/version.ts";
import { connectCluster, createMetrics, runServing } from "./long_running.ts";
import { EXIT, type Shell } from "./shell.ts";

export async function agent(
  invocation: InvocationOf<"agent">,
  shell: Shell,
  signal: AbortSignal,
): Promise<number> {
  const { options } = invocation;
  const log = createLogger({
    format: options.logFormat,
    level: options.logLevel,
    clock: systemClock,
    name: "agent",
  });
  const { version, commit } = versionInfo();
  log.info("Starting", { version, commit, ...givenOptions(invocation) });
  const settings = agentSettings(options, shell);
  if (settings === undefined) {
    shell.printError(`error: there is no agent for the architecture ${machineArchitecture()}\n`);
    return EXIT.failed;
  }
  const clients = await connectCluster(invocation, shell, log);
  if (typeof clients === "number") return clients;
  using _clients = clients;
  using monitor = new EventLoopMonitor(systemClock);
  const metrics = createMetrics(monitor);
  const { bpffsFolder, cgroupRoot, syscallRows } = options;
  const node = new NodeAgent({
    rest: clients,
    node: nodePorts({
      bpffsFolder,
      cgroupRoot,
      syscallRows,
      clock: systemClock,
      random: systemRandom,
    }),
    clock: systemClock,
    random: systemRandom,
    log,
    metrics: metrics.ebpf(),
    runtimeMetrics: { requests: metrics, watches: metrics, controllers: metrics, queues: metrics },
    settings,
  });
  log.info("Working for a node", { node: settings.nodeName });
  return await runServing({
    work: { name: "agent", run: (stop) => node.run(stop) },
    address: options.metricsAddress,
    metrics,
    ...checks(node, monitor),
    signal,
    log,
  });
}

function checks(node: NodeAgent, monitor: EventLoopMonitor) {
  const healthz = (): Check[] => [
    eventLoopCheck(monitor),
    ...node.informers.map((watch) => watchProgressCheck(watch.resource, watch, systemClock)),
  ];
  const readyz = (): Check[] => [
    ...node.informers.map((watch) => watchReadyCheck(watch.resource, watch)),
    { name: "node", check: () => node.readiness() },
  ];
  return { healthz, readyz };
}

/** Undefined on an architecture whose system calls are not known. */
function agentSettings(options: OptionsOf<"agent">, shell: Shell): AgentSettings | undefined {
  const architecture = ARCHITECTURES.find((known) => known === machineArchitecture());
  if (architecture === undefined) return undefined;
  const { podName, podNamespace } = options;
  const hostName = shell.hostName();
  const nodeName = options.nodeName === "" ? hostName.toLowerCase() : options.nodeName;
  return {
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
