/**
 * The controller on a real cluster, with the manifests of `deploy/` and its own service account.
 *
 * Behaviours run side by side where they can, each in namespaces of its own, as users of a cluster
 * do: first they share one controller that serves all namespaces, later each has one that serves its
 * namespace. Trouble is made on a second control plane at the same time.
 */
import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import { testNeeding } from "../support/requirements.ts";
import { AGENT_USER, AGENTS, grantedToAgent, installAgents, startAgent } from "./agents.ts";
import { CONFIG_MAPS } from "./config_maps.ts";
import { CONFLICTS } from "./conflicts.ts";
import { leaveSomeBehind, LEFTOVERS_NAME, leftoversGo } from "./leftovers.ts";
import { NAMES } from "./names.ts";
import { PCMCS } from "./pcmcs.ts";
import { PODS } from "./pods.ts";
import { replicas } from "./replicas.ts";
import { askedFor, granted, refusedByRbac } from "./rights.ts";
import { SETTINGS } from "./settings.ts";
import { type Behaviour, Stage, warnings } from "./stage.ts";
import { TEMPLATES_ON_A_CLUSTER } from "./templates.ts";
import { TENANTS } from "./tenants.ts";
import { trouble, TROUBLE_PLANE } from "./trouble.ts";

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "on a real cluster, with the rights of deploy/",
  async fn(t) {
    await using stage = await Stage.open();
    await using troubled = await Stage.open(TROUBLE_PLANE);
    await Promise.all([
      atTheSameTime(t, "in trouble", (t) => trouble(t, troubled)),
      atTheSameTime(t, "in use", (t) => inUse(t, stage)),
    ]);
    await t.step(
      "deploy/controller/ grants what the controller asks for, and nothing else",
      async () => {
        const asked = await askedFor([stage.plane, troubled.plane]);
        assert.deepEqual(asked, await granted(stage.plane));
      },
    );
    await t.step(
      "deploy/agent/ grants what an agent asks for, and nothing else",
      async () => {
        // Where watches do not begin with a list, it lists.
        await installAgents(troubled.plane);
        await using agent = await startAgent(troubled);
        const planes = [stage.plane, troubled.plane];
        await eventually("the agent has asked for all of it", async () => {
          const asked = await askedFor(planes, AGENT_USER);
          assert.deepEqual(asked, await grantedToAgent(stage.plane));
          return true;
        });
        assert.equal((await agent.stop()).code, 0);
        for (const plane of planes) {
          assert.deepEqual(await refusedByRbac(plane, AGENT_USER), []);
        }
      },
    );
  },
});

async function inUse(t: Deno.TestContext, stage: Stage): Promise<void> {
  // Stopped for a moment on purpose, on a machine that is busy: that is not to cost it the lease.
  await using controller = await stage.start("controller-1", {
    LEADER_ELECTION_LEASE_DURATION: "60s",
    LEADER_ELECTION_RENEW_DEADLINE: "50s",
  });
  await controller.ready();
  const leftovers = await leaveSomeBehind(stage, controller);
  await sideBySide(t, stage, [
    { name: LEFTOVERS_NAME, run: () => leftoversGo(leftovers) },
    ...PODS,
    ...PCMCS,
    ...CONFIG_MAPS,
    ...CONFLICTS,
    ...NAMES,
    ...TEMPLATES_ON_A_CLUSTER,
    ...AGENTS,
  ]);
  await t.step(
    "the controller's log warns of what was made wrong and of nothing else",
    async () => {
      const lines = warnings(await controller.process.log());
      // A name that is taken; templates that do not parse, or fail on a Pod.
      const expected = /reason="NameConflict"|pcmc="templates-(invalid|failing)/;
      assert.deepEqual(lines.filter((line) => !expected.test(line)), []);
    },
  );
  await replicas(t, stage, controller);
  await t.step("no request was refused for lack of a right", async () => {
    assert.deepEqual(await refusedByRbac(stage.plane), []);
  });
  await sideBySide(t, stage, [...TENANTS, ...SETTINGS]);
}

async function sideBySide(
  t: Deno.TestContext,
  stage: Stage,
  behaviours: readonly Behaviour[],
): Promise<void> {
  await Promise.all(behaviours.map(({ name, run }) => atTheSameTime(t, name, () => run(stage))));
}

/** A step beside which others run. */
async function atTheSameTime(
  t: Deno.TestContext,
  name: string,
  fn: (t: Deno.TestContext) => Promise<void>,
): Promise<void> {
  await t.step({ name, fn, sanitizeOps: false, sanitizeResources: false, sanitizeExit: false });
}
