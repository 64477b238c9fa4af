/**
 * Trouble: the API server away, refusing or without the type. The program says what is wrong, at a
 * bounded rate, is not ready, is not to be killed, and goes on by itself.
 *
 * On a control plane of its own, without kube-controller-manager (so that nothing tidies up but the
 * controller) and without streamed lists (so that the controller has to fall back to paged ones).
 */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import {
  CONTROLLER_USER,
  ControllerProcess,
  HOME_NAMESPACE,
  SERVICE_ACCOUNT,
} from "../support/controller.ts";
import { eventually, throughout } from "../support/eventually.ts";
import { report } from "./replicas.ts";
import { condition, type Namespace, ROOT, type Stage, warnings } from "./stage.ts";

const CRD = "podconfigmapconfigs.podconfig.example.com";
const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const OUTAGE_MS = 12_000;
/** Three watches and the lease, each with a line or two at first and one a minute. */
const OUTAGE_LINES_MAX = 16;

export const TROUBLE_PLANE = {
  controllerManager: false,
  apiServerArgs: ["--feature-gates=WatchList=false"],
};

export async function trouble(t: Deno.TestContext, stage: Stage): Promise<void> {
  const at = await stage.namespace("trouble");
  await t.step(
    "the CRD not installed: it waits, says so, and works once it is there, without a restart",
    () => withoutCrd(stage, at),
  );
  await t.step(
    "the API server down at the start and for a while: bounded log lines, not ready, alive, recovery by itself",
    () => outage(stage, at),
  );
  await t.step(
    "the API server frozen: reconciles end at CONTROLLER_RECONCILIATION_TIMEOUT",
    () => frozen(stage),
  );
  await t.step(
    "401: it says so, is not ready, and works once the token file has a valid token",
    () => badToken(stage, at),
  );
  await t.step(
    "403: the log names verb, resource and the missing rule; works once it is granted",
    () => missingRule(stage, at),
  );
  await t.step(
    "in a namespace that is terminating, work ends without retries",
    () => terminatingNamespace(stage),
  );
  await t.step(
    "an invalid spec that an older CRD let pass: Valid=False with the path, ConfigMaps stay, no retries",
    () => olderCrd(stage),
  );
}

async function withoutCrd(stage: Stage, at: Namespace): Promise<void> {
  await stage.plane.kubectl("delete", "crd", CRD);
  await using controller = await stage.start("no-crd");
  const readyz = await eventually("it says what is missing", async () => {
    const readyz = await controller.get("/readyz");
    return /\[-\]cache podconfigmapconfigs failed: .*404/.test(readyz.body) && readyz;
  });
  assert.equal(readyz.status, 503);
  assert.equal((await controller.get("/healthz")).status, 200);
  const line = await controller.process.logLine(/^W.*podconfigmapconfigs/);
  assert.match(line, /is podconfigmapconfigs\.podconfig\.example\.com\/v1alpha1 installed\?/);
  await stage.plane.kubectl("apply", "-f", `${ROOT}crd/podconfigmapconfig_crd.yaml`);
  const begin = systemClock.monotonic();
  await controller.ready();
  report(`CRD installed to ready: ${seconds(begin)}`);
  await worksFor(at, "after-crd");
  assert.ok(warnings(await controller.process.log()).length <= 3);
}

async function outage(stage: Stage, at: Namespace): Promise<void> {
  await using running = await stage.start("outage-running");
  await running.ready();
  await worksFor(at, "before-outage");
  const burst = Array.from({ length: 40 }, (_, index) => `burst-${index}`);
  await Promise.all(burst.map((name) => at.createPod(name, { labels: { burst: "yes" } })));
  const before = (await running.process.log()).length;
  // In the middle of its work.
  await at.createPcmc("burst", { podSelector: { matchLabels: { burst: "yes" } } });
  await stage.plane.stopApiServer("kill");
  await using started = await stage.start("outage-started");
  let begin = 0;
  try {
    await running.process.logLine("Cannot follow the API server's changes");
    await started.process.logLine("Cannot follow the API server's changes");
    await throughout(OUTAGE_MS, async () => {
      for (const controller of [running, started]) {
        assert.equal((await controller.get("/healthz")).status, 200);
        assert.equal((await controller.get("/readyz")).status, 503);
      }
    }, 1_000);
    for (const [controller, from] of [[running, before], [started, 0]] as const) {
      const lines = (await controller.process.log()).slice(from).trimEnd().split("\n");
      assert.ok(lines.length <= OUTAGE_LINES_MAX, `${lines.length} lines:\n${lines.join("\n")}`);
      assert.match((await controller.get("/readyz")).body, /\[-\]cache pods failed: .*refused/i);
    }
  } finally {
    // Also for the steps that come after a failure here.
    begin = systemClock.monotonic();
    await stage.plane.startApiServer();
  }
  const up = systemClock.monotonic();
  await Promise.all([running.ready(), started.ready()]);
  await worksFor(at, "after-outage");
  report(
    `API server ready again (${seconds(begin, up)} after its start) to the next ConfigMap: ${
      seconds(up)
    }`,
  );
  await at.untilReady("burst", "True", ({ status }) => status?.configMaps === burst.length);
  for (const controller of [running, started]) {
    assert.equal(controller.process.ended, undefined);
    await controller.process.logLine("Following the API server's changes again");
  }
}

/**
 * A status whose counts alone have changed waits until 10 s after the one before: by then the server
 * is frozen.
 */
async function frozen(stage: Stage): Promise<void> {
  const at = await stage.namespace("frozen");
  await at.createPcmc("facts", {});
  await at.createPod("one");
  await using controller = await stage.start("frozen", {
    LEADER_ELECTION_ENABLED: "false",
    CONTROLLER_RECONCILIATION_TIMEOUT: "1s",
  });
  await at.untilReady("facts", "True", ({ status }) => status?.configMaps === 1);
  await at.createPod("two");
  await at.untilConfigMap("pod-two-from-facts-cfg");
  stage.plane.pauseApiServer();
  try {
    const timeouts = "podconfigmap_controller_reconciliation_errors_total" +
      `{resource_type="pcmc",namespace="${at.name}",error_type="timeout"}`;
    await eventually(
      "a reconcile has timed out",
      async () => await controller.metric(timeouts) > 0,
    );
    assert.equal((await controller.get("/healthz")).status, 200);
  } finally {
    stage.plane.resumeApiServer();
  }
  await at.untilReady("facts", "True", ({ status }) => status?.configMaps === 2);
}

async function badToken(stage: Stage, at: Namespace): Promise<void> {
  const { plane } = stage;
  const tokenFile = `${plane.dir}/rotating-token`;
  // As the kubelet does it: a reader sees the old one or the new one, never half of it.
  const rotate = async (token: string) => {
    await Deno.writeTextFile(`${tokenFile}.new`, token);
    await Deno.rename(`${tokenFile}.new`, tokenFile);
  };
  await rotate("not-a-token");
  const kubeconfig = `${plane.dir}/token-file.kubeconfig`;
  await Deno.writeTextFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
      clusters: [{
        name: "c",
        cluster: { server: plane.url, "certificate-authority": plane.caFile },
      }],
      users: [{ name: "u", user: { tokenFile } }],
    }),
  );
  await using controller = await ControllerProcess.start({ plane, kubeconfig, name: "bad-token" });
  assert.match(await controller.process.logLine(/^W.*resource="pods"/), /Unauthorized/);
  const { status, body } = await controller.get("/readyz");
  assert.equal(status, 503);
  assert.match(body, /\[-\]cache pods failed: .*Unauthorized/);
  assert.equal((await controller.get("/healthz")).status, 200);
  assert.ok(!(await controller.process.log()).includes("not-a-token"), "it logged the token");
  await rotate(await plane.serviceAccountToken(HOME_NAMESPACE, SERVICE_ACCOUNT));
  await controller.ready();
  await worksFor(at, "after-401");
}

async function missingRule(stage: Stage, at: Namespace): Promise<void> {
  const role = `${RBAC}/clusterroles/${SERVICE_ACCOUNT}`;
  const { rules } = await stage.plane.expect("GET", role);
  const patch = (some: unknown[]) =>
    stage.plane.expect("PATCH", role, { rules: some }, "application/merge-patch+json");
  const without = (resource: string) =>
    rules.filter((rule: { resources: string[] }) => !rule.resources.includes(resource));
  await patch(without("pods"));
  const listPods = { verb: "list", resource: "pods", namespace: "" };
  await stage.plane.untilAllowed(CONTROLLER_USER, listPods, false);
  await using controller = await stage.start("missing-rule");
  const line = await controller.process.logLine(/^W.*resource="pods"/);
  assert.match(line, /cannot (list|watch) resource/);
  assert.match(line, /needs RBAC rule: apiGroups .* resources .*pods.* verbs .*(list|watch)/);
  assert.match((await controller.get("/readyz")).body, /\[-\]cache pods failed: .*needs RBAC rule/);

  await patch(without("podconfigmapconfigs/status"));
  await controller.ready();
  await at.createPcmc("unreported", {});
  const status = await controller.process.logLine("podconfigmapconfigs/status");
  assert.match(status, /needs RBAC rule: .*podconfigmapconfigs\/status.* verbs .*patch/);
  await patch(rules);
  await worksFor(at, "after-403");
}

/** Nobody empties it here: its Pods live on. */
async function terminatingNamespace(stage: Stage): Promise<void> {
  const at = await stage.namespace("terminating");
  await using controller = await stage.start("terminating");
  await at.createPcmc("facts", {});
  await at.createPod("web");
  await at.untilReady("facts", "True", ({ status }) => status?.configMaps === 1);
  await stage.plane.expect("DELETE", `/api/v1/namespaces/${at.name}`);
  const mark = await stage.plane.auditLog.mark();
  await at.deleteConfigMap("pod-web-from-facts-cfg");
  const refused = await eventually("it tries to restore the ConfigMap", async () => {
    const found = (await at.writes(mark)).filter(({ verb }) => verb === "create");
    return found.length > 0 && found;
  });
  assert.deepEqual(refused.map(({ responseStatus }) => responseStatus?.code), [403]);
  // Far longer than the waits of five fast retries.
  await throughout(1_500, async () => {
    assert.equal((await at.writes(mark)).filter(({ verb }) => verb === "create").length, 1);
  }, 250);
  assert.deepEqual(warnings(await controller.process.log()), []);
}

async function olderCrd(stage: Stage): Promise<void> {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${CRD}`;
  const at = await stage.namespace("older-crd");
  await using controller = await stage.start("older-crd");
  await at.createPcmc("facts", {});
  await at.createPod("web");
  const before = await at.untilConfigMap("pod-web-from-facts-cfg");
  const older = [{
    op: "replace",
    path: "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
    value: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  }];
  await stage.plane.expect("PATCH", path, older, "application/json-patch+json");
  await eventually("the older schema lets it pass", async () => {
    await at.changePcmc("facts", { labelsToInclude: ["not a key"] });
    return true;
  });
  const invalid = await at.untilReady("facts", "False");
  assert.equal(condition(invalid, "Valid")?.status, "False");
  assert.match(condition(invalid, "Valid")?.message ?? "", /spec\.labelsToInclude\[0\]/);
  assert.deepEqual(await at.configMap("pod-web-from-facts-cfg"), before);
  const mark = await stage.plane.auditLog.mark();
  await at.changePod("web", { metadata: { labels: { app: "web" } } });
  await throughout(1_500, async () => {
    const writes = (await at.writes(mark)).filter(({ objectRef }) =>
      objectRef?.resource !== "events"
    );
    assert.deepEqual(writes.map(({ verb }) => verb), []);
  }, 250);
  await at.changePcmc("facts", { labelsToInclude: ["app"] });
  await at.untilReady("facts");
  await at.untilConfigMap("pod-web-from-facts-cfg", ({ data }) => data?.["label_app"] === "web");
  assert.equal(controller.process.ended, undefined);
}

/** A new Pod has its ConfigMap: whoever leads, it works. */
async function worksFor(at: Namespace, name: string): Promise<void> {
  await at.createPcmc(name, { podSelector: { matchLabels: { of: name } } });
  await at.createPod(name, { labels: { of: name } });
  await at.untilConfigMap(`pod-${name}-from-${name}-cfg`);
}

function seconds(begin: number, end = systemClock.monotonic()): string {
  return `${((end - begin) / 1000).toFixed(1)} s`;
}
