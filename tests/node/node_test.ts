/**
 * The shipped image and manifests on a real node: kubelet, containerd, cgroups and kernel are those
 * of a virtual machine. Needs NODE_VM (see `vm.ts`), and is the slowest tier: it boots two machines.
 */
import { systemClock } from "../../src/lib/clock.ts";
import { temporaryDir } from "../support/processes.ts";
import { testNeeding } from "../support/requirements.ts";
import {
  AGENTS,
  buildImages,
  createConfig,
  type Images,
  install,
  OTHER_PINS,
  SHIPPED,
} from "./cluster.ts";
import { agentIsKilled, isExchanged, isUninstalled, nodeReboots } from "./disruptions.ts";
import { leaderChanges } from "./leader_change.ts";
import {
  configGoes,
  countsAreReal,
  isRestricted,
  kernelFollows,
  podGoes,
  podStarts,
  portsAreReal,
  report,
} from "./steps.ts";
import { type CgroupDriver, Vm } from "./vm.ts";

const needs = ["NODE_VM", "KUBEBUILDER_ASSETS", "DENORT_BIN", "buildah"] as const;

type Step = <T>(name: string, run: () => Promise<T>) => Promise<T>;

/** Steps build on each other: the first failure ends it, with what the node has to say. */
function steps(t: Deno.TestContext, vm: Vm, driver: CgroupDriver): Step {
  return async (name, run) => {
    const begin = systemClock.monotonic();
    let result: { value: Awaited<ReturnType<typeof run>> } | undefined;
    await t.step({
      name: `${driver}: ${name}`,
      fn: async () => {
        result = { value: await run() };
        report(`"${name}" took ${Math.round((systemClock.monotonic() - begin) / 1000)} s`);
      },
      ...{ sanitizeOps: false, sanitizeResources: false, sanitizeExit: false },
    });
    if (result !== undefined) return result.value;
    throw new Error(`Cannot go on after "${name}"\n${await stateOf(vm)}`);
  };
}

async function stateOf(vm: Vm): Promise<string> {
  const agent = ["logs", "-n", AGENTS, "daemonset/podconfigmap-agent", "--all-containers"];
  const looks = [
    () => vm.kubectl("get", "pods", "-A", "-o", "wide"),
    () => vm.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp"),
    () => vm.kubectl(...agent, "--tail=40"),
    () => vm.kubectl(...agent, "--tail=40", "--previous"),
  ];
  const texts = await Promise.all(looks.map((look) => look().catch((error) => error.message)));
  return texts.map((text) => text.split("\n").slice(-60).join("\n")).join("\n---\n");
}

testNeeding({
  needs,
  name: "the shipped image and manifests on a real node",
  async fn(t) {
    await using dir = await temporaryDir("node-images");
    const images = await buildImages(dir.path);
    await systemd(t, images);
    await cgroupfs(t, images);
  },
});

async function installed(step: Step, vm: Vm, images: Images): Promise<void> {
  await step("the image is imported, Deployment and DaemonSet become ready", async () => {
    await vm.loadImage(images.shipped);
    await install(vm, SHIPPED);
  });
}

async function systemd(t: Deno.TestContext, images: Images): Promise<void> {
  await using vm = await Vm.start("systemd");
  const step = steps(t, vm, "systemd");
  await installed(step, vm, images);
  await step("the agent is no root, and its self-test is content", () => isRestricted(vm));
  const scene = await step("a Pod with the gate is ready once its rules hold", () => podStarts(vm));
  await step("a blocked port is closed, an allowed one open", () => portsAreReal(scene));
  await step("system calls are counted exactly", () => countsAreReal(scene));
  await step("the kernel follows the config", () => kernelFollows(scene));
  await step("the kernel follows the Pod", () => podGoes(scene));
  await step("an agent is killed: blocked stays blocked, the next one adopts", () => {
    return agentIsKilled(scene);
  });
  await step(
    "an upgrade to another layout of pins lets nothing through, and counts go on",
    async () => {
      await vm.loadImage(images.otherPins);
      await isExchanged(scene, OTHER_PINS, "v2");
    },
  );
  await step("nor does the way back", () => isExchanged(scene, SHIPPED, "v1"));
  const after = await step("after a reboot rules hold before the agent is ready", () => {
    return nodeReboots(scene);
  });
  await step("without the config nothing is left", () => configGoes(after));
}

async function cgroupfs(t: Deno.TestContext, images: Images): Promise<void> {
  await using vm = await Vm.start("cgroupfs");
  const step = steps(t, vm, "cgroupfs");
  await installed(step, vm, images);
  const scene = await step("a Pod with the gate is ready once its rules hold", () => podStarts(vm));
  await step("a blocked port is closed, an allowed one open", () => portsAreReal(scene));
  await step("system calls are counted exactly", () => countsAreReal(scene));
  await step("without the config nothing is left", () => configGoes(scene));
  await createConfig(vm);
  await step("uninstalled as documented, nothing is left on the node", () => {
    return isUninstalled(scene, SHIPPED);
  });
  await step("run: the kernel follows the leader, on the node and to another", () => {
    return leaderChanges(scene, SHIPPED);
  });
}
