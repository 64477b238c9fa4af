/**
 * What to do about all ConfigMaps of one Pod. Pure, level-triggered: it looks at what is, never at
 * what happened.
 */
import type { CompiledSpec } from "./compiled_spec.ts";
import { ebpfAtWork, ebpfRevision } from "./ebpf_part.ts";
import { type EbpfStatus, ebpfStatus } from "./ebpf_status.ts";
import type { ObservedConfigMap, PodFacts } from "./model.ts";
import { configMapName } from "./names.ts";
import { configMapOwners } from "./ownership.ts";
import {
  type Decision,
  type DeleteDecision,
  type DeleteReason,
  desiredConfigMap,
  plan,
} from "./plan.ts";
import type { PcmcView, PodDocument } from "./projections.ts";
import type { PodFields } from "./pod_fields.ts";
import { renderData } from "./render.ts";

export interface PodPlanInput {
  /** Name of the Pod; its namespace is that of all other inputs. */
  readonly podName: string;
  /** Undefined when it does not exist. */
  readonly pod: PodFacts | undefined;
  /** All PodConfigMapConfigs of the namespace. */
  readonly pcmcs: readonly PcmcView[];
  /** ConfigMaps that name this Pod, and whatever else was found under names of this Pod's ConfigMaps. */
  readonly observed: readonly ObservedConfigMap[];
  /** Whether the Pod's node has a ready eBPF agent. */
  readonly served: boolean;
  /**
   * The Pod with at least those fields; undefined while they are not known. Asked only for a PCMC with
   * templates, which then goes by what it says, not by `pod`: a rendering is of one moment's state.
   */
  readonly document?: ((fields: PodFields) => PodDocument | undefined) | undefined;
}

/** No ConfigMap can be made as things are; what exists stays as it is. */
export interface Unrenderable {
  readonly kind: "unrenderable";
  readonly reason: "ConfigMapTooLarge" | "TemplateFailed";
  readonly message: string;
}

/** A PodConfigMapConfig that selects the Pod, and what is to be done for it. */
export interface PairPlan {
  readonly pcmc: PcmcView;
  /** Name of the ConfigMap. */
  readonly name: string;
  readonly decision: Decision | Unrenderable;
  /** How far eBPF is in place; undefined where no program is wanted for the Pod. */
  readonly ebpf: EbpfStatus | undefined;
}

export interface Removal {
  readonly name: string;
  /** Name of the PodConfigMapConfig that it was made from. */
  readonly pcmc: string;
  readonly decision: DeleteDecision;
}

export interface PodPlan {
  readonly pairs: readonly PairPlan[];
  /** To be deleted now. */
  readonly removals: readonly Removal[];
  /** To be deleted once the Pod has been gone for the grace period: usually the garbage collector is faster. */
  readonly leftovers: readonly Removal[];
}

/**
 * - A PCMC that is being deleted counts as gone. An invalid one has no pair, and its ConfigMaps stay untouched.
 * - For a terminating Pod nothing new is made; what exists is kept current, and goes only with its PCMC.
 */
export function planPod(input: PodPlanInput): PodPlan {
  const { pod, observed } = input;
  const pcmcs = input.pcmcs.filter(({ terminating }) => !terminating);
  const byName = new Map(observed.map((configMap) => [configMap.name, configMap]));
  const revision = pod === undefined ? "" : ebpfRevision(ebpfAtWork(pcmcs, pod.labels));
  const pairs = pod === undefined ? [] : pcmcs.flatMap((pcmc) => {
    const { spec } = pcmc;
    if (!spec?.selects(pod.labels)) return [];
    const name = configMapName(pod.name, pcmc.name);
    return [planPair(input, { pcmc, spec, pod, name, revision, observed: byName.get(name) })];
  });
  const wanted = new Set(pairs.map(({ name }) => name));
  const byPcmc = new Map(pcmcs.map((pcmc) => [pcmc.name, pcmc]));
  const removals: Removal[] = [];
  const leftovers: Removal[] = [];
  for (const configMap of observed) {
    const owners = configMapOwners(configMap);
    if (owners?.pod !== input.podName || wanted.has(configMap.name)) continue;
    if (configMap.terminating) continue;
    const pcmc = byPcmc.get(owners.pcmc);
    const remove = (reason: DeleteReason): Removal => ({
      name: configMap.name,
      pcmc: owners.pcmc,
      decision: {
        kind: "delete",
        reason,
        uid: configMap.uid,
        resourceVersion: configMap.resourceVersion,
      },
    });
    if (pcmc === undefined) removals.push(remove("pcmc-gone"));
    else if (pod === undefined) leftovers.push(remove("pod-gone"));
    else if (pcmc.spec !== undefined && !pod.terminating) removals.push(remove("not-selected"));
  }
  return { pairs, removals, leftovers };
}

function planPair(input: PodPlanInput, options: {
  pcmc: PcmcView;
  spec: CompiledSpec;
  pod: PodFacts;
  name: string;
  /** Of the eBPF configs at work on the Pod. */
  revision: string;
  observed: ObservedConfigMap | undefined;
}): PairPlan {
  const { pcmc, spec, name, revision, observed } = options;
  const fields = spec.templateFields;
  const document = fields === undefined ? undefined : input.document?.(fields);
  const pod = document ?? options.pod;
  // Where no program is wanted, nothing is missing.
  const expected = { pcmcName: pcmc.name, revision, served: input.served };
  const status = spec.wantsEbpf ? ebpfStatus(pod, expected) : "applied";
  const pair = { pcmc, name, ebpf: spec.wantsEbpf && !isFinished(pod) ? status : undefined };
  if (pod.terminating && (observed === undefined || observed.immutable)) {
    return { ...pair, decision: { kind: "wait", reason: "pod-terminating" } };
  }
  if (fields !== undefined && document?.uid !== options.pod.uid) {
    return { ...pair, decision: { kind: "wait", reason: "pod-fields" } };
  }
  const rendered = renderData({
    pcmcName: pcmc.name,
    spec,
    pod,
    ebpfStatus: status,
    document: document?.document,
  });
  if (rendered.kind === "template-failed") {
    const { message } = rendered;
    return { ...pair, decision: { kind: "unrenderable", reason: "TemplateFailed", message } };
  }
  if (rendered.kind === "too-large") {
    const message = `ConfigMap ${name} would hold ${rendered.bytes} bytes, ` +
      `more than the ${rendered.limit} that Kubernetes allows`;
    return { ...pair, decision: { kind: "unrenderable", reason: "ConfigMapTooLarge", message } };
  }
  return { ...pair, decision: plan(desiredConfigMap(pod, pcmc.name, rendered.data), observed) };
}

/** Its containers have ended for good: no program has anything to do. */
function isFinished({ phase }: PodFacts): boolean {
  return phase === "Succeeded" || phase === "Failed";
}
