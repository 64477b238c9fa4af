/** The role `run` on a node: what becomes of rules when the leader changes, on the node and to another. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import { eventually } from "../support/eventually.ts";
import { temporaryDir } from "../support/processes.ts";
import { type Candidate, Candidates, untilLeads } from "./candidates.ts";
import {
  BPFFS,
  condition,
  deleteConfig,
  links,
  pins,
  readPod,
  SHUT_PORT,
  SYSTEM,
  untilNothingIsHeld,
} from "./cluster.ts";
import { APPLIED, follows, report, type Scene } from "./steps.ts";
import { Watch } from "./watch.ts";

const POLL = { timeoutMs: 120_000, everyMs: 250 };
const PORTS = [9811, 9812] as const;

/** The blocked port of "web", from "client", and whether its rules are pinned. */
function watchRules({ vm, web, clientPid }: Scene): Promise<Watch> {
  return Watch.start(vm, {
    rules: `path:${BPFFS}/v1/pods/${web.metadata.uid}/in`,
    shut: `tcp:${web.status.podIP}:${SHUT_PORT}`,
  }, clientPid);
}

const untilSaid = ({ vm }: Scene, reason: string) =>
  eventually(`web is told ${reason}`, async () => {
    assert.equal(condition(await readPod(vm, "web"), APPLIED)?.reason, reason);
    return true;
  }, POLL);

/** Since when, by the clock of the test: rules are there and hold, or neither. */
async function untilRules(watch: Watch, hold: boolean): Promise<number> {
  const [rules, shut] = hold ? ["there", "blocked"] : ["absent", "open"];
  return Math.max(await watch.until("rules", rules), await watch.until("shut", shut));
}

/**
 * From the Pods as they run without any agent, and the config that asks for rules; ends without the
 * config. The controller's Deployment is gone after it.
 *
 * @param version of an image that the node has.
 */
export async function leaderChanges(scene: Scene, version: string): Promise<void> {
  const { vm, web } = scene;
  const node: string = web.spec.nodeName;
  const deployment = ["deployment", "-n", SYSTEM, "podconfigmap-controller"];
  await vm.kubectl("delete", "--cascade=foreground", "--ignore-not-found", ...deployment);
  await using dir = await temporaryDir("node-leaders");
  const candidates = await Candidates.prepare(vm, version, dir.path);
  await using watch = await watchRules(scene);
  assert.equal(watch.state("rules"), "absent");

  await using first = await candidates.onNode("run-1", node, PORTS[0]);
  follows(
    "a leader of the node, rules hold",
    await untilLeads(vm, first),
    await untilRules(watch, true),
  );
  await untilSaid(scene, "Applied");
  await using second = await candidates.onNode("run-2", node, PORTS[1]);
  await second.ready();
  await isAdopted(scene, [first, second]);

  await using away = await candidates.elsewhere("run-away", "elsewhere", `${dir.path}/log`);
  await away.ready();
  await handsOver(
    scene,
    "another node, rules are gone",
    [second, away],
    () => untilRules(watch, false),
  );
  await untilNothingIsHeld(vm);
  await untilSaid(scene, "NodeUnserved");

  await using third = await candidates.onNode("run-3", node, PORTS[0]);
  await third.ready();
  assert.deepEqual(await pins(vm), [], "a standby of this node applies nothing");
  await handsOver(
    scene,
    "this node again, rules hold",
    [away, third],
    () => untilRules(watch, true),
  );
  await untilSaid(scene, "Applied");

  const begin = systemClock.monotonic();
  await deleteConfig(vm);
  follows("the config is deleted", begin, await untilRules(watch, false));
  await untilNothingIsHeld(vm);
  await third.stop();
  await untilNothingIsHeld(vm);
}

type Change = readonly [from: Candidate, to: Candidate];

/** The next one of the node goes on with the same programs, without a moment that lets anything through. */
async function isAdopted(scene: Scene, change: Change): Promise<void> {
  const { vm } = scene;
  const before = await links(vm);
  assert.ok(before.length > 3, before.join());
  await using watch = await watchRules(scene);
  const attached = `ones:${PORTS[1]}/ebpf_attached_programs`;
  await using next = await Watch.start(vm, { attached });
  assert.equal(next.state("attached"), "others");
  await handsOver(
    scene,
    "the same node, rules are adopted",
    change,
    () => next.until("attached", "ones"),
  );
  assert.deepEqual(await links(vm), before, "the same links, the same programs");
  const { rules = {}, shut = {} } = await watch.tally();
  assert.deepEqual([Object.keys(rules), Object.keys(shut)], [["there"], ["blocked"]]);
  report(`meanwhile: ${shut.blocked} connections tried, ${shut.blocked} blocked`);
}

/** The leader is told to stop, the other one leads. `seen`: since when the kernel is as it then should be. */
async function handsOver(
  { vm }: Scene,
  to: string,
  [from, next]: Change,
  seen: () => Promise<number>,
): Promise<void> {
  const begin = systemClock.monotonic();
  const stopped = from.stop();
  // Told by the last line, also if it fails before that.
  stopped.catch(() => {});
  const led = await untilLeads(vm, next);
  report(`leader told to stop, the next one leads: ${Math.round(led - begin)} ms`);
  follows(`leader changed to ${to}`, led, await seen());
  await stopped;
}
