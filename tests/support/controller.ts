/**
 * The program under test as a process of its own, against a real API server: with the rights of
 * `deploy/controller/`, not the administrator's.
 */
import type { ControlPlane } from "./control_plane.ts";
import { eventually } from "./eventually.ts";
import { documents, kustomize } from "./manifests.ts";
import { freePort, RunningProcess } from "./processes.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Names that the manifests in `deploy/` fix. */
export const HOME_NAMESPACE = "podconfigmap-system";
export const SERVICE_ACCOUNT = "podconfigmap-controller";
export const CONTROLLER_USER = `system:serviceaccount:${HOME_NAMESPACE}:${SERVICE_ACCOUNT}`;
export const LOCK_NAME = "podconfigmap-controller-lock";
/** What the controller's other role grants. */
export const LOCK = {
  verb: "update",
  group: "coordination.k8s.io",
  resource: "leases",
  name: LOCK_NAME,
} as const;

/**
 * Applies `deploy/overlays/controller/`, admission policies included, but for the Deployment, and
 * waits until the CRD is established and the controller's rights are at work. Tests start the replicas.
 */
export async function installManifests(plane: ControlPlane): Promise<void> {
  const manifests = await kustomize(plane, "deploy/overlays/controller");
  await plane.apply(documents(manifests.filter(({ kind }) => kind !== "Deployment")));
  const name = "crd/podconfigmapconfigs.podconfig.example.com";
  await plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", name);
  await plane.untilAllowed(CONTROLLER_USER, { verb: "list", resource: "pods", namespace: "" });
  await plane.untilAllowed(CONTROLLER_USER, { ...LOCK, namespace: HOME_NAMESPACE });
}

/** Path of a kubeconfig for the controller's service account. Needs {@link installManifests}. */
export async function controllerKubeconfig(plane: ControlPlane): Promise<string> {
  const token = await plane.serviceAccountToken(HOME_NAMESPACE, SERVICE_ACCOUNT);
  return plane.kubeconfigFor(token, HOME_NAMESPACE);
}

/** The program's command line up to its own arguments: CONTROLLER_BINARY, else the sources. */
export function controllerCommand(): readonly string[] {
  const binary = Deno.env.get("CONTROLLER_BINARY");
  if (binary) return [binary];
  return [Deno.execPath(), "run", "--no-check", "--no-prompt", "--allow-all", `${ROOT}main.ts`];
}

export interface ControllerOptions {
  plane: ControlPlane;
  kubeconfig: string;
  /** Distinguishes the replicas' identities and log files. */
  name: string;
  /** Beyond `controller --kubeconfig PATH`. */
  args?: readonly string[];
  env?: Record<string, string>;
  /** Default {@link controllerCommand}. */
  command?: readonly string[];
  /** Starts the program in another way than as a process of this machine, with credentials of its own. */
  launch?: Launch;
}

/** What a replica is told, apart from how it reaches the API server. */
export interface Launched {
  name: string;
  args: readonly string[];
  env: Record<string, string>;
  logFile: string;
}

export type Launch = (replica: Launched) => Promise<RunningProcess>;

function asProcess({ command, kubeconfig }: ControllerOptions): Launch {
  const [program = "", ...before] = command ?? controllerCommand();
  return ({ args: [verb = "", ...args], env, logFile }) =>
    RunningProcess.start({
      command: program,
      args: [...before, verb, "--kubeconfig", kubeconfig, ...args],
      env,
      logFile,
    });
}

/** One running replica. It has the shipped manifests' environment. */
export class ControllerProcess implements AsyncDisposable {
  readonly process: RunningProcess;
  readonly #address: string;

  private constructor(process: RunningProcess, address: string) {
    this.process = process;
    this.#address = address;
  }

  static async start(options: ControllerOptions): Promise<ControllerProcess> {
    const { plane, name } = options;
    const address = `127.0.0.1:${freePort()}`;
    const env = {
      METRICS_ADDR: address,
      POD_NAME: name,
      POD_NAMESPACE: HOME_NAMESPACE,
      NODE_NAME: `node-of-${name}`,
      LEADER_ELECTION_LEASE_DURATION: "8s",
      LEADER_ELECTION_RENEW_DEADLINE: "5s",
      LEADER_ELECTION_RETRY_PERIOD: "1s",
      LEADER_ELECTION_LOCK_NAMESPACE: HOME_NAMESPACE,
      ...options.env,
    };
    const launch = options.launch ?? asProcess(options);
    const args = ["controller", ...options.args ?? []];
    const process = await launch({ name, args, env, logFile: `${plane.dir}/${name}.log` });
    return new ControllerProcess(process, address);
  }

  /** @throws only when nothing listens. */
  async get(path: "/healthz" | "/readyz" | "/metrics"): Promise<{ status: number; body: string }> {
    const response = await fetch(`http://${this.#address}${path}`);
    return { status: response.status, body: await response.text() };
  }

  /** Waits for a 200 of /readyz, also through the back-off that follows an outage. Fails at once, with the log's end, when the process ends. */
  async ready(timeoutMs = 120_000): Promise<void> {
    const outcome = await eventually(`${this.process.name} is ready`, async () => {
      if (this.process.ended !== undefined) return "ended";
      return (await this.get("/readyz")).status === 200 && "ready";
    }, { timeoutMs, everyMs: 20 });
    if (outcome === "ended") {
      throw new Error(`Cannot become ready: the process ended\n${await this.process.tail()}`);
    }
  }

  /** The value of one series of /metrics, as written there; 0 when there is no such series. */
  async metric(series: string): Promise<number> {
    const { body } = await this.get("/metrics");
    const line = body.split("\n").find((each) => each.startsWith(`${series} `));
    return line === undefined ? 0 : Number(line.slice(series.length + 1));
  }

  stop(graceMs?: number): Promise<Deno.CommandStatus> {
    return this.process.stop(graceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop();
  }
}
