/**
 * What each built-in type does beyond the generic verbs: its shape, defaults on creation, what an update
 * or a status update may change, its own validation. Pure; drafts are changed in place, stored objects
 * never.
 */
import { at, isRecord, type KubeObject, type MutableMeta, sameJson } from "./objects.ts";
import {
  bytes,
  flagPointer,
  list,
  map,
  META_SHAPE,
  microTime,
  nullableTime,
  numberPointer,
  openStruct,
  raw,
  type Shape,
  stringMap,
  struct,
  text,
  textPointer,
} from "./shapes.ts";
import { type FieldCause, fieldInvalid } from "./status.ts";
import { namespaceNameProblems, subdomainProblems } from "./validate_meta.ts";
import { validateConfigMap, validateConfigMapUpdate } from "./validate_config_map.ts";
import { defaultCrd, defaultNames, validateCrd } from "./validate_crd.ts";
import { defaultPod, validatePod, validatePodUpdate } from "./validate_pod.ts";
import {
  convertEventShape,
  defaultEvent,
  validateEvent,
  validateEventUpdate,
} from "./event_versions.ts";
import type { ServedType } from "./types.ts";

/** An object on its way into the store. */
export interface Draft {
  apiVersion: string;
  kind: string;
  metadata: MutableMeta;
  [field: string]: unknown;
}

export interface Strategy {
  readonly shape: (type: ServedType) => Shape;
  /** PUT of an object that does not exist creates it. */
  readonly createOnUpdate: boolean;
  /** PUT without a resourceVersion overwrites. */
  readonly unconditionalUpdate: boolean;
  /** Deletion may wait for a kubelet. */
  readonly graceful: boolean;
  readonly names: (name: string) => string[];
  prepareCreate(draft: Draft): void;
  prepareUpdate(draft: Draft, old: KubeObject): void;
  prepareStatusUpdate(draft: Draft, old: KubeObject): void;
  validate(object: KubeObject): FieldCause[];
  validateUpdate(object: KubeObject, old: KubeObject, subresource: string): FieldCause[];
}

const PLAIN: Strategy = {
  shape: () => raw,
  createOnUpdate: false,
  unconditionalUpdate: true,
  graceful: false,
  names: subdomainProblems,
  prepareCreate() {},
  prepareUpdate() {},
  prepareStatusUpdate(draft, old) {
    keepAllButStatus(draft, old);
  },
  validate: () => [],
  validateUpdate: () => [],
};

const TYPE_META = { apiVersion: text, kind: text, metadata: META_SHAPE };

function shapeOf(kind: string, fields: Record<string, Shape>): () => Shape {
  const shape = struct(kind, { ...TYPE_META, ...fields });
  return () => shape;
}

/** A status whose conditions always show these times, null until they are set. */
function statusWith(go: string, ...times: string[]): Shape {
  const fields = Object.fromEntries(times.map((name) => [name, nullableTime]));
  return openStruct(
    go,
    { conditions: list(openStruct(`${go}Condition`, fields), `[]${go}`) },
    true,
  );
}

/** The draft keeps its status; all else comes from the stored object. */
function keepAllButStatus(draft: Draft, old: KubeObject): void {
  const { status, metadata } = draft;
  for (const key of Object.keys(draft)) delete draft[key];
  Object.assign(draft, old, {
    metadata: { ...old.metadata, resourceVersion: metadata.resourceVersion },
  });
  if (status === undefined) delete draft["status"];
  else draft["status"] = status;
}

/** The draft's own status is dropped for the stored one. */
function keepStatus(draft: Draft, old: KubeObject | undefined): void {
  const status = old?.["status"];
  if (status === undefined) delete draft["status"];
  else draft["status"] = status;
}

export function bumpGeneration(draft: Draft, old: KubeObject, changed: boolean): void {
  const generation = (old.metadata.generation ?? 0) + (changed ? 1 : 0);
  if (generation > 0) draft.metadata.generation = generation;
  else delete draft.metadata.generation;
}

const NAMESPACE: Strategy = {
  ...PLAIN,
  names: namespaceNameProblems,
  shape: shapeOf("Namespace", { spec: raw, status: raw }),
  prepareCreate(draft) {
    const finalizers = at(draft["spec"], "finalizers");
    const listed = Array.isArray(finalizers) ? finalizers : [];
    draft["spec"] = {
      finalizers: listed.includes("kubernetes") ? listed : [...listed, "kubernetes"],
    };
    draft["status"] = { phase: "Active" };
    nameLabel(draft);
  },
  prepareUpdate(draft, old) {
    draft["spec"] = old["spec"];
    draft["status"] = old["status"];
    nameLabel(draft);
  },
  prepareStatusUpdate(draft, old) {
    draft["spec"] = old["spec"];
  },
};

function nameLabel(draft: Draft): void {
  const { name } = draft.metadata;
  if (name === "") return;
  draft.metadata.labels = { ...draft.metadata.labels, "kubernetes.io/metadata.name": name };
}

const CONFIG_MAP: Strategy = {
  ...PLAIN,
  shape: shapeOf("ConfigMap", {
    data: stringMap,
    binaryData: map(bytes, "map[string][]uint8"),
    immutable: flagPointer,
  }),
  validate: validateConfigMap,
  validateUpdate: (object, old) => [
    ...validateConfigMapUpdate(object, old),
    ...validateConfigMap(object),
  ],
};

const SECRET: Strategy = {
  ...PLAIN,
  shape: shapeOf("Secret", {
    data: map(bytes, "map[string][]uint8"),
    stringData: stringMap,
    type: text,
    immutable: flagPointer,
  }),
  prepareCreate: encodeSecret,
  prepareUpdate: encodeSecret,
  validateUpdate: (object, old) => [
    ...(object["type"] === old["type"]
      ? []
      : [fieldInvalid("type", object["type"] ?? "", "field is immutable")]),
    ...validateConfigMapUpdate(object, old),
  ],
};

function encodeSecret(draft: Draft): void {
  draft["type"] ??= "Opaque";
  if (!isRecord(draft["stringData"])) return;
  const encoded = Object.entries(draft["stringData"]).map(([key, value]) => {
    const binary = String.fromCharCode(...new TextEncoder().encode(String(value)));
    return [key, btoa(binary)] as const;
  });
  draft["data"] = { ...(draft["data"] as object | undefined), ...Object.fromEntries(encoded) };
  delete draft["stringData"];
}

const POD: Strategy = {
  ...PLAIN,
  graceful: true,
  shape: shapeOf("Pod", {
    spec: raw,
    status: statusWith("v1.PodStatus", "lastProbeTime", "lastTransitionTime"),
  }),
  prepareCreate(draft) {
    draft.metadata.generation = 1;
    defaultPod(draft);
  },
  prepareUpdate(draft, old) {
    keepStatus(draft, old);
    bumpGeneration(draft, old, !sameJson(draft["spec"], old["spec"]));
  },
  prepareStatusUpdate(draft, old) {
    draft["spec"] = old["spec"];
    draft.metadata.ownerReferences = [...old.metadata.ownerReferences ?? []];
    if (draft.metadata.ownerReferences.length === 0) delete draft.metadata.ownerReferences;
    bumpGeneration(draft, old, false);
  },
  validate: validatePod,
  validateUpdate: (object, old, subresource) =>
    subresource === "" ? validatePodUpdate(object, old) : [],
};

const NODE: Strategy = {
  ...PLAIN,
  shape: shapeOf("Node", {
    spec: raw,
    status: statusWith("v1.NodeStatus", "lastHeartbeatTime", "lastTransitionTime"),
  }),
  prepareCreate(draft) {
    draft["spec"] ??= {};
    draft["status"] ??= {};
  },
  prepareUpdate(draft, old) {
    keepStatus(draft, old);
  },
  prepareStatusUpdate(draft, old) {
    draft["spec"] = old["spec"];
  },
};

const LEASE: Strategy = {
  ...PLAIN,
  createOnUpdate: true,
  unconditionalUpdate: false,
  shape: shapeOf("Lease", {
    spec: struct("v1.LeaseSpec", {
      holderIdentity: textPointer,
      leaseDurationSeconds: numberPointer,
      acquireTime: microTime,
      renewTime: microTime,
      leaseTransitions: numberPointer,
      strategy: textPointer,
      preferredHolder: textPointer,
    }, true),
  }),
  validate: validateLease,
  validateUpdate: validateLease,
};

function validateLease(object: KubeObject): FieldCause[] {
  const causes: FieldCause[] = [];
  const seconds = at(object, "spec", "leaseDurationSeconds");
  if (typeof seconds === "number" && seconds <= 0) {
    causes.push(fieldInvalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
  }
  const transitions = at(object, "spec", "leaseTransitions");
  if (typeof transitions === "number" && transitions < 0) {
    const why = "must be greater than or equal to 0";
    causes.push(fieldInvalid("spec.leaseTransitions", transitions, why));
  }
  return causes;
}

const EVENT: Strategy = {
  ...PLAIN,
  createOnUpdate: true,
  shape: convertEventShape,
  prepareCreate: defaultEvent,
  prepareUpdate: defaultEvent,
  validate: validateEvent,
  validateUpdate: validateEventUpdate,
};

const CRD: Strategy = {
  ...PLAIN,
  unconditionalUpdate: false,
  shape: shapeOf("CustomResourceDefinition", { spec: raw, status: raw }),
  prepareCreate(draft) {
    draft.metadata.generation = 1;
    defaultCrd(draft);
  },
  prepareUpdate(draft, old) {
    keepStatus(draft, old);
    defaultNames(draft);
    bumpGeneration(draft, old, !sameJson(draft["spec"], old["spec"]));
  },
  validate: validateCrd,
  validateUpdate: validateCrd,
};

/** Custom resources: shape and validation come from the definition, not from here. */
export const CUSTOM: Strategy = {
  ...PLAIN,
  unconditionalUpdate: false,
  prepareStatusUpdate(draft, old) {
    keepAllButStatus(draft, old);
  },
};

/** For types with a status subresource: the main resource leaves status alone, and counts changes. */
export function prepareCustom(draft: Draft, old: KubeObject | undefined, hasStatus: boolean): void {
  if (hasStatus) keepStatus(draft, old);
  if (old === undefined) draft.metadata.generation = 1;
  else bumpGeneration(draft, old, !sameSpec(draft, old, hasStatus));
}

function sameSpec(draft: Draft, old: KubeObject, hasStatus: boolean): boolean {
  const rest = ({ metadata: _, ...fields }: Record<string, unknown>) => {
    if (hasStatus) delete fields["status"];
    return fields;
  };
  return sameJson(rest(draft), rest(old));
}

const SERVICE_ACCOUNT: Strategy = {
  ...PLAIN,
  shape: shapeOf("ServiceAccount", {
    secrets: raw,
    imagePullSecrets: raw,
    automountServiceAccountToken: flagPointer,
  }),
};

const BY_STORAGE: Readonly<Record<string, Strategy>> = {
  "namespaces": NAMESPACE,
  "configmaps": CONFIG_MAP,
  "secrets": SECRET,
  "pods": POD,
  "nodes": NODE,
  "serviceaccounts": SERVICE_ACCOUNT,
  "events": EVENT,
  "coordination.k8s.io/leases": LEASE,
  "apiextensions.k8s.io/customresourcedefinitions": CRD,
};

export function strategyOf(type: ServedType): Strategy {
  return type.custom !== undefined ? CUSTOM : BY_STORAGE[type.storage] ?? PLAIN;
}
