/**
 * What is read of Kubernetes objects in protobuf: descriptor tables, with the field numbers of
 * `generated.proto` in k8s.io/api/core/v1, k8s.io/apimachinery/pkg/apis/meta/v1 and pkg/runtime, and
 * the envelope in which objects travel. Pure.
 */
import { Buffer } from "node:buffer";
import {
  always,
  bool,
  decodeMessage,
  int,
  many,
  map,
  type Message,
  one,
  type Partial,
  raw,
  text,
  time,
} from "./protobuf_reader.ts";

const ownerReference: Message = {
  1: always(text("kind")),
  3: always(text("name")),
  4: always(text("uid")),
  5: always(text("apiVersion")),
  6: always(bool("controller")),
  7: always(bool("blockOwnerDeletion")),
};

/** What decisions need; `generated.proto` has more. */
export const objectMeta: Message = {
  1: text("name"),
  3: text("namespace"),
  5: text("uid"),
  6: text("resourceVersion"),
  9: time("deletionTimestamp"),
  11: map("labels"),
  12: map("annotations"),
  13: many("ownerReferences", ownerReference),
};

const podReadinessGate: Message = { 1: text("conditionType") };

export const podSpec: Message = {
  10: text("nodeName"),
  28: many("readinessGates", podReadinessGate),
};

const podCondition: Message = {
  1: always(text("type")),
  2: always(text("status")),
  5: text("reason"),
  6: text("message"),
};

export const podStatus: Message = { 1: text("phase"), 2: many("conditions", podCondition) };

/** `v1/Pod`: metadata, spec.nodeName, spec.readinessGates, status.phase, status.conditions. */
export const pod: Message = {
  1: one("metadata", objectMeta),
  2: one("spec", podSpec),
  3: one("status", podStatus),
};

/** `v1/ConfigMap`: metadata, data, the keys of binaryData, immutable. */
export const configMap: Message = {
  1: one("metadata", objectMeta),
  2: map("data"),
  3: map("binaryData", "keys"),
  4: always(bool("immutable")),
};

const listMeta: Message = {
  2: text("resourceVersion"),
  3: text("continue"),
  4: int("remainingItemCount"),
};

/** Lists of every built-in type have this form. */
export const listOf = (item: Message): Message => ({
  1: one("metadata", listMeta),
  2: many("items", item),
});

const statusCause: Message = { 1: text("reason"), 2: text("message"), 3: text("field") };

const statusDetails: Message = {
  1: text("name"),
  2: text("group"),
  3: text("kind"),
  4: many("causes", statusCause),
  5: int("retryAfterSeconds"),
  6: text("uid"),
};

const status: Message = {
  2: text("status"),
  3: text("message"),
  4: text("reason"),
  5: one("details", statusDetails),
  6: int("code"),
};

const typeMeta: Message = { 1: text("apiVersion"), 2: text("kind") };
const unknown: Message = { 1: one("typeMeta", typeMeta), 2: raw("raw") };

/** A frame of a watch; `object.raw` holds an enveloped object. */
export const watchEvent: Message = {
  1: text("type"),
  2: one("object", { 1: raw("raw") }),
};

export interface Envelope {
  readonly apiVersion: string;
  readonly kind: string;
  readonly raw: Uint8Array;
}

const MAGIC = Buffer.from("k8s\0");

/** Whether an object in protobuf starts here. */
export function isProtobuf(body: Uint8Array): boolean {
  return body.length >= 4 && MAGIC.every((byte, index) => body[index] === byte);
}

/** @throws {SyntaxError} when the bytes are not an enveloped object. */
export function openEnvelope(body: Uint8Array): Envelope {
  if (!isProtobuf(body)) throw new SyntaxError("Cannot read protobuf: no Kubernetes envelope");
  const partial = decodeMessage(body.subarray(MAGIC.length), unknown) as {
    typeMeta?: { apiVersion?: string; kind?: string };
    raw?: Uint8Array;
  };
  return {
    apiVersion: partial.typeMeta?.apiVersion ?? "",
    kind: partial.typeMeta?.kind ?? "",
    raw: partial.raw ?? new Uint8Array(0),
  };
}

/** An enveloped `metav1.Status`, as in JSON. @throws {SyntaxError} when it is another kind. */
export function decodeStatus(body: Uint8Array): Partial {
  const envelope = openEnvelope(body);
  if (envelope.kind !== "Status") {
    throw new SyntaxError(`Cannot read protobuf: a ${envelope.kind} in place of a Status`);
  }
  return { kind: "Status", ...decodeMessage(envelope.raw, status) };
}
