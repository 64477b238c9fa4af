/**
 * The role `run` against a real API server, with the controller's rights and the one that it needs beside
 * them. No program is attached: no kubelet has made a cgroup for the Pods, which is one of the things told.
 */
import assert from "node:assert/strict";
import { CONTROLLER_USER, controllerCommand } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { RunningProcess } from "../support/processes.ts";
import { testNeeding } from "../support/requirements.ts";
import { type Namespace, NODE, Stage } from "./stage.ts";

const EBPF = { l4Firewall: { enabled: true, blockedPorts: [22] } };
const TYPE = "podconfig.example.com/EbpfApplied";
const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const STRATEGIC = "application/strategic-merge-patch+json";

/** What the role takes beyond `deploy/controller/`. */
async function grantPodStatus({ plane }: Stage): Promise<void> {
  const name = "run-pod-status";
  await plane.expect("POST", `${RBAC}/clusterroles`, {
    metadata: { name },
    rules: [{ apiGroups: [""], resources: ["pods/status"], verbs: ["patch"] }],
  });
  await plane.expect("POST", `${RBAC}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
    subjects: [{ kind: "User", name: CONTROLLER_USER }],
  });
}

/** As `controller` is started, with another word. */
function launchRun(stage: Stage): NonNullable<Stage["launch"]> {
  const [command = "", ...before] = controllerCommand();
  return ({ args: [_, ...args], env, logFile }) =>
    RunningProcess.start({
      command,
      args: [
        ...[...before, "run", "--kubeconfig", stage.kubeconfig],
        ...["--bpffs-folder=/proc/none", ...args],
      ],
      env: { ...env, NODE_NAME: NODE },
      logFile,
    });
}

interface Status {
  status?: { conditions?: { type: string; status: string; reason: string }[] };
}

async function conditionOf(namespace: Namespace, pod: string) {
  const { status } = await namespace.pod(pod) as Status;
  const found = status?.conditions?.find(({ type }) => type === TYPE);
  return found && `${found.status} ${found.reason}`;
}

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name:
    "run: what the leader cannot do on its node, and that it serves no other, is told; without eBPF it works as ever",
  async fn() {
    await using stage = await Stage.open();
    await grantPodStatus(stage);
    const namespace = await stage.namespace("run");
    await namespace.createPcmc("web", { ebpfConfig: EBPF });
    await namespace.createPod("here");
    await namespace.setPhase("here", "Running");
    await namespace.createPod("there", { nodeName: "node-2" });
    const status = `/api/v1/namespaces/${namespace.name}/pods/there/status`;
    const kubelets = { status: { conditions: [{ type: "Ready", status: "True" }] } };
    await stage.plane.expect("PATCH", status, kubelets, STRATEGIC);

    stage.launch = launchRun(stage);
    await using replica = await stage.start("run-0");
    await eventually("the other node's Pod is told", async () => {
      assert.equal(await conditionOf(namespace, "there"), "False NodeUnserved");
      return true;
    });
    const there = await namespace.pod("there") as Status;
    assert.ok(
      there.status?.conditions?.some(({ type }) => type === "Ready"),
      "the kubelet's stays",
    );
    await eventually("the leader's own says why", async () => {
      const reasons = /^False (CgroupNotFound|UnsupportedCgroups)$/;
      assert.match(await conditionOf(namespace, "here") ?? "", reasons);
      return true;
    });
    await eventually("the ConfigMaps say so", async () => {
      const read = async (pod: string) =>
        (await namespace.configMap(`pod-${pod}-from-web-cfg`))?.data?.["ebpf_status"];
      assert.deepEqual([await read("here"), await read("there")], ["failed", "unserved"]);
      return true;
    });
    const { status: code, body } = await replica.get("/readyz");
    assert.equal(code, 503, body);
    assert.match(body, /\[-\]node failed: Pod run-\d+\/here: /);

    await namespace.changePcmc("web", { ebpfConfig: null });
    await eventually("nothing is said any more", async () => {
      const said = ["here", "there"].map((pod) => conditionOf(namespace, pod));
      assert.deepEqual(await Promise.all(said), [undefined, undefined]);
      return true;
    });
    await replica.ready();
    const { code: exit } = await replica.stop();
    assert.equal(exit, 0, await replica.process.tail());
    assert.equal(await stage.leaseHolder(), "");
  },
});
