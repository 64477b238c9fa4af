/**
 * Whose a ConfigMap is. Pure.
 *
 * Ours is an object with the name of a pair (Pod, PodConfigMapConfig) and either both annotations
 * naming that pair, or, as the original program made them, both labels and an ownerReference to a
 * Pod of that name. Everything else is foreign: never changed, never deleted.
 */
import {
  ANNOTATION_PCMC,
  ANNOTATION_POD,
  LABEL_GENERATED_BY,
  LABEL_POD_UID,
} from "../api/well_known.ts";
import type { ObservedConfigMap } from "./model.ts";
import { configMapName, labelValue } from "./names.ts";

/** Names of the Pod and the PodConfigMapConfig that a ConfigMap is made from. */
export interface Pair {
  readonly pod: string;
  readonly pcmc: string;
}

export function isOurs(configMap: ObservedConfigMap, pair: Pair): boolean {
  if (configMap.name !== configMapName(pair.pod, pair.pcmc)) return false;
  const { ourAnnotations, ourLabels } = configMap;
  if (
    ourAnnotations[ANNOTATION_POD] === pair.pod && ourAnnotations[ANNOTATION_PCMC] === pair.pcmc
  ) {
    return true;
  }
  return ourLabels[LABEL_GENERATED_BY] === labelValue(pair.pcmc) &&
    ourLabels[LABEL_POD_UID] !== undefined &&
    configMap.ownerReferences.some((owner) => isPod(owner) && owner.name === pair.pod);
}

/** The pair that a ConfigMap of ours is made from, whether or not its parts still exist; undefined for a foreign one. */
export function configMapOwners(configMap: ObservedConfigMap): Pair | undefined {
  const { [ANNOTATION_POD]: pod, [ANNOTATION_PCMC]: pcmc } = configMap.ourAnnotations;
  if (pod !== undefined && pcmc !== undefined && isOurs(configMap, { pod, pcmc })) {
    return { pod, pcmc };
  }
  for (const owner of configMap.ownerReferences) {
    if (!isPod(owner)) continue;
    for (const pcmc of possiblePcmcs(configMap, owner.name)) {
      const pair = { pod: owner.name, pcmc };
      if (isOurs(configMap, pair)) return pair;
    }
  }
  return undefined;
}

/** Without annotations: the label is the name unless it was shortened; a plain name tells it, too. */
function possiblePcmcs(configMap: ObservedConfigMap, pod: string): string[] {
  const label = configMap.ourLabels[LABEL_GENERATED_BY];
  const [start, end] = [`pod-${pod}-from-`, "-cfg"];
  const { name } = configMap;
  const isPlain = name.startsWith(start) && name.endsWith(end);
  return [
    ...(label === undefined ? [] : [label]),
    ...(isPlain ? [name.slice(start.length, -end.length)] : []),
  ];
}

function isPod(owner: { readonly apiVersion: string; readonly kind: string }): boolean {
  return owner.kind === "Pod" && owner.apiVersion === "v1";
}
