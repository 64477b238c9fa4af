/**
 * The rules of a write that need no store: what a body may say of its place and its system fields, how
 * patches are applied, when a deleted object is finished. Drafts are changed in place.
 */
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { mediaType } from "./bodies.ts";
import { duplicateFields } from "./json_duplicates.ts";
import { at, type KubeObject, storeKey } from "./objects.ts";
import type { WriteOptions } from "./options.ts";
import { applyJsonPatch } from "./patch/json_patch.ts";
import { applyMergePatch } from "./patch/merge_patch.ts";
import { PatchError } from "./patch/patch_error.ts";
import { applyStrategicMergePatch, strategicHints } from "./patch/strategic.ts";
import type { ApiRequest, Target } from "./request.ts";
import {
  badRequest,
  type FieldCause,
  fromPatchError,
  type StatusError,
  unsupportedMediaType,
} from "./status.ts";
import type { Draft } from "./strategies.ts";
import type { ServedType } from "./types.ts";
import { dedupeOwners } from "./validate_meta.ts";

export const STRATEGIC = "application/strategic-merge-patch+json";

/** Events answer without their group where they are invalid. */
export function invalidName(type: ServedType): ServedType {
  return type.storage === "events" ? { ...type, group: "" } : type;
}

export function hasStatus(type: ServedType): boolean {
  return type.subresources.includes("status");
}

export function uidMismatch(target: Target, asked: string, found: string): string {
  const place = storeKey(target.namespace, target.name);
  return `StorageError: invalid object, Code: 4, Key: /registry/${target.type.plural}/${place}, ` +
    "ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: " +
    `${asked}, UID in object meta: ${found}`;
}

export function checkName(draft: Draft, name: string): void {
  const given = draft.metadata.name;
  if (given === name) return;
  throw badRequest(
    given === ""
      ? `the name of the object (${name} based on URL) was undeterminable: name must be provided`
      : `the name of the object (${given}) does not match the name on the URL (${name})`,
  );
}

/** The namespace is the path's; a body may repeat it. */
export function placeIn(target: Target, draft: Draft): void {
  const given = draft.metadata.namespace ?? "";
  if (given !== "" && given !== target.namespace) {
    throw badRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  if (target.namespace === "") delete draft.metadata.namespace;
  else draft.metadata.namespace = target.namespace;
}

/** What clients cannot set comes from the stored object. */
export function keepSystemMeta(draft: Draft, old: KubeObject, warnings: string[]): void {
  const { metadata } = draft;
  const before = old.metadata;
  if (metadata.uid === "") metadata.uid = before.uid;
  metadata.resourceVersion = before.resourceVersion ?? "";
  if (before.creationTimestamp !== undefined) metadata.creationTimestamp = before.creationTimestamp;
  if (before.generateName !== undefined) metadata.generateName = before.generateName;
  else delete metadata.generateName;
  if (before.generation === undefined) delete metadata.generation;
  else metadata.generation = before.generation;
  if (before.deletionTimestamp !== undefined) metadata.deletionTimestamp = before.deletionTimestamp;
  if (before.deletionGracePeriodSeconds === undefined) delete metadata.deletionGracePeriodSeconds;
  else metadata.deletionGracePeriodSeconds = before.deletionGracePeriodSeconds;
  warnings.push(...cleanOwners(draft));
}

export function cleanOwners(draft: Draft): string[] {
  const given = draft.metadata.ownerReferences;
  if (given === undefined) return [];
  const { owners, twice } = dedupeOwners(given);
  draft.metadata.ownerReferences = owners;
  if (twice.length === 0) return [];
  return [
    ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in " +
    "1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) " +
    `observed: ${twice.join(", ")}`,
  ];
}

export function finalizeNamespace(draft: Draft, old: KubeObject): void {
  const spec = draft["spec"] ?? {};
  const { metadata } = draft;
  Object.assign(draft, old, { metadata, spec });
}

/** Being deleted, and nothing waits for anything any more. */
export function isFinished(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers?.length ?? 0) > 0) return false;
  if ((deletionGracePeriodSeconds ?? 0) > 0) return false;
  const held = object.kind === "Namespace" && object.apiVersion === "v1"
    ? at(object["spec"], "finalizers")
    : [];
  return !Array.isArray(held) || held.length === 0;
}

export function applyPatch(
  media: string,
  document: JsonObject,
  patch: JsonValue,
  type: ServedType,
): JsonObject {
  try {
    const patched = media === "application/json-patch+json"
      ? applyJsonPatch(document, patch)
      : media === STRATEGIC
      ? applyStrategicMergePatch(document, patch, strategicHints(type.kind))
      : applyMergePatch(document, patch);
    return patched as JsonObject;
  } catch (error) {
    if (error instanceof PatchError) throw fromPatchError(error);
    throw error;
  }
}

const APPLY = "application/apply-patch+yaml";

/** 415. Server-side apply is not simulated: whoever asks for it gets a list without it. */
export function unsupportedPatch(
  type: ServedType,
  media: string,
  accepted: readonly string[],
): StatusError {
  if (media === APPLY) return unsupportedMediaType(accepted);
  return unsupportedMediaType(type.custom === undefined ? undefined : [...accepted, APPLY]);
}

/** A custom resource's status is validated by itself: messages name fields from there. */
export function withinStatus(cause: FieldCause): FieldCause {
  const { field, message } = cause;
  if (!field.startsWith("status.")) return cause;
  return { ...cause, message: message.replace(`${field} in body`, `${field.slice(7)} in body`) };
}

/** Members that the body's text gives more than once; a body that came parsed has none. */
export function repeatedFields(request: ApiRequest, options: WriteOptions): readonly string[] {
  if (request.bodyBytes === undefined || options.validation === "Ignore") return [];
  if (mediaType(request.contentType) !== "application/json") return [];
  return duplicateFields(new TextDecoder().decode(request.bodyBytes));
}
