/** What rules and counts outlive on a node: the agent's death, other versions of it, a reboot. And what outlives nothing. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import { eventually } from "../support/eventually.ts";
import {
  agentPod,
  AGENTS,
  BPFFS,
  cleanUp,
  exchangeAgents,
  links,
  pidOf,
  pins,
  SHUT_PORT,
  untilNothingIsHeld,
  untilReady,
} from "./cluster.ts";
import {
  countedOnce,
  countsAtRest,
  report,
  type Scene,
  triesAtRest,
  watchPorts,
  work,
} from "./steps.ts";
import { Watch } from "./watch.ts";

const POLL = { timeoutMs: 180_000, everyMs: 250 };
const seconds = (begin: number, end = systemClock.monotonic()) =>
  `${((end - begin) / 1000).toFixed(1)} s`;

/** Tries the blocked port from "client", without an end: "web" makes no system call for it. */
function watchShut({ vm, web, clientPid }: Scene): Promise<Watch> {
  return Watch.start(vm, { shut: `tcp:${web.status.podIP}:${SHUT_PORT}` }, clientPid);
}

/** All that was tried was blocked. @returns how often that was. */
async function wasShut(watch: Watch, during: string): Promise<number> {
  const { shut = {} } = await watch.tally();
  assert.deepEqual(Object.keys(shut), ["blocked"], JSON.stringify(shut));
  report(`${during}: ${shut.blocked} connections tried, ${shut.blocked} blocked`);
  return shut.blocked ?? 0;
}

export async function agentIsKilled(scene: Scene): Promise<void> {
  const { vm } = scene;
  const before = await countsAtRest(vm);
  const linksBefore = await links(vm);
  assert.ok(linksBefore.length > 3, linksBefore.join());
  const agent = await agentPod(vm);
  const pid = await pidOf(vm, agent);
  await using watch = await watchShut(scene);
  const begin = systemClock.monotonic();
  await vm.shell(`kill -9 ${pid}`);
  // Nobody reads these while they happen.
  await work(scene);
  await eventually("the next one is ready", async () => {
    const { status } = await agentPod(vm);
    const [container] = status.containerStatuses;
    return container.restartCount > agent.status.containerStatuses[0].restartCount &&
      container.ready;
  }, POLL);
  report(`agent killed, the next one ready: ${seconds(begin)}`);
  await countedOnce(scene, before);
  assert.deepEqual(await links(vm), linksBefore, "adopted: the same links, the same programs");
  await wasShut(watch, "agent killed and started again");
}

/**
 * Agents of another version, and back: its programs take the place of the others, and counts go on. Calls
 * are made and the blocked port is tried all the while: each is counted once.
 *
 * @param layout where it pins.
 */
export async function isExchanged(scene: Scene, version: string, layout: string): Promise<void> {
  const { vm } = scene;
  const [before, triesBefore] = [await countsAtRest(vm), await triesAtRest(vm)];
  const watch = await watchShut(scene);
  await using _ = watch;
  const begin = systemClock.monotonic();
  await work(scene);
  await exchangeAgents(vm, version);
  report(`agent exchanged for ${version}: ${seconds(begin)}`);
  const agent = await agentPod(vm);
  assert.ok(agent.spec.containers[0].image.endsWith(`:${version}`));
  await eventually(`all pins are below ${layout}`, async () => {
    const elsewhere = (await pins(vm)).filter((path) => !path.startsWith(`${layout}/`));
    assert.deepEqual(elsewhere, []);
    return true;
  }, POLL);
  assert.ok((await links(vm)).length > 3);
  await countedOnce(scene, before);
  const tried = await wasShut(watch, `exchanged for ${version}`);
  assert.equal(await triesAtRest(vm) - triesBefore, tried, "connections tried, and counted");
  const after = await countsAtRest(vm);
  await work(scene);
  await countedOnce(scene, after);
}

/** @returns the Pods as they run after it. */
export async function nodeReboots(scene: Scene): Promise<Scene> {
  const { vm, web } = scene;
  const begin = systemClock.monotonic();
  const agentBefore = await agentPod(vm);
  await vm.reboot();
  report(`rebooted, its shell answers: ${seconds(begin)}`);
  await using watch = await Watch.start(vm, {
    agent: "http:9808/readyz",
    rules: `path:${BPFFS}/v1/pods/${web.metadata.uid}/in`,
  });
  assert.notEqual(watch.state("agent"), "200", "watched from before the agent is ready");
  const ready = await watch.until("agent", "200");
  report(`rebooted, the agent is ready: ${seconds(begin, ready)}`);
  const rules = watch.first("rules", "there");
  assert.ok(rules !== undefined && rules <= ready, `rules ${rules}, agent ${ready}`);
  report(`rebooted, rules hold ${seconds(rules, ready)} before the agent is ready`);
  await eventually("the kubelet says so", async () => {
    const { status } = await agentPod(vm);
    const [container] = status.containerStatuses;
    return container.ready &&
      container.containerID !== agentBefore.status.containerStatuses[0].containerID;
  }, POLL);
  const restarted = await eventually("Pods run again", async () => {
    const [one, client] = await Promise.all([untilReady(vm, "web"), untilReady(vm, "client")]);
    return [one, client].every(({ status }) => status.containerStatuses[0].restartCount > 0) &&
      { web: one, client };
  }, POLL);
  const next: Scene = {
    vm,
    web: restarted.web,
    webPid: await pidOf(vm, restarted.web),
    clientPid: await pidOf(vm, restarted.client),
  };
  await using ports = await watchPorts(next);
  await ports.until("open", "open");
  assert.equal(ports.state("shut"), "blocked");
  return next;
}

/** As documented: nothing is left on the node, though Pods still ask for it, nor in the cluster. */
export async function isUninstalled(scene: Scene, version: string): Promise<void> {
  const { vm } = scene;
  await using ports = await watchPorts(scene);
  await ports.until("shut", "blocked");
  await cleanUp(vm, version);
  await ports.until("shut", "open");
  await untilNothingIsHeld(vm);
  assert.equal(await vm.shell(`ls -d ${BPFFS} 2>/dev/null || true`), "", "its folder");
  const root = new URL("../../deploy/", import.meta.url).pathname;
  for (const folder of ["agent", "policies/agent"]) {
    await vm.kubectl("delete", "--ignore-not-found", "--timeout=120s", "-k", `${root}${folder}`);
  }
  const left = await vm.kubectl("get", "namespaces", "-o", "name");
  assert.doesNotMatch(left, new RegExp(`/${AGENTS}$`, "m"));
}
