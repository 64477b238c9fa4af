/**
 * Projections: from objects as the API server sends them (or the part of them that a codec kept) to
 * what the domain keeps. Pure; everything else of the object is dropped.
 *
 * They trust the API server's types, and take what is absent as empty.
 */
import { decodeSpec, decodeStatus, type Problem } from "../api/decode.ts";
import type { PcmcStatus } from "../api/status_schema.ts";
import { OUR_ANNOTATIONS, OUR_LABELS, POD_CONDITION_EBPF } from "../api/well_known.ts";
import { type Compilation, type CompiledSpec, compileSpec } from "./compiled_spec.ts";
import { type EbpfPart, ebpfPart } from "./ebpf_part.ts";
import { dataDigest } from "./digest.ts";
import type { ObservedConfigMap, OwnerReference, PodFacts } from "./model.ts";
import type { PodFields } from "./pod_fields.ts";
import { projectFields } from "./template/mod.ts";

/** What is kept of a PodConfigMapConfig. */
export interface PcmcView {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly creationTimestamp?: string;
  readonly terminating: boolean;
  /** Undefined when the spec is invalid; then `problems` says why. */
  readonly spec: CompiledSpec | undefined;
  readonly problems: readonly Problem[];
  /** Also where the rest of the spec is invalid. */
  readonly ebpf: EbpfPart;
  readonly status: PcmcStatus;
}

type Strings = Readonly<Record<string, string>>;

interface PartialMetadata {
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string | null;
  readonly labels?: Strings | null;
  readonly annotations?: Strings | null;
  readonly ownerReferences?: readonly OwnerReference[] | null;
}

interface PartialPod {
  readonly metadata?: PartialMetadata;
  readonly spec?: {
    readonly nodeName?: string;
    readonly readinessGates?: readonly { readonly conditionType?: string }[] | null;
  };
  readonly status?: {
    readonly phase?: string;
    readonly conditions?:
      | readonly {
        readonly type: string;
        readonly status: string;
        readonly reason?: string;
        readonly message?: string;
      }[]
      | null;
  };
}

interface PartialConfigMap {
  readonly metadata?: PartialMetadata;
  readonly data?: Strings | null;
  readonly binaryData?: Readonly<Record<string, unknown>> | null;
  readonly immutable?: boolean | null;
}

interface PartialPcmc {
  readonly metadata?: PartialMetadata;
  readonly spec?: unknown;
  readonly status?: unknown;
}

const NOTHING: Strings = {};

function identityOf(metadata: PartialMetadata) {
  const { namespace = "", name = "", uid = "", resourceVersion = "" } = metadata;
  return { namespace, name, uid, resourceVersion };
}

export function projectPod(object: unknown): PodFacts {
  const { metadata = {}, spec, status } = object as PartialPod;
  const conditions = status?.conditions ?? [];
  const ebpf = conditions.find(({ type }) => type === POD_CONDITION_EBPF);
  const gated = spec?.readinessGates?.some((gate) => gate.conditionType === POD_CONDITION_EBPF);
  return {
    ...identityOf(metadata),
    labels: metadata.labels ?? NOTHING,
    annotations: metadata.annotations ?? NOTHING,
    nodeName: spec?.nodeName ?? "",
    phase: status?.phase ?? "",
    terminating: Boolean(metadata.deletionTimestamp),
    ready: conditions.some((condition) =>
      condition.type === "Ready" && condition.status === "True"
    ),
    ...(ebpf && {
      ebpf: { status: ebpf.status, reason: ebpf.reason ?? "", message: ebpf.message ?? "" },
    }),
    ...(gated && { gated }),
  };
}

export function projectConfigMap(object: unknown): ObservedConfigMap {
  const { metadata = {}, data, binaryData, immutable } = object as PartialConfigMap;
  const { labels, annotations, ownerReferences } = metadata;
  return {
    ...identityOf(metadata),
    ourLabels: keep(labels, OUR_LABELS),
    ourAnnotations: keep(annotations, OUR_ANNOTATIONS),
    // The API server keeps no empty map: where none has members, there is none.
    hasLabels: hasMembers(labels),
    hasAnnotations: hasMembers(annotations),
    ownerReferences: (ownerReferences ?? []).map(projectOwner),
    terminating: Boolean(metadata.deletionTimestamp),
    immutable: immutable === true,
    hasBinaryData: hasMembers(binaryData),
    dataDigest: dataDigest(data ?? undefined),
  };
}

/** Decodes the spec: once for each state of the object, not once for each Pod. */
export function projectPcmc(object: unknown): PcmcView {
  const { metadata = {}, spec, status } = object as PartialPcmc;
  const { generation = 0, creationTimestamp } = metadata;
  const decoded = decodeSpec(spec);
  const compiled: Compilation = decoded.ok ? compileSpec(decoded.value) : decoded;
  return {
    ...identityOf(metadata),
    generation,
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    terminating: Boolean(metadata.deletionTimestamp),
    spec: compiled.ok ? compiled.spec : undefined,
    problems: compiled.ok ? [] : compiled.problems,
    ebpf: ebpfPart(spec),
    status: decodeStatus(status),
  };
}

function hasMembers(map: object | null | undefined): boolean {
  return Object.keys(map ?? NOTHING).length > 0;
}

/** A Pod and those of its fields that templates can reach, as one moment's state. */
export interface PodDocument extends PodFacts {
  /** The Pod's JSON, projected. */
  readonly document: unknown;
}

/** `fields`: what to keep. managedFields are never part of it. */
export function projectPodDocument(object: unknown, fields: PodFields): PodDocument {
  const { metadata = {} } = object as PartialPod;
  const { managedFields: _, ...kept } = metadata as Record<string, unknown>;
  const document = projectFields({ ...object as object, metadata: kept }, fields);
  return { ...projectPod(object), document };
}

function keep(from: Strings | null | undefined, keys: readonly string[]): Strings {
  const kept: Record<string, string> = {};
  for (const key of keys) {
    const value = from?.[key];
    if (value !== undefined) kept[key] = value;
  }
  return kept;
}

function projectOwner(owner: OwnerReference): OwnerReference {
  const { apiVersion, kind, name, uid, controller, blockOwnerDeletion } = owner;
  return {
    apiVersion,
    kind,
    name,
    uid,
    ...(controller ? { controller } : {}),
    ...(blockOwnerDeletion ? { blockOwnerDeletion } : {}),
  };
}
