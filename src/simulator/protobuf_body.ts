/**
 * Kubernetes' protobuf bodies, decoded to the JSON they stand for: `kubectl create` of ConfigMaps,
 * Secrets, Namespaces and ServiceAccounts sends them whatever the server prefers.
 *
 * Guarantees: the kinds in KINDS, and DeleteOptions; unknown fields are skipped. Answers are never
 * protobuf: clients that send it accept JSON.
 */
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";

/** How a field's bytes are read. `map` and `list` gather repeated fields. */
type Field =
  | { readonly name: string; readonly as: "text" | "bytes" | "number" | "flag" | "time" }
  | { readonly name: string; readonly as: "map"; readonly values: "text" | "bytes" }
  | { readonly name: string; readonly as: "texts" }
  | { readonly name: string; readonly as: "message" | "list"; readonly fields: Fields };

type Fields = Readonly<Record<number, Field>>;

function plain(as: "text" | "bytes" | "number" | "flag" | "time" | "texts", name: string): Field {
  return { name, as };
}

function textMap(name: string, values: "text" | "bytes" = "text"): Field {
  return { name, as: "map", values };
}

const OWNER: Fields = {
  1: plain("text", "kind"),
  3: plain("text", "name"),
  4: plain("text", "uid"),
  5: plain("text", "apiVersion"),
  6: plain("flag", "controller"),
  7: plain("flag", "blockOwnerDeletion"),
};

const META: Field = {
  name: "metadata",
  as: "message",
  fields: {
    1: plain("text", "name"),
    2: plain("text", "generateName"),
    3: plain("text", "namespace"),
    5: plain("text", "uid"),
    6: plain("text", "resourceVersion"),
    7: plain("number", "generation"),
    8: plain("time", "creationTimestamp"),
    9: plain("time", "deletionTimestamp"),
    11: textMap("labels"),
    12: textMap("annotations"),
    13: { name: "ownerReferences", as: "list", fields: OWNER },
    14: plain("texts", "finalizers"),
  },
};

const KINDS: Readonly<Record<string, Fields>> = {
  "v1 ConfigMap": {
    1: META,
    2: textMap("data"),
    3: textMap("binaryData", "bytes"),
    4: plain("flag", "immutable"),
  },
  "v1 Secret": {
    1: META,
    2: textMap("data", "bytes"),
    3: plain("text", "type"),
    4: textMap("stringData"),
    5: plain("flag", "immutable"),
  },
  "v1 Namespace": {
    1: META,
    2: { name: "spec", as: "message", fields: { 1: plain("texts", "finalizers") } },
    3: { name: "status", as: "message", fields: { 1: plain("text", "phase") } },
  },
  "v1 ServiceAccount": {
    1: META,
    2: { name: "secrets", as: "list", fields: { 3: plain("text", "name") } },
    3: { name: "imagePullSecrets", as: "list", fields: { 1: plain("text", "name") } },
    4: plain("flag", "automountServiceAccountToken"),
  },
};

const DELETE_OPTIONS: Fields = {
  1: plain("number", "gracePeriodSeconds"),
  2: {
    name: "preconditions",
    as: "message",
    fields: { 1: plain("text", "uid"), 2: plain("text", "resourceVersion") },
  },
  4: plain("text", "propagationPolicy"),
  5: plain("texts", "dryRun"),
};

/** `k8s` and a zero byte. */
const MAGIC = [0x6b, 0x38, 0x73, 0x00];

/** runtime.Unknown: type, and the object's own bytes. */
const ENVELOPE: Fields = {
  1: {
    name: "type",
    as: "message",
    fields: { 1: plain("text", "apiVersion"), 2: plain("text", "kind") },
  },
  2: plain("bytes", "raw"),
};

/** The body as JSON; undefined when it is of a kind that is not known here, or no such body at all. */
export function decodeProtobuf(body: Uint8Array): JsonObject | undefined {
  if (!MAGIC.every((byte, index) => body[index] === byte)) return undefined;
  try {
    const { type, raw } = decodeMessage(
      body.subarray(MAGIC.length),
      ENVELOPE,
      (bytes) => bytes,
    ) as {
      type?: { apiVersion?: string; kind?: string };
      raw?: Uint8Array;
    };
    const { apiVersion = "", kind = "" } = type ?? {};
    const fields = kind === "DeleteOptions" ? DELETE_OPTIONS : KINDS[`${apiVersion} ${kind}`];
    if (fields === undefined) return undefined;
    const value = decodeMessage(raw ?? new Uint8Array(), fields, base64Of) as JsonObject;
    return { apiVersion, kind, ...value };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

type Bytes = (bytes: Uint8Array) => unknown;

/** @throws {RangeError} when the bytes end early or are of no known wire type. */
function decodeMessage(bytes: Uint8Array, fields: Fields, blob: Bytes): Record<string, unknown> {
  const reader = new Reader(bytes);
  const result: Record<string, unknown> = {};
  while (!reader.done) {
    const tag = reader.varint();
    const field = fields[Math.floor(tag / 8)];
    const value = reader.value(tag % 8);
    if (field !== undefined) store(result, field, value, blob);
  }
  return result;
}

function store(
  result: Record<string, unknown>,
  field: Field,
  value: Uint8Array | number,
  blob: Bytes,
): void {
  const { name } = field;
  if (typeof value === "number") {
    result[name] = field.as === "flag" ? value !== 0 : value;
    return;
  }
  switch (field.as) {
    case "text":
      // Go writes empty strings where JSON leaves the field out.
      if (value.length > 0) result[name] = textOf(value);
      break;
    case "bytes":
      result[name] = blob(value);
      break;
    case "texts":
      result[name] = [...(result[name] as string[] ?? []), textOf(value)];
      break;
    case "message":
      result[name] = decodeMessage(value, field.fields, blob);
      break;
    case "list":
      result[name] = [
        ...(result[name] as JsonValue[] ?? []),
        decodeMessage(value, field.fields, blob),
      ];
      break;
    case "map": {
      const entry = decodeMessage(value, {
        1: plain("bytes", "key"),
        2: plain("bytes", "value"),
      }, (bytes) => bytes) as { key?: Uint8Array; value?: Uint8Array };
      const key = textOf(entry.key ?? new Uint8Array());
      const content = entry.value ?? new Uint8Array();
      result[name] = {
        ...(result[name] as JsonObject ?? {}),
        [key]: field.values === "text" ? textOf(content) : blob(content),
      };
      break;
    }
    case "time": {
      const { seconds } = decodeMessage(value, { 1: plain("number", "seconds") }, blob);
      if (typeof seconds === "number") {
        result[name] = `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
      }
      break;
    }
    default:
      throw new RangeError(`field ${name} has bytes where a number is due`);
  }
}

function base64Of(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Exact up to 2^53: lengths, tags, seconds. */
  varint(): number {
    let value = 0;
    for (let factor = 1;; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new RangeError("the bytes end within a number");
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }

  value(wireType: number): Uint8Array | number {
    if (wireType === 0) return this.varint();
    const length = wireType === 2
      ? this.varint()
      : wireType === 1
      ? 8
      : wireType === 5
      ? 4
      : undefined;
    if (length === undefined || this.#at + length > this.#bytes.length) {
      throw new RangeError("the bytes end within a field, or are of an unknown type");
    }
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
