/**
 * `controller`: the leader-elected ConfigMap controller on a real Kubernetes API.
 *
 * It wires adapters to ports, serves /metrics, /healthz and /readyz from the first moment, and runs
 * until the signal aborts. What the API server does, or does not, never ends it.
 */
import { systemClock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { InformerState } from "../controllers/caches.ts";
import { Manager } from "../controllers/manager.ts";
import type { ControllerDependencies, ControllerSettings } from "../controllers/settings.ts";
import { projectConfigMap, projectPcmc, projectPod } from "../domain/projections.ts";
import { protobufCodec } from "../kube/protobuf_codec.ts";
import { configMap, pod } from "../kube/protobuf_objects.ts";
import { EventLoopMonitor } from "../ops/event_loop.ts";
import { type Check, leaseReadyCheck, watchProgressCheck, watchReadyCheck } from "../ops/health.ts";
import { processIdentity } from "../ops/identity.ts";
import type { Metrics } from "../ops/metrics/metrics.ts";
import type { InvocationOf } from "../ops/options/parse.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { jsonCodec } from "../runtime/json_codec.ts";
import { createMetrics, runServing, withCluster } from "./long_running.ts";
import type { Shell } from "./shell.ts";

export function controller(
  invocation: InvocationOf<"controller">,
  shell: Shell,
  signal: AbortSignal,
): Promise<number> {
  const { options } = invocation;
  return withCluster(
    invocation,
    shell,
    (parts) => runController({ options, shell, signal, ...parts }),
  );
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
  const identity = controllerIdentity(options, shell);
  const parts = { options, identity, log, clients, metrics };
  const manager = new Manager(controllerDependencies(parts));
  const { healthz, readyz } = controllerChecks(manager, options.renewDeadlineMs);
  return await runServing({
    work: { name: "controller", run: (stop) => manager.run(stop) },
    address: options.metricsAddress,
    metrics,
    monitor,
    healthz,
    readyz,
    signal,
    log,
  });
}

/** What health asks of a controller. */
export function controllerChecks(manager: Manager, leaseLimitMs: number) {
  const healthz = (): Check[] =>
    manager.informers.map((watch) => watchProgressCheck(nameOf(watch), watch, systemClock));
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

export interface ControllerParts {
  readonly options: RunOptions;
  /** In the Lease and in Events. */
  readonly identity: string;
  readonly log: Logger;
  readonly clients: ControllerDependencies["rest"];
  readonly metrics: Metrics;
}

export function controllerDependencies(
  { options, identity, log, clients, metrics }: ControllerParts,
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
    settings: settings(options, identity),
  };
}

function controllerIdentity(options: RunOptions, shell: Shell): string {
  const { podName, podNamespace, nodeName } = options;
  const hostName = shell.hostName();
  return processIdentity({ podName, podNamespace, nodeName, hostName }, systemRandom);
}

function settings(options: RunOptions, identity: string): ControllerSettings {
  const { podNamespace } = options;
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
    identity,
    resyncPeriodMs: options.resyncPeriodMs,
    podWorkers: options.podWorkers,
    pcmcWorkers: options.pcmcWorkers,
    workerInflight: options.workerInflight,
    maxRetries: options.maxRetries,
    reconciliationTimeoutMs: options.reconciliationTimeoutMs,
  };
}
