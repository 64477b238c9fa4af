/**
 * Public module of the package: how an embedding program connects to a cluster, or hands in a client
 * of its own, and runs the controller over it.
 *
 * ```ts
 * import { createClients, loadConnection } from "podconfigmap-controller";
 *
 * using clients = createClients(await loadConnection({ context: "dev" }));
 * const version = await clients.api.performRequest({ method: "GET", path: "/version", expectJson: true });
 * ```
 *
 * A foreign client (`examples/custom_client.ts`) goes through {@link adaptRestClient}.
 */
export type * from "./runtime/ports/rest.ts";
export {
  errorFromStatus,
  isAlreadyExists,
  isConflict,
  isGone,
  isNotFound,
  KubeApiError,
  KubeConnectionError,
} from "./runtime/ports/errors.ts";
export type {
  ConnectionFailure,
  KubeApiErrorInit,
  StatusCause,
  StatusDetails,
} from "./runtime/ports/errors.ts";
export { adaptRestClient } from "./kube/adapt.ts";
export { anonymous } from "./kube/connection.ts";
export { createClients } from "./kube/clients.ts";
export type { Clients, ClientsOptions, RestClients } from "./kube/clients.ts";
export type {
  ClientCertificate,
  ClusterConnection,
  Credentials,
  Impersonation,
} from "./kube/connection.ts";
export { inClusterConnection } from "./kube/in_cluster.ts";
export { KubeconfigError } from "./kube/kubeconfig.ts";
export { loadConnection } from "./kube/load.ts";
export type { LoadOptions } from "./kube/load.ts";
export { describeRequest, explainForbidden } from "./kube/request_info.ts";
export { runController } from "./commands/controller.ts";
export type { RunOptions } from "./commands/controller.ts";
export type { Shell } from "./commands/shell.ts";
export { createLogger } from "./lib/log_output.ts";
export type { LogFields, Logger, LogLevel } from "./lib/log.ts";
export { defaultsOf } from "./ops/options/parse.ts";
