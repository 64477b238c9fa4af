/** Each environment variable of the README has its effect; METRICS_ADDR is what every other test uses. */
import assert from "node:assert/strict";
import { WRITE_VERBS } from "../support/audit_log.ts";
import { eventually } from "../support/eventually.ts";
import { type Behaviour, type Stage, type Strings } from "./stage.ts";
import { Tenant } from "./tenant.ts";
import { overlap } from "./tenants.ts";

const LEASES = "/apis/coordination.k8s.io/v1/namespaces";
const PREFIX = "podconfigmap_controller_";

export const SETTINGS: Behaviour[] = [{
  name: "LEADER_ELECTION_ENABLED=false: works without a Lease",
  async run(stage) {
    const { tenant } = await working(stage, "alone", { LEADER_ELECTION_ENABLED: "false" });
    const asked = await stage.plane.auditLog.entries({ user: tenant.user, resource: "leases" });
    assert.deepEqual(asked, []);
  },
}, {
  name:
    "LEADER_ELECTION_LOCK_NAME, _LOCK_NAMESPACE, _LEASE_DURATION and _RETRY_PERIOD show in the Lease",
  async run(stage) {
    const tenant = await Tenant.open(stage, "lock");
    await tenant.allowLock("my-lock");
    await using _controller = await tenant.start("c", {
      LEADER_ELECTION_LOCK_NAME: "my-lock",
      LEADER_ELECTION_LEASE_DURATION: "7s",
      LEADER_ELECTION_RETRY_PERIOD: "200ms",
    });
    const path = `${LEASES}/${tenant.at.name}/leases/my-lock`;
    const renewals = await eventually("it renews the lease", async () => {
      const filter = { user: tenant.user, verbs: ["update"], resource: "leases" };
      const found = await stage.plane.auditLog.entries(filter);
      return found.length >= 6 && found.map((entry) => Date.parse(entry.requestReceivedTimestamp));
    });
    const gaps = renewals.slice(1).map((time, index) => time - (renewals[index] ?? 0));
    // A busy machine makes gaps longer; none of them is shorter.
    const least = Math.min(...gaps);
    assert.ok(least >= 190 && least < 600, `renewed every ${gaps} ms`);
    const lease = await stage.plane.expect("GET", path);
    assert.equal(lease.spec.leaseDurationSeconds, 7);
    assert.match(lease.spec.holderIdentity, new RegExp(`^${tenant.at.name}/.*_node-of-`));
  },
}, {
  name: "LEADER_ELECTION_RENEW_DEADLINE: a leader that cannot renew gives up after it",
  async run(stage) {
    const env = { LEADER_ELECTION_RENEW_DEADLINE: "1500ms" };
    await working(stage, "deadline", env, async ({ tenant, controller }) => {
      await tenant.forbidLock();
      // On a busy machine it may have lost it before.
      await controller.process.logLine(/needs RBAC rule: .*coordination\.k8s\.io.*leases/);
      const line = await controller.process.logLine("Lost the leader lease");
      assert.match(line, /not renewed within 1\.5 s/);
      assert.equal(controller.process.ended, undefined);
    });
  },
}, {
  name: "CONTROLLER_RESYNC_PERIOD: every object is looked at again, without a request",
  async run(stage) {
    const env = { CONTROLLER_RESYNC_PERIOD: "1s" };
    await working(stage, "resync", env, async ({ tenant, controller }) => {
      const mark = await stage.plane.auditLog.mark();
      const adds = () => controller.metric(`${PREFIX}workqueue_adds_total{queue_name="pod"}`);
      const before = await adds();
      await eventually("it looks at the Pod again", async () => await adds() >= before + 3);
      const filter = { user: tenant.user, notResources: ["leases"] };
      const requests = await stage.plane.auditLog.entries(filter, mark);
      assert.deepEqual(requests.filter(({ verb }) => verb !== "watch"), []);
    });
  },
}, {
  name:
    "CONTROLLER_POD_WORKERS times CONTROLLER_WORKER_INFLIGHT bounds the ConfigMaps written at once",
  async run(stage) {
    const one = { CONTROLLER_POD_WORKERS: "1", CONTROLLER_WORKER_INFLIGHT: "1" };
    assert.equal(await podsAtOnce(stage, one), 1);
    const three = await podsAtOnce(stage, { ...one, CONTROLLER_POD_WORKERS: "3" });
    assert.ok(three > 1 && three <= 3, `${three} at once`);
    const six = await podsAtOnce(stage, { ...one, CONTROLLER_WORKER_INFLIGHT: "6" });
    assert.ok(six > 1 && six <= 6, `${six} at once`);
  },
}, {
  name: "CONTROLLER_PCMC_WORKERS bounds the statuses written at once",
  async run(stage) {
    const one = { CONTROLLER_PCMC_WORKERS: "1", CONTROLLER_WORKER_INFLIGHT: "1" };
    assert.equal(await statusesAtOnce(stage, one), 1);
    const four = await statusesAtOnce(stage, { ...one, CONTROLLER_PCMC_WORKERS: "4" });
    assert.ok(four > 1 && four <= 4, `${four} at once`);
  },
}, {
  name: "CONTROLLER_MAX_RETRIES: so many fast retries, then the slow pace, and the status says why",
  async run(stage) {
    const tenant = await Tenant.open(stage, "retries");
    const { at } = tenant;
    const quotas = `/api/v1/namespaces/${at.name}/resourcequotas`;
    await at.plane.expect("POST", quotas, {
      metadata: { name: "none" },
      spec: { hard: { "count/configmaps": "1" } },
    });
    await eventually("the namespace's own ConfigMap fills the quota", async () => {
      const { body } = await at.plane.request("GET", `${quotas}/none`);
      return body.status?.used?.["count/configmaps"] === "1";
    });
    await at.createPcmc("facts", {});
    await at.createPod("web");
    await using controller = await tenant.start("c", { CONTROLLER_MAX_RETRIES: "2" });
    const slow = `${PREFIX}slow_retries_total{resource_type="pod"}`;
    await eventually("it has turned slow", async () => await controller.metric(slow) === 1);
    const creates = (await at.writes()).filter(({ objectRef }) =>
      objectRef?.resource === "configmaps"
    );
    assert.equal(creates.length, 3);
    const pcmc = await at.untilReady("facts", "False");
    assert.match(JSON.stringify(pcmc.status?.conditions), /exceeded quota/);
  },
}, {
  name: "LOG_LEVEL, LOG_FORMAT, LOG_JSON_FORMAT and DEBUG decide which lines are logged, and how",
  async run(stage) {
    const lines = async (env: Strings) => {
      let text = "";
      await working(stage, "logs", env, async ({ controller }) => {
        await controller.stop();
        text = await controller.process.log();
      });
      return text.split("\n").filter((line) => line !== "");
    };
    const [text, debug, json, debugJson, warning] = await Promise.all([
      lines({}),
      lines({ LOG_LEVEL: "debug" }),
      lines({ LOG_FORMAT: "json" }),
      lines({ DEBUG: "true", LOG_JSON_FORMAT: "true" }),
      lines({ LOG_LEVEL: "warning" }),
    ]);
    const klog = /^[DIWE]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w-]+\] "[^"]+"/;
    assert.ok(text.length > 3 && text.every((line) => klog.test(line)), text.join("\n"));
    assert.ok(!text.some((line) => line.startsWith("D")));
    assert.ok(debug.some((line) => /^D.*"Created ConfigMap"/.test(line)), debug.join("\n"));
    const levels = (of: string[]) => new Set(of.map((line) => JSON.parse(line).level));
    assert.deepEqual([...levels(json)], ["info"]);
    assert.ok(levels(debugJson).has("debug"));
    assert.deepEqual(warning, []);
  },
}];

interface Working {
  tenant: Tenant;
  controller: Awaited<ReturnType<Tenant["start"]>>;
}

/** A controller with one setting, that has made a ConfigMap. It ends with `then`. */
async function working(
  stage: Stage,
  prefix: string,
  env: Strings,
  then: (working: Working) => Promise<void> = () => Promise.resolve(),
): Promise<Working> {
  const tenant = await Tenant.open(stage, prefix);
  await tenant.at.createPcmc("facts", {});
  await tenant.at.createPod("web");
  await using controller = await tenant.start("c", env);
  await tenant.at.untilReady("facts", "True", ({ status }) => status?.configMaps === 1);
  await then({ tenant, controller });
  return { tenant, controller };
}

async function podsAtOnce(stage: Stage, env: Strings): Promise<number> {
  const tenant = await Tenant.open(stage, "pods-at-once");
  const { at } = tenant;
  const count = 40;
  await at.createPcmc("facts", {});
  for (let i = 0; i < count; i++) await at.createPod(`web-${i}`);
  await using _controller = await tenant.start("c", env);
  await at.untilReady("facts", "True", ({ status }) => status?.configMaps === count);
  return overlap(await writesOf(tenant, "configmaps"));
}

async function statusesAtOnce(stage: Stage, env: Strings): Promise<number> {
  const tenant = await Tenant.open(stage, "statuses-at-once");
  const { at } = tenant;
  const names = Array.from({ length: 20 }, (_, index) => `facts-${index}`);
  for (const name of names) await at.createPcmc(name, {});
  await using _controller = await tenant.start("c", env);
  for (const name of names) await at.untilReady(name);
  return overlap(await writesOf(tenant, "podconfigmapconfigs"));
}

function writesOf(tenant: Tenant, resource: string) {
  return tenant.at.plane.auditLog.entries({ user: tenant.user, verbs: WRITE_VERBS, resource });
}
