/** Restarts, and two replicas of which one works. In this order: each step goes on from the one before. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import { type ControllerProcess, HOME_NAMESPACE, LOCK_NAME } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { asWritten, controllerWrites, generated, type Namespace, type Stage } from "./stage.ts";

const QUEUES = ["pod", "pcmc"].map((name) =>
  `podconfigmap_controller_queue_depth{queue_name="${name}"}`
);
const ADDS = 'podconfigmap_controller_workqueue_adds_total{queue_name="pod"}';

export async function replicas(
  t: Deno.TestContext,
  stage: Stage,
  first: ControllerProcess,
): Promise<void> {
  const at = await stage.namespace("replicas");
  await at.createPcmc("facts", { labelsToInclude: ["app"] });
  await at.createPcmc("doomed", {});
  await at.createPod("web", { labels: { app: "web" } });
  await at.untilConfigMap("pod-web-from-doomed-cfg");
  await at.untilConfigMap("pod-web-from-facts-cfg");

  await t.step(
    "on SIGTERM it gives up the lease and ends with exit code 0 within 5 s",
    async () => {
      const begin = systemClock.monotonic();
      // Not in time is SIGKILL, and then no 0.
      const { code, signal } = await first.stop(5_000);
      assert.deepEqual({ code, signal }, { code: 0, signal: null });
      report(`SIGTERM to exit: ${seconds(begin)}`);
      assert.equal(await stage.leaseHolder(), "");
    },
  );

  await using second = await afterDowntime(t, stage, at);
  await t.step("a restart and resyncs of a world that is as wanted write nothing", async () => {
    // It is as wanted once the status tells of what the steps before have changed.
    await at.untilReady("facts", "True", ({ status }) => status?.configMaps === 2);
    await eventually("it is at rest", async () => {
      const depths = await Promise.all(QUEUES.map((queue) => second.metric(queue)));
      return depths.every((depth) => depth === 0);
    });
    await second.stop();
    await restartsWriteNothing(stage);
  });

  await using third = await stage.start("controller-3");
  await third.ready();
  await eventually("it leads", async () => (await stage.leaseHolder()).includes("controller-3"));
  await using fourth = await stage.start("controller-4");
  await fourth.ready();

  await t.step("the Lease is what client-go's tools read", () => leaseIsReadable(stage));
  await t.step("after kill -9 of the leader the other replica works within 10 s", async () => {
    const begin = systemClock.monotonic();
    await third.process.kill();
    await works(at, "after-kill", { begin, withinMs: 10_000 });
    report(`kill -9 of the leader to the first ConfigMap of the other: ${seconds(begin)}`);
  });
  await using fifth = await stage.start("controller-5");
  await fifth.ready();
  await t.step("after SIGTERM of the leader the other replica works within 3 s", async () => {
    const begin = systemClock.monotonic();
    // Until it has ended, the old leader may still do the work.
    assert.equal((await fourth.stop(5_000)).code, 0);
    await works(at, "after-term", { begin, withinMs: 3_000 });
    report(`SIGTERM of the leader to the first ConfigMap of the other: ${seconds(begin)}`);
    assert.match(await stage.leaseHolder(), /controller-5/);
  });
}

/** Things change while no replica runs; returns the one that then finds them. */
async function afterDowntime(
  t: Deno.TestContext,
  stage: Stage,
  at: Namespace,
): Promise<ControllerProcess> {
  await at.deletePcmc("doomed");
  await at.changeConfigMap("pod-web-from-facts-cfg", { data: { phase: "Nonsense" } });
  const pod = await at.createPod("old", { labels: { app: "old" } });
  const { uid } = pod.metadata;
  const owner = { apiVersion: "v1", kind: "Pod", name: "old", uid };
  const original = await at.createConfigMap({
    metadata: {
      name: "pod-old-from-facts-cfg",
      labels: {
        "podconfig.example.com/generated-by-pcmc": "facts",
        "podconfig.example.com/pod-uid": uid,
      },
      ownerReferences: [{ ...owner, controller: true, blockOwnerDeletion: true }],
    },
    data: { podName: "old", namespace: at.name, nodeName: "", phase: "Running", label_old: "x" },
  });
  const controller = await stage.start("controller-2");
  await t.step(
    "a PodConfigMapConfig deleted while the controller is down: its ConfigMaps go",
    async () => {
      await at.untilNoConfigMap("pod-web-from-doomed-cfg");
    },
  );
  await t.step("a ConfigMap edited while the controller is down is restored", async () => {
    await at.untilConfigMap("pod-web-from-facts-cfg", ({ data }) => data?.["phase"] === "Pending");
  });
  await t.step(
    "a ConfigMap of the original program, with its labels and owner but no annotations, is adopted",
    async () => {
      const wanted = generated(pod, "facts", { label_app: "old" });
      const adopted = await at.untilConfigMap(
        "pod-old-from-facts-cfg",
        (now) => assert.deepEqual(asWritten(now), wanted),
      );
      assert.equal(adopted.metadata.uid, original.metadata.uid, "replaced instead of adopted");
    },
  );
  return controller;
}

/** In all the namespaces that the tests before have left. */
async function restartsWriteNothing(stage: Stage): Promise<void> {
  const since = await stage.plane.auditLog.mark();
  await using controller = await stage.start("controller-resync", {
    CONTROLLER_RESYNC_PERIOD: "1s",
  });
  await controller.ready();
  const look = async () => await controller.metric(ADDS);
  const first = await eventually("it has looked at every Pod", async () => {
    const adds = await look();
    return adds > 0 && adds;
  });
  await eventually("it has done so three times more", async () => await look() >= 4 * first);
  // Refused is a creation where a foreign ConfigMap, which no watch shows, has the name.
  const writes = (await controllerWrites(stage.plane, { since }))
    .filter(({ responseStatus }) => responseStatus?.code !== 409);
  assert.deepEqual(writes.map(({ verb, requestURI }) => `${verb} ${requestURI}`), []);
}

async function leaseIsReadable(stage: Stage): Promise<void> {
  const yaml = await stage.plane.kubectl(
    "get",
    "lease",
    LOCK_NAME,
    "-n",
    HOME_NAMESPACE,
    "-o",
    "yaml",
  );
  const microTime = String.raw`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"`;
  assert.match(yaml, new RegExp(`acquireTime: ${microTime}`));
  assert.match(yaml, new RegExp(`renewTime: ${microTime}`));
  assert.match(yaml, /leaseDurationSeconds: 8\n/);
  assert.match(yaml, /leaseTransitions: [1-9]\d*\n/);
  assert.match(yaml, /holderIdentity: podconfigmap-system\/controller-3_node-of-controller-3\n/);
}

/** A Pod that comes now has its ConfigMap before the time is over. */
async function works(
  at: Namespace,
  pod: string,
  { begin, withinMs }: { begin: number; withinMs: number },
): Promise<void> {
  await at.createPod(pod);
  const timeoutMs = begin + withinMs - systemClock.monotonic();
  await at.untilConfigMap(`pod-${pod}-from-facts-cfg`, () => {}, { timeoutMs });
}

function seconds(begin: number): string {
  return `${((systemClock.monotonic() - begin) / 1000).toFixed(1)} s`;
}

/** A measured value that the summary of a test run shows. */
export function report(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`\nreport: ${line}\n`));
}
