/** Every manifest of `examples/` is applied as it is, on a real API server. */
import assert from "node:assert/strict";
import { NEEDED } from "../../src/agent/adapters/capabilities.ts";
import { type ControlPlane, startControlPlane } from "../support/control_plane.ts";
import { HOME_NAMESPACE, SERVICE_ACCOUNT } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { kustomize, type Manifest, parseManifests, rightsOf } from "../support/manifests.ts";
import { testNeeding } from "../support/requirements.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const EXAMPLES = `${ROOT}examples/`;
const DEPLOYMENT = "deployment-with-ebpf.yaml";

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "examples/: each is applied, without a warning, and changes nothing the second time",
  async fn(t) {
    await using plane = await startControlPlane();
    await plane.kubectl("apply", "-f", `${ROOT}crd/podconfigmapconfig_crd.yaml`);
    await plane.createNamespace("my-namespace");
    const files = [...Deno.readDirSync(EXAMPLES)].map(({ name }) => name)
      .filter((name) => name.endsWith(".yaml")).sort();
    assert.ok(files.includes("ebpf-config.yaml") && files.includes(DEPLOYMENT));
    for (const file of files) {
      await t.step(file, async () => {
        await eventually("the CRD is served", async () => {
          await plane.kubectl("get", "pcmc");
          return true;
        });
        const run = async (...args: string[]) => {
          const all = [...args, "-f", `${EXAMPLES}${file}`];
          const { code, stdout, stderr } = await plane.kubectlAs(plane.kubeconfig, ...all);
          assert.deepEqual([code, stderr], [0, ""], stdout);
          return stdout;
        };
        await run("apply", "--dry-run=server");
        await run("apply");
        // A status that an example shows is not the user's to write.
        assert.equal(await run("diff"), "");
      });
    }
    await t.step("deployment-with-ebpf.yaml: Pods that a namespace without limits admits", () => {
      return podsAppear(plane);
    });
    await t.step(
      "deployment-with-ebpf.yaml: the rights of the controller and the condition",
      () => {
        return rightsOfRun(plane);
      },
    );
  },
});

Deno.test("examples/deployment-with-ebpf.yaml: the capabilities, folders and settings of deploy/", async () => {
  const of = async (path: string, kind: string) =>
    parseManifests(await Deno.readTextFile(`${ROOT}${path}`)).find((one) => one.kind === kind);
  const run = podOf(await of(`examples/${DEPLOYMENT}`, "Deployment"));
  const agent = podOf(await of("deploy/agent/daemonset.yaml", "DaemonSet"));
  const [mine, its] = [run.containers[0], agent.containers[0]];
  assert.deepEqual(mine.securityContext, its.securityContext);
  assert.deepEqual(mine.securityContext.capabilities.add, [...NEEDED]);
  for (const field of ["command", "image", "volumeMounts", "startupProbe", "livenessProbe"]) {
    assert.deepEqual(mine[field], its[field], field);
  }
  const { resources: _, ...prepare } = agent.initContainers[0];
  assert.deepEqual(run.initContainers, [prepare]);
  for (const field of ["volumes", "securityContext", "hostNetwork", "dnsPolicy"]) {
    assert.deepEqual(run[field], agent[field], field);
  }
});

// deno-lint-ignore no-explicit-any
function podOf(manifest: Manifest | undefined): any {
  assert.ok(manifest);
  return manifest["spec"].template.spec;
}

async function podsAppear(plane: ControlPlane): Promise<void> {
  await eventually("the Deployment has its Pods", async () => {
    const pods = await plane.expect("GET", "/api/v1/namespaces/default/pods");
    if (pods.items.length === 2) return true;
    throw new Error(await plane.kubectl("describe", "replicasets"));
  });
}

async function rightsOfRun(plane: ControlPlane): Promise<void> {
  const example = parseManifests(await Deno.readTextFile(`${EXAMPLES}${DEPLOYMENT}`));
  const controller = rightsOf(SERVICE_ACCOUNT, await kustomize(plane, "deploy/controller"));
  assert.ok(controller.length > 10, `of ${HOME_NAMESPACE}`);
  assert.deepEqual(
    rightsOf(SERVICE_ACCOUNT, example),
    [...controller, "patch /pods/status"].sort(),
  );
}
