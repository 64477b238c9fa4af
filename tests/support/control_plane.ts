/**
 * A private Kubernetes control plane on loopback, for tests: etcd, kube-apiserver and
 * kube-controller-manager from KUBEBUILDER_ASSETS (as `setup-envtest use -p path` prints it).
 *
 * - RBAC and the Node authorizer are on, anonymous access is off, certificates are its own.
 * - There is no scheduler and no kubelet: set `spec.nodeName`, patch Pod status.
 * - Nothing survives the test file, also when that is killed (see `processes.ts`).
 * - etcd does not fsync: data survives a restart of the API server, not of the machine.
 */
import { sleep, systemClock } from "../../src/lib/clock.ts";
import { type AuditLevel, AuditLog, auditPolicy } from "./audit_log.ts";
import { type Authority, createAuthority, createKeyPair, type KeyPair } from "./certificates.ts";
import { eventually } from "./eventually.ts";
import { freePort, output, run, RunningProcess, temporaryDir } from "./processes.ts";

export interface ControlPlaneOptions {
  /** Folder with etcd, kube-apiserver, kube-controller-manager, kubectl. Default KUBEBUILDER_ASSETS. */
  assets?: string;
  /** Default true. Without it: no garbage collection, no namespace deletion, no service accounts by themselves. */
  controllerManager?: boolean;
  /** Default `none`. */
  audit?: AuditLevel;
  apiServerArgs?: readonly string[];
}

/** An answer of {@link ControlPlane.request}; a refusal is an answer too. */
export interface Answer {
  status: number;
  // deno-lint-ignore no-explicit-any
  body: any;
}

/** As `resourceAttributes` of a SubjectAccessReview. */
export interface Access {
  verb: string;
  group?: string;
  resource: string;
  subresource?: string;
  name?: string;
  /** Empty: all of them, or none. */
  namespace: string;
}

/** Controllers of kube-controller-manager that tests here may need. */
const CONTROLLERS = [
  "garbage-collector-controller",
  "namespace-controller",
  "serviceaccount-controller",
  "serviceaccount-token-controller",
  "root-ca-certificate-publisher-controller",
  "clusterrole-aggregation-controller",
  "resourcequota-controller",
  "deployment-controller",
  "replicaset-controller",
  "validatingadmissionpolicy-status-controller",
];

const READY_TIMEOUT_MS = 90_000;
const REQUEST_TIMEOUT_MS = 30_000;
const SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc";

/** @throws Error when KUBEBUILDER_ASSETS is not set or a component does not come up, with the end of its log. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const assets = options.assets ?? Deno.env.get("KUBEBUILDER_ASSETS");
  if (assets === undefined) {
    throw new Error("Cannot start a control plane: KUBEBUILDER_ASSETS is not set");
  }
  const dir = await temporaryDir("control-plane");
  const plane = new ControlPlane(assets, dir.path, options);
  try {
    await plane.start();
    return plane;
  } catch (error) {
    await plane.stop();
    throw error;
  }
}

export class ControlPlane implements AsyncDisposable {
  /** Everything of this control plane: certificates, logs, data. */
  readonly dir: string;
  /** PEM of the CA that signed the API server's certificate. */
  readonly caCertificate: string;
  readonly caFile: string;
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string;

  readonly #assets: string;
  readonly #options: ControlPlaneOptions;
  readonly #authority: Authority;
  readonly #admin: KeyPair;
  readonly #processes: RunningProcess[] = [];
  #apiServer: RunningProcess | undefined;
  #port = 0;
  #http: Deno.HttpClient | undefined;
  #kubeconfigs = 0;

  /** Use {@link startControlPlane}. */
  constructor(assets: string, dir: string, options: ControlPlaneOptions) {
    this.#assets = assets;
    this.#options = options;
    this.#authority = createAuthority("test-ca");
    this.#admin = this.#authority.issue({
      commonName: "test-admin",
      organizations: ["system:masters"],
      usage: "client",
    });
    this.dir = dir;
    this.caCertificate = this.#authority.cert;
    this.caFile = `${dir}/ca.crt`;
    this.kubeconfig = `${dir}/admin.kubeconfig`;
  }

  /** `https://127.0.0.1:<port>`; stays the same when the API server is restarted. */
  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  get apiServer(): RunningProcess {
    if (this.#apiServer === undefined) throw new Error("Cannot reach the API server: not started");
    return this.#apiServer;
  }

  get auditLog(): AuditLog {
    if ((this.#options.audit ?? "none") === "none") {
      throw new Error("Cannot read the audit log: start the control plane with `audit`");
    }
    return new AuditLog(`${this.dir}/audit.log`);
  }

  async start(): Promise<void> {
    await this.#writeCertificates();
    await this.#spawn("etcd", [
      "--name=test",
      `--data-dir=${this.dir}/etcd`,
      "--unsafe-no-fsync",
      "--log-level=warn",
      // Relative, because a socket's path is limited to 107 bytes; etcd wants a port behind it.
      "--listen-client-urls=unix://etcd.sock:0",
      "--advertise-client-urls=unix://etcd.sock:0",
      "--listen-peer-urls=unix://etcd-peer.sock:0",
      "--initial-advertise-peer-urls=unix://etcd-peer.sock:0",
      "--initial-cluster=test=unix://etcd-peer.sock:0",
      `--quota-backend-bytes=${8 * 2 ** 30}`,
    ]);
    await this.#startOnFreePort();
    if (this.#options.controllerManager === false) return;
    await this.#startControllerManager();
  }

  /** A request as the administrator. @throws only when there was no answer. */
  async request(
    method: string,
    path: string,
    body?: unknown,
    contentType = "application/json",
  ): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      client: this.#httpClient(),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      method,
      headers: body === undefined ? {} : { "content-type": contentType },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = response.headers.get("content-type")?.startsWith("application/json");
    return { status: response.status, body: json ? JSON.parse(text) : text };
  }

  /** Like {@link request}, for what must succeed. @throws Error with the server's message. */
  // deno-lint-ignore no-explicit-any
  async expect(method: string, path: string, body?: unknown, contentType?: string): Promise<any> {
    const answer = await this.request(method, path, body, contentType);
    if (answer.status < 300) return answer.body;
    const message = answer.body?.message ?? answer.body;
    throw new Error(`Cannot ${method} ${path}: HTTP status ${answer.status}: ${message}`);
  }

  /** Standard output of `kubectl` as the administrator. @throws Error with its standard error. */
  kubectl(...args: string[]): Promise<string> {
    return output(`${this.#assets}/kubectl`, [...this.#kubectlFlags(this.kubeconfig), ...args]);
  }

  /** `kubectl apply -f -` of one or more YAML or JSON documents. */
  apply(manifests: string): Promise<string> {
    const args = [...this.#kubectlFlags(this.kubeconfig), "apply", "-f", "-"];
    return output(`${this.#assets}/kubectl`, args, { stdin: manifests });
  }

  /** `kubectl` with another kubeconfig, whatever its exit code. */
  kubectlAs(kubeconfig: string, ...args: string[]): ReturnType<typeof run> {
    return run(`${this.#assets}/kubectl`, [...this.#kubectlFlags(kubeconfig), ...args]);
  }

  /** Creates the namespace, and waits until Pods can be created in it. */
  async createNamespace(name: string): Promise<void> {
    await this.expect("POST", "/api/v1/namespaces", { metadata: { name } });
    if (this.#options.controllerManager === false) return;
    await eventually(`namespace ${name} has its service account`, async () => {
      const path = `/api/v1/namespaces/${name}/serviceaccounts/default`;
      return (await this.request("GET", path)).status === 200;
      // Its controller backs off while the API server is away.
    }, { timeoutMs: 120_000 });
  }

  /** Whether the authorizer lets the user do that. */
  async allows(user: string, resourceAttributes: Access): Promise<boolean> {
    const path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    const [, namespace] = /^system:serviceaccount:([^:]+):/.exec(user) ?? [];
    const review = await this.expect("POST", path, {
      spec: {
        user,
        groups: namespace === undefined
          ? []
          : ["system:serviceaccounts", `system:serviceaccounts:${namespace}`],
        resourceAttributes,
      },
    });
    return review.status.allowed;
  }

  /** The authorizer follows roles and bindings a moment behind: waits until it has come so far. */
  async untilAllowed(user: string, access: Access, allowed = true): Promise<void> {
    const { verb, resource, subresource, namespace } = access;
    const what = `${verb} ${[resource, subresource].filter(Boolean).join("/")} in "${namespace}"`;
    await eventually(
      `${user} may${allowed ? "" : " not"} ${what}`,
      async () => await this.allows(user, access) === allowed,
      { everyMs: 10 },
    );
  }

  /** A token of an existing service account, valid for an hour. */
  async serviceAccountToken(namespace: string, name: string): Promise<string> {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const answer = await this.expect("POST", path, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { expirationSeconds: 3600 },
    });
    return answer.status.token;
  }

  /** Path of a new kubeconfig that authenticates with `token`. */
  async kubeconfigFor(token: string, namespace = "default"): Promise<string> {
    const path = `${this.dir}/token-${++this.#kubeconfigs}.kubeconfig`;
    await writePrivate(path, this.#kubeconfigText({ token }, namespace));
    return path;
  }

  /** The API server stops answering but keeps its connections (SIGSTOP). */
  pauseApiServer(): void {
    this.apiServer.signal("SIGSTOP");
  }

  resumeApiServer(): void {
    this.apiServer.signal("SIGCONT");
  }

  /** Ends the API server; etcd keeps the data. `kill` breaks every connection at once. */
  async stopApiServer(how: "terminate" | "kill" = "kill"): Promise<void> {
    await (how === "kill" ? this.apiServer.kill() : this.apiServer.stop(60_000));
  }

  /** Starts the API server again, at the same address, and waits until it is ready. */
  async startApiServer(): Promise<void> {
    await this.#spawnApiServer();
    await this.#apiServerReady();
  }

  /** Ends every process and removes {@link dir}. */
  async stop(): Promise<void> {
    // Nothing here is worth a graceful end; an API server may take a minute for that.
    for (const process of this.#processes.reverse()) await process.kill();
    this.#processes.length = 0;
    this.#http?.close();
    this.#http = undefined;
    await Deno.remove(this.dir, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #writeCertificates(): Promise<void> {
    const server = this.#authority.issue({
      commonName: "kube-apiserver",
      usage: "server",
      names: ["localhost", "kubernetes", "kubernetes.default.svc", "127.0.0.1", "::1", "10.96.0.1"],
    });
    const signing = createKeyPair();
    await writePrivate(this.caFile, this.caCertificate);
    await writePrivate(`${this.dir}/apiserver.crt`, server.cert);
    await writePrivate(`${this.dir}/apiserver.key`, server.key);
    await writePrivate(`${this.dir}/service-account.pub`, signing.cert);
    await writePrivate(`${this.dir}/service-account.key`, signing.key);
    const level = this.#options.audit ?? "none";
    if (level !== "none") await writePrivate(`${this.dir}/audit-policy.json`, auditPolicy(level));
  }

  async #startOnFreePort(): Promise<void> {
    for (let attempt = 1;; attempt++) {
      this.#port = freePort();
      await this.#spawnApiServer();
      await writePrivate(this.kubeconfig, this.#kubeconfigText(this.#admin, "default"));
      try {
        return await this.#apiServerReady();
      } catch (error) {
        // Someone took the port between our look and the server's.
        const taken = (await this.apiServer.tail()).includes("address already in use");
        if (!taken || attempt === 3) throw error;
      }
    }
  }

  async #spawnApiServer(): Promise<void> {
    // A client of its own for each server process: none is left with a dead one's connections.
    this.#http?.close();
    const trust = { caCerts: [this.caCertificate], http2: false };
    this.#http = Deno.createHttpClient({ ...this.#admin, ...trust });
    const audit = (this.#options.audit ?? "none") === "none"
      ? []
      : ["--audit-policy-file=audit-policy.json", "--audit-log-path=audit.log"];
    this.#apiServer = await this.#spawn("kube-apiserver", [
      "--etcd-servers=unix://etcd.sock:0",
      "--bind-address=127.0.0.1",
      `--secure-port=${this.#port}`,
      "--endpoint-reconciler-type=none",
      // Never used, but a machine without a default route needs one.
      "--advertise-address=192.0.2.1",
      "--tls-cert-file=apiserver.crt",
      "--tls-private-key-file=apiserver.key",
      "--client-ca-file=ca.crt",
      "--anonymous-auth=false",
      "--authorization-mode=Node,RBAC",
      "--enable-admission-plugins=NodeRestriction",
      `--service-account-issuer=${SERVICE_ACCOUNT_ISSUER}`,
      "--service-account-key-file=service-account.pub",
      "--service-account-signing-key-file=service-account.key",
      "--service-cluster-ip-range=10.96.0.0/16",
      ...audit,
      ...this.#options.apiServerArgs ?? [],
    ]);
  }

  async #startControllerManager(): Promise<void> {
    const identity = this.#authority.issue({
      commonName: "system:kube-controller-manager",
      usage: "client",
    });
    const kubeconfig = `${this.dir}/controller-manager.kubeconfig`;
    await writePrivate(kubeconfig, this.#kubeconfigText(identity, "default"));
    const process = await this.#spawn("kube-controller-manager", [
      `--kubeconfig=${kubeconfig}`,
      "--secure-port=0",
      "--leader-elect=false",
      "--use-service-account-credentials",
      `--controllers=${CONTROLLERS.join(",")}`,
      "--service-account-private-key-file=service-account.key",
      "--root-ca-file=ca.crt",
      "--kube-api-qps=200",
      "--kube-api-burst=200",
    ]);
    const path = "/api/v1/namespaces/default/serviceaccounts/default";
    await this.#await(process, async () => (await this.request("GET", path)).status === 200);
  }

  async #spawn(component: string, args: readonly string[]): Promise<RunningProcess> {
    const process = await RunningProcess.start({
      command: `${this.#assets}/${component}`,
      args,
      cwd: this.dir,
      logFile: `${this.dir}/${component}.log`,
    });
    this.#processes.push(process);
    return process;
  }

  #apiServerReady(): Promise<void> {
    return this.#await(
      this.apiServer,
      async () => (await this.request("GET", "/readyz")).status === 200,
    );
  }

  async #await(process: RunningProcess, ready: () => Promise<boolean>): Promise<void> {
    const deadline = systemClock.monotonic() + READY_TIMEOUT_MS;
    while (!await ready().catch(() => false)) {
      const dead = this.#processes.find((p) => p.ended !== undefined && p !== this.#replaced(p));
      const late = systemClock.monotonic() > deadline;
      if (dead !== undefined || late) {
        const culprit = dead ?? process;
        const reason = dead === undefined ? "not ready in time" : "ended";
        throw new Error(`Cannot start ${culprit.name}: ${reason}\n${await culprit.tail()}`);
      }
      await sleep(systemClock, 50);
    }
  }

  /** An API server that a restart replaced may have ended. */
  #replaced(process: RunningProcess): RunningProcess | undefined {
    return process.name === "kube-apiserver" && process !== this.#apiServer ? process : undefined;
  }

  #httpClient(): Deno.HttpClient {
    if (this.#http === undefined) throw new Error("Cannot reach the API server: not started");
    return this.#http;
  }

  #kubectlFlags(kubeconfig: string): string[] {
    return [`--kubeconfig=${kubeconfig}`, `--cache-dir=${this.dir}/kubectl-cache`];
  }

  #kubeconfigText(user: { token: string } | { cert: string; key: string }, namespace: string) {
    const credentials = "token" in user ? { token: user.token } : {
      "client-certificate-data": btoa(user.cert),
      "client-key-data": btoa(user.key),
    };
    const cluster = { server: this.url, "certificate-authority-data": btoa(this.caCertificate) };
    // JSON is YAML.
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "test",
      contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace } }],
      clusters: [{ name: "test", cluster }],
      users: [{ name: "test", user: credentials }],
    });
  }
}

function writePrivate(path: string, text: string): Promise<void> {
  return Deno.writeTextFile(path, text, { mode: 0o600 });
}
