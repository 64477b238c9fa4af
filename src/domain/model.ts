/**
 * The domain's view of cluster objects: projections that hold what decisions need, nothing else.
 * Pure data; structurally compatible with the runtime's `StoredObject`.
 */

interface ObjectIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** What is kept of a `v1/Pod`. */
export interface PodFacts extends ObjectIdentity {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** `spec.nodeName`; empty until scheduled. */
  readonly nodeName: string;
  /** `status.phase`; empty when the server has not set one. */
  readonly phase: string;
  /** `metadata.deletionTimestamp` is set. */
  readonly terminating: boolean;
  /** Condition `Ready` is True. */
  readonly ready: boolean;
  /** Condition `podconfig.example.com/EbpfApplied`, where an agent reported one. */
  readonly ebpf?: { readonly status: string; readonly reason: string; readonly message: string };
  /** The Pod names that condition as a readiness gate; absent: it does not. */
  readonly gated?: boolean;
}

/** What is kept of a `v1/ConfigMap`: enough to tell whose it is and whether it is as desired. */
export interface ObservedConfigMap extends ObjectIdentity {
  /** Values of the labels and annotations that this project writes; others are not kept. */
  readonly ourLabels: Readonly<Record<string, string>>;
  readonly ourAnnotations: Readonly<Record<string, string>>;
  /** Whether `metadata.labels` / `metadata.annotations` exist at all (a JSON patch must know). */
  readonly hasLabels: boolean;
  readonly hasAnnotations: boolean;
  readonly ownerReferences: readonly OwnerReference[];
  readonly terminating: boolean;
  readonly immutable: boolean;
  readonly hasBinaryData: boolean;
  /** `dataDigest(data)` of `src/domain/digest.ts`. */
  readonly dataDigest: string;
}

/** Whether two states of a Pod say the same in everything that decisions look at. */
export function samePodFacts(one: PodFacts, other: PodFacts): boolean {
  return one.uid === other.uid && one.nodeName === other.nodeName && one.phase === other.phase &&
    one.terminating === other.terminating && one.ready === other.ready &&
    one.ebpf?.status === other.ebpf?.status && one.ebpf?.reason === other.ebpf?.reason &&
    one.ebpf?.message === other.ebpf?.message && sameRecord(one.labels, other.labels) &&
    sameRecord(one.annotations, other.annotations);
}

function sameRecord(
  one: Readonly<Record<string, string>>,
  other: Readonly<Record<string, string>>,
): boolean {
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && one[key] === other[key]);
}
