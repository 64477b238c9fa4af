/** What is installed on the node, and what it works for: images, manifests, Pods, a config. */
import assert from "node:assert/strict";
import { relative } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { buildImage } from "../../scripts/image.ts";
import { eventually } from "../support/eventually.ts";
import { output, temporaryDir } from "../support/processes.ts";
import type { KubeObject, Vm } from "./vm.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** What the program is built from. */
const SOURCES = [
  "deno.json",
  "deno.lock",
  "main.ts",
  "src",
  "ffi",
  "bpf",
  "crd",
  "deploy",
  "scripts",
  "LICENSE",
];
const PINS = "src/agent/adapters/pins.ts";
const IMAGE = "podconfigmap-controller";
/** Of this checkout, and of one that pins elsewhere. */
export const SHIPPED = config.version;
export const OTHER_PINS = `${config.version}-other-pins`;

export const SYSTEM = "podconfigmap-system";
export const AGENTS = "podconfigmap-agent";
export const TEAM = "team";
export const BPFFS = "/sys/fs/bpf/podconfigmap";
export const OPEN_PORT = 8080;
export const SHUT_PORT = 8081;
/** What "web" reads and writes, a byte at a time, each time that it is told to. */
export const BYTES = 100_000;

const TIMEOUT_MS = 180_000;
const CONFIGS = `/apis/podconfig.example.com/v1alpha1/namespaces/${TEAM}/podconfigmapconfigs`;
const CONFIG = "guard";
const POLL = { timeoutMs: TIMEOUT_MS, everyMs: 250 };

/** Paths of archives. */
export interface Images {
  readonly shipped: string;
  readonly otherPins: string;
}

/** The image as it ships, and one of the same program that pins under another version, both at once. */
export async function buildImages(folder: string): Promise<Images> {
  const shipped = `${folder}/shipped.tar`;
  const otherPins = `${folder}/other-pins.tar`;
  const sources = `${folder}/other`;
  await Deno.mkdir(`${sources}/dist`, { recursive: true });
  await output("cp", ["-r", ...SOURCES.map((name) => `${ROOT}${name}`), sources]);
  await replaceIn(`${sources}/${PINS}`, 'PINS_VERSION = "v1"', 'PINS_VERSION = "v2"');
  await replaceIn(`${sources}/deno.json`, `"version": "${SHIPPED}"`, `"version": "${OTHER_PINS}"`);
  const build = ["run", "--allow-all", "--no-check", "scripts/image.ts", "--output", otherPins];
  await Promise.all([
    buildImage({ output: shipped }),
    output(Deno.execPath(), build, { cwd: sources }),
  ]);
  return { shipped, otherPins };
}

async function replaceIn(path: string, from: string, to: string): Promise<void> {
  const text = await Deno.readTextFile(path);
  assert.ok(text.includes(from), `${path} has ${from}`);
  await Deno.writeTextFile(path, text.replace(from, to));
}

/** An emulated machine on a busy one stands still for seconds: nothing is to be restarted for that. */
const PATIENT = ["Deployment", "DaemonSet"].map((kind) => {
  const path = "/spec/template/spec/containers/0/livenessProbe/timeoutSeconds";
  return { target: { kind }, patch: JSON.stringify([{ op: "replace", path, value: 60 }]) };
});

/** Controller and agents, as they ship, until all of it is ready. */
export async function install(vm: Vm, version: string): Promise<void> {
  await apply(vm, "overlays/with-agents", version, PATIENT);
  await rolledOut(vm, AGENTS, "daemonset/podconfigmap-agent");
  await rolledOut(vm, SYSTEM, "deployment/podconfigmap-controller");
}

/** Another version of the agents, until they are ready. */
export async function exchangeAgents(vm: Vm, version: string): Promise<void> {
  await apply(vm, "agent", version, PATIENT);
  await rolledOut(vm, AGENTS, "daemonset/podconfigmap-agent");
}

/** `kubectl apply -k` of a kustomization such as a user has. `folder`: below deploy/. */
async function apply(
  vm: Vm,
  folder: string,
  version: string,
  patches: readonly unknown[] = [],
): Promise<void> {
  await using dir = await temporaryDir("node-apply");
  const kustomization = {
    resources: [relative(dir.path, `${ROOT}deploy/${folder}`)],
    images: [{ name: IMAGE, newName: `docker.io/library/${IMAGE}`, newTag: version }],
    patches,
  };
  await Deno.writeTextFile(`${dir.path}/kustomization.yaml`, JSON.stringify(kustomization));
  await vm.kubectl("apply", "-k", dir.path);
}

export async function rolledOut(vm: Vm, namespace: string, what: string): Promise<void> {
  await vm.kubectl("rollout", "status", "-n", namespace, what, `--timeout=${TIMEOUT_MS / 1000}s`);
}

/** As documented, in docs/EBPF_FEATURES.md. */
export async function cleanUp(vm: Vm, version: string): Promise<void> {
  await vm.kubectl("delete", "daemonset", "-n", AGENTS, "podconfigmap-agent");
  await apply(vm, "cleanup", version);
  await rolledOut(vm, AGENTS, "daemonset/podconfigmap-cleanup");
}

/** allowedPorts, defaultAction block, and the counter. */
export function ebpf(...allowedPorts: readonly number[]) {
  return {
    syscallMonitoring: { enabled: true, syscallNames: ["read", "write"] },
    l4Firewall: { enabled: true, allowedPorts, defaultAction: "block" },
    metricsExport: { enabled: true, updateInterval: "1s" },
  };
}

export async function createConfig(vm: Vm): Promise<void> {
  await vm.request("POST", CONFIGS, {
    apiVersion: "podconfig.example.com/v1alpha1",
    kind: "PodConfigMapConfig",
    metadata: { name: CONFIG },
    spec: {
      podSelector: { matchLabels: { watched: "yes" } },
      labelsToInclude: ["watched"],
      ebpfConfig: ebpf(OPEN_PORT),
    },
  });
}

/** A merge patch; an ebpfConfig of null removes it. */
export function changeConfig(vm: Vm, ebpfConfig: unknown): Promise<KubeObject> {
  return vm.request("PATCH", `${CONFIGS}/${CONFIG}`, { spec: { ebpfConfig } });
}

export function deleteConfig(vm: Vm): Promise<KubeObject> {
  return vm.request("DELETE", `${CONFIGS}/${CONFIG}`);
}

export function readConfig(vm: Vm): Promise<KubeObject> {
  return vm.request("GET", `${CONFIGS}/${CONFIG}`);
}

/** Serves both ports, and copies {@link BYTES} bytes when there is a file /tmp/go. */
const SERVE = `httpd -p ${OPEN_PORT}; httpd -p ${SHUT_PORT}
while :; do
  if [ -e /tmp/go ]; then dd if=/dev/zero of=/dev/null bs=1 count=${BYTES} status=none; rm /tmp/go; fi
  sleep 0.2
done`;

export async function createPod(vm: Vm, name: string): Promise<KubeObject> {
  const watched = name !== "client";
  return await vm.request("POST", `/api/v1/namespaces/${TEAM}/pods`, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: watched ? { watched: "yes" } : {} },
    spec: {
      terminationGracePeriodSeconds: 0,
      ...(watched
        ? { readinessGates: [{ conditionType: "podconfig.example.com/EbpfApplied" }] }
        : {}),
      containers: [{
        name: "main",
        image: "nv.local/busybox:1",
        command: name === "web" ? ["sh", "-c", SERVE] : ["sleep", "inf"],
      }],
    },
  });
}

export function readPod(vm: Vm, name: string, namespace = TEAM): Promise<KubeObject> {
  return vm.request("GET", `/api/v1/namespaces/${namespace}/pods/${name}`);
}

export async function deletePod(vm: Vm, name: string): Promise<void> {
  await vm.request("DELETE", `/api/v1/namespaces/${TEAM}/pods/${name}`);
  await eventually(`Pod ${name} is gone`, async () => {
    const { items } = await vm.request("GET", `/api/v1/namespaces/${TEAM}/pods`);
    return !items.some(({ metadata }: KubeObject) => metadata.name === name);
  }, { timeoutMs: TIMEOUT_MS, everyMs: 50 });
}

export const condition = (object: KubeObject, type: string): KubeObject =>
  object.status?.conditions?.find((one: KubeObject) => one.type === type);

export function untilReady(vm: Vm, name: string, namespace = TEAM): Promise<KubeObject> {
  return eventually(`Pod ${name} is ready`, async () => {
    const pod = await readPod(vm, name, namespace);
    return condition(pod, "Ready")?.status === "True" && pod;
  }, POLL);
}

/** The node's one agent. */
export async function agentPod(vm: Vm): Promise<KubeObject> {
  const selector = "labelSelector=app.kubernetes.io/component=agent";
  const { items } = await vm.request("GET", `/api/v1/namespaces/${AGENTS}/pods?${selector}`);
  const live = items.filter(({ metadata }: KubeObject) => metadata.deletionTimestamp === undefined);
  assert.equal(live.length, 1);
  return live[0];
}

/** On the node, of the first process of the Pod's container. */
export async function pidOf(vm: Vm, pod: KubeObject): Promise<number> {
  const [, id = "none"] = (pod.status.containerStatuses[0].containerID as string).split("//");
  const find = `find /sys/fs/cgroup/kubepods* -path '*${id}*' -name cgroup.procs`;
  const pid = Number((await vm.shell(`cat $(${find}) | head -n 1`)).trim());
  assert.ok(pid > 0, `${pod.metadata.name} has a process`);
  return pid;
}

/** Lines of the agent's /metrics of that name, by their labels. */
export async function metrics(vm: Vm, name: string, port = 9808): Promise<Map<string, number>> {
  const text = await vm.shell(`wget -qO- http://127.0.0.1:${port}/metrics`);
  const lines = text.matchAll(/^podconfigmap_controller_(\w+)\{(.*)\} (\S+)$/gm);
  return new Map(
    [...lines].filter(([, one]) => one === name)
      .map(([, , labels = "", value]) => [labels, Number(value)]),
  );
}

/** Paths below {@link BPFFS} of what is pinned, sorted. */
export async function pins(vm: Vm): Promise<string[]> {
  const text = await vm.shell(`find ${BPFFS} -type f -printf '%P\\n' 2>/dev/null || true`);
  return text.split("\n").filter(Boolean).sort();
}

/** `PIN LINK PROGRAM`, by the kernel's ids, of every pinned link. */
export async function links(vm: Vm): Promise<string[]> {
  const paths = (await pins(vm)).filter((path) => /\/(in|out|[cm][46]|enter|exit)$/.test(path));
  const show = (path: string) => `bpftool -j link show pinned ${BPFFS}/${path}; echo`;
  const shown = (await vm.shell(paths.map(show).join("; "))).split("\n").filter(Boolean);
  return shown.map((line, index) => {
    const { id, prog_id } = JSON.parse(line);
    return `${paths[index]} ${id} ${prog_id}`;
  });
}

/** No pin, and in the kernel no link, map or program that is not systemd's or the runtime's. */
export function untilNothingIsHeld(vm: Vm): Promise<boolean> {
  return eventually("the kernel holds nothing of ours", async () => {
    assert.deepEqual(await pins(vm), []);
    const held = await vm.shell("bpftool -j link; echo; bpftool -j map; echo; bpftool -j prog");
    const [links, maps, programs] = held.split("\n").map((line) => JSON.parse(line || "[]"));
    const ours = programs.filter(({ name, type }: KubeObject) =>
      type !== "cgroup_device" && !/^sd_/.test(name)
    );
    assert.deepEqual({ links, maps, ours }, { links: [], maps: [], ours: [] });
    return true;
  }, { timeoutMs: 60_000, everyMs: 500 });
}
