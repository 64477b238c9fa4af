/**
 * The agent as a process against a real API server: with the token, the rights and the admission policy of
 * `deploy/agent/`. It attaches nothing, as no kubelet has made a cgroup, and says so, which takes
 * every request that an agent makes.
 */
import assert from "node:assert/strict";
import { AGENT_LABELS, POD_CONDITION_EBPF } from "../../src/api/well_known.ts";
import type { ControlPlane } from "../support/control_plane.ts";
import { controllerCommand } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { documents, kustomize, rightsOf } from "../support/manifests.ts";
import { freePort, RunningProcess } from "../support/processes.ts";
import { type Behaviour, condition, type Namespace, type Stage, type Strings } from "./stage.ts";

const ACCOUNT = "podconfigmap-agent";
const HOME = "podconfigmap-agent";
/** Of its own: the agent leaves the Pods of other tests alone. */
const NODE = "node-of-the-agent";
const EBPF = { ebpfConfig: { l4Firewall: { enabled: true, blockedPorts: [22] } } };

export const AGENT_USER = `system:serviceaccount:${HOME}:${ACCOUNT}`;

/** `verb group/resource`, sorted, of every rule that `deploy/agent/` binds to the agent. */
export async function grantedToAgent(plane: ControlPlane): Promise<string[]> {
  return rightsOf(ACCOUNT, await kustomize(plane, "deploy/agent"));
}

/** Everything that the agents take but the DaemonSet. */
export async function installAgents(plane: ControlPlane): Promise<void> {
  for (const folder of ["deploy/agent", "deploy/policies/agent"]) {
    const manifests = await kustomize(plane, folder);
    await plane.apply(documents(manifests.filter(({ kind }) => kind !== "DaemonSet")));
  }
  await plane.untilAllowed(AGENT_USER, { verb: "list", resource: "pods", namespace: "" });
}

/** A token as the kubelet asks for it: bound to the agent's Pod, and so to its node. */
export async function agentToken(plane: ControlPlane, node: string): Promise<string> {
  const pod = await eventually(
    "the agent's Pod can be made",
    () =>
      plane.expect("POST", `/api/v1/namespaces/${HOME}/pods`, {
        metadata: { name: `agent-on-${node}`, labels: AGENT_LABELS },
        spec: {
          nodeName: node,
          serviceAccountName: ACCOUNT,
          containers: [{ name: "agent", image: "example.com/agent:1" }],
        },
      }),
  );
  const { name, uid } = pod.metadata;
  const path = `/api/v1/namespaces/${HOME}/serviceaccounts/${ACCOUNT}/token`;
  const answer = await plane.expect("POST", path, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid } },
  });
  return answer.status.token;
}

export const AGENTS: Behaviour[] = [{
  name: "an agent reports on its node's Pods alone, and a trouble that comes back in one Event",
  async run(stage) {
    await installAgents(stage.plane);
    await using agent = await startAgent(stage);
    const at = await stage.namespace("agents");
    await at.createPcmc("web", EBPF);
    await at.createPod("here", { nodeName: NODE });
    await at.setPhase("here", "Running");
    await at.createPod("there");
    await at.setPhase("there", "Running");
    await untilSaid(at, "here", /^False (CgroupNotFound|UnsupportedCgroups)$/, agent);
    await at.changePcmc("web", { ebpfConfig: null });
    await untilSaid(at, "here", /^nothing$/, agent);
    await at.changePcmc("web", EBPF);
    await untilSaid(at, "here", /^False /, agent);
    await eventually("the Event counts it twice", async () => {
      const { items } = await stage.plane.expect(
        "GET",
        `/apis/events.k8s.io/v1/namespaces/${at.name}/events`,
      );
      const warnings = items.filter(({ reason }: Strings) => reason === "EbpfNotApplied");
      assert.equal(warnings.length, 1);
      return warnings[0].series?.count === 2;
    }, { timeoutMs: 150_000, everyMs: 500 });
    assert.equal(await said(at, "there"), "nothing");
    assert.equal((await agent.stop()).code, 0, await agent.tail());
  },
}];

/** For the Pods of a node that no other test uses. */
export async function startAgent({ plane }: Stage): Promise<RunningProcess> {
  const kubeconfig = await plane.kubeconfigFor(await agentToken(plane, NODE), HOME);
  const [command = "", ...before] = controllerCommand();
  return await RunningProcess.start({
    command,
    args: [...before, "agent", "--kubeconfig", kubeconfig, "--bpffs-folder=/proc/none"],
    env: {
      METRICS_ADDR: `127.0.0.1:${freePort()}`,
      POD_NAME: `agent-on-${NODE}`,
      POD_NAMESPACE: HOME,
      NODE_NAME: NODE,
    },
    logFile: `${plane.dir}/agent.log`,
  });
}

async function said(at: Namespace, pod: string): Promise<string> {
  const found = condition(await at.pod(pod), POD_CONDITION_EBPF);
  return found === undefined ? "nothing" : `${found.status} ${found.reason}`;
}

async function untilSaid(at: Namespace, pod: string, expected: RegExp, agent: RunningProcess) {
  await eventually(`the agent says ${expected} of ${pod}`, async () => {
    const what = await said(at, pod);
    if (expected.test(what)) return true;
    throw new Error(`it says ${what}\n${await agent.tail()}`);
  });
}
