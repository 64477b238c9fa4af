/**
 * What people and other controllers do to the cluster meanwhile: Pods and PCMCs come, change, go and come
 * back under their names; foreign ConfigMaps sit on generated names; generated ones are edited, stripped,
 * frozen, held and deleted.
 */
import { pick, type Random, randomInt } from "../../src/lib/random.ts";
import type { JsonObject, JsonValue } from "../../src/runtime/ports/rest.ts";
import type { KubeObject } from "../../src/simulator/cluster.ts";
import {
  GROUP,
  isTerminating,
  LABEL_PCMC,
  LABEL_POD_UID,
  labelOf,
  MARK_INVALID,
  nameOf,
  pairOf,
  PCMC_NAMES,
  POD_NAMES,
  TEMPLATES,
} from "./oracle.ts";
import { NAMESPACES, type World } from "./world.ts";

const USER = "user";
const LABEL_KEYS = ["app", "tier", "example.com/team", "a.b-c/d_e"];
const LABEL_VALUES = ["x", "y", "z.1", ""];
const ANNOTATION_KEYS = ["build", "example.com/note"];
const ANNOTATION_VALUES = ["1", "zwei ü 二", '{"a": ["b\\n"]}', "x".repeat(300)];
const PHASES = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
const FOREIGN_USER_LABELS = [{}, { team: "someone-else" }];

type Change = (workload: Workload, namespace: string) => void;

const CHANGES: readonly (readonly [weight: number, change: Change])[] = [
  [10, (w, ns) => w.createPod(ns, pick(w.random, POD_NAMES))],
  [3, (w, ns) => w.deletePod(ns)],
  [3, (w, ns) => w.recreatePod(ns)],
  [2, (w, ns) => w.finishPod(ns)],
  [7, (w, ns) => w.editPod(ns)],
  [4, (w, ns) => w.setPhase(ns)],
  [2, (w, ns) => w.bindPod(ns)],
  [6, (w, ns) => w.createPcmc(ns, pick(w.random, PCMC_NAMES))],
  [5, (w, ns) => w.updatePcmc(ns)],
  [2, (w, ns) => w.deletePcmc(ns)],
  [2, (w, ns) => w.recreatePcmc(ns)],
  [4, (w, ns) => w.changeItsMind(ns)],
  [4, (w, ns) => w.createForeign(ns)],
  [3, (w, ns) => w.changeForeign(ns)],
  [2, (w, ns) => w.usurp(ns)],
  [2, (w, ns) => w.createLegacy(ns)],
  [2, (w, ns) => w.copyOurs(ns)],
  [10, (w, ns) => w.disturb(ns)],
  [5, (w, ns) => w.race(ns)],
];
const TOTAL_WEIGHT = CHANGES.reduce((sum, [weight]) => sum + weight, 0);
/** How long until the next change: bursts, and time to come to rest. */
const GAPS_MS = [0, 0, 20, 500, 3_000, 15_000];

/** What someone does to a ConfigMap, as merge patches. */
const DISTURBANCES: readonly ((configMap: KubeObject, random: Random) => JsonObject)[] = [
  (_, random) => ({ data: { podName: `edited-${randomInt(random, 0, 9)}` } }),
  () => ({ data: null }),
  () => ({ data: { extra: "1", phase: null } }),
  ({ metadata }) => ({ metadata: { labels: nulled(metadata.labels) } }),
  ({ metadata }) => ({ metadata: { labels: nulled(metadata.labels) } }),
  ({ metadata }) => ({ metadata: { annotations: nulled(metadata.annotations) } }),
  ({ metadata }) => ({
    metadata: { labels: nulled(metadata.labels), annotations: nulled(metadata.annotations) },
  }),
  () => ({ metadata: { labels: { [LABEL_PCMC]: "wrong" } } }),
  () => ({ metadata: { labels: { [LABEL_POD_UID]: "wrong" }, annotations: { note: "mine" } } }),
  () => ({ metadata: { ownerReferences: null } }),
  () => ({ immutable: true }),
  () => ({ binaryData: { blob: "AAEC" } }),
  () => ({ metadata: { finalizers: ["example.com/hold"] } }),
];

export class Workload {
  readonly random: Random;
  readonly #world: World;
  #version = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.random = random;
  }

  /** Goes on until `untilMs` on the monotonic clock. */
  start(untilMs: number): void {
    const { clock } = this.#world;
    for (const namespace of NAMESPACES) this.#createNamespace(namespace);
    for (let count = randomInt(this.random, 0, 12); count > 0; count--) this.#change();
    const next = () => {
      if (clock.monotonic() >= untilMs) return;
      this.#change();
      clock.setTimer(pick(this.random, GAPS_MS) * (0.5 + this.random.next()), next);
    };
    clock.setTimer(randomInt(this.random, 0, 3_000), next);
  }

  /** What would stay undone for ever: held ConfigMaps are let go, Pods and namespaces end. */
  finish(): void {
    for (const configMap of this.#list("v1", "ConfigMap")) {
      if (configMap.metadata.finalizers === undefined) continue;
      this.#patch(configMap, { metadata: { finalizers: null } });
    }
    for (const foreign of this.#list("v1", "ConfigMap").filter((object) => !pairOf(object))) {
      if (this.random.next() < 0.7) this.#send("DELETE", pathOf(foreign), {});
    }
    for (const pod of this.#list("v1", "Pod")) {
      // Some stay: a terminating Pod is a state of its own.
      const isLeaving = isTerminating(pod) && this.#isLeaving(pod.metadata.namespace ?? "");
      if (isTerminating(pod) && (isLeaving || this.random.next() < 0.6)) this.#deletePodNow(pod);
    }
  }

  createPod(namespace: string, name: string, model?: KubeObject): void {
    const nodeName = model === undefined
      ? pick(this.random, ["", "node-1"])
      : (model["spec"] as { nodeName?: string }).nodeName ?? "";
    const { labels = this.#labels(), annotations = this.#annotations() } = model?.metadata ?? {};
    this.#send("POST", `/api/v1/namespaces/${namespace}/pods`, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, labels, annotations },
      spec: {
        containers: [{ name: "main", image: "image" }],
        ...(nodeName === "" ? {} : { nodeName }),
      },
    });
  }

  deletePod(namespace: string): void {
    const pod = this.#one(namespace, "v1", "Pod");
    if (pod === undefined) return;
    if (this.random.next() < 0.4) this.#deletePodNow(pod);
    else this.#send("DELETE", pathOf(pod), { gracePeriodSeconds: 30 });
  }

  recreatePod(namespace: string): void {
    const pod = this.#one(namespace, "v1", "Pod");
    if (pod === undefined) return;
    this.#deletePodNow(pod);
    const kind = this.random.next();
    // As a StatefulSet does: the same again.
    if (kind < 0.5) this.createPod(namespace, pod.metadata.name, pod);
    else if (kind < 0.75) this.createPod(namespace, pod.metadata.name);
  }

  finishPod(namespace: string): void {
    const pods = this.#list("v1", "Pod", namespace).filter(isTerminating);
    if (pods.length > 0) this.#deletePodNow(pick(this.random, pods));
  }

  editPod(namespace: string): void {
    const pod = this.#one(namespace, "v1", "Pod");
    if (pod === undefined) return;
    const labels = { ...nulled(pod.metadata.labels), ...this.#labels() };
    const annotations = { ...nulled(pod.metadata.annotations), ...this.#annotations() };
    const changes: JsonObject[] = [
      { metadata: { labels } },
      { metadata: { annotations } },
      { metadata: { labels, annotations } },
    ];
    this.#patch(pod, pick(this.random, changes));
  }

  setPhase(namespace: string): void {
    const pod = this.#one(namespace, "v1", "Pod");
    if (pod === undefined) return;
    this.#patch(pod, { status: { phase: pick(this.random, PHASES) } }, "/status");
  }

  bindPod(namespace: string): void {
    const pod = this.#one(namespace, "v1", "Pod");
    if (pod === undefined) return;
    const { name } = pod.metadata;
    const binding = { metadata: { name }, target: { kind: "Node", name: "node-2" } };
    this.#send("POST", `${pathOf(pod)}/binding`, binding);
  }

  createPcmc(namespace: string, name: string): void {
    const path = `/apis/${GROUP}/v1alpha1/namespaces/${namespace}/podconfigmapconfigs`;
    this.#send("POST", path, {
      apiVersion: `${GROUP}/v1alpha1`,
      kind: "PodConfigMapConfig",
      ...this.#pcmcContent(name),
    });
  }

  updatePcmc(namespace: string, which?: string): void {
    const pcmc = this.#pcmc(namespace, which);
    if (pcmc === undefined) return;
    const { metadata, ...content } = this.#pcmcContent(pcmc.metadata.name);
    const { name, uid, resourceVersion = "" } = pcmc.metadata;
    const { annotations } = metadata;
    this.#send("PUT", pathOf(pcmc), {
      apiVersion: pcmc.apiVersion,
      kind: pcmc.kind,
      metadata: { name, uid, resourceVersion, annotations },
      ...content,
    });
  }

  deletePcmc(namespace: string, which?: string): void {
    const pcmc = this.#pcmc(namespace, which);
    if (pcmc !== undefined) this.#send("DELETE", pathOf(pcmc), {});
  }

  recreatePcmc(namespace: string): void {
    const pcmc = this.#one(namespace, `${GROUP}/v1alpha1`, "PodConfigMapConfig");
    if (pcmc === undefined) return;
    this.#send("DELETE", pathOf(pcmc), {});
    this.createPcmc(namespace, pcmc.metadata.name);
  }

  /** A PCMC that changes or goes before what it asks for is done. */
  changeItsMind(namespace: string): void {
    const name = pick(this.random, PCMC_NAMES);
    this.createPcmc(namespace, name);
    const second = pick(this.random, [this.deletePcmc, this.updatePcmc]);
    this.#world.clock.setTimer(
      randomInt(this.random, 0, 1_500),
      () => second.call(this, namespace, name),
    );
  }

  createForeign(namespace: string): void {
    const name = this.#pairName(namespace);
    // Some carry our label, and nothing else of ours.
    const labels = pick(this.random, [...FOREIGN_USER_LABELS, { [LABEL_PCMC]: "b" }]);
    this.#createConfigMap(namespace, { name, labels }, { mine: String(++this.#version) });
  }

  /** Puts something foreign in the place of one of ours. */
  usurp(namespace: string): void {
    const ours = this.#list("v1", "ConfigMap", namespace).filter((object) => pairOf(object));
    if (ours.length === 0) return;
    const object = pick(this.random, ours);
    this.#send("DELETE", pathOf(object), {});
    const labels = pick(this.random, FOREIGN_USER_LABELS);
    const { name } = object.metadata;
    this.#createConfigMap(namespace, { name, labels }, { mine: String(++this.#version) });
  }

  changeForeign(namespace: string): void {
    const foreign = this.#list("v1", "ConfigMap", namespace).filter((object) => !pairOf(object));
    if (foreign.length === 0) return;
    const object = pick(this.random, foreign);
    if (this.random.next() < 0.6) this.#send("DELETE", pathOf(object), {});
    else this.#patch(object, { data: { mine: String(++this.#version) } });
  }

  /** As the original program made them: labels and an ownerReference, no annotations. */
  createLegacy(namespace: string): void {
    const pod = this.#one(namespace, "v1", "Pod");
    if (pod === undefined) return;
    const { name, uid } = pod.metadata;
    const pcmc = pick(this.random, PCMC_NAMES.filter((each) => each.length < 60));
    const labels = { [LABEL_PCMC]: labelOf(pcmc), [LABEL_POD_UID]: uid };
    const ownerReferences = [{
      apiVersion: "v1",
      kind: "Pod",
      name,
      uid,
      controller: true,
      blockOwnerDeletion: true,
    }];
    const metadata = { name: nameOf(name, pcmc), labels, ownerReferences };
    this.#createConfigMap(namespace, metadata, { podName: name, old: "1" });
  }

  /** Someone keeps a copy of one of ours, metadata and all, under another name. */
  copyOurs(namespace: string): void {
    const ours = this.#list("v1", "ConfigMap", namespace).filter((object) => pairOf(object));
    if (ours.length === 0) return;
    const { metadata, data } = pick(this.random, ours);
    const { name, labels, annotations, ownerReferences } = metadata;
    const copy = { name: `copy-of-${name}`.slice(0, 250), labels, annotations };
    const owned = this.random.next() < 0.5 ? { ownerReferences } : {};
    const document = JSON.parse(JSON.stringify({ metadata: { ...copy, ...owned }, data }));
    this.#createConfigMap(namespace, document.metadata, document.data ?? {});
  }

  /** Someone edits, strips, freezes, holds or deletes a ConfigMap, mostly one of ours. */
  disturb(namespace: string): void {
    const configMaps = this.#list("v1", "ConfigMap", namespace);
    const ours = configMaps.filter((object) => pairOf(object) !== undefined);
    if (ours.length === 0) return;
    const object = pick(this.random, ours);
    if (this.random.next() < 0.25) this.#send("DELETE", pathOf(object), {});
    else this.#patch(object, pick(this.random, DISTURBANCES)(object, this.random));
  }

  /** Two things at once. */
  race(namespace: string): void {
    this.disturb(namespace);
    const second = pick(this.random, [this.editPod, this.recreatePod, this.updatePcmc]);
    second.call(this, namespace);
    this.disturb(namespace);
  }

  deleteNamespace(namespace: string): void {
    this.#send("DELETE", `/api/v1/namespaces/${namespace}`, {});
  }

  /** Pods and PCMCs vanish while nobody is there to see it. */
  deleteUnseen(): void {
    for (const namespace of NAMESPACES) {
      const pod = this.#one(namespace, "v1", "Pod");
      if (pod !== undefined) this.#deletePodNow(pod);
      this.recreatePod(namespace);
      this.deletePcmc(namespace);
    }
  }

  /** Pods are replaced by their like in one moment, as when nodes restart. */
  replaceUnseen(): void {
    for (const pod of this.#list("v1", "Pod")) {
      if (this.random.next() < 0.5) continue;
      this.#deletePodNow(pod);
      this.createPod(pod.metadata.namespace ?? "", pod.metadata.name, pod);
    }
  }

  #change(): void {
    const namespace = pick(this.random, NAMESPACES);
    this.#createNamespace(namespace);
    let at = this.random.next() * TOTAL_WEIGHT;
    const found = CHANGES.find(([weight]) => (at -= weight) < 0) ?? CHANGES[0];
    found?.[1](this, namespace);
  }

  #createNamespace(name: string): void {
    if (this.#world.cluster.get("v1", "Namespace", "", name) !== undefined) return;
    this.#send("POST", "/api/v1/namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name },
    });
  }

  /** Mostly one that is wanted, or about to be. */
  #pairName(namespace: string): string {
    const pod = this.#one(namespace, "v1", "Pod");
    const pcmc = this.#one(namespace, `${GROUP}/v1alpha1`, "PodConfigMapConfig");
    if (pod === undefined || pcmc === undefined || this.random.next() < 0.3) {
      return nameOf(pick(this.random, POD_NAMES), pick(this.random, PCMC_NAMES));
    }
    return nameOf(pod.metadata.name, pcmc.metadata.name);
  }

  #createConfigMap(namespace: string, metadata: JsonObject, data: JsonObject): void {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    this.#send("POST", path, { apiVersion: "v1", kind: "ConfigMap", metadata, data });
  }

  #pcmcContent(name: string): { metadata: JsonObject; spec: JsonValue } {
    const isInvalid = this.#world.laxCrd && this.random.next() < 0.2;
    const spec = isInvalid ? pick(this.random, INVALID_SPECS) : this.#spec();
    const annotations = isInvalid ? { [MARK_INVALID]: "true" } : {};
    return { metadata: { name, annotations }, spec };
  }

  #spec(): JsonObject {
    const { random } = this;
    const key = pick(random, LABEL_KEYS);
    const values = [pick(random, LABEL_VALUES)];
    const selectors: (JsonObject | undefined)[] = [
      undefined,
      {},
      { matchLabels: { [key]: pick(random, LABEL_VALUES) } },
      { matchExpressions: [{ key, operator: "In", values }] },
      { matchExpressions: [{ key, operator: "NotIn", values }] },
      { matchExpressions: [{ key, operator: "Exists" }] },
      { matchExpressions: [{ key, operator: "DoesNotExist" }] },
    ];
    const podSelector = pick(random, selectors);
    const some = (keys: readonly string[]) => keys.filter(() => random.next() < 0.5);
    const ebpfConfigs: (JsonObject | undefined)[] = [
      undefined,
      undefined,
      { syscallMonitoring: { enabled: random.next() < 0.5 } },
      { l4Firewall: { enabled: true, defaultAction: "block" } },
    ];
    const ebpfConfig = pick(random, ebpfConfigs);
    const templates = random.next() < 0.3 ? some(Object.keys(TEMPLATES)) : [];
    const configMapDataTemplate = Object.fromEntries(
      templates.map((key) => [key, TEMPLATES[key]?.[0] ?? ""]),
    );
    return {
      ...(podSelector === undefined ? {} : { podSelector }),
      labelsToInclude: some(LABEL_KEYS),
      annotationsToInclude: some(ANNOTATION_KEYS),
      ...(templates.length === 0 ? {} : { configMapDataTemplate }),
      ...(ebpfConfig === undefined ? {} : { ebpfConfig }),
    };
  }

  #labels(): Record<string, string> {
    const keys = LABEL_KEYS.filter(() => this.random.next() < 0.5);
    return Object.fromEntries(keys.map((key) => [key, pick(this.random, LABEL_VALUES)]));
  }

  #annotations(): Record<string, string> {
    const keys = ANNOTATION_KEYS.filter(() => this.random.next() < 0.5);
    return Object.fromEntries(keys.map((key) => [key, pick(this.random, ANNOTATION_VALUES)]));
  }

  #isLeaving(namespace: string): boolean {
    const found = this.#world.cluster.get("v1", "Namespace", "", namespace);
    return found === undefined || isTerminating(found);
  }

  #deletePodNow(pod: KubeObject): void {
    this.#send("DELETE", pathOf(pod), { gracePeriodSeconds: 0 });
  }

  #list(apiVersion: string, kind: string, namespace?: string): KubeObject[] {
    const all = this.#world.cluster.list(apiVersion, kind);
    return all.filter(({ metadata }) =>
      namespace === undefined
        ? isOf(NAMESPACES, metadata.namespace)
        : metadata.namespace === namespace
    );
  }

  #one(namespace: string, apiVersion: string, kind: string): KubeObject | undefined {
    const all = this.#list(apiVersion, kind, namespace);
    return all.length === 0 ? undefined : pick(this.random, all);
  }

  #pcmc(namespace: string, name: string | undefined): KubeObject | undefined {
    const [apiVersion, kind] = [`${GROUP}/v1alpha1`, "PodConfigMapConfig"];
    return name === undefined
      ? this.#one(namespace, apiVersion, kind)
      : this.#world.cluster.get(apiVersion, kind, namespace, name);
  }

  #patch(object: KubeObject, body: JsonObject, subresource = ""): void {
    this.#send("PATCH", pathOf(object) + subresource, body, "application/merge-patch+json");
  }

  #send(method: string, path: string, body: JsonValue, contentType?: string): void {
    const status = this.#world.request(USER, method, path, body, contentType);
    this.#world.journal.note(`  user ${method} ${shortPath(path)} -> ${status}`);
  }
}

const INVALID_SPECS: readonly JsonValue[] = [
  { labelsToInclude: ["a/b", "a_b"] },
  { podSelector: { matchExpressions: [{ key: "app", operator: "Near" }] } },
  { podSelector: { matchExpressions: [{ key: "app", operator: "In", values: [] }] } },
  { labelsToInclude: ["-bad-"] },
  { podSelector: { matchLabels: { app: "no spaces allowed" } } },
];

function isOf(list: readonly string[], item: string | undefined): boolean {
  return item !== undefined && list.includes(item);
}

function nulled(map: Readonly<Record<string, string>> | undefined): JsonObject {
  return Object.fromEntries(Object.keys(map ?? {}).map((key) => [key, null]));
}

const PLURALS: Readonly<Record<string, string>> = {
  ConfigMap: "configmaps",
  Pod: "pods",
  PodConfigMapConfig: "podconfigmapconfigs",
};

function pathOf({ apiVersion, kind, metadata }: KubeObject): string {
  const root = apiVersion === "v1" ? "/api/v1" : `/apis/${apiVersion}`;
  return `${root}/namespaces/${metadata.namespace}/${PLURALS[kind]}/${metadata.name}`;
}

/** "plural ns/name", as in the other lines of a trace. */
function shortPath(path: string): string {
  const [, namespace, plural, ...rest] =
    /\/namespaces\/([^/]+)(?:\/([^/]+)(?:\/(.*))?)?$/.exec(path) ??
      [];
  return `${plural ?? ""} ${namespace ?? path}/${rest.join("/")}`;
}
