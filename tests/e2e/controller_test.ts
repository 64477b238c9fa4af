/**
 * The controller on a real cluster, with the manifests of `deploy/` and its own service account.
 *
 * One control plane, in four acts. In the first and the third, behaviours run side by side, each in
 * namespaces of its own, as users of a cluster do: in the first they share one controller that
 * serves all namespaces, in the third each has one that serves its namespace.
 */
import assert from "node:assert/strict";
import { testNeeding } from "../support/requirements.ts";
import { CONFIG_MAPS } from "./config_maps.ts";
import { CONFLICTS } from "./conflicts.ts";
import { leaveSomeBehind, LEFTOVERS_NAME, leftoversGo } from "./leftovers.ts";
import { NAMES } from "./names.ts";
import { PCMCS } from "./pcmcs.ts";
import { PODS } from "./pods.ts";
import { replicas } from "./replicas.ts";
import { SETTINGS } from "./settings.ts";
import { type Behaviour, Stage, warnings } from "./stage.ts";
import { TENANTS } from "./tenants.ts";

const ACTS = Deno.env.get("ACTS") ?? "1234";

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "the controller on a real cluster, with the rights of deploy/",
  async fn(t) {
    await using stage = await Stage.open();
    await using controller = await stage.start("controller-1");
    await controller.ready();
    if (ACTS.includes("1")) {
      const leftovers = await leaveSomeBehind(stage, controller);
      const leftoversStep: Behaviour = { name: LEFTOVERS_NAME, run: () => leftoversGo(leftovers) };
      await sideBySide(t, stage, [
        leftoversStep,
        ...PODS,
        ...PCMCS,
        ...CONFIG_MAPS,
        ...CONFLICTS,
        ...NAMES,
      ]);
      await t.step("the controller's log warns of conflicts and of nothing else", async () => {
        const lines = warnings(await controller.process.log());
        assert.deepEqual(lines.filter((line) => !line.includes("NameConflict")), []);
      });
    }
    if (ACTS.includes("2")) await replicas(t, stage, controller);
    await controller.stop();
    if (ACTS.includes("3")) await sideBySide(t, stage, [...TENANTS, ...SETTINGS]);
  },
});

/** Steps that run at the same time. */
async function sideBySide(
  t: Deno.TestContext,
  stage: Stage,
  behaviours: readonly Behaviour[],
): Promise<void> {
  await Promise.all(behaviours.map(({ name, run }) =>
    t.step({
      name,
      fn: () => run(stage),
      sanitizeOps: false,
      sanitizeResources: false,
      sanitizeExit: false,
    })
  ));
}
