/**
 * Events: one storage, two served versions. They are stored as `v1` and shown as `events.k8s.io/v1`
 * under that group's field names. Pure.
 */
import { at, deepFreeze, isRecord, type KubeObject, sameJson } from "./objects.ts";
import {
  META_SHAPE,
  microTime,
  nullableMicroTime,
  nullableTime,
  raw,
  scalar,
  type Shape,
  struct,
  text,
} from "./shapes.ts";
import { type FieldCause, fieldInvalid, fieldRequired } from "./status.ts";
import type { ServedType } from "./types.ts";

const NOTE_MAX = 1024;

/** events.k8s.io/v1 name -> v1 name, where they differ. */
const TO_CORE: Readonly<Record<string, string>> = {
  note: "message",
  regarding: "involvedObject",
  reportingController: "reportingComponent",
  deprecatedSource: "source",
  deprecatedFirstTimestamp: "firstTimestamp",
  deprecatedLastTimestamp: "lastTimestamp",
  deprecatedCount: "count",
};
const FROM_CORE: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(TO_CORE).map(([ours, theirs]) => [theirs, ours]),
);

const SERIES = struct("v1.EventSeries", { count: scalar("number"), lastObservedTime: microTime });
const SOURCE = struct("v1.EventSource", { component: text, host: text }, true);
const COMMON = {
  apiVersion: text,
  kind: text,
  metadata: META_SHAPE,
  eventTime: nullableMicroTime,
  series: SERIES,
  action: text,
  reason: text,
  type: text,
  related: raw,
  reportingInstance: text,
};

const CORE_SHAPE = struct("Event", {
  ...COMMON,
  involvedObject: raw,
  message: text,
  source: SOURCE,
  firstTimestamp: nullableTime,
  lastTimestamp: nullableTime,
  count: scalar("number"),
  reportingComponent: scalar("string", { keepZero: true }),
  reportingInstance: scalar("string", { keepZero: true }),
});

const GROUP_SHAPE = struct("Event", {
  ...COMMON,
  regarding: raw,
  note: text,
  reportingController: text,
  deprecatedSource: SOURCE,
  deprecatedFirstTimestamp: nullableTime,
  deprecatedLastTimestamp: nullableTime,
  deprecatedCount: scalar("number"),
});

export function convertEventShape(type: ServedType): Shape {
  return type.group === "" ? CORE_SHAPE : GROUP_SHAPE;
}

/** An `events.k8s.io/v1` document in the fields of `v1`. */
export function eventToCore(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const core: Record<string, unknown> = { ...renamed(object, TO_CORE), apiVersion: "v1" };
  defaultEvent(core);
  return core;
}

/** A stored event in the fields of `events.k8s.io/v1`. */
export function eventFromCore(object: KubeObject): KubeObject {
  const shown: Record<string, unknown> = renamed(object, FROM_CORE);
  for (const field of ["reportingController", "reportingInstance"]) {
    if (shown[field] === "") delete shown[field];
  }
  return deepFreeze({ ...shown, apiVersion: "events.k8s.io/v1" } as unknown as KubeObject);
}

function renamed(
  object: Readonly<Record<string, unknown>>,
  names: Readonly<Record<string, string>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [names[key] ?? key, value]),
  );
}

/** Made through events.k8s.io (or by a modern reporter): stricter rules than old events had. */
function isNew(object: KubeObject): boolean {
  return typeof object["eventTime"] === "string";
}

export function validateEvent(object: KubeObject): FieldCause[] {
  const causes: FieldCause[] = [];
  const namespace = object.metadata.namespace ?? "";
  const about = at(object, "involvedObject", "namespace") ?? "";
  const where = about === "" ? "default" : about;
  if (
    about === ""
      ? namespace !== "" && namespace !== "default" && namespace !== "kube-system"
      : where !== namespace
  ) {
    causes.push(fieldInvalid("involvedObject.namespace", about, "does not match event.namespace"));
  }
  if (isNew(object)) causes.push(...validateReport(object));
  return causes;
}

/** What every event must say that comes through events.k8s.io. */
function validateReport(object: KubeObject): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const field of ["reportingController", "reportingInstance", "action", "reason"]) {
    const stored = TO_CORE[field] ?? field;
    if (!object[stored]) causes.push(fieldRequired(field));
  }
  causes.push(...validateType(object));
  if (String(object["message"] ?? "").length > NOTE_MAX) {
    causes.push(fieldInvalid("message", "", `can have at most ${NOTE_MAX} characters`));
  }
  return causes;
}

function validateType(object: KubeObject): FieldCause[] {
  const type = object["type"] ?? "";
  if (type === "Normal" || type === "Warning") return [];
  return [fieldInvalid("type", type, `has invalid value: ${type}`)];
}

/** `involvedObject`, `note` and the like of an event that has a time. */
const FIXED = [
  "involvedObject",
  "reason",
  "message",
  "source",
  "firstTimestamp",
  "lastTimestamp",
  "count",
  "reportingComponent",
  "reportingInstance",
  "action",
  "related",
  "type",
  "eventTime",
];

export function validateEventUpdate(object: KubeObject, old: KubeObject): FieldCause[] {
  if (!isNew(old)) return validateEvent(object);
  return FIXED.filter((field) => !sameJson(object[field], old[field])).map((field) =>
    fieldInvalid(field, isRecord(object[field]) ? {} : object[field] ?? "", "field is immutable")
  );
}

/** An event without a time cannot be made through events.k8s.io. */
export function requireEventTime(object: KubeObject): FieldCause[] {
  return isNew(object) ? [] : [fieldRequired("eventTime"), ...validateType(object)];
}

/** Fields that core/v1 always shows. */
export function defaultEvent(draft: Record<string, unknown>): void {
  draft["reportingComponent"] ??= "";
  draft["reportingInstance"] ??= "";
}
