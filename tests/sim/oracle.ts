/**
 * What should be, worked out a second time from `docs` and the API alone: names, ownership, selection
 * and content of ConfigMaps. It shares no code with `src/domain`, so that a mistake there cannot
 * excuse itself.
 */
import { createHash } from "node:crypto";
import type { KubeObject } from "../../src/simulator/cluster.ts";

export const GROUP = "podconfig.example.com";
export const LABEL_PCMC = `${GROUP}/generated-by-pcmc`;
export const LABEL_POD_UID = `${GROUP}/pod-uid`;
export const ANNOTATION_POD = `${GROUP}/pod`;
export const ANNOTATION_PCMC = `${GROUP}/pcmc`;
/** On a PCMC whose spec the workload made invalid. */
export const MARK_INVALID = "sim/invalid-spec";

/** Deliberately few names, chosen to be mistaken for one another, so that things meet. */
export const POD_NAMES = [
  "a",
  "a-from",
  "a-from-b",
  "web",
  "web.1",
  "b-from-c",
  `p${"x".repeat(180)}.long-from-end`,
];
export const PCMC_NAMES = ["b", "c", "from-b", "b-from-c", "x.y", `c${"y".repeat(120)}`];

/** Data key -> a template, and what it should give for a Pod. */
export const TEMPLATES: Readonly<Record<string, readonly [string, (pod: KubeObject) => string]>> = {
  "t.name": [
    "{{ .metadata.name }}/{{ .metadata.namespace }}",
    ({ metadata }) => `${metadata.name}/${metadata.namespace}`,
  ],
  "t.phase": ["<{{ .status.phase }}>", (pod) => `<${phaseOf(pod)}>`],
  "t.labels": [
    "{{ range $key, $value := .metadata.labels }}{{ $key }}={{ $value }};{{ end }}",
    ({ metadata }) =>
      Object.entries(metadata.labels ?? {}).sort(([one], [other]) => one < other ? -1 : 1)
        .map(([key, value]) => `${key}=${value};`).join(""),
  ],
  "t.images": ["{{ range .spec.containers }}{{ .image }} {{ end }}", () => "image "],
};

type Strings = Readonly<Record<string, string>>;

export interface SimSpec {
  readonly podSelector?: {
    readonly matchLabels?: Strings;
    readonly matchExpressions?: readonly {
      readonly key: string;
      readonly operator: string;
      readonly values?: readonly string[];
    }[];
  };
  readonly labelsToInclude?: readonly string[];
  readonly annotationsToInclude?: readonly string[];
  readonly configMapDataTemplate?: Strings;
  readonly ebpfConfig?: {
    readonly syscallMonitoring?: { readonly enabled?: boolean };
    readonly l4Firewall?: { readonly enabled?: boolean; readonly defaultAction?: string };
  };
}

const hash = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 10);

export function nameOf(pod: string, pcmc: string): string {
  const pair = `${pod}-from-${pcmc}`;
  let separators = 0;
  for (let at = 0; at < pair.length; at++) if (pair.startsWith("-from-", at)) separators++;
  const plain = `pod-${pair}-cfg`;
  if (separators === 1 && plain.length <= 253) return plain;
  const part = (name: string) => name.slice(0, 100).replace(/[-.]+$/, "");
  return `pod-${part(pod)}-from-${part(pcmc)}-${hash(`${pod}/${pcmc}`)}-cfg`;
}

export function labelOf(name: string): string {
  return name.length <= 63 ? name : `${name.slice(0, 52)}-${hash(name)}`;
}

export function specOf(pcmc: KubeObject): SimSpec {
  return (pcmc["spec"] ?? {}) as SimSpec;
}

export function phaseOf(pod: KubeObject): string {
  return (pod["status"] as { phase?: string } | undefined)?.phase ?? "";
}

export function isValid(pcmc: KubeObject): boolean {
  return pcmc.metadata.annotations?.[MARK_INVALID] === undefined;
}

export function isTerminating(object: KubeObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

export function selects(spec: SimSpec, pod: KubeObject): boolean {
  const labels: Strings = pod.metadata.labels ?? {};
  const { matchLabels = {}, matchExpressions = [] } = spec.podSelector ?? {};
  return Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === "Exists") return value !== undefined;
      if (operator === "DoesNotExist") return value === undefined;
      const isIn = value !== undefined && values.includes(value);
      return operator === "In" ? isIn : !isIn;
    });
}

/** No agent reports in the simulation: a Pod on a node is unserved, one without is pending. */
export function wantedData(pod: KubeObject, pcmc: KubeObject): Strings {
  const spec = specOf(pcmc);
  const nodeName = (pod["spec"] as { nodeName?: string } | undefined)?.nodeName ?? "";
  const data: Record<string, string> = {
    podName: pod.metadata.name,
    namespace: pod.metadata.namespace ?? "",
    nodeName,
    phase: phaseOf(pod),
    pcmcName: pcmc.metadata.name,
  };
  const copy = (prefix: string, keys: readonly string[] = [], from: Strings = {}) => {
    for (const key of keys) {
      const value = from[key];
      if (value !== undefined) data[`${prefix}_${key.replaceAll("/", "_")}`] = value;
    }
  };
  copy("label", spec.labelsToInclude, pod.metadata.labels);
  copy("annotation", spec.annotationsToInclude, pod.metadata.annotations);
  for (const key of Object.keys(spec.configMapDataTemplate ?? {})) {
    data[key] = TEMPLATES[key]?.[1](pod) ?? "a template that nobody knows";
  }
  const { ebpfConfig } = spec;
  if (ebpfConfig !== undefined) {
    const { syscallMonitoring, l4Firewall } = ebpfConfig;
    data["ebpf_enabled"] = "true";
    if (syscallMonitoring) {
      data["ebpf_syscall_monitoring"] = String(syscallMonitoring.enabled ?? false);
    }
    if (l4Firewall) {
      data["ebpf_l4_firewall"] = String(l4Firewall.enabled ?? false);
      data["ebpf_l4_firewall_default_action"] = l4Firewall.defaultAction ?? "allow";
    }
    const wanted = syscallMonitoring?.enabled || l4Firewall?.enabled;
    data["ebpf_status"] = !wanted ? "applied" : nodeName === "" ? "pending" : "unserved";
  }
  return data;
}

/**
 * The pair that a ConfigMap is made from, when it is ours at all. `known`: names of PCMCs to try besides
 * those that the object itself tells.
 */
export function pairOf(
  configMap: KubeObject,
  known: readonly string[] = PCMC_NAMES,
): { pod: string; pcmc: string } | undefined {
  const { name, labels = {}, annotations = {}, ownerReferences = [] } = configMap.metadata;
  const { [ANNOTATION_POD]: pod, [ANNOTATION_PCMC]: pcmc } = annotations;
  if (pod !== undefined && pcmc !== undefined && name === nameOf(pod, pcmc)) return { pod, pcmc };
  const label = labels[LABEL_PCMC];
  if (label === undefined || labels[LABEL_POD_UID] === undefined) return undefined;
  for (const owner of ownerReferences) {
    if (owner.kind !== "Pod" || owner.apiVersion !== "v1") continue;
    // Long names are shortened in the label; the plain name of the object then tells the rest.
    const [start, end] = [`pod-${owner.name}-from-`, "-cfg"];
    const told = name.startsWith(start) ? name.slice(start.length, -end.length) : label;
    for (const candidate of [label, told, ...known]) {
      if (labelOf(candidate) === label && nameOf(owner.name, candidate) === name) {
        return { pod: owner.name, pcmc: candidate };
      }
    }
  }
  return undefined;
}
