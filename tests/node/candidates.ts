/**
 * Processes of the role `run` that want to lead: on the node itself, from the image's files, and beyond
 * it. They have the controller's rights, and the one that the role needs beside them.
 */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import { controllerCommand, LOCK_NAME, SERVICE_ACCOUNT } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, RunningProcess } from "../support/processes.ts";
import { SYSTEM } from "./cluster.ts";
import type { KubeObject, Vm } from "./vm.ts";

const IMAGE_FILES = "/run/podconfigmap-image";
const HOME = "/run/podconfigmap-run";
const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${SYSTEM}/leases/${LOCK_NAME}`;
const POLL = { timeoutMs: 120_000, everyMs: 250 };
/** It lets who comes next take over, takes the programs down, and has few processors for it. */
const STOP_MS = 60_000;

export interface Candidate extends AsyncDisposable {
  /** In the lease. */
  readonly identity: string;
  /** Waits until it would take over. */
  ready(): Promise<void>;
  /** SIGTERM. @returns once it has ended, and is content. */
  stop(): Promise<void>;
}

/** The lease is soon taken by another, and not lost because the machine stands still for a while. */
function environment(name: string, node: string, port: number): Record<string, string> {
  return {
    POD_NAME: name,
    POD_NAMESPACE: SYSTEM,
    NODE_NAME: node,
    METRICS_ADDR: `127.0.0.1:${port}`,
    LEADER_ELECTION_LOCK_NAMESPACE: SYSTEM,
    LEADER_ELECTION_LEASE_DURATION: "15s",
    LEADER_ELECTION_RENEW_DEADLINE: "10s",
    LEADER_ELECTION_RETRY_PERIOD: "500ms",
  };
}

const identityOf = (name: string, node: string) => `${SYSTEM}/${name}_${node}`;

/** @returns since when, at the latest, by the clock of the test, in ms. */
export function untilLeads(vm: Vm, { identity }: Candidate): Promise<number> {
  return eventually(`${identity} leads`, async () => {
    const { spec } = await vm.request("GET", LEASE);
    assert.equal(spec.holderIdentity, identity);
    return systemClock.monotonic();
  }, { ...POLL, everyMs: 20 });
}

/** Where candidates are started, in place of the controller's Deployment. */
export class Candidates {
  readonly #vm: Vm;
  readonly #kubeconfig: string;

  private constructor(vm: Vm, kubeconfig: string) {
    this.#vm = vm;
    this.#kubeconfig = kubeconfig;
  }

  /**
   * @param version of an image that the node has.
   * @param folder for what is not on the node.
   */
  static async prepare(vm: Vm, version: string, folder: string): Promise<Candidates> {
    await grantPodStatus(vm);
    const admins = JSON.parse(
      await vm.kubectl("config", "view", "--raw", "--flatten", "-o", "json"),
    );
    const kubelets = await vm.shell("cat /etc/kubernetes/kubelet.kubeconfig");
    const [, server = ""] = /server: "?(https:[^"\s]+?)["},\s]/.exec(kubelets) ?? [];
    assert.notEqual(server, "", "the API server's address on the node");
    const token = await vm.kubectl("create", "token", "-n", SYSTEM, SERVICE_ACCOUNT);
    const [{ cluster }] = admins.clusters;
    await vm.shell(
      `umask 077; mkdir -p ${HOME} ${IMAGE_FILES}; cat >${HOME}/kubeconfig`,
      kubeconfigOf({ ...cluster, server }, token),
    );
    const image = `docker.io/library/podconfigmap-controller:${version}`;
    await vm.shell(`ctr -n k8s.io images mount ${image} ${IMAGE_FILES}`);
    const path = `${folder}/kubeconfig`;
    await Deno.writeTextFile(path, kubeconfigOf(cluster, token), { mode: 0o600 });
    return new Candidates(vm, path);
  }

  onNode(name: string, node: string, port: number): Promise<Candidate> {
    return OnNode.start(this.#vm, name, node, port);
  }

  /** It has no Pods, and nothing of the kernel. */
  async elsewhere(name: string, node: string, logFile: string): Promise<Candidate> {
    const port = freePort();
    const [command = "", ...before] = controllerCommand();
    const process = await RunningProcess.start({
      command,
      args: [...before, "run", "--kubeconfig", this.#kubeconfig, "--bpffs-folder=/proc/none"],
      env: environment(name, node, port),
      logFile,
    });
    return {
      identity: identityOf(name, node),
      ready: () =>
        eventually(`${name} is ready`, async () => {
          const response = await fetch(`http://127.0.0.1:${port}/readyz`);
          assert.equal(response.status, 200, await response.text());
          return true;
        }, POLL).then(() => {}),
      stop: async () => {
        const { code } = await process.stop(STOP_MS);
        assert.equal(code, 0, await process.tail());
      },
      [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
    };
  }
}

async function grantPodStatus(vm: Vm): Promise<void> {
  const name = "run-pod-status";
  await vm.request("POST", `${RBAC}/clusterroles`, {
    metadata: { name },
    rules: [{ apiGroups: [""], resources: ["pods/status"], verbs: ["patch"] }],
  });
  await vm.request("POST", `${RBAC}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
    subjects: [{ kind: "ServiceAccount", namespace: SYSTEM, name: SERVICE_ACCOUNT }],
  });
}

function kubeconfigOf(cluster: KubeObject, token: string): string {
  const name = "run";
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": name,
    contexts: [{ name, context: { cluster: name, user: name } }],
    clusters: [{ name, cluster }],
    users: [{ name, user: { token: token.trim() } }],
  });
}

class OnNode implements Candidate {
  readonly identity: string;
  readonly #vm: Vm;
  readonly #name: string;
  readonly #port: number;
  readonly #child: Deno.ChildProcess;
  #ended = false;

  private constructor(vm: Vm, name: string, node: string, port: number) {
    this.identity = identityOf(name, node);
    this.#vm = vm;
    this.#name = name;
    this.#port = port;
    const settings = Object.entries(environment(name, node, port)).map(([key, value]) =>
      `${key}=${value}`
    );
    const run = `${IMAGE_FILES}/podconfigmap-controller run --kubeconfig ${HOME}/kubeconfig`;
    this.#child = vm.spawn(
      `echo $$ >${HOME}/${name}.pid
      exec env ${settings.join(" ")} ${run} </dev/null >${HOME}/${name}.log 2>&1`,
    );
    this.#child.status.then(() => this.#ended = true);
  }

  static async start(vm: Vm, name: string, node: string, port: number): Promise<OnNode> {
    const candidate = new OnNode(vm, name, node, port);
    await candidate.#child.stdout.cancel();
    return candidate;
  }

  async ready(): Promise<void> {
    await eventually(`${this.#name} is ready`, async () => {
      assert.ok(!this.#ended, await this.#log());
      await this.#vm.shell(`wget -qO /dev/null http://127.0.0.1:${this.#port}/readyz`);
      return true;
    }, POLL);
  }

  async stop(): Promise<void> {
    await this.#signal("TERM");
    const { code } = await this.#child.status;
    assert.equal(code, 0, await this.#log());
  }

  #signal(name: string): Promise<string> {
    return this.#vm.shell(`kill -${name} $(cat ${HOME}/${this.#name}.pid)`);
  }

  #log(): Promise<string> {
    return this.#vm.shell(`tail -n 20 ${HOME}/${this.#name}.log`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) await this.#signal("KILL").catch(() => {});
    await this.#child.stdin.close().catch(() => {});
    await this.#child.status;
  }
}
