/**
 * Finds out how to reach the API server, in controller-runtime's order: an explicit kubeconfig,
 * KUBECONFIG, the Pod's service account, `~/.kube/config`. Choosing a context by name skips the
 * service account.
 */
import { Buffer } from "node:buffer";
import { delimiter, join } from "node:path";
import { CachedFile } from "./cached_file.ts";
import { anonymous, type ClusterConnection, type Credentials } from "./connection.ts";
import { FixedCredentials, type Value } from "./credentials.ts";
import { ExecCredentials } from "./exec_plugin.ts";
import { inClusterConnection, isInCluster } from "./in_cluster.ts";
import {
  type Kubeconfig,
  KubeconfigError,
  mergeKubeconfigs,
  parseKubeconfig,
} from "./kubeconfig.ts";
import { type ContextSpec, resolveContext, type Source } from "./kubeconfig_context.ts";
import { type Machine, thisMachine } from "./machine.ts";
import { proxyFromEnvironment } from "./proxy_env.ts";
import { PROXY_PROTOCOLS } from "./proxy_tunnel.ts";

export interface LoadOptions {
  /** Path of a kubeconfig that must exist; nothing else is looked at. */
  readonly kubeconfig?: string;
  /** In place of the kubeconfig's current-context. */
  readonly context?: string;
}

/** @throws {KubeconfigError} naming file, context and field; {KubeConnectionError} when a file it needs cannot be read. */
export async function loadConnection(
  options: LoadOptions = {},
  machine: Machine = thisMachine,
): Promise<ClusterConnection> {
  const listed = (machine.env("KUBECONFIG") ?? "").split(delimiter).filter((path) => path !== "");
  const explicit = options.kubeconfig ? [options.kubeconfig] : undefined;
  let connection: ClusterConnection;
  if (!explicit && listed.length === 0 && !options.context && isInCluster(machine)) {
    connection = await inClusterConnection(machine);
  } else {
    const home = machine.env("HOME") || machine.env("USERPROFILE") || "";
    const fallback = home === "" ? [] : [join(home, ".kube", "config")];
    const paths = explicit ?? (listed.length > 0 ? [...new Set(listed)] : fallback);
    const config = await readFiles(paths, explicit !== undefined, machine);
    connection = await connectionOf(resolveContext(config, options.context), machine);
  }
  return withProxy(connection, machine);
}

async function readFiles(
  paths: readonly string[],
  required: boolean,
  machine: Machine,
): Promise<Kubeconfig> {
  const configs: Kubeconfig[] = [];
  for (const path of paths) {
    try {
      configs.push(parseKubeconfig(await machine.readTextFile(path), path));
    } catch (error) {
      if (error instanceof KubeconfigError) throw error;
      if (error instanceof Deno.errors.NotFound && !required) continue;
      // Deno adds the system's number of the error, and the path anew.
      const message = error instanceof Error ? error.message : String(error);
      const reason = message.replace(/ \(os error \d+\)[\s\S]*$/, "");
      throw new KubeconfigError(`Cannot read kubeconfig ${path}: ${reason}`, { cause: error });
    }
  }
  if (configs.length === 0) {
    const looked = paths.length === 0 ? "HOME is not set" : `looked for ${paths.join(", ")}`;
    throw new KubeconfigError(
      `Cannot find a Kubernetes cluster: no kubeconfig (${looked}) and not in a Pod`,
    );
  }
  return mergeKubeconfigs(configs);
}

/** Turns a context's words into something to connect with. Its certificates are read once here, so that a wrong path is told at once. */
async function connectionOf(spec: ContextSpec, machine: Machine): Promise<ClusterConnection> {
  const value = (source: Source, what: string): Value =>
    "text" in source ? source.text : new CachedFile({
      path: source.path,
      what: `${what} of ${spec.origin}`,
      clock: machine.clock,
      read: machine.readTextFile,
    });
  const ca = spec.certificateAuthority && value(spec.certificateAuthority, "certificate-authority");
  const secure = spec.server.protocol === "https:";
  const roots = secure && ca !== undefined
    ? typeof ca === "string" ? ca : await ca.get()
    : undefined;
  const credentials = secure ? credentialsOf(spec, machine, { value, roots }) : anonymous;
  if (secure && !spec.exec) {
    await credentials.certificate();
    await credentials.authorization();
  }
  const { origin, server, insecure, namespace, serverName, proxy, impersonate } = spec;
  return {
    origin,
    server,
    insecure,
    credentials,
    ...(namespace === undefined ? {} : { namespace }),
    ...(ca === undefined ? {} : { trustRoots: () => typeof ca === "string" ? ca : ca.get() }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(proxy ? { proxy } : {}),
    ...(impersonate ? { impersonate } : {}),
  };
}

/** As kubectl, called for TLS only: an identity is not shown to a server that has not shown its own. */
function credentialsOf(
  spec: ContextSpec,
  machine: Machine,
  read: { value(source: Source, what: string): Value; readonly roots: string | undefined },
): Credentials {
  const { exec, origin, token, basic, clientCertificate } = spec;
  const { value, roots } = read;
  if (exec) {
    const { clock, terminal, runPlugin } = machine;
    // A plug-in that asks for the cluster gets the CA's content, wherever it is kept.
    const full = exec.cluster && roots !== undefined
      ? { "certificate-authority-data": Buffer.from(roots).toString("base64") }
      : {};
    const withCluster = exec.cluster ? { ...exec, cluster: { ...exec.cluster, ...full } } : exec;
    return new ExecCredentials({ spec: withCluster, origin, clock, terminal, run: runPlugin });
  }
  return new FixedCredentials({
    ...(token ? { token: value(token, "token") } : {}),
    ...(basic ? { basic } : {}),
    ...(clientCertificate
      ? {
        clientCertificate: {
          cert: value(clientCertificate.cert, "client-certificate"),
          key: value(clientCertificate.key, "client-key"),
        },
      }
      : {}),
  });
}

function withProxy(connection: ClusterConnection, machine: Machine): ClusterConnection {
  if (connection.proxy) return connection;
  const text = proxyFromEnvironment(connection.server, (name) => machine.env(name));
  if (text === undefined) return connection;
  const proxy = URL.canParse(text) ? new URL(text) : undefined;
  if (!proxy || !PROXY_PROTOCOLS.includes(proxy.protocol)) {
    // The value may hold a password: not quoted.
    throw new KubeconfigError(
      "Cannot use the proxy of the environment (HTTPS_PROXY): not an http:// or socks5:// URL",
    );
  }
  return { ...connection, proxy };
}
