/**
 * The shipped image under runc, with the restrictions that the manifests ask for and their service
 * account, against a real API server.
 */
import assert from "node:assert/strict";
import { buildImage } from "../../scripts/image.ts";
import { inContainers, UnpackedImage } from "../support/container.ts";
import { temporaryDir } from "../support/processes.ts";
import { testNeeding } from "../support/requirements.ts";
import { CONFIG_MAPS } from "./config_maps.ts";
import { CONFLICTS } from "./conflicts.ts";
import {
  capabilities,
  isRestricted,
  memoryStaysBelow,
  startsWithin,
  upgrade,
} from "./containers.ts";
import { leaveSomeBehind, LEFTOVERS_NAME, leftoversGo } from "./leftovers.ts";
import { NAMES } from "./names.ts";
import { PCMCS } from "./pcmcs.ts";
import { PODS } from "./pods.ts";
import { replicas } from "./replicas.ts";
import { refusedByRbac } from "./rights.ts";
import { Stage } from "./stage.ts";
import { TEMPLATES_ON_A_CLUSTER } from "./templates.ts";

/** The same program, under another name. */
const NEXT_VERSION = "0.1.0-next";

testNeeding({
  needs: ["KUBEBUILDER_ASSETS", "DENORT_BIN", "buildah", "umoci", "runc"],
  name: "the image in containers without rights, on a real cluster (as root)",
  ignore: Deno.uid() !== 0,
  async fn(t) {
    await using dir = await temporaryDir("containers");
    const build = async (name: string, version?: string) => {
      const built = await buildImage({
        output: `${dir.path}/${name}.tar`,
        ...(version === undefined ? {} : { version }),
      });
      return await UnpackedImage.from(built, `${dir.path}/${name}`);
    };
    const [stage, other, image] = await Promise.all([Stage.open(), Stage.open(), build("old")]);
    await using _stage = stage;
    await using _other = other;
    stage.launch = await inContainers(image, stage.plane);
    other.launch = await inContainers(image, other.plane);
    // While nothing else runs.
    await t.step("/healthz answers within 1 s", () => startsWithin(other));
    await Promise.all([
      atTheSameTime(t, "the event table", (t) => eventTable(t, stage)),
      atTheSameTime(t, "containers that start and end", async (t) => {
        await t.step(
          "agent-launcher hands three capabilities to a user that is not root; without the grant it cannot run",
          () => capabilities(image, dir.path),
        );
        await startsAndEnds(t, other);
        await t.step("1,000 Pods fit into 128 MiB", () => memoryStaysBelow(other));
        await t.step("an upgrade, replica by replica, writes nothing twice", async () => {
          await upgrade(other, { old: image, new: await build("next", NEXT_VERSION) });
        });
      }),
    ]);
  },
});

async function eventTable(t: Deno.TestContext, stage: Stage): Promise<void> {
  // Stopped for a moment on purpose, on a machine that is busy: that is not to cost it the lease.
  await using controller = await stage.start("controller-1", {
    LEADER_ELECTION_LEASE_DURATION: "60s",
    LEADER_ELECTION_RENEW_DEADLINE: "50s",
  });
  await controller.ready();
  await t.step(
    "no capability, no new privileges, seccomp, user 65532, read-only root, nothing to write to",
    () => isRestricted(controller),
  );
  const leftovers = await leaveSomeBehind(stage, controller);
  const behaviours = [
    { name: LEFTOVERS_NAME, run: () => leftoversGo(leftovers) },
    ...PODS,
    ...PCMCS,
    ...CONFIG_MAPS,
    ...CONFLICTS,
    ...NAMES,
    ...TEMPLATES_ON_A_CLUSTER,
  ];
  await Promise.all(
    behaviours.map(({ name, run }) => atTheSameTime(t, name, () => run(stage))),
  );
  await t.step("no request was refused for lack of a right", async () => {
    assert.deepEqual(await refusedByRbac(stage.plane), []);
  });
}

async function startsAndEnds(t: Deno.TestContext, stage: Stage): Promise<void> {
  const controller = await stage.start("controller-1");
  await controller.ready();
  await replicas(t, stage, controller);
}

/** A step beside which others run. */
async function atTheSameTime(
  t: Deno.TestContext,
  name: string,
  fn: (t: Deno.TestContext) => Promise<void>,
): Promise<void> {
  await t.step({ name, fn, sanitizeOps: false, sanitizeResources: false, sanitizeExit: false });
}
