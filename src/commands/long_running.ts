/**
 * What the long-running commands have in common: which cluster, /metrics and health from the first moment,
 * an orderly end.
 */
import { formatListenAddress, type ListenAddress } from "../lib/address.ts";
import { systemClock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { createLogger } from "../lib/log_output.ts";
import { type Clients, createClients } from "../kube/clients.ts";
import { KubeconfigError } from "../kube/kubeconfig.ts";
import { loadConnection, type LoadOptions } from "../kube/load.ts";
import type { EventLoopMonitor } from "../ops/event_loop.ts";
import { type Check, eventLoopCheck } from "../ops/health.ts";
import { startOpsServer } from "../ops/http_server.ts";
import { Metrics } from "../ops/metrics/metrics.ts";
import { givenOptions, type InvocationOf } from "../ops/options/parse.ts";
import { processStartSeconds, processUsage } from "../ops/process_usage.ts";
import { versionInfo } from "../ops/version.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import { runTasks, type Task } from "../runtime/lifecycle.ts";
import { EXIT, type Shell } from "./shell.ts";

/** What runs until it is told to stop, on a cluster. */
type LongRunning = InvocationOf<"agent"> | InvocationOf<"controller"> | InvocationOf<"run">;

/** The process' log, with its first line. */
function logStart(invocation: LongRunning): Logger {
  const { command, options } = invocation;
  const log = createLogger({
    format: options.logFormat,
    level: options.logLevel,
    clock: systemClock,
    name: command === "agent" ? "agent" : "controller",
  });
  const { version, commit } = versionInfo();
  log.info("Starting", { version, commit, ...givenOptions(invocation) });
  return log;
}

/** Which cluster. KUBECONFIG may be a list, and is read where the service account and HOME are, too. */
export function connectionOptions(
  { options, sources }: LongRunning | InvocationOf<"render"> | InvocationOf<"seccomp">,
): LoadOptions {
  return {
    ...(sources["kubeconfig"] === "flag" && { kubeconfig: options.kubeconfig }),
    ...(options.context !== "" && { context: options.context }),
  };
}

/**
 * Logs the start, and does `work` with clients of the cluster, which are closed at its end. When it cannot
 * be told which cluster, or how, the reason is printed. @returns the exit code.
 */
export async function withCluster(
  invocation: LongRunning,
  shell: Shell,
  work: (parts: { log: Logger; clients: Clients }) => Promise<number>,
): Promise<number> {
  const log = logStart(invocation);
  const clients = await connectCluster(invocation, shell, log);
  if (typeof clients === "number") return clients;
  using _clients = clients;
  return await work({ log, clients });
}

async function connectCluster(
  invocation: LongRunning,
  shell: Shell,
  log: Logger,
): Promise<Clients | number> {
  try {
    const connection = await loadConnection(connectionOptions(invocation));
    log.info("Using the API server", { server: connection.server.href, from: connection.origin });
    return createClients(connection, {
      userAgent: `podconfigmap-controller/${versionInfo().version}`,
    });
  } catch (error) {
    shell.printError(`error: ${(error as Error).message}\n`);
    return isMisconfigured(error) ? EXIT.usage : EXIT.failed;
  }
}

/** A kubeconfig that is wrong, or names a file that cannot be read. */
function isMisconfigured(error: unknown): boolean {
  return error instanceof KubeconfigError ||
    (error instanceof KubeConnectionError && error.failure === "credentials");
}

export function createMetrics(monitor: EventLoopMonitor): Metrics {
  return new Metrics({
    build: versionInfo(),
    startTimeSeconds: processStartSeconds(),
    processUsage,
    eventLoopLagMax: () => monitor.lagMaxSeconds(),
  });
}

export interface Serving {
  readonly work: Task;
  /** Undefined: metrics and health are not served. */
  readonly address: ListenAddress | undefined;
  readonly metrics: Metrics;
  readonly monitor: EventLoopMonitor;
  /** Beside that the event loop turns. */
  readonly healthz: () => Check[];
  readonly readyz: () => Check[];
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Runs `work` until the signal aborts, or it fails; resolves with the exit code. */
export async function runServing(
  { work, address, metrics, monitor, healthz, readyz, signal, log }: Serving,
): Promise<number> {
  const stages: Task[][] = [[work]];
  if (address !== undefined) {
    const server = startOpsServer({
      address,
      metrics,
      healthz: () => [eventLoopCheck(monitor), ...healthz()],
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
