/** What a node does with the shipped things, step by step. */
import assert from "node:assert/strict";
import { systemClock } from "../../src/lib/clock.ts";
import { eventually, throughout } from "../support/eventually.ts";
import {
  agentPod,
  AGENTS,
  BPFFS,
  BYTES,
  changeConfig,
  condition,
  createConfig,
  createPod,
  deleteConfig,
  deletePod,
  ebpf,
  metrics,
  OPEN_PORT,
  pidOf,
  pins,
  readConfig,
  readPod,
  SHUT_PORT,
  TEAM,
  untilNothingIsHeld,
  untilReady,
} from "./cluster.ts";
import type { KubeObject, Vm } from "./vm.ts";
import { Watch } from "./watch.ts";

/** Said of hardware: within 1 s. The machine is emulated, and shares its processors. */
const FOLLOWS_WITHIN_MS = 20_000;
const POLL = { timeoutMs: 90_000, everyMs: 500 };
/** Of Pods without requests, by either driver. */
const POD_CGROUPS = "/sys/fs/cgroup/kubepods{.slice,}/{kubepods-,}besteffort{.slice,}/*pod*";
export const APPLIED = "podconfig.example.com/EbpfApplied";
/** CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF. */
const CAPABILITIES = (1n << 12n) | (1n << 38n) | (1n << 39n);

export function report(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`\nreport: node: ${line}\n`));
}

/** What the Pods are like, once they run. */
export interface Scene {
  readonly vm: Vm;
  readonly web: KubeObject;
  readonly webPid: number;
  readonly clientPid: number;
}

/** Reports how long it took, and holds it to a bound that also an emulated machine keeps. */
export function follows(what: string, begin: number, at: number): void {
  // Seen before the API server's answer was here: at once.
  const ms = Math.max(0, Math.round(at - begin));
  report(`${what}: ${ms} ms`);
  assert.ok(ms < FOLLOWS_WITHIN_MS, `${ms} ms`);
}

/** From "client", another Pod, to both ports of "web". */
export function watchPorts({ vm, web, clientPid }: Scene): Promise<Watch> {
  const { podIP } = web.status;
  const things = { open: `tcp:${podIP}:${OPEN_PORT}`, shut: `tcp:${podIP}:${SHUT_PORT}` };
  return Watch.start(vm, things, clientPid);
}

/** The agent is no root, and has what the manifest grants and nothing else. */
export async function isRestricted(vm: Vm): Promise<void> {
  const pid = await pidOf(vm, await agentPod(vm));
  const text = await vm.shell(`cat /proc/${pid}/status`);
  const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(text)?.[1] ?? "";
  for (const set of ["CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
    assert.equal(BigInt(`0x${field(set)}`), CAPABILITIES, set);
  }
  assert.match(field("Uid"), /^65532\t65532\t/);
  assert.equal(field("NoNewPrivs"), "1");
  assert.equal(field("Seccomp"), "2", "a filter");
  const agent = ["-n", AGENTS, "daemonset/podconfigmap-agent", "-c", "agent", "--"];
  const rows = await vm.kubectl("exec", ...agent, "/agent-launcher", "selftest", "-o", "json");
  const { checks } = JSON.parse(rows);
  assert.ok(checks.length > 10, rows);
  assert.deepEqual(checks.filter(({ status }: KubeObject) => status !== "ok"), []);
}

/** A Pod with the readiness gate starts: rules first, then ready. Everything that says so, says so. */
export async function podStarts(vm: Vm): Promise<Scene> {
  await vm.kubectl("create", "namespace", TEAM);
  await createPod(vm, "client");
  await createConfig(vm);
  const clientPid = await pidOf(vm, await untilReady(vm, "client"));
  await using watch = await Watch.start(vm, {
    rules: `path:${BPFFS}/v1/pods/*/in`,
    cgroups: `count:${POD_CGROUPS}`,
  });
  const cgroups = Number(watch.state("cgroups"));
  const begin = systemClock.monotonic();
  await createPod(vm, "web");
  const hold = await watch.until("rules", "there");
  const cgroup = await watch.until("cgroups", String(cgroups + 1));
  report(`Pod created, the kubelet has made its cgroup: ${Math.round(cgroup - begin)} ms`);
  follows("that is there, its rules hold", cgroup, hold);
  follows("Pod created, its rules hold", begin, hold);
  await createPod(vm, "quiet");
  const web = await untilReady(vm, "web");
  await untilReady(vm, "quiet");
  assert.equal(condition(web, APPLIED)?.reason, "Applied");
  await eventually("the ConfigMap says so", async () => {
    const path = `/api/v1/namespaces/${TEAM}/configmaps/pod-web-from-guard-cfg`;
    return (await vm.request("GET", path)).data.ebpf_status === "applied";
  }, POLL);
  await eventually("the PodConfigMapConfig says so", async () => {
    const { status } = await readConfig(vm);
    const said = status.conditions.find(({ type }: KubeObject) => type === "EbpfApplied");
    return said?.reason === "Applied" && status.ebpf.applied === 2;
  }, POLL);
  return { vm, web, webPid: await pidOf(vm, web), clientPid };
}

const verdict = (stat: string) => `namespace="${TEAM}",pod_name="web",stat_type="${stat}"`;

export async function portsAreReal(scene: Scene): Promise<void> {
  const { vm, web } = scene;
  const connect = (port: number) =>
    vm.kubectl(
      ...["exec", "-n", TEAM, "client", "--", "nc", "-w", "3", web.status.podIP, `${port}`],
    );
  await connect(OPEN_PORT);
  await assert.rejects(connect(SHUT_PORT), /timed out/);
  await eventually("the metrics have both connections", async () => {
    const seen = await metrics(vm, "ebpf_l4_firewall_total");
    return seen.get(verdict("allowed")) === 1 && seen.get(verdict("blocked")) === 1;
  }, POLL);
}

/** System calls so far, once they are the same twice: "web" then is at rest. */
export function countsAtRest(vm: Vm): Promise<Map<string, number>> {
  return atRest(vm, "ebpf_syscall_count_total");
}

/** Connections to "web" so far that were blocked, once nobody tries any more. */
export async function triesAtRest(vm: Vm): Promise<number> {
  const verdicts = await atRest(vm, "ebpf_l4_firewall_total");
  return verdicts.get(verdict("blocked")) ?? 0;
}

async function atRest(vm: Vm, name: string): Promise<Map<string, number>> {
  let last: Map<string, number> | undefined;
  return await eventually(`${name} rests`, async () => {
    const before = last;
    last = await metrics(vm, name);
    assert.deepEqual(last, before);
    return last;
  }, { timeoutMs: 90_000, everyMs: 2_500 });
}

const series = (pod: string, syscall: string) =>
  `namespace="${TEAM}",pod_name="${pod}",syscall="${syscall}",pid=""`;

/** Tells "web" to make its calls. */
export const work = ({ vm, webPid }: Scene) => vm.shell(`cd /proc/${webPid}/root && touch tmp/go`);

/** "web" has made its calls once more since, and nobody any others. */
export async function countedOnce({ vm }: Scene, before: Map<string, number>): Promise<void> {
  const expected = new Map(before);
  for (const syscall of ["read", "write"]) {
    const key = series("web", syscall);
    expected.set(key, (before.get(key) ?? 0) + BYTES);
  }
  const look = async () =>
    assert.deepEqual(await metrics(vm, "ebpf_syscall_count_total"), expected);
  await eventually("the calls are counted", () => look().then(() => true), POLL);
  await throughout(3_000, look, 1_000);
}

export async function countsAreReal(scene: Scene): Promise<void> {
  const before = await countsAtRest(scene.vm);
  await work(scene);
  await countedOnce(scene, before);
  const others = [...before.keys()].filter((key) => !/pod_name="(web|quiet)"/.test(key));
  assert.deepEqual(others, [], "Pods that no config selects");
}

/** What becomes of the config, becomes of the kernel. */
export async function kernelFollows(scene: Scene): Promise<void> {
  const { vm, web } = scene;
  const { uid } = web.metadata;
  await using ports = await watchPorts(scene);
  await using pinned = await Watch.start(vm, { web: `path:${BPFFS}/v1/pods/${uid}` });
  await ports.until("open", "open");
  await ports.until("shut", "blocked");
  const then = async (what: string, act: () => Promise<unknown>, seen: () => Promise<number>) => {
    const begin = systemClock.monotonic();
    await act();
    follows(what, begin, await seen());
  };
  await then(
    "a port is allowed",
    () => changeConfig(vm, ebpf(OPEN_PORT, SHUT_PORT)),
    () => ports.until("shut", "open"),
  );
  await then(
    "a port is blocked",
    () => changeConfig(vm, ebpf(OPEN_PORT)),
    () => ports.until("shut", "blocked"),
  );
  await then("ebpfConfig is removed", () => changeConfig(vm, null), async () => {
    return Math.max(await pinned.until("web", "absent"), await ports.until("shut", "open"));
  });
  await untilNothingIsHeld(vm);
  await eventually("the condition says so", async () => {
    return condition(await readPod(vm, "web"), APPLIED)?.reason === "NotRequired";
  }, POLL);
  assert.deepEqual(await metrics(vm, "ebpf_syscall_count_total"), new Map());
  await then(
    "ebpfConfig comes back",
    () => changeConfig(vm, ebpf(OPEN_PORT)),
    () => ports.until("shut", "blocked"),
  );
}

export async function podGoes({ vm }: Scene): Promise<void> {
  const { metadata: { uid } } = await readPod(vm, "quiet");
  await using pinned = await Watch.start(vm, { quiet: `path:${BPFFS}/v1/pods/${uid}` });
  assert.equal(pinned.state("quiet"), "there");
  await deletePod(vm, "quiet");
  const begin = systemClock.monotonic();
  follows("a Pod is gone, and its programs", begin, await pinned.until("quiet", "absent"));
  const others = (await pins(vm)).filter((path) => path.includes(uid));
  assert.deepEqual(others, []);
}

export async function configGoes(scene: Scene): Promise<void> {
  const { vm } = scene;
  await using ports = await watchPorts(scene);
  assert.equal(ports.state("shut"), "blocked");
  const begin = systemClock.monotonic();
  await deleteConfig(vm);
  follows("the config is deleted", begin, await ports.until("shut", "open"));
  await untilNothingIsHeld(vm);
}
