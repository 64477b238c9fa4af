/**
 * A Kubernetes API in memory, served on loopback, and processes of this program that use it, on as many
 * "nodes" as a test wants: each a bpffs folder and a tree of cgroups of its own, on the one kernel there is.
 */
import assert from "node:assert/strict";
import { AttachType, CgroupDirectory, queryCgroup } from "../../../ffi/mod.ts";
import { HEAP_FLAGS } from "../../../scripts/build.ts";
import { customResourceDefinition } from "../../../src/api/crd.ts";
import { namesIn } from "../../../src/agent/adapters/pins.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { systemRandom } from "../../../src/lib/random.ts";
import { nodeOfIdentity } from "../../../src/ops/identity.ts";
import type {
  JsonObject,
  JsonValue,
  RequestOptions,
  RestClient,
} from "../../../src/runtime/ports/rest.ts";
import { type KubeObject, SimulatedCluster } from "../../../src/simulator/cluster.ts";
import { type HttpFront, serveHttp } from "../../../src/simulator/http_front.ts";
import { eventually } from "../../support/eventually.ts";
import { type FakePod, makePod } from "./kubelet.ts";
import type { Sandbox } from "./sandbox.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;
const PCMCS = "/apis/podconfig.example.com/v1alpha1/namespaces/ns/podconfigmapconfigs";
const CONDITION = "podconfig.example.com/EbpfApplied";
const LOCK = { namespace: "kube-system", name: "lock" } as const;
const LEASE = [
  ...["--lease-duration=5s", "--renew-deadline=4s", "--retry-period=500ms"],
  ...[`--leader-election-lock-namespace=${LOCK.namespace}`],
  `--leader-election-lock-name=${LOCK.name}`,
];

/** One node: its name, where its Pods' cgroups are, where its programs are pinned. */
export interface TestNode {
  readonly name: string;
  /** Relative to the sandbox. */
  readonly prefix: string;
  readonly cgroupRoot: string;
  readonly bpffsFolder: string;
}

export function makeNode(sandbox: Sandbox, name: string): TestNode {
  const cgroupRoot = sandbox.cgroup(name);
  return { name, prefix: name, cgroupRoot, bpffsFolder: `${sandbox.bpffs}/${name}` };
}

/** Pins of ours, folders not counted. */
export function pinsOf({ bpffsFolder }: TestNode): string[] {
  const root = `${bpffsFolder}/v1`;
  const pods = namesIn(`${root}/pods`).flatMap((uid) =>
    namesIn(`${root}/pods/${uid}`).map((pin) => `pods/${uid}/${pin}`)
  );
  return [...pods, ...namesIn(`${root}/maps`), ...namesIn(`${root}/sys`)]
    .filter((pin) => !/(^|\/)build-/.test(pin));
}

/** Ids of the programs on the Pod's cgroup, by hook. */
export function programsOn(pod: FakePod): number[] {
  using directory = CgroupDirectory.open(pod.path);
  return Object.values(AttachType).flatMap((type) => queryCgroup(directory, type).programIds);
}

/** CONTROLLER_BINARY, else the sources with the heap of the program that is shipped. */
function program(): string[] {
  const binary = Deno.env.get("CONTROLLER_BINARY");
  if (binary) return [binary];
  return [Deno.execPath(), "run", "-A", "--no-check", `--v8-flags=${HEAP_FLAGS}`, MAIN];
}

export class Role implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  readonly node: TestNode;
  /** Ended, however that came about: the exit code. */
  readonly code: Promise<number>;

  constructor(child: Deno.ChildProcess, node: TestNode) {
    this.child = child;
    this.node = node;
    this.code = child.status.then(({ code }) => code);
  }

  /** KiB that the process holds, and descriptors that it has open. */
  usage(): { readonly rssKib: number; readonly descriptors: number } {
    const status = Deno.readTextFileSync(`/proc/${this.child.pid}/status`);
    const descriptors = [...Deno.readDirSync(`/proc/${this.child.pid}/fd`)].length;
    return { rssKib: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]), descriptors };
  }

  async terminate(): Promise<void> {
    this.child.kill("SIGTERM");
    assert.equal(await this.code, 0);
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.child.status;
  }
}

export class TestCluster implements AsyncDisposable {
  readonly #sandbox: Sandbox;
  readonly #cluster: SimulatedCluster;
  readonly #front: HttpFront;
  readonly #client: RestClient;
  readonly #folder: string;
  readonly #roles: Role[] = [];

  constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox;
    this.#cluster = new SimulatedCluster({
      clock: systemClock,
      random: systemRandom,
      crds: [JSON.parse(JSON.stringify(customResourceDefinition())) as JsonValue],
    });
    this.#client = this.#cluster.client();
    this.#front = serveHttp({ cluster: this.#cluster });
    this.#folder = Deno.makeTempDirSync({ prefix: "podconfigmap-test-" });
    Deno.writeTextFileSync(
      `${this.#folder}/kubeconfig`,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": "c",
        contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
        clusters: [{ name: "c", cluster: { server: this.#front.url } }],
        users: [{ name: "u", user: {} }],
      }),
    );
  }

  /** Starts the program in a cgroup of its own: the canary attaches to the one that it runs in. */
  start(command: "run" | "agent", name: string, node: TestNode): Role {
    const cgroup = this.#sandbox.cgroup(`processes/${name}`);
    const script = `echo $$ > ${cgroup}/cgroup.procs && exec "$@"`;
    const args = [
      ...[command, `--kubeconfig=${this.#folder}/kubeconfig`, "--metrics-addr=off"],
      ...[`--node-name=${node.name}`, `--pod-name=${name}`, "--pod-namespace=system"],
      ...[`--cgroup-root=${node.cgroupRoot}`, `--bpffs-folder=${node.bpffsFolder}`],
      ...(command === "run" ? LEASE : []),
      "--log-level=error",
    ];
    const child = new Deno.Command("sh", {
      args: ["-c", script, "sh", ...program(), ...args],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    const role = new Role(child, node);
    this.#roles.push(role);
    return role;
  }

  /** A Pod in the API and its cgroups on the node. */
  pod(name: string, node: TestNode): FakePod {
    const [pod] = this.#cluster.seed([{
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "ns", labels: { app: "x" } },
      spec: {
        nodeName: node.name,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: "c", image: "i" }],
      },
      status: { phase: "Running", qosClass: "Burstable", podIP: "10.1.0.9" },
    }]);
    const { uid } = (pod as KubeObject).metadata;
    return makePod(this.#sandbox, { uid, within: node.prefix });
  }

  async deletePod(name: string): Promise<void> {
    await this.#send("DELETE", `/api/v1/namespaces/ns/pods/${name}`, { gracePeriodSeconds: 0 });
  }

  pcmc(ebpfConfig: JsonObject): void {
    this.#cluster.seed([{
      apiVersion: "podconfig.example.com/v1alpha1",
      kind: "PodConfigMapConfig",
      metadata: { name: "web", namespace: "ns" },
      spec: { ebpfConfig },
    }]);
  }

  async deletePcmc(): Promise<void> {
    await this.#send("DELETE", `${PCMCS}/web`, {});
  }

  #send(method: string, path: string, bodyJson: JsonValue): Promise<unknown> {
    const request = { method, path, bodyJson, expectJson: true } as RequestOptions;
    return this.#client.performRequest(request);
  }

  /** Reason of the Pod's condition. */
  condition(pod: string): string | undefined {
    const status = this.#cluster.get("v1", "Pod", "ns", pod)?.["status"] as
      | { conditions?: { type: string; reason: string }[] }
      | undefined;
    return status?.conditions?.find(({ type }) => type === CONDITION)?.reason;
  }

  ebpfStatus(pod: string): string | undefined {
    const data = this.#cluster.get("v1", "ConfigMap", "ns", `pod-${pod}-from-web-cfg`)?.["data"];
    return (data as Record<string, string> | undefined)?.["ebpf_status"];
  }

  /** `name@node` of the lease's holder; empty: nobody. */
  get leader(): string {
    const { namespace, name } = LOCK;
    const lease = this.#cluster.get("coordination.k8s.io/v1", "Lease", namespace, name);
    const { holderIdentity = "" } = (lease?.["spec"] ?? {}) as { holderIdentity?: string };
    const [pod = ""] = holderIdentity.replace("system/", "").split("_");
    return holderIdentity === "" ? "" : `${pod}@${nodeOfIdentity(holderIdentity)}`;
  }

  /** Resolves with the milliseconds that it took. */
  async until(what: string, holds: () => boolean): Promise<number> {
    const from = systemClock.monotonic();
    await eventually(what, holds, { everyMs: 5 });
    return systemClock.monotonic() - from;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const role of this.#roles) await role[Symbol.asyncDispose]();
    await this.#front.close();
    this.#cluster.stop();
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
