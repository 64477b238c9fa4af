/**
 * Controllers that serve single namespaces with the Role of `deploy/namespaced/`, each with lock and
 * settings of its own: they run side by side.
 */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import type { AuditEntry } from "../support/audit_log.ts";
import { LOCK_NAME, SERVICE_ACCOUNT } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { type Behaviour, Namespace, type Stage } from "./stage.ts";
import { installTenant, Tenant } from "./tenant.ts";

const PAUSE_MS = 30_000;
const PREFIX = "podconfigmap_controller_";

export const TENANTS: Behaviour[] = [{
  name: "a leader that is stopped for 30 s writes nothing when it wakes, and then stands by",
  run: pausedLeader,
}, {
  name:
    "WATCH_NAMESPACE with a Role in each of its namespaces: works there, and asks for nothing elsewhere",
  async run(stage) {
    const tenant = await Tenant.open(stage, "served");
    const also = await stage.namespace("also-served");
    const other = await stage.namespace("not-served");
    await installTenant(stage.plane, also.name);
    // As the kustomization says: the subject is in the controller's namespace.
    const bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces";
    await stage.plane.expect(
      "PATCH",
      `${bindings}/${also.name}/rolebindings/${SERVICE_ACCOUNT}`,
      {
        subjects: [{ kind: "ServiceAccount", name: SERVICE_ACCOUNT, namespace: tenant.at.name }],
      },
      "application/merge-patch+json",
    );
    const pods = { verb: "list", resource: "pods", namespace: also.name };
    await stage.plane.untilAllowed(tenant.user, pods);
    const watched = [tenant.at.name, also.name];
    await using controller = await tenant.start("c", { WATCH_NAMESPACE: watched.join(",") });
    for (const at of [other, tenant.at, also]) {
      await at.createPcmc("facts", {});
      await at.createPod("web");
    }
    for (const at of [tenant.at, also]) await at.untilReady("facts", "True", hasOne);
    assert.deepEqual(await other.configMaps(), []);
    await controller.stop();
    const requests = await stage.plane.auditLog.entries({ user: tenant.user });
    assert.ok(requests.length > 10, `${requests.length} requests`);
    const refused = requests.filter(({ responseStatus }) => responseStatus?.code === 403);
    assert.deepEqual(refused.map(({ verb, requestURI }) => `${verb} ${requestURI}`), []);
    const places = new Set(requests.map(({ objectRef }) => objectRef?.namespace));
    assert.deepEqual([...places].sort(), watched.sort());
  },
}, {
  name: "/metrics, /healthz and /readyz tell what it has done, and forget what is gone",
  async run(stage) {
    const tenant = await Tenant.open(stage, "metrics");
    const { at } = tenant;
    await using controller = await tenant.start("c");
    await controller.ready();
    await at.createPcmc("facts", {});
    await at.createPod("web");
    await at.untilReady("facts", "True", hasOne);
    // The API server's answer, after which the program counts, comes after what it answers to.
    await eventually("the metrics tell it", async () => {
      const wanted = {
        [`configmap_operations_total{operation="create",namespace="${at.name}",result="success"}`]:
          1,
        [`pcmc_status{name="facts",namespace="${at.name}"}`]: 1,
        [`active_configmaps{namespace="${at.name}",pcmc_name="facts"}`]: 1,
        'queue_depth{queue_name="pod"}': 0,
        [`leader_election_master_status{name="${at.name}/${LOCK_NAME}"}`]: 1,
      };
      for (const [series, value] of Object.entries(wanted)) {
        assert.equal(await controller.metric(PREFIX + series), value, series);
      }
      for (const kind of ["pod", "pcmc"]) {
        const labels = `resource_type="${kind}",namespace="${at.name}"`;
        const count = `${PREFIX}reconciliation_duration_seconds_count{${labels}}`;
        assert.ok(await controller.metric(count) >= 1, kind);
      }
      return true;
    });
    const { body } = await controller.get("/metrics");
    assert.ok(!body.includes(`${PREFIX}reconciliation_errors_total{`), "errors were counted");
    for (const path of ["/healthz", "/readyz"] as const) {
      assert.deepEqual(await controller.get(path), { status: 200, body: "ok\n" });
    }
    await at.deletePcmc("facts");
    await at.untilNoConfigMap("pod-web-from-facts-cfg");
    await eventually("the series of the deleted PCMC are gone", async () => {
      const { body } = await controller.get("/metrics");
      return !body.includes('"facts"');
    });
  },
}];

const hasOne = ({ status }: { status?: { configMaps?: number } }) => status?.configMaps === 1;

async function pausedLeader(stage: Stage): Promise<void> {
  const tenant = await Tenant.open(stage, "paused");
  const { at } = tenant;
  const other = await tenant.secondAccount();
  const pods = Array.from({ length: 60 }, (_, index) => `web-${index}`);
  await Promise.all(pods.map((name) => at.createPod(name)));
  // One ConfigMap after the other, so that it is caught in the middle of its work.
  const slow = { CONTROLLER_POD_WORKERS: "1", CONTROLLER_WORKER_INFLIGHT: "1" };
  await using leader = await tenant.start("a", slow);
  await leader.ready();
  await eventually("it leads", () => holds(at, "-a_"));
  await using standby = await tenant.start("b", {}, other.kubeconfig);
  await standby.ready();

  await at.createPcmc("facts", {});
  await eventually("it has begun", async () => (await at.configMaps()).length > 0, { everyMs: 1 });
  leader.process.signal("SIGSTOP");
  const stopped = systemClock.monotonic();
  await at.untilReady("facts", "True", ({ status }) => status?.configMaps === pods.length);
  await eventually("the other replica has taken over", () => holds(at, "-b_"));
  await eventually("it has slept long enough", () => systemClock.monotonic() - stopped > PAUSE_MS, {
    timeoutMs: PAUSE_MS + 5_000,
  });
  const mark = await at.plane.auditLog.mark();
  leader.process.signal("SIGCONT");
  await leader.process.logLine("standing by");
  await at.createPod("late");
  await at.untilConfigMap("pod-late-from-facts-cfg");
  const byUser = (user: string) =>
    at.writes(mark).then((writes) => writes.filter((entry) => entry.user.username === user));
  await eventually("the other one wrote", async () => (await byUser(other.user)).length > 0);
  const tried = (await byUser(tenant.user)).map(({ verb, requestURI, responseStatus }) =>
    `${responseStatus?.code} ${verb} ${requestURI}`
  );
  // A request that was being sent when it was stopped goes on its way: too late, and in vain.
  assert.ok(tried.length <= 1 && tried.every((line) => line.startsWith("409 ")), `${tried}`);
  await leader.ready();
  // It is a standby: with the other gone, it works again.
  await standby.stop();
  await at.createPod("later");
  await at.untilConfigMap("pod-later-from-facts-cfg");
  assert.ok(await holds(at, "-a_"));
}

async function holds(at: Namespace, part: string): Promise<boolean> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${at.name}/leases/${LOCK_NAME}`;
  const { status, body } = await at.plane.request("GET", path);
  return status === 200 && (body.spec.holderIdentity ?? "").includes(part);
}

/** The most requests that were under way at the same time, as the server saw them. */
export function overlap(entries: readonly AuditEntry[]): number {
  const moments = entries.flatMap(({ requestReceivedTimestamp, stageTimestamp }) => [
    { at: requestReceivedTimestamp, change: 1 },
    { at: stageTimestamp, change: -1 },
  ]);
  // Microseconds with six digits each: in order as text. An end before a beginning of the same moment.
  moments.sort((one, other) =>
    one.at === other.at ? one.change - other.change : one.at < other.at ? -1 : 1
  );
  let now = 0;
  let most = 0;
  for (const { change } of moments) most = Math.max(most, now += change);
  return most;
}
