/**
 * The controller on a real cluster, with the manifests of `deploy/` and its own service account.
 *
 * One control plane for all. The behaviours of the first test share one controller and run side by
 * side, each in namespaces of its own, as users of a cluster do.
 */
import assert from "node:assert/strict";
import { testNeeding } from "../support/requirements.ts";
import { CONFIG_MAPS } from "./config_maps.ts";
import { CONFLICTS } from "./conflicts.ts";
import { leaveSomeBehind, LEFTOVERS_NAME, leftoversGo } from "./leftovers.ts";
import { NAMES } from "./names.ts";
import { PCMCS } from "./pcmcs.ts";
import { PODS } from "./pods.ts";
import { type Behaviour, Stage, warnings } from "./stage.ts";

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "e2e: one controller, with the rights of deploy/",
  async fn(t) {
    await using stage = await Stage.open();
    await using controller = await stage.start("controller-1");
    await controller.ready();
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
  },
});

/** Steps that run at the same time. */
async function sideBySide(
  t: Deno.TestContext,
  stage: Stage,
  behaviours: readonly Behaviour[],
): Promise<void> {
  const only = Deno.env.get("E2E_ONLY");
  const chosen = behaviours.filter(({ name }) => only === undefined || name.includes(only));
  await Promise.all(chosen.map(({ name, run }) =>
    t.step({
      name,
      fn: () => run(stage),
      sanitizeOps: false,
      sanitizeResources: false,
      sanitizeExit: false,
    })
  ));
}
