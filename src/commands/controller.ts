/**
 * `controller`: the leader-elected ConfigMap controller on a real Kubernetes API.
 *
 * It wires adapters to ports, serves /metrics, /healthz and /readyz from the first moment, and runs
 * until the signal aborts. What the API server does, or does not, never ends it.
 */
import { systemClock } from "../lib/clock.ts";
import { createLogger } from "../lib/log_output.ts";
import type { Logger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { InformerState } from "../controllers/caches.ts";
import { Manager } from "../controllers/manager.ts";
import type { ControllerDependencies, ControllerSettings } from "../controllers/settings.ts";
import { projectConfigMap, projectPcmc, projectPod } from "../domain/projections.ts";
import { protobufCodec } from "../kube/protobuf_codec.ts";
import { configMap, pod } from "../kube/protobuf_objects.ts";
import { EventLoopMonitor } from "../ops/event_loop.ts";
import {
  type Check,
  eventLoopCheck,
  leaseReadyCheck,
  watchProgressCheck,
  watchReadyCheck,
} from "../ops/health.ts";
import { processIdentity } from "../ops/identity.ts";
import type { Metrics } from "../ops/metrics/metrics.ts";
import { givenOptions, type InvocationOf } from "../ops/options/parse.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { versionInfo } from "../ops/version.ts";
import { jsonCodec } from "../runtime/json_codec.ts";
import { connectCluster, createMetrics, runServing } from "./long_running.ts";
import type { Shell } from "./shell.ts";

export async function controller(
  invocation: InvocationOf<"controller">,
  shell: Shell,
  signal: AbortSignal,
): Promise<number> {
  const { options } = invocation;
  const log = createLogger({
    format: options.logFormat,
    level: options.logLevel,
    clock: systemClock,
    name: "controller",
  });
  const info = versionInfo();
  log.info("Starting", { version: info.version, commit: info.commit, ...givenOptions(invocation) });
  const clients = await connectCluster(invocation, shell, log);
  if (typeof clients === "number") return clients;
  using _clients = clients;
  return await runController({ options, shell, signal, log, clients });
}

/** What the controller itself needs of its options; how to reach the cluster is decided before. */
export type RunOptions = Omit<OptionsOf<"controller">, "kubeconfig" | "context">;

interface Run {
  readonly options: RunOptions;
  readonly shell: Shell;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly clients: ControllerDependencies["rest"];
}

/** Runs the controller over given clients until `signal` aborts; resolves with the exit code. */
export async function runController(
  { options, shell, signal, log, clients }: Run,
): Promise<number> {
  using monitor = new EventLoopMonitor(systemClock);
  const metrics = createMetrics(monitor);
  const manager = new Manager(dependencies({ options, shell, log, clients, metrics }));
  return await runServing({
    work: { name: "controller", run: (stop) => manager.run(stop) },
    address: options.metricsAddress,
    metrics,
    ...checks(manager, monitor, options.renewDeadlineMs),
    signal,
    log,
  });
}

function checks(manager: Manager, monitor: EventLoopMonitor, leaseLimitMs: number) {
  const healthz = (): Check[] => [
    eventLoopCheck(monitor),
    ...manager.informers.map((watch) => watchProgressCheck(nameOf(watch), watch, systemClock)),
  ];
  const readyz = (): Check[] => [
    ...manager.informers.map((watch) => watchReadyCheck(nameOf(watch), watch)),
    // A watch that is open hears nothing of expired credentials or a server that hangs; this one does.
    ...(manager.lease ? [leaseReadyCheck(manager.lease, systemClock, leaseLimitMs)] : []),
  ];
  return { healthz, readyz };
}

/** `pods`, or `pods in shop` where a watch covers one namespace. */
function nameOf({ resource, namespace }: InformerState): string {
  return namespace === undefined ? resource : `${resource} in ${namespace}`;
}

function dependencies(
  { options, shell, log, clients, metrics }: Omit<Run, "signal"> & { metrics: Metrics },
): ControllerDependencies {
  return {
    rest: clients,
    codecs: {
      pods: protobufCodec({ message: pod, project: projectPod, fallback: jsonCodec(projectPod) }),
      configMaps: protobufCodec({
        message: configMap,
        project: projectConfigMap,
        fallback: jsonCodec(projectConfigMap),
      }),
      pcmcs: jsonCodec(projectPcmc),
    },
    clock: systemClock,
    random: systemRandom,
    log,
    metrics,
    runtimeMetrics: {
      requests: metrics,
      watches: metrics,
      controllers: metrics,
      election: metrics,
      queues: metrics,
    },
    settings: settings(options, shell),
  };
}

function settings(options: RunOptions, shell: Shell): ControllerSettings {
  const { podName, podNamespace, nodeName } = options;
  return {
    namespaces: options.watchNamespaces,
    agents: {
      namespace: options.agentNamespace === "" ? podNamespace : options.agentNamespace,
      watch: options.agentNamespace !== "",
    },
    leaderElection: {
      enabled: options.leaderElectionEnabled,
      leaseDurationMs: options.leaseDurationMs,
      renewDeadlineMs: options.renewDeadlineMs,
      retryPeriodMs: options.retryPeriodMs,
      lockName: options.lockName,
      lockNamespace: options.lockNamespace,
    },
    identity: processIdentity(
      { podName, podNamespace, nodeName, hostName: shell.hostName() },
      systemRandom,
    ),
    resyncPeriodMs: options.resyncPeriodMs,
    podWorkers: options.podWorkers,
    pcmcWorkers: options.pcmcWorkers,
    workerInflight: options.workerInflight,
    maxRetries: options.maxRetries,
    reconciliationTimeoutMs: options.reconciliationTimeoutMs,
  };
}
