/**
 * Validation of `metadata`, in kube-apiserver's order and words: names, labels, annotations, owner
 * references, finalizers, and what an update may not touch. Pure.
 */
import { type KubeObject, type OwnerRef, sameJson } from "./objects.ts";
import {
  type FieldCause,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldTooLong,
} from "./status.ts";

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const NAME_PART = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

const SUBDOMAIN_WHY = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric " +
  "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. " +
  "'example.com', regex used for validation is " +
  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_WHY =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or " +
  "'-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex " +
  "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const NAME_PART_WHY =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and " +
  "end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for " +
  "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_WHY =
  "a valid label must be an empty string or consist of alphanumeric characters, " +
  "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or " +
  "'my_value',  or '12345', regex used for validation is " +
  "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const ANNOTATIONS_BYTES_MAX = 256 * 1024;
const NAME_PART_MAX = 63;
export const SUBDOMAIN_MAX = 253;
const STANDARD_FINALIZERS = ["kubernetes", "orphan", "foregroundDeletion"];

/** Why `name` is no DNS-1123 subdomain; empty when it is one. */
export function subdomainProblems(name: string): string[] {
  const problems: string[] = [];
  if (name.length > SUBDOMAIN_MAX) {
    problems.push(`must be no more than ${SUBDOMAIN_MAX} characters`);
  }
  if (!SUBDOMAIN.test(name)) problems.push(SUBDOMAIN_WHY);
  return problems;
}

/** Why `name` is no DNS-1123 label; empty when it is one. */
export function labelNameProblems(name: string): string[] {
  const problems: string[] = [];
  if (name.length > NAME_PART_MAX) {
    problems.push(`must be no more than ${NAME_PART_MAX} characters`);
  }
  if (!LABEL.test(name)) problems.push(LABEL_WHY);
  return problems;
}

/** A Namespace's name: a label; dots get a message of their own. */
export function namespaceNameProblems(name: string): string[] {
  return name.includes(".") ? ["must not contain dots"] : labelNameProblems(name);
}

/** Why `key` is no qualified name (label and annotation keys). */
export function qualifiedNameProblems(key: string): string[] {
  const parts = key.split("/");
  if (parts.length > 2) {
    return [
      `a valid label key ${NAME_PART_WHY} with an optional DNS subdomain prefix and '/' ` +
      "(e.g. 'example.com/MyName')",
    ];
  }
  const problems: string[] = [];
  const name = parts[parts.length - 1] ?? "";
  if (parts.length === 2) {
    const prefix = parts[0] ?? "";
    if (prefix === "") problems.push("prefix part must be non-empty");
    else problems.push(...subdomainProblems(prefix).map((why) => `prefix part ${why}`));
  }
  if (name === "") problems.push("name part must be non-empty");
  else if (name.length > NAME_PART_MAX) {
    problems.push(`name part must be no more than ${NAME_PART_MAX} bytes`);
  }
  if (!NAME_PART.test(name)) problems.push(`name part ${NAME_PART_WHY}`);
  return problems;
}

function labelValueProblems(value: string): string[] {
  const problems: string[] = [];
  if (value.length > NAME_PART_MAX) problems.push(`must be no more than ${NAME_PART_MAX} bytes`);
  if (value !== "" && !NAME_PART.test(value)) problems.push(LABEL_VALUE_WHY);
  return problems;
}

type Names = (name: string) => string[];

/** Everything that must hold of any object's metadata. `names` judges `metadata.name`. */
export function validateMeta(object: KubeObject, names: Names): FieldCause[] {
  const { metadata } = object;
  const causes: FieldCause[] = [];
  if (metadata.generateName) {
    const prefix = metadata.generateName.replace(/-$/, "a");
    for (const why of names(prefix)) {
      causes.push(fieldInvalid("metadata.generateName", metadata.generateName, why));
    }
  }
  if (metadata.name === "") {
    causes.push(fieldRequired("metadata.name", "name or generateName is required"));
  } else {
    for (const why of names(metadata.name)) {
      causes.push(fieldInvalid("metadata.name", metadata.name, why));
    }
  }
  return [...causes, ...validateSettable(object)];
}

/** The part of {@link validateMeta} that an update can change. */
function validateSettable({ metadata }: KubeObject): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    for (const why of qualifiedNameProblems(key)) {
      causes.push(fieldInvalid("metadata.labels", key, why));
    }
    for (const why of labelValueProblems(value)) {
      causes.push(fieldInvalid("metadata.labels", value, why));
    }
  }
  let bytes = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    for (const why of qualifiedNameProblems(key.toLowerCase())) {
      causes.push(fieldInvalid("metadata.annotations", key, why));
    }
    bytes += byteLength(key) + byteLength(value);
  }
  if (bytes > ANNOTATIONS_BYTES_MAX) {
    causes.push(fieldTooLong("metadata.annotations", ANNOTATIONS_BYTES_MAX));
  }
  causes.push(...validateOwners(metadata.ownerReferences ?? []));
  (metadata.finalizers ?? []).forEach((finalizer, index) => {
    const field = `metadata.finalizers[${index}]`;
    const problems = qualifiedNameProblems(finalizer);
    for (const why of problems) causes.push(fieldInvalid(field, finalizer, why));
    if (
      problems.length === 0 && !finalizer.includes("/") && !STANDARD_FINALIZERS.includes(finalizer)
    ) {
      const why = "name is neither a standard finalizer name nor is it fully qualified";
      causes.push(fieldInvalid(field, finalizer, why));
    }
  });
  return causes;
}

function validateOwners(owners: readonly OwnerRef[]): FieldCause[] {
  const causes: FieldCause[] = [];
  let controller: OwnerRef | undefined;
  owners.forEach((owner, index) => {
    const field = `metadata.ownerReferences[${index}]`;
    for (const name of ["apiVersion", "kind", "name", "uid"] as const) {
      if (!owner[name]) causes.push(fieldRequired(`${field}.${name}`, "must not be empty"));
    }
    if (
      owner.kind === "Event" &&
      (owner.apiVersion === "v1" || /^events\.k8s\.io\//.test(owner.apiVersion))
    ) {
      const group = owner.apiVersion === "v1" ? "/v1" : owner.apiVersion;
      const why = `${group}, Kind=Event is disallowed from being an owner`;
      causes.push(fieldInvalid(field, owner, why));
    }
    if (owner.controller !== true) return;
    if (controller === undefined) {
      controller = owner;
      return;
    }
    const why =
      'Only one reference can have Controller set to true. Found "true" in references for ' +
      `${controller.kind}/${controller.name} and ${owner.kind}/${owner.name}`;
    causes.push(fieldInvalid("metadata.ownerReferences", owners, why));
  });
  return causes;
}

/** What an update may not change, then the rest of the new metadata. */
export function validateMetaUpdate(object: KubeObject, old: KubeObject): FieldCause[] {
  const causes: FieldCause[] = [];
  const next = object.metadata;
  const before = old.metadata;
  for (
    const name of ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"] as const
  ) {
    if (next[name] !== before[name]) {
      causes.push(fieldInvalid(`metadata.${name}`, next[name] ?? null, "field is immutable"));
    }
  }
  if (before.deletionTimestamp !== undefined) {
    const added = (next.finalizers ?? []).filter((item) => !before.finalizers?.includes(item));
    if (added.length > 0) {
      const list = added.map((item) => JSON.stringify(item)).join(", ");
      const why =
        "no new finalizers can be added if the object is being deleted, found new finalizers " +
        `[]string{${list}}`;
      causes.push(fieldForbidden("metadata.finalizers", why));
    }
  }
  return [...causes, ...validateSettable(object)];
}

/** Owner references with one entry a uid, and the uids that came more than once. */
export function dedupeOwners(owners: readonly OwnerRef[]): { owners: OwnerRef[]; twice: string[] } {
  const seen = new Set<string>();
  const twice = new Set<string>();
  const kept = owners.filter((owner, index) => {
    const same = owners.slice(0, index).some((other) => sameJson(other, owner));
    if (seen.has(owner.uid)) twice.add(owner.uid);
    seen.add(owner.uid);
    return !same;
  });
  return { owners: kept, twice: [...twice] };
}

/** Bytes of `text` as UTF-8. */
export function byteLength(text: string): number {
  let bytes = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x80) bytes += 1;
    else if (code < 0x800) bytes += 2;
    else if (code >= 0xd800 && code < 0xdc00) {
      bytes += 4;
      index++;
    } else bytes += 3;
  }
  return bytes;
}
