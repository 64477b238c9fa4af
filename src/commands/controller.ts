/**
 * `controller`: the leader-elected ConfigMap controller on a real Kubernetes API.
 *
 * It wires adapters to ports, serves /metrics, /healthz and /readyz from the first moment, and runs
 * until the signal aborts. What the API server does, or does not, never ends it.
 */
import { formatListenAddress } from "../lib/address.ts";
import { systemClock } from "../lib/clock.ts";
import { createLogger } from "../lib/log_output.ts";
import type { Logger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { InformerState } from "../controllers/caches.ts";
import { Manager } from "../controllers/manager.ts";
import type { ControllerDependencies, ControllerSettings } from "../controllers/settings.ts";
import { projectConfigMap, projectPcmc, projectPod } from "../domain/projections.ts";
import { type Clients, createClients } from "../kube/clients.ts";
import { KubeconfigError } from "../kube/kubeconfig.ts";
import { loadConnection, type LoadOptions } from "../kube/load.ts";
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
import { startOpsServer } from "../ops/http_server.ts";
import { processIdentity } from "../ops/identity.ts";
import { Metrics } from "../ops/metrics/metrics.ts";
import { givenOptions, type InvocationOf } from "../ops/options/parse.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { processStartSeconds, processUsage } from "../ops/process_usage.ts";
import { versionInfo } from "../ops/version.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import { jsonCodec } from "../runtime/json_codec.ts";
import { runTasks, type Task } from "../runtime/lifecycle.ts";
import { EXIT, type Shell } from "./shell.ts";

/** Which cluster. KUBECONFIG may be a list, and is read where the service account and HOME are, too. */
export function connectionOptions(
  { options, sources }: InvocationOf<"controller"> | InvocationOf<"render">,
): LoadOptions {
  return {
    ...(sources["kubeconfig"] === "flag" && { kubeconfig: options.kubeconfig }),
    ...(options.context !== "" && { context: options.context }),
  };
}

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
  let clients: Clients;
  try {
    const connection = await loadConnection(connectionOptions(invocation));
    log.info("Using the API server", { server: connection.server.href, from: connection.origin });
    clients = createClients(connection, {
      userAgent: `podconfigmap-controller/${info.version}`,
    });
  } catch (error) {
    shell.printError(`${(error as Error).message}\n`);
    return isMisconfigured(error) ? EXIT.usage : EXIT.failed;
  }
  using _clients = clients;
  return await runController({ options, shell, signal, log, clients });
}

/** A kubeconfig that is wrong, or names a file that cannot be read. */
function isMisconfigured(error: unknown): boolean {
  return error instanceof KubeconfigError ||
    (error instanceof KubeConnectionError && error.failure === "credentials");
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
  const metrics = new Metrics({
    build: versionInfo(),
    startTimeSeconds: processStartSeconds(),
    processUsage,
    eventLoopLagMax: () => monitor.lagMaxSeconds(),
  });
  const manager = new Manager(dependencies({ options, shell, log, clients, metrics }));
  const work: Task = { name: "controller", run: (stop) => manager.run(stop) };
  const stages: Task[][] = [[work]];
  if (options.metricsAddress !== undefined) {
    const { healthz, readyz } = checks(manager, monitor, options.renewDeadlineMs);
    const server = startOpsServer({
      address: options.metricsAddress,
      metrics,
      healthz,
      readyz,
      clock: systemClock,
      log,
    });
    log.info("Serving metrics and health", { address: formatListenAddress(server.address) });
    stages.unshift([serving(server)]);
  }
  const exit = await runTasks({ stages, signal, clock: systemClock, log });
  if (exit.cause.kind === "signal" && exit.unfinished.length === 0) {
    log.info("Stopped");
    return EXIT.ok;
  }
  const { cause, unfinished } = exit;
  log.error("Stopped in disorder", {
    cause: cause.kind,
    ...(cause.kind !== "signal" && { task: cause.task }),
    ...(cause.kind === "failed" && { err: cause.error }),
    unfinished: unfinished.join(","),
  });
  return EXIT.failed;
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

function serving(server: { close(): Promise<void> }): Task {
  return {
    name: "metrics and health",
    async run(stop) {
      const stopped = Promise.withResolvers<void>();
      if (stop.aborted) stopped.resolve();
      stop.addEventListener("abort", () => stopped.resolve(), { once: true });
      await stopped.promise;
      await server.close();
    },
  };
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
