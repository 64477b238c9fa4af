/** What only containers can show: restrictions, capabilities, memory, start, a rolling upgrade. */
import assert from "node:assert/strict";
import { sleep, systemClock } from "../../src/lib/clock.ts";
import { inContainers, type UnpackedImage } from "../support/container.ts";
import type { ControllerProcess } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { report } from "./replicas.ts";
import { controllerWrites, type Namespace, type Stage } from "./stage.ts";

const MIB = 2 ** 20;
const PODS = 1_000;
const MEMORY_LIMIT_MIB = 128;
const START_LIMIT_MS = 1_000;
const PACE_MS = 20;
const AGENT_CAPABILITIES = ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"];

/** Lines of /proc/<pid>/status, by name. */
export function processStatus(pid: number): Map<string, string> {
  const lines = Deno.readTextFileSync(`/proc/${pid}/status`).split("\n");
  return new Map(lines.map((line) => {
    const [name = "", value = ""] = line.split(":\t");
    return [name, value.trim()];
  }));
}

/** The kernel's word for it that a replica runs as the manifests say. */
export function isRestricted({ process: { pid } }: ControllerProcess): void {
  const status = processStatus(pid);
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
    assert.equal(Number(`0x${status.get(set)}`), 0, set);
  }
  assert.equal(status.get("NoNewPrivs"), "1");
  assert.equal(status.get("Seccomp"), "2", "a filter");
  assert.match(status.get("Uid") ?? "", /^65532\t65532\t/);
  assert.match(status.get("Gid") ?? "", /^65532\t65532\t/);
  const mounts = Deno.readTextFileSync(`/proc/${pid}/mounts`).trimEnd().split("\n")
    .map((line) => line.split(" "))
    .map(([, at = "", type = "", options = ""]) => ({ at, type, options }));
  assert.ok(mounts.some(({ at, options }) => at === "/" && /^ro\b/.test(options)), "root");
  // What the kernel makes up, of which the user owns nothing.
  const writable = mounts.filter(({ options, type }) =>
    /^rw\b/.test(options) && !["proc", "devpts", "tmpfs", "sysfs"].includes(type)
  );
  assert.deepEqual(writable, []);
  for (const path of ["/", "/dev", "/etc", "/proc"]) {
    const { uid = 0, mode = 0 } = Deno.statSync(`/proc/${pid}/root${path}`);
    assert.ok(uid !== 65532 && ((mode ?? 0) & 0o002) === 0, `${path} can be written`);
  }
}

/** From the start of the runtime to the first 200 of /healthz; the best of five, as others use the machine. */
export async function startsWithin(stage: Stage): Promise<void> {
  const times: number[] = [];
  for (const run of [1, 2, 3, 4, 5]) {
    const begin = systemClock.monotonic();
    await using replica = await stage.start(`start-${run}`);
    await eventually("/healthz answers", async () => {
      return (await replica.get("/healthz")).status === 200;
    }, { everyMs: 5 });
    times.push(systemClock.monotonic() - begin);
  }
  const best = Math.min(...times);
  report(`start of the container to /healthz: ${Math.round(best)} ms`);
  assert.ok(best < START_LIMIT_MS, `${times.map(Math.round).join(", ")} ms`);
}

/** Peak of the leader's memory while it makes ConfigMaps of 1,000 Pods, and of one that finds them. */
export async function memoryStaysBelow(stage: Stage): Promise<void> {
  const at = await stage.namespace("many");
  await at.createPcmc("facts", { labelsToInclude: ["app"], annotationsToInclude: ["note"] });
  await using first = await stage.start("many-1");
  await first.ready();
  await createPods(at, PODS);
  await at.untilReady("facts", "True", ({ status }) => status?.configMaps === PODS);
  await using second = await stage.start("many-2");
  await second.ready();
  for (const [what, replica] of [["leader", first], ["standby", second]] as const) {
    const { resident, unreclaimable } = peaks(replica.process.pid);
    report(
      `peak memory of the ${what} with ${PODS} Pods: ${Math.round(resident)} MiB resident, ` +
        `${Math.round(unreclaimable)} MiB of it not in files`,
    );
    assert.ok(unreclaimable < MEMORY_LIMIT_MIB * 0.75, `${what}: ${unreclaimable} MiB`);
  }
}

/**
 * MiB. The program's own file is in the first: under a limit the kernel takes back pages of it, and
 * kills for the second. A quarter of the limit is left for those pages, and for the kernel itself.
 */
function peaks(pid: number): { resident: number; unreclaimable: number } {
  const status = processStatus(pid);
  const mib = (name: string) => Number.parseInt(status.get(name) ?? "NaN") * 1024 / MIB;
  return { resident: mib("VmHWM"), unreclaimable: mib("VmHWM") - mib("RssFile") };
}

async function createPods(at: Namespace, count: number, prefix = "web"): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  const next = names.values();
  const worker = async () => {
    for (const name of next) {
      await at.createPod(name, { labels: { app: "web" }, annotations: { note: name } });
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

/**
 * As a Deployment of two replicas does it (one more, none less), while Pods come and go: every
 * ConfigMap is written once, whoever leads.
 */
export async function upgrade(
  stage: Stage,
  images: { old: UnpackedImage; new: UnpackedImage },
): Promise<void> {
  const at = await stage.namespace("upgrade");
  await at.createPcmc("facts", { labelsToInclude: ["app"] });
  const launchOld = await inContainers(images.old, stage.plane);
  const launchNew = await inContainers(images.new, stage.plane);
  const start = async (name: string, launch: typeof launchOld) => {
    stage.launch = launch;
    const replica = await stage.start(name);
    await replica.ready();
    return replica;
  };
  await using old1 = await start("old-1", launchOld);
  await using old2 = await start("old-2", launchOld);
  await at.createPod("before", { labels: { app: "web" } });
  await at.untilConfigMap("pod-before-from-facts-cfg");
  const since = await stage.plane.auditLog.mark();

  const enough = new AbortController();
  const created = keepCreating(at, enough.signal);
  await using new1 = await start("new-1", launchNew);
  assert.equal((await old1.stop()).code, 0);
  await using new2 = await start("new-2", launchNew);
  assert.equal((await old2.stop()).code, 0);
  await eventually("a new one leads", async () => /new-/.test(await stage.leaseHolder()));
  enough.abort();
  const pods = await created;
  await at.untilReady("facts", "True", ({ status }) => status?.configMaps === pods.length + 1);

  for (const replica of [new1, new2]) {
    const { body } = await replica.get("/metrics");
    assert.match(body, /version="0\.1\.0-next"/, "it is the new version");
  }
  const writes = (await controllerWrites(stage.plane, { since, namespace: at.name }))
    .filter(({ objectRef }) => objectRef?.resource === "configmaps")
    .map(({ verb, objectRef, responseStatus }) =>
      `${verb} ${objectRef?.name} ${responseStatus?.code}`
    );
  // The name of what is created is in the body, except in the entry's reference.
  assert.deepEqual(writes.sort(), pods.map((pod) => `create pod-${pod}-from-facts-cfg 201`).sort());
  report(`rolling upgrade of two replicas: ${pods.length} Pods came, each was written once`);
}

/** One Pod after the other, at a pace that two replicas and their test leave room for. @returns their names. */
async function keepCreating(at: Namespace, signal: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  while (!signal.aborted) {
    const name = `during-${names.length}`;
    await at.createPod(name, { labels: { app: "web" } });
    names.push(name);
    await sleep(systemClock, PACE_MS);
  }
  return names;
}

/** What the launcher does, and what its file capabilities mean for a container without them. */
export async function capabilities(image: UnpackedImage, folder: string): Promise<void> {
  const run = async (name: string, command: string[], capabilities: readonly string[]) => {
    const logFile = `${folder}/${name}.log`;
    await Deno.writeTextFile(logFile, "");
    await using process = await image.start({
      ...{ command, args: ["selftest"], capabilities, logFile },
    });
    const { code } = await process.status;
    return { code, text: await process.log() };
  };
  const agent = await run("launcher", ["/agent-launcher"], AGENT_CAPABILITIES);
  assert.match(agent.text, /^ok +capabilities +NET_ADMIN, PERFMON, BPF$/m);
  assert.match(agent.text, /^ok +libbpf +v1\.1 at \/usr\/lib\/x86_64-linux-gnu\/libbpf\.so\.1$/m);
  assert.match(agent.text, /^ok +program sys_count /m);

  // The same user and grant without the launcher: a file without capabilities gets none.
  const plain = await run("plain", ["/podconfigmap-controller"], AGENT_CAPABILITIES);
  assert.doesNotMatch(plain.text, /^ok +capabilities/m);
  // Why it is not the controller's entry point.
  const refused = await run("refused", ["/agent-launcher"], []);
  assert.notEqual(refused.code, 0);
  assert.match(refused.text, /operation not permitted/);
}
