/**
 * What the garbage collector leaves of a deleted Pod.
 *
 * It takes a minute, and to bring it about the controller is stopped for a moment: so it begins
 * before the other tests of its stage, and ends after them.
 */
import assert from "node:assert/strict";
import type { AuditMark } from "../support/audit_log.ts";
import type { ControllerProcess } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import type { Namespace, Stage } from "./stage.ts";

const NAME = "pod-web-from-facts-cfg";
const RESTORED = "pod-restored-from-facts-cfg";
/** What the event table promises. */
const LEFT_MS = 60_000;

export interface Leftovers {
  readonly at: Namespace;
  /** Before which nothing of this happened. */
  readonly mark: AuditMark;
}

/** Two ConfigMaps without a Pod, which the garbage collector has no reason to remove. */
export async function leaveSomeBehind(
  stage: Stage,
  controller: ControllerProcess,
): Promise<Leftovers> {
  const at = await stage.namespace("leftovers");
  const mark = await stage.plane.auditLog.mark();
  await at.createPcmc("facts", {});
  await at.createPod("web");
  const made = await at.untilConfigMap(NAME);
  const keeper = await at.createConfigMap({ metadata: { name: "keeper" } });
  const { uid } = keeper.metadata;
  controller.process.signal("SIGSTOP");
  try {
    // With a second owner that lives, only the dead one's reference goes.
    const owners = [
      ...made.metadata.ownerReferences ?? [],
      { apiVersion: "v1", kind: "ConfigMap", name: "keeper", uid },
    ];
    await at.changeConfigMap(NAME, { metadata: { ownerReferences: owners } });
    await at.deletePod("web");
    await at.untilConfigMap(NAME, ({ metadata }) => metadata.ownerReferences?.length === 1);
    // As from a backup that was read in without its Pods.
    const { labels, annotations } = made.metadata;
    await at.createConfigMap({
      metadata: {
        name: RESTORED,
        labels: labels ?? {},
        annotations: { ...annotations, "podconfig.example.com/pod": "restored" },
      },
    });
  } finally {
    controller.process.signal("SIGCONT");
  }
  return { at, mark };
}

export const LEFTOVERS_NAME =
  "what the garbage collector leaves of a deleted Pod, the controller removes after 60 s";

export async function leftoversGo({ at, mark }: Leftovers): Promise<void> {
  for (const name of [NAME, RESTORED]) await at.untilNoConfigMap(name, { timeoutMs: 150_000 });
  assert.ok(await at.configMap("keeper"), "it removed a ConfigMap of someone else");
  const deletions = await eventually("the audit log has the deletions", async () => {
    const found = (await at.writes(mark)).filter(({ verb }) => verb === "delete");
    return found.length >= 2 && found;
  });
  const podGone = (await at.plane.auditLog.entries({ verbs: ["delete"], resource: "pods" }, mark))
    .find(({ objectRef }) => objectRef?.namespace === at.name);
  assert.deepEqual(deletions.map(({ objectRef }) => objectRef?.name).sort(), [RESTORED, NAME]);
  for (const { requestReceivedTimestamp } of deletions) {
    const waited = Date.parse(requestReceivedTimestamp) -
      Date.parse(podGone?.requestReceivedTimestamp ?? "");
    assert.ok(waited >= LEFT_MS && waited < LEFT_MS + 15_000, `removed after ${waited} ms`);
  }
}
