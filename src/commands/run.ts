/**
 * `run`: controller and agent in one process, the model of the original program. Leader election decides
 * which replica works, and only the leader runs eBPF, for the Pods of its own node.
 *
 * Of the other nodes' Pods it says that they are not served. A replica that does not lead takes what is
 * pinned on its node down once a process of another node leads.
 */
import { systemClock } from "../lib/clock.ts";
import { LeaderAgent } from "../agent/leader_agent.ts";
import { Manager } from "../controllers/manager.ts";
import type { Clients } from "../kube/clients.ts";
import { EventLoopMonitor } from "../ops/event_loop.ts";
import { nodeOfIdentity } from "../ops/identity.ts";
import type { InvocationOf } from "../ops/options/parse.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { agentChecks, agentDependencies } from "./agent.ts";
import { controllerChecks, controllerDependencies } from "./controller.ts";
import { createMetrics, runServing, withCluster } from "./long_running.ts";
import { EXIT, type Shell } from "./shell.ts";

export function run(
  invocation: InvocationOf<"run">,
  shell: Shell,
  signal: AbortSignal,
): Promise<number> {
  const { options } = invocation;
  return withCluster(invocation, shell, async ({ log, clients }) => {
    using monitor = new EventLoopMonitor(systemClock);
    const metrics = createMetrics(monitor);
    const parts = { options, role: "leader", shell, clients, metrics, log } as const;
    const dependencies = agentDependencies(parts);
    if (dependencies === undefined) return EXIT.failed;
    const { identity, nodeName } = dependencies.settings;
    const node = new LeaderAgent({ dependencies, lease: leaseAt(options, clients, identity) });
    const manager = new Manager({
      ...controllerDependencies({
        options: { ...options, agentNamespace: "" },
        identity,
        log,
        clients,
        metrics,
      }),
      service: node,
    });
    log.info("Working for a node while leading", { node: nodeName });
    const controller = controllerChecks(manager, options.renewDeadlineMs);
    // The node's watches beside the controller's own of the same resources.
    const agent = agentChecks(node, " of the node");
    return await runServing({
      work: {
        name: "controller and node",
        run: async (stop) => void await Promise.all([manager.run(stop), node.run(stop)]),
      },
      address: options.metricsAddress,
      metrics,
      monitor,
      healthz: () => [...controller.healthz(), ...agent.healthz()],
      readyz: () => [...controller.readyz(), ...agent.readyz()],
      signal,
      log,
    });
  });
}

/** Undefined without leader election. */
function leaseAt(options: OptionsOf<"run">, { lease: rest }: Clients, identity: string) {
  const { leaderElectionEnabled, lockNamespace: namespace, lockName: name } = options;
  return leaderElectionEnabled
    ? { rest, namespace, name, identity, nodeOf: nodeOfIdentity }
    : undefined;
}
