/**
 * From a merged kubeconfig to what one context says: server, trust, identity. Pure: files that are
 * named are not read, programs not run. Every error names the file, the context and the field.
 */
import { Buffer } from "node:buffer";
import { dirname, isAbsolute, join, sep } from "node:path";
import type { Impersonation } from "./connection.ts";
import {
  type Entry,
  type Fields,
  isFields,
  type Kubeconfig,
  KubeconfigError,
} from "./kubeconfig.ts";
import { PROXY_PROTOCOLS } from "./proxy_tunnel.ts";

/** A text that is in the kubeconfig, or in a file it names (absolute, or relative to the working folder). */
export type Source = { readonly text: string } | { readonly path: string };

export interface ExecSpec {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly interactive: "Never" | "IfAvailable" | "Always";
  readonly installHint: string;
  /** `spec.cluster` of the plug-in's input, when it asks for it. */
  readonly cluster?: Fields;
}

export interface ContextSpec {
  readonly origin: string;
  readonly server: URL;
  readonly namespace?: string;
  readonly certificateAuthority?: Source;
  readonly serverName?: string;
  readonly insecure: boolean;
  readonly proxy?: URL;
  readonly clientCertificate?: { readonly cert: Source; readonly key: Source };
  readonly token?: Source;
  readonly basic?: { readonly username: string; readonly password: string };
  readonly exec?: ExecSpec;
  readonly impersonate?: Impersonation;
}

/** Reads typed fields of one entry; errors say where. */
class Section {
  readonly #entry: Entry;
  readonly #what: string;
  readonly #context: string;

  constructor(entry: Entry, what: string, context: string) {
    this.#entry = entry;
    this.#what = what;
    this.#context = context;
  }

  fail(field: string, reason: string): never {
    throw new KubeconfigError(
      `Cannot use context ${JSON.stringify(this.#context)} of ${this.#entry.file}: ` +
        `${this.#what}: ${field} ${reason}`,
    );
  }

  get fields(): Fields {
    return this.#entry.fields;
  }

  has(field: string): boolean {
    const value = this.fields[field];
    return value !== undefined && value !== null && value !== "";
  }

  text(field: string): string | undefined {
    if (!this.has(field)) return undefined;
    const value = this.fields[field];
    return typeof value === "string" ? value : this.fail(field, "is not a string");
  }

  flag(field: string): boolean {
    const value = this.fields[field] ?? false;
    return typeof value === "boolean" ? value : this.fail(field, "is not true or false");
  }

  texts(field: string): string[] {
    const value = this.fields[field] ?? [];
    const valid = Array.isArray(value) && value.every((item) => typeof item === "string");
    return valid ? value : this.fail(field, "is not a list of strings");
  }

  path(value: string): string {
    return isAbsolute(value) ? value : join(dirname(this.#entry.file), value);
  }

  /** `<field>-data` in base64, else the file that `<field>` names. */
  source(field: string): Source | undefined {
    const data = this.text(`${field}-data`);
    if (data !== undefined) return { text: this.#decode(`${field}-data`, data) };
    const file = this.text(field);
    return file === undefined ? undefined : { path: this.path(file) };
  }

  url(field: string, protocols: readonly string[]): URL | undefined {
    const value = this.text(field);
    if (value === undefined) return undefined;
    const url = URL.canParse(value) ? new URL(value) : this.fail(field, "is not a URL");
    if (!protocols.includes(url.protocol)) {
      this.fail(field, `starts with ${url.protocol}, not one of ${protocols.join(" ")}`);
    }
    return url;
  }

  #decode(field: string, data: string): string {
    const compact = data.replace(/\s+/g, "");
    const base64 = /^[A-Za-z0-9+/]*={0,2}$/.test(compact) && compact.length % 4 === 0;
    return base64
      ? Buffer.from(compact, "base64").toString("utf8")
      : this.fail(field, "is not base64");
  }
}

/** @throws {KubeconfigError} */
export function resolveContext(config: Kubeconfig, wanted?: string): ContextSpec {
  const files = config.files.join(", ") || "no file";
  const name = wanted ?? config.currentContext;
  if (name === "") {
    throw new KubeconfigError(`Cannot choose a context of ${files}: current-context is not set`);
  }
  const entry = config.contexts.get(name);
  if (!entry) {
    const known = [...config.contexts.keys()].join(", ") || "none";
    throw new KubeconfigError(
      `Cannot use context ${
        JSON.stringify(name)
      } of ${files}: it does not exist (there are: ${known})`,
    );
  }
  const context = new Section(entry, "context", name);
  const refer = (field: string, entries: ReadonlyMap<string, Entry>): Section | undefined => {
    const target = context.text(field);
    if (target === undefined) return undefined;
    const found = entries.get(target) ??
      context.fail(field, `names ${JSON.stringify(target)}, which does not exist`);
    return new Section(found, `${field} ${JSON.stringify(target)}`, name);
  };
  const cluster = refer("cluster", config.clusters) ?? context.fail("cluster", "is not set");
  const user = refer("user", config.users);
  const namespace = context.text("namespace");
  return {
    origin: `context ${JSON.stringify(name)} of ${entry.file}`,
    ...(namespace === undefined ? {} : { namespace }),
    ...readCluster(cluster),
    ...(user ? readUser(user, cluster) : {}),
  };
}

function readCluster(cluster: Section) {
  const server = cluster.url("server", ["https:", "http:"]) ?? cluster.fail("server", "is not set");
  if (server.username !== "") cluster.fail("server", "holds a user: set it in the user's entry");
  const certificateAuthority = cluster.source("certificate-authority");
  const insecure = cluster.flag("insecure-skip-tls-verify");
  if (insecure && certificateAuthority) {
    cluster.fail("insecure-skip-tls-verify", "is set together with certificate-authority");
  }
  const serverName = cluster.text("tls-server-name");
  const proxy = cluster.url("proxy-url", [...PROXY_PROTOCOLS, "https:"]);
  if (proxy?.protocol === "https:") {
    cluster.fail("proxy-url", "is an https: proxy, which is not supported: use http: or socks5:");
  }
  return {
    server,
    insecure,
    ...(certificateAuthority ? { certificateAuthority } : {}),
    ...(serverName === undefined ? {} : { serverName }),
    ...(proxy ? { proxy } : {}),
  };
}

function readUser(user: Section, cluster: Section) {
  if (user.has("auth-provider")) {
    user.fail("auth-provider", "was removed from Kubernetes in 1.26: use an exec plug-in");
  }
  const cert = user.source("client-certificate");
  const key = user.source("client-key");
  if (cert && !key) user.fail("client-key", "is missing beside client-certificate");
  if (key && !cert) user.fail("client-certificate", "is missing beside client-key");
  const tokenFile = user.text("tokenFile");
  const token = user.text("token");
  const username = user.text("username");
  const password = user.text("password");
  const basic = username !== undefined || password !== undefined;
  if (basic && (token !== undefined || tokenFile !== undefined)) {
    user.fail("token", "is set together with username: only one may be");
  }
  const impersonate = readImpersonation(user);
  // As in client-go, static credentials leave the plug-in unused, and a token file outranks a token.
  const plugin = user.has("exec") && !cert && !basic && token === undefined &&
    tokenFile === undefined;
  return {
    ...(cert && key ? { clientCertificate: { cert, key } } : {}),
    ...(tokenFile !== undefined
      ? { token: { path: user.path(tokenFile) } }
      : token !== undefined
      ? { token: { text: token } }
      : {}),
    ...(basic ? { basic: { username: username ?? "", password: password ?? "" } } : {}),
    ...(plugin ? { exec: readExec(user, cluster) } : {}),
    ...(impersonate ? { impersonate } : {}),
  };
}

function readImpersonation(user: Section): Impersonation | undefined {
  const as = user.text("as");
  const uid = user.text("as-uid");
  const groups = user.texts("as-groups");
  const extra = user.fields["as-user-extra"] ?? {};
  const lists = isFields(extra) ? extra : user.fail("as-user-extra", "is not a mapping");
  for (const [key, values] of Object.entries(lists)) {
    const valid = Array.isArray(values) && values.every((value) => typeof value === "string");
    if (!valid) user.fail(`as-user-extra.${key}`, "is not a list of strings");
  }
  const more = uid !== undefined || groups.length > 0 || Object.keys(lists).length > 0;
  if (as === undefined) {
    return more ? user.fail("as", "is missing beside what goes with it") : undefined;
  }
  return {
    user: as,
    ...(uid === undefined ? {} : { uid }),
    groups,
    extra: lists as Readonly<Record<string, readonly string[]>>,
  };
}

const EXEC_GROUP = "client.authentication.k8s.io";
/** One format under two names; v1beta1 may leave out interactiveMode. */
const EXEC_VERSIONS: readonly string[] = [`${EXEC_GROUP}/v1`, `${EXEC_GROUP}/v1beta1`];

function readExec(user: Section, cluster: Section): ExecSpec {
  const value = user.fields["exec"];
  const fields = isFields(value) ? value : user.fail("exec", "is not a mapping");
  const text = (field: string): string => {
    const found = fields[field] ?? "";
    return typeof found === "string" ? found : user.fail(`exec.${field}`, "is not a string");
  };
  const command = text("command") || user.fail("exec.command", "is not set");
  const apiVersion = text("apiVersion");
  if (!EXEC_VERSIONS.includes(apiVersion)) {
    user.fail(
      "exec.apiVersion",
      `is ${JSON.stringify(apiVersion)}, not ${EXEC_VERSIONS.join(" or ")}`,
    );
  }
  const mode = text("interactiveMode") || (apiVersion.endsWith("/v1") ? "" : "IfAvailable");
  if (mode !== "Never" && mode !== "IfAvailable" && mode !== "Always") {
    return user.fail("exec.interactiveMode", "is not Never, IfAvailable or Always");
  }
  const args = fields["args"] ?? [];
  if (!Array.isArray(args) || !args.every((arg) => typeof arg === "string")) {
    return user.fail("exec.args", "is not a list of strings");
  }
  return {
    apiVersion,
    command: command.includes(sep) ? user.path(command) : command,
    args,
    env: readExecEnv(user, fields["env"] ?? []),
    interactive: mode,
    installHint: text("installHint"),
    ...(fields["provideClusterInfo"] === true ? { cluster: clusterInfo(cluster) } : {}),
  };
}

function readExecEnv(user: Section, env: unknown): Record<string, string> {
  const found: Record<string, string> = {};
  if (!Array.isArray(env)) return user.fail("exec.env", "is not a list");
  for (const [index, item] of env.entries()) {
    const { name, value = "" } = isFields(item) ? item : {};
    if (typeof name !== "string" || name === "" || typeof value !== "string") {
      return user.fail(`exec.env[${index}]`, "is not a name and a value");
    }
    found[name] = value;
  }
  return found;
}

/** The `Cluster` of client.authentication.k8s.io, but for a CA file's content: the caller reads files. */
function clusterInfo(cluster: Section): Fields {
  const extensions = cluster.fields["extensions"];
  const config = (Array.isArray(extensions) ? extensions : []).find((item) =>
    isFields(item) && item["name"] === `${EXEC_GROUP}/exec`
  )?.extension;
  const copy = (from: string) => cluster.has(from) ? { [from]: cluster.fields[from] } : {};
  return {
    server: cluster.fields["server"],
    ...copy("tls-server-name"),
    ...copy("insecure-skip-tls-verify"),
    ...copy("certificate-authority-data"),
    ...copy("proxy-url"),
    ...(config === undefined ? {} : { config }),
  };
}
