/**
 * What to do about one ConfigMap: desired state and observed object in, one decision out. Pure.
 *
 * Guarantees: carrying out the decision and planning again gives `none`; a foreign object gets `conflict`
 * and nothing else; every write but a creation carries the uid and the resourceVersion that
 * the decision was made on, so that it fails where the object is no longer that one.
 */
import {
  ANNOTATION_PCMC,
  ANNOTATION_POD,
  ANNOTATION_RELOADER,
  LABEL_GENERATED_BY,
  LABEL_MANAGED_BY,
  LABEL_POD_UID,
  MANAGED_BY,
} from "../api/well_known.ts";
import { dataDigest } from "./digest.ts";
import type { ObservedConfigMap, OwnerReference } from "./model.ts";
import { configMapName, labelValue } from "./names.ts";
import { isOurs } from "./ownership.ts";

export type Labels = Readonly<Record<string, string>>;

/** A ConfigMap as it should be; also the body of its creation. */
export interface ConfigMapBody {
  readonly apiVersion: "v1";
  readonly kind: "ConfigMap";
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Labels;
    readonly annotations: Labels;
    readonly ownerReferences: readonly OwnerReference[];
  };
  readonly data: Labels;
}

/** RFC 6902. */
export type JsonPatchOperation =
  | { readonly op: "add"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string };

export interface Preconditions {
  readonly uid: string;
  readonly resourceVersion: string;
}

export type DeleteReason = "pcmc-gone" | "not-selected" | "pod-gone";

export type DeleteDecision =
  & { readonly kind: "delete"; readonly reason: DeleteReason }
  & Preconditions;

export type Decision =
  | { readonly kind: "none" }
  | { readonly kind: "create"; readonly body: ConfigMapBody }
  | {
    readonly kind: "patch";
    readonly operations: readonly JsonPatchOperation[];
    /** What differed, such as `data` or `labels`, for logs. */
    readonly changes: readonly string[];
  }
  /** Immutable: delete it now; the next plan creates it. */
  | ({ readonly kind: "recreate" } & Preconditions)
  /** Nothing can be done now: the object, or the Pod, is on its way out, or not known well enough. */
  | {
    readonly kind: "wait";
    /** `pod-fields`: what the templates need of the Pod is still being read. */
    readonly reason: "configmap-terminating" | "pod-terminating" | "pod-fields";
  }
  /** The name belongs to an object of someone else. */
  | { readonly kind: "conflict"; readonly name: string };

/** The ConfigMap of a Pod and a PodConfigMapConfig, holding `data`. */
export function desiredConfigMap(
  pod: { readonly namespace: string; readonly name: string; readonly uid: string },
  pcmc: string,
  data: Labels,
): ConfigMapBody {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: configMapName(pod.name, pcmc),
      namespace: pod.namespace,
      labels: {
        [LABEL_GENERATED_BY]: labelValue(pcmc),
        [LABEL_POD_UID]: pod.uid,
        [LABEL_MANAGED_BY]: MANAGED_BY,
      },
      annotations: {
        [ANNOTATION_POD]: pod.name,
        [ANNOTATION_PCMC]: pcmc,
        [ANNOTATION_RELOADER]: "true",
      },
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: pod.name, uid: pod.uid }],
    },
    data,
  };
}

/** `observed`: whatever has the desired object's name, also if foreign. */
export function plan(desired: ConfigMapBody, observed: ObservedConfigMap | undefined): Decision {
  if (observed === undefined) return { kind: "create", body: desired };
  const { annotations } = desired.metadata;
  const pair = {
    pod: annotations[ANNOTATION_POD] as string,
    pcmc: annotations[ANNOTATION_PCMC] as string,
  };
  if (!isOurs(observed, pair)) return { kind: "conflict", name: observed.name };
  if (observed.terminating) return { kind: "wait", reason: "configmap-terminating" };
  const { uid, resourceVersion } = observed;
  if (observed.immutable) return { kind: "recreate", uid, resourceVersion };
  const changes: string[] = [];
  const operations = difference(desired, observed, changes);
  if (operations.length === 0) return { kind: "none" };
  const preconditions: JsonPatchOperation[] = [
    { op: "add", path: "/metadata/uid", value: uid },
    { op: "add", path: "/metadata/resourceVersion", value: resourceVersion },
  ];
  return { kind: "patch", operations: [...preconditions, ...operations], changes };
}

function difference(
  desired: ConfigMapBody,
  observed: ObservedConfigMap,
  changes: string[],
): JsonPatchOperation[] {
  const { metadata, data } = desired;
  const operations: JsonPatchOperation[] = [];
  if (dataDigest(data) !== observed.dataDigest) {
    // `add` replaces a member that exists.
    operations.push({ op: "add", path: "/data", value: data });
    changes.push("data");
  }
  if (observed.hasBinaryData) {
    operations.push({ op: "remove", path: "/binaryData" });
    changes.push("binaryData");
  }
  if (!sameOwners(metadata.ownerReferences, observed.ownerReferences)) {
    const value = metadata.ownerReferences;
    operations.push({ op: "add", path: "/metadata/ownerReferences", value });
    changes.push("ownerReferences");
  }
  for (
    const [field, wanted, found, exists] of [
      ["labels", metadata.labels, observed.ourLabels, observed.hasLabels],
      ["annotations", metadata.annotations, observed.ourAnnotations, observed.hasAnnotations],
    ] as const
  ) {
    const added = mapDifference(`/metadata/${field}`, { wanted, found, exists });
    if (added.length > 0) changes.push(field);
    operations.push(...added);
  }
  return operations;
}

/** Members that are not ours stay: a map that exists is changed key by key. */
function mapDifference(
  path: string,
  { wanted, found, exists }: { wanted: Labels; found: Labels; exists: boolean },
): JsonPatchOperation[] {
  if (!exists) return [{ op: "add", path, value: wanted }];
  return Object.entries(wanted).filter(([key, value]) => found[key] !== value)
    .map(([key, value]) => ({ op: "add", path: `${path}/${pointerToken(key)}`, value }));
}

/** RFC 6901. */
function pointerToken(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

function sameOwners(
  wanted: readonly OwnerReference[],
  found: readonly OwnerReference[],
): boolean {
  return wanted.length === found.length && wanted.every((owner, index) => {
    const other = found[index];
    return other !== undefined && owner.apiVersion === other.apiVersion &&
      owner.kind === other.kind && owner.name === other.name && owner.uid === other.uid &&
      !other.controller && !other.blockOwnerDeletion;
  });
}
