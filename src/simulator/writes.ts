/**
 * create, update and patch: what kube-apiserver does between a decoded body and the store. Deletion is in
 * `deletes.ts`.
 *
 * Guarantees: an update that changes nothing is not a commit; a refused request has no effect at all.
 */
import type { Clock } from "../lib/clock.ts";
import { type Random, randomInt } from "../lib/random.ts";
import type { JsonObject } from "../runtime/ports/rest.ts";
import {
  cannotBeHandled,
  type Decoded,
  decodeObject,
  mediaType,
  parseBody,
  patchInvalid,
  readBody,
} from "./bodies.ts";
import { requireEventTime } from "./event_versions.ts";
import { at, deepFreeze, type KubeObject, sameJson, storeKey, timestamp } from "./objects.ts";
import { parseWriteOptions, type WriteOptions } from "./options.ts";
import { asJson, representationOf } from "./represent.ts";
import type { ApiRequest, Target } from "./request.ts";
import { validate } from "./schema_validation.ts";
import {
  alreadyExists,
  badRequest,
  conflict,
  type FieldCause,
  fieldInvalid,
  internalError,
  invalid,
  namespaceTerminating,
  notFound,
  StatusError,
} from "./status.ts";
import type { Store } from "./store.ts";
import { CUSTOM, type Draft, prepareCustom, strategyOf } from "./strategies.ts";
import { NAMESPACES, type ServedType, type TypeRegistry } from "./types.ts";
import { validateMeta, validateMetaUpdate } from "./validate_meta.ts";
import {
  applyPatch,
  checkName,
  cleanOwners,
  finalizeNamespace,
  hasStatus,
  invalidName,
  isFinished,
  keepSystemMeta,
  placeIn,
  repeatedFields,
  STRATEGIC,
  uidMismatch,
  unsupportedPatch,
  withinStatus,
} from "./write_rules.ts";

/** What a write came to. */
export interface WriteResult {
  /** HTTP status code. */
  readonly code: number;
  readonly object: KubeObject;
  readonly before: KubeObject | undefined;
  /** A commit happened. */
  readonly changed: boolean;
  readonly dryRun: boolean;
  readonly warnings: readonly string[];
}

const NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789";
const GENERATED_BASE_MAX = 58;
const PATCH_TYPES = ["application/json-patch+json", "application/merge-patch+json"];

export interface WriterOptions {
  readonly store: Store;
  readonly registry: TypeRegistry;
  readonly clock: Clock;
  readonly random: Random;
}

export class Writer {
  readonly #store: Store;
  readonly #registry: TypeRegistry;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(options: WriterOptions) {
    this.#store = options.store;
    this.#registry = options.registry;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  create(target: Target, request: ApiRequest): WriteResult {
    const { type } = target;
    const options = parseWriteOptions(request.query, "CreateOptions");
    const body = readBody(request, type.kind) as JsonObject;
    const decoded = decodeObject(type, body, this.#registry, cannotBeHandled(type, body));
    const warnings = this.#oddFields(decoded, options, {
      wrong: cannotBeHandled(type, body),
      repeated: repeatedFields(request, options),
    });
    return this.#insert(target, decoded.draft, { options, warnings });
  }

  #insert(
    target: Target,
    draft: Draft,
    { options, warnings }: { options: WriteOptions; warnings: string[] },
  ): WriteResult {
    return warned(warnings, () => this.#insertDraft(target, draft, { options, warnings }));
  }

  #insertDraft(
    target: Target,
    draft: Draft,
    { options, warnings }: { options: WriteOptions; warnings: string[] },
  ): WriteResult {
    const { type } = target;
    const { metadata } = draft;
    placeIn(target, draft);
    if (metadata.name === "" && metadata.generateName) {
      metadata.name = this.#generateName(metadata.generateName);
    }
    this.#requireNamespace(target, metadata.name);
    if (metadata.resourceVersion !== undefined) {
      throw internalError("resourceVersion should not be set on objects to be created");
    }
    metadata.uid = this.#uid();
    metadata.creationTimestamp = timestamp(this.#clock.now());
    delete metadata.deletionTimestamp;
    delete metadata.deletionGracePeriodSeconds;
    warnings.push(...cleanOwners(draft));
    const strategy = strategyOf(type);
    if (strategy === CUSTOM) prepareCustom(draft, undefined, hasStatus(type));
    else strategy.prepareCreate(draft);
    const object = deepFreeze(draft) as KubeObject;
    const causes = [
      ...validateMeta(object, strategy.names),
      ...this.#validate(type, object, undefined),
      ...(type.group === "events.k8s.io" ? requireEventTime(object) : []),
    ];
    if (causes.length > 0) throw invalid(invalidName(type), metadata.name, causes);
    const key = storeKey(target.namespace, metadata.name);
    const there = this.#store.get(type.storage, key);
    if (there !== undefined) {
      const ending = there.metadata.deletionTimestamp !== undefined;
      throw alreadyExists(type, metadata.name, ending);
    }
    const result = { code: 201, before: undefined, warnings, dryRun: options.dryRun };
    if (options.dryRun) return { ...result, object, changed: false };
    return { ...result, object: this.#store.put(type.storage, key, object), changed: true };
  }

  update(target: Target, request: ApiRequest): WriteResult {
    const { type, name } = target;
    const options = parseWriteOptions(request.query, "UpdateOptions");
    const body = readBody(request, type.kind) as JsonObject;
    const decoded = decodeObject(type, body, this.#registry, cannotBeHandled(type, body));
    const warnings = this.#oddFields(decoded, options, {
      wrong: cannotBeHandled(type, body),
      repeated: repeatedFields(request, options),
    });
    const { draft } = decoded;
    checkName(draft, name);
    placeIn(target, draft);
    const old = this.#store.get(type.storage, storeKey(target.namespace, name));
    const { uid } = draft.metadata;
    if (old === undefined) {
      if (target.subresource !== "" || !strategyOf(type).createOnUpdate) throw notFound(type, name);
      if (uid !== "") throw conflict(type, name, uidMismatch(target, uid, ""));
      delete draft.metadata.resourceVersion;
      return this.#insert(target, draft, { options, warnings });
    }
    if (uid !== "" && uid !== old.metadata.uid) {
      throw conflict(type, name, uidMismatch(target, uid, old.metadata.uid));
    }
    this.#checkVersion(type, draft, old);
    return this.#replace(target, draft, old, { options, warnings });
  }

  patch(target: Target, request: ApiRequest): WriteResult {
    const { type, name } = target;
    const media = mediaType(request.contentType);
    const accepted = type.custom === undefined ? [...PATCH_TYPES, STRATEGIC] : PATCH_TYPES;
    if (!accepted.includes(media)) throw unsupportedPatch(type, media, accepted);
    const options = parseWriteOptions(request.query, "PatchOptions");
    const old = this.#store.get(type.storage, storeKey(target.namespace, name));
    if (old === undefined) throw notFound(type, name);
    const patch = parseBody(request, () => badRequest("invalid JSON patch"));
    const document = applyPatch(media, asJson(representationOf(type).of(old)), patch, type);
    const wrong = patchInvalid(document);
    const decoded = decodeObject(type, document, this.#registry, wrong);
    const warnings = this.#oddFields(decoded, options, { wrong, repeated: [] });
    const { draft } = decoded;
    checkName(draft, name);
    placeIn(target, draft);
    this.#checkVersion(type, draft, old);
    return this.#replace(target, draft, old, { options, warnings });
  }

  /** POST pods/x/binding: the scheduler's decision. */
  bind(target: Target, request: ApiRequest): WriteResult {
    const { type, name } = target;
    const options = parseWriteOptions(request.query, "CreateOptions");
    const body = readBody(request, "Binding");
    if (at(body, "metadata", "name") !== name) {
      throw badRequest("name in URL does not match name in Binding object");
    }
    const key = storeKey(target.namespace, name);
    const old = this.#store.get(type.storage, key);
    if (old === undefined) throw notFound(type, name);
    const node = at(old, "spec", "nodeName");
    if (typeof node === "string" && node !== "") {
      const why = `pod ${name} is already assigned to node "${node}"`;
      throw conflict({ ...type, plural: "pods/binding" }, name, why);
    }
    const now = timestamp(this.#clock.now());
    const scheduled = { type: "PodScheduled", status: "True", lastProbeTime: null };
    const status = old["status"] as JsonObject;
    const conditions = Array.isArray(status["conditions"]) ? status["conditions"] : [];
    const others = conditions.filter((condition) => at(condition, "type") !== "PodScheduled");
    const object = deepFreeze({
      ...old,
      spec: { ...(old["spec"] as JsonObject), nodeName: at(body, "target", "name") ?? "" },
      status: { ...status, conditions: [...others, { ...scheduled, lastTransitionTime: now }] },
    });
    return this.#commit(target, object, old, { options, warnings: [] });
  }

  #replace(
    target: Target,
    draft: Draft,
    old: KubeObject,
    how: { options: WriteOptions; warnings: string[] },
  ): WriteResult {
    return warned(how.warnings, () => this.#replaceWith(target, draft, old, how));
  }

  #replaceWith(
    target: Target,
    draft: Draft,
    old: KubeObject,
    how: { options: WriteOptions; warnings: string[] },
  ): WriteResult {
    const { type, subresource } = target;
    keepSystemMeta(draft, old, how.warnings);
    const strategy = strategyOf(type);
    if (subresource === "status") strategy.prepareStatusUpdate(draft, old);
    else if (subresource === "finalize") finalizeNamespace(draft, old);
    else if (strategy === CUSTOM) prepareCustom(draft, old, hasStatus(type));
    else strategy.prepareUpdate(draft, old);
    const object = deepFreeze(draft) as KubeObject;
    const causes = [
      ...validateMetaUpdate(object, old),
      ...this.#validate(type, object, old, subresource),
    ];
    if (causes.length > 0) throw invalid(invalidName(type), target.name, causes);
    return this.#commit(target, object, old, how);
  }

  #commit(
    target: Target,
    object: KubeObject,
    old: KubeObject,
    { options, warnings }: { options: WriteOptions; warnings: string[] },
  ): WriteResult {
    const { type } = target;
    const key = storeKey(target.namespace, target.name);
    const result = { code: 200, before: old, warnings, dryRun: options.dryRun };
    if (options.dryRun || sameJson(object, old)) return { ...result, object, changed: false };
    if (isFinished(object)) {
      // The last finalizer is gone: what is stored goes without being written once more.
      this.#store.remove(type.storage, key);
      return { ...result, object, changed: true };
    }
    return { ...result, object: this.#store.put(type.storage, key, object), changed: true };
  }

  #validate(
    type: ServedType,
    object: KubeObject,
    old: KubeObject | undefined,
    subresource = "",
  ): FieldCause[] {
    const schema = type.custom?.schema;
    if (schema !== undefined) {
      const causes = validate(schema, asJson(object), old === undefined ? undefined : asJson(old));
      return subresource === "status" ? causes.map(withinStatus) : causes;
    }
    const strategy = strategyOf(type);
    return old === undefined
      ? strategy.validate(object)
      : strategy.validateUpdate(object, old, subresource);
  }

  /** Warnings of unknown and repeated fields. @throws {StatusError} 400 or 422 when validation is strict */
  #oddFields(
    decoded: Decoded,
    options: WriteOptions,
    { wrong, repeated }: { wrong: (why: string) => Error; repeated: readonly string[] },
  ): string[] {
    const texts = [
      ...repeated.map((path) => `duplicate field "${path}"`),
      ...decoded.unknown.map((path) => `unknown field "${path}"`),
    ];
    if (texts.length > 0 && options.validation === "Strict") {
      throw wrong(`strict decoding error: ${texts.join(", ")}`);
    }
    return options.validation === "Ignore" ? [] : texts;
  }

  #checkVersion(type: ServedType, draft: Draft, old: KubeObject): void {
    const given = draft.metadata.resourceVersion;
    if (given === undefined || given === "0") {
      if (strategyOf(type).unconditionalUpdate) return;
      const why = "must be specified for an update";
      const cause = fieldInvalid("metadata.resourceVersion", 0, why);
      throw invalid(type, old.metadata.name, [cause], type.plural);
    }
    if (!/^\d+$/.test(given)) {
      throw internalError(`strconv.ParseUint: parsing ${JSON.stringify(given)}: invalid syntax`);
    }
    if (given !== old.metadata.resourceVersion) throw conflict(type, old.metadata.name);
  }

  #requireNamespace({ type, namespace }: Target, name: string): void {
    if (namespace === "") return;
    const found = this.#store.get("namespaces", namespace);
    if (found === undefined) throw notFound(NAMESPACES, namespace);
    if (found.metadata.deletionTimestamp !== undefined) {
      throw namespaceTerminating(type, name, namespace);
    }
  }

  #generateName(base: string): string {
    let suffix = "";
    while (suffix.length < 5) {
      suffix += NAME_LETTERS[randomInt(this.#random, 0, NAME_LETTERS.length - 1)];
    }
    return base.slice(0, GENERATED_BASE_MAX) + suffix;
  }

  /** A version 4 UUID, from the injected randomness. */
  #uid(): string {
    const part = (bits: number) =>
      randomInt(this.#random, 0, 2 ** bits - 1).toString(16).padStart(bits / 4, "0");
    const variant = (0x8000 | randomInt(this.#random, 0, 0x3fff)).toString(16);
    return `${part(32)}-${part(16)}-4${part(12)}-${variant}-${part(16)}${part(32)}`;
  }
}

/** Warnings reach the client also when the request is refused in the end. */
function warned<T>(warnings: readonly string[], work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof StatusError) error.warnings = warnings;
    throw error;
  }
}
