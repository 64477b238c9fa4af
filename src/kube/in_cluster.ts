/**
 * The connection of a program that runs in a Pod: API server from the environment, identity and
 * trust from the mounted service account. Token and CA are read again as they rotate.
 */
import { join } from "node:path";
import { CachedFile } from "./cached_file.ts";
import type { ClusterConnection } from "./connection.ts";
import { FixedCredentials } from "./credentials.ts";
import { KubeconfigError } from "./kubeconfig.ts";
import type { Machine } from "./machine.ts";

export const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Whether kubelet has set this process up to talk to the API server. */
export function isInCluster(machine: Machine): boolean {
  return (machine.env("KUBERNETES_SERVICE_HOST") ?? "") !== "" &&
    (machine.env("KUBERNETES_SERVICE_PORT") ?? "") !== "";
}

/** @throws {KubeconfigError} outside of a Pod, or where no service account is mounted. */
export async function inClusterConnection(
  machine: Machine,
  directory = SERVICE_ACCOUNT_DIR,
): Promise<ClusterConnection> {
  if (!isInCluster(machine)) {
    throw new KubeconfigError(
      "Cannot use the in-cluster configuration: " +
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set",
    );
  }
  const file = (name: string, what: string) =>
    new CachedFile({
      path: join(directory, name),
      what: `${what} of the service account`,
      clock: machine.clock,
      read: machine.readTextFile,
    });
  const token = file("token", "the token");
  const ca = file("ca.crt", "the certificate authority");
  const namespace = await machine.readTextFile(join(directory, "namespace")).catch(() => "");
  try {
    await Promise.all([token.get(), ca.get()]);
  } catch (error) {
    throw new KubeconfigError(
      `Cannot use the in-cluster configuration: ${(error as Error).message}`,
      { cause: error },
    );
  }
  return {
    origin: "the Pod's service account",
    server: serverUrl(
      machine.env("KUBERNETES_SERVICE_HOST") ?? "",
      machine.env("KUBERNETES_SERVICE_PORT") ?? "",
    ),
    ...(namespace.trim() === "" ? {} : { namespace: namespace.trim() }),
    trustRoots: () => ca.get(),
    credentials: new FixedCredentials({ token }),
  };
}

/** An IPv6 address gets the brackets that a URL wants. @throws {KubeconfigError} */
export function serverUrl(host: string, port: string): URL {
  const url = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
  if (URL.canParse(url)) return new URL(url);
  throw new KubeconfigError(
    `Cannot use the in-cluster configuration: KUBERNETES_SERVICE_HOST and ` +
      `KUBERNETES_SERVICE_PORT make no URL: ${url}`,
  );
}
