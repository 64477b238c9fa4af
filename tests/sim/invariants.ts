/**
 * What must hold, one function a sentence. `AT_REST` is checked once faults have stopped and the world has
 * come to rest, `OF_HISTORY` on the whole write log. What must hold at the moment a request is sent is in
 * `witness.ts`.
 */
import type { KubeObject, SimulatedCluster, WriteRecord } from "../../src/simulator/cluster.ts";
import {
  ANNOTATION_PCMC,
  ANNOTATION_POD,
  GROUP,
  isTerminating,
  isValid,
  LABEL_PCMC,
  LABEL_POD_UID,
  labelOf,
  nameOf,
  pairOf,
  phaseOf,
  selects,
  specOf,
  wantedData,
} from "./oracle.ts";
import { NAMESPACES } from "./world.ts";

/** Why it does not hold; empty when it does. */
type Problems = string[];

export interface AtRest {
  readonly sentence: string;
  readonly check: (state: State) => Problems;
}

export interface OfHistory {
  readonly sentence: string;
  readonly check: (writes: readonly WriteRecord[]) => Problems;
}

/** The objects that matter, at one moment. */
export interface State {
  readonly pods: readonly KubeObject[];
  readonly pcmcs: readonly KubeObject[];
  readonly configMaps: ReadonlyMap<string, KubeObject>;
}

export function stateOf(cluster: SimulatedCluster): State {
  const here = ({ metadata }: KubeObject) =>
    (NAMESPACES as readonly string[]).includes(metadata.namespace ?? "");
  const configMaps = cluster.list("v1", "ConfigMap").filter(here);
  return {
    pods: cluster.list("v1", "Pod").filter(here),
    pcmcs: cluster.list(`${GROUP}/v1alpha1`, "PodConfigMapConfig").filter(here),
    configMaps: new Map(configMaps.map((object) => [keyOf(object), object])),
  };
}

export function isController(user: string): boolean {
  return user.startsWith("controller-");
}

const keyOf = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`;

interface PairState {
  readonly pod: KubeObject;
  readonly pcmc: KubeObject;
  readonly key: string;
  readonly found: KubeObject | undefined;
  readonly isOurs: boolean;
}

/** Every Pod with every valid PCMC that selects it. */
function pairsOf({ pods, pcmcs, configMaps }: State): PairState[] {
  const working = pcmcs.filter((pcmc) => isValid(pcmc) && !isTerminating(pcmc));
  return pods.flatMap((pod) =>
    working.filter((pcmc) =>
      pcmc.metadata.namespace === pod.metadata.namespace && selects(specOf(pcmc), pod)
    ).map((pcmc) => {
      const key = `${pod.metadata.namespace}/${nameOf(pod.metadata.name, pcmc.metadata.name)}`;
      const found = configMaps.get(key);
      const pair = found && pairOf(found);
      const isOurs = pair?.pod === pod.metadata.name && pair.pcmc === pcmc.metadata.name;
      return { pod, pcmc, key, found, isOurs };
    })
  );
}

function everyPairHasItsConfigMap(state: State): Problems {
  return pairsOf(state).flatMap(({ pod, pcmc, key, found, isOurs }) => {
    // Nothing is made for a Pod that ends, and nothing foreign is taken over.
    if (found === undefined) return isTerminating(pod) ? [] : [`${key} is missing`];
    if (!isOurs) return [];
    if (isTerminating(pod) && isLeftAlone(found)) return [];
    return differences(found, pod, pcmc).map((difference) => `${key}: ${difference}`);
  });
}

/** A new one would have to be made to mend it, or to find it at all: not for a Pod that ends. */
function isLeftAlone(configMap: KubeObject): boolean {
  return configMap["immutable"] === true || configMap.metadata.labels?.[LABEL_PCMC] === undefined ||
    pairOf(configMap, []) === undefined;
}

function differences(found: KubeObject, pod: KubeObject, pcmc: KubeObject): Problems {
  const problems: Problems = [];
  const expect = (what: string, actual: unknown, wanted: unknown) => {
    const [one, other] = [canonical(actual), canonical(wanted)];
    if (one !== other) problems.push(`${what} is ${one}, not ${other}`);
  };
  const { labels = {}, annotations = {}, ownerReferences } = found.metadata;
  const { name, uid } = pod.metadata;
  expect("data", found["data"] ?? {}, wantedData(pod, pcmc));
  expect("binaryData", found["binaryData"], undefined);
  expect("immutable", found["immutable"] ?? false, false);
  expect("deletionTimestamp", found.metadata.deletionTimestamp, undefined);
  expect("ownerReferences", ownerReferences, [{ apiVersion: "v1", kind: "Pod", name, uid }]);
  expect("the PCMC's label", labels[LABEL_PCMC], labelOf(pcmc.metadata.name));
  expect("the uid's label", labels[LABEL_POD_UID], uid);
  expect("managed-by", labels["app.kubernetes.io/managed-by"], "podconfigmap-controller");
  expect("the Pod's annotation", annotations[ANNOTATION_POD], name);
  expect("the PCMC's annotation", annotations[ANNOTATION_PCMC], pcmc.metadata.name);
  expect("the reloader's annotation", annotations["reloader.stakater.com/ignore"], "true");
  return problems;
}

function nothingOfOursIsLeft({ pods, pcmcs, configMaps }: State): Problems {
  return [...configMaps].flatMap(([key, configMap]) => {
    // Only what itself tells its pair: shortened names alone do not.
    const pair = pairOf(configMap, []);
    if (pair === undefined || isTerminating(configMap)) return [];
    // Without our label it is in no watch; nothing tells of it once its PCMC has gone.
    if (configMap.metadata.labels?.[LABEL_PCMC] === undefined) return [];
    const { namespace } = configMap.metadata;
    const named = (name: string) => ({ metadata }: KubeObject) =>
      metadata.namespace === namespace && metadata.name === name;
    const pod = pods.find(named(pair.pod));
    if (pod === undefined) return [`${key} is left, its Pod is gone`];
    const pcmc = pcmcs.find(named(pair.pcmc));
    if (pcmc === undefined || isTerminating(pcmc)) return [`${key} is left, its PCMC is gone`];
    const stays = !isValid(pcmc) || isTerminating(pod) || selects(specOf(pcmc), pod);
    return stays ? [] : [`${key} is left, its Pod is not selected`];
  });
}

interface Status {
  readonly observedGeneration?: number;
  readonly conditions?: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly observedGeneration?: number;
  }[];
  readonly matchedPods?: number;
  readonly configMaps?: number;
  readonly conflicts?: number;
  readonly failed?: number;
  readonly ebpf?: unknown;
}

function statusIsTrue(state: State): Problems {
  const pairs = pairsOf(state);
  return state.pcmcs.filter((pcmc) => !isTerminating(pcmc)).flatMap((pcmc) => {
    const status = (pcmc["status"] ?? {}) as Status;
    const mine = pairs.filter((pair) => pair.pcmc === pcmc);
    const wanted = isValid(pcmc) ? validStatus(pcmc, mine) : INVALID_STATUS;
    const generation = pcmc.metadata.generation ?? 0;
    const conditions = status.conditions ?? [];
    const brief = conditions.filter(({ type }) => type !== "EbpfApplied").map((each) =>
      `${each.type}=${each.status}/${each.reason}`
    ).sort();
    const counts = isValid(pcmc) ? countsOf(status) : undefined;
    const found = canonical({ conditions: brief, ...counts && { counts } });
    const problems = found === canonical(wanted) ? [] : [`${found}, not ${canonical(wanted)}`];
    if (status.observedGeneration !== generation) {
      problems.push(`observedGeneration is ${status.observedGeneration}, not ${generation}`);
    }
    const stale = conditions.filter((each) => each.observedGeneration !== generation);
    if (isValid(pcmc) && stale.length > 0) problems.push(`stale ${canonical(stale)}`);
    return problems.map((problem) => `the status of ${keyOf(pcmc)}: ${problem}`);
  });
}

const INVALID_STATUS = { conditions: ["Ready=False/InvalidSpec", "Valid=False/InvalidSpec"] };

function countsOf({ matchedPods, configMaps, conflicts, failed, ebpf }: Status) {
  return { matchedPods, configMaps, conflicts, failed, ebpf };
}

function validStatus(pcmc: KubeObject, pairs: readonly PairState[]) {
  const conflicts = pairs.filter(({ found, isOurs, pod }) =>
    found !== undefined && !isOurs && !isTerminating(pod)
  );
  const inPlace = pairs.filter(({ isOurs, found, pod }) =>
    isOurs && found !== undefined && !(isTerminating(pod) && isLeftAlone(found))
  );
  const ready = conflicts.length > 0 ? "Ready=False/NameConflict" : "Ready=True/ConfigMapsInPlace";
  const counts = {
    matchedPods: pairs.length,
    configMaps: inPlace.length,
    conflicts: conflicts.length,
    failed: 0,
    ebpf: ebpfCounts(pcmc, pairs),
  };
  return { conditions: [ready, "Valid=True/Valid"], counts };
}

function ebpfCounts(pcmc: KubeObject, pairs: readonly PairState[]) {
  const { ebpfConfig } = specOf(pcmc);
  if (ebpfConfig === undefined) return undefined;
  const { syscallMonitoring, l4Firewall } = ebpfConfig;
  const isWanted = syscallMonitoring?.enabled || l4Firewall?.enabled;
  const working = pairs.map(({ pod }) => pod).filter((pod) => {
    const phase = phaseOf(pod);
    return isWanted && phase !== "Succeeded" && phase !== "Failed";
  });
  const placed = working.filter((pod) => {
    return Boolean((pod["spec"] as { nodeName?: string } | undefined)?.nodeName);
  });
  return { desired: working.length, applied: 0, failed: 0, unserved: placed.length };
}

function nothingForeignIsTouched(writes: readonly WriteRecord[]): Problems {
  return writes.flatMap(({ user, kind, verb, namespace, name, before, changed }) => {
    if (!isController(user) || !changed || kind !== "ConfigMap" || before === undefined) return [];
    if (pairOf(before) !== undefined) return [];
    return [`${user} did ${verb} on the foreign ${namespace}/${name}`];
  });
}

/** What a controller may write at all. */
const WRITABLE = new Set([
  "ConfigMap create",
  "ConfigMap patch",
  "ConfigMap delete",
  "PodConfigMapConfig patch status",
  "Lease create",
  "Lease update",
  "Event create",
  "Event patch",
]);

function onlyItsOwnKindsAreWritten(writes: readonly WriteRecord[]): Problems {
  return writes.flatMap(({ user, kind, verb, subresource, namespace, name }) => {
    const what = [kind, verb, subresource].filter(Boolean).join(" ");
    if (!isController(user) || WRITABLE.has(what)) return [];
    return [`${user} sent ${what} for ${namespace}/${name}`];
  });
}

export const AT_REST: readonly AtRest[] = [
  {
    sentence: "every selected Pod has exactly its ConfigMap, with exactly the wanted content",
    check: everyPairHasItsConfigMap,
  },
  { sentence: "nothing of ours exists without its pair", check: nothingOfOursIsLeft },
  { sentence: "the status tells the truth", check: statusIsTrue },
];

export const OF_HISTORY: readonly OfHistory[] = [
  { sentence: "nothing foreign is changed or deleted", check: nothingForeignIsTouched },
  { sentence: "a controller writes only its own kinds", check: onlyItsOwnKindsAreWritten },
];

/** JSON with keys in order, without undefined members. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member !== "object" || member === null || Array.isArray(member)) return member;
    const entries = Object.entries(member).sort(([one], [other]) => one < other ? -1 : 1);
    return Object.fromEntries(entries);
  }) ?? "absent";
}
