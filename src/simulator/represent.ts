/**
 * Stored objects in the version a client asked for, and the bodies made of them: one object, a list, a
 * Status, a Table.
 */
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { eventFromCore } from "./event_versions.ts";
import { cloneJson, deepFreeze, type KubeObject, textOf } from "./objects.ts";
import type { ApiBody } from "./request.ts";
import type { Representation } from "./store.ts";
import { tableColumns, type TableOptions, toPartialObjectMetadata, toTable } from "./table.ts";
import { apiVersionOf, type ServedType } from "./types.ts";

/** Converted objects, by served version: conversions happen once an object. */
const converted = new WeakMap<KubeObject, Map<string, KubeObject>>();

export function representationOf(type: ServedType): Representation {
  const name = apiVersionOf(type);
  return { name, of: (object) => object.apiVersion === name ? object : convert(object, name) };
}

function convert(object: KubeObject, apiVersion: string): KubeObject {
  const known = converted.get(object) ?? new Map<string, KubeObject>();
  converted.set(object, known);
  const before = known.get(apiVersion);
  if (before !== undefined) return before;
  const made = apiVersion === "events.k8s.io/v1"
    ? eventFromCore(object)
    : deepFreeze({ ...object, apiVersion });
  known.set(apiVersion, made);
  return made;
}

export function jsonBody(value: unknown): ApiBody {
  return { text: () => JSON.stringify(value), value: () => cloneJson(value) as JsonValue };
}

export function objectBody(object: KubeObject): ApiBody {
  return { text: () => textOf(object), value: () => cloneJson(object) as unknown as JsonValue };
}

export interface ListMeta {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** Items of built-in types carry no `kind` and `apiVersion` of their own, as in real answers. */
export function listBody(
  type: ServedType,
  metadata: ListMeta,
  items: readonly KubeObject[],
): ApiBody {
  const head = { kind: type.listKind, apiVersion: apiVersionOf(type), metadata };
  const bare = type.custom === undefined;
  return {
    text() {
      const texts = items.map((item) => bare ? withoutTypeMeta(item) : textOf(item));
      return `${JSON.stringify(head).slice(0, -1)},"items":[${texts.join(",")}]}`;
    },
    value() {
      const copies = items.map((item) => {
        if (!bare) return cloneJson(item);
        const { kind: _kind, apiVersion: _version, ...rest } = item;
        return cloneJson(rest);
      });
      return { ...head, items: copies } as unknown as JsonValue;
    },
  };
}

function withoutTypeMeta(object: KubeObject): string {
  const { kind, apiVersion } = object;
  const prefix = `${JSON.stringify({ kind, apiVersion }).slice(0, -1)},`;
  const text = textOf(object);
  if (text.startsWith(prefix)) return `{${text.slice(prefix.length)}`;
  const { kind: _kind, apiVersion: _version, ...rest } = object;
  return JSON.stringify(rest);
}

export function asJson(object: KubeObject): JsonObject {
  return object as unknown as JsonObject;
}

export interface TableRequest {
  readonly query: URLSearchParams;
  readonly now: number;
  readonly withDefinitions: boolean;
}

/** The objects as `kubectl get` shows them. */
export function tableOf(
  type: ServedType,
  items: readonly KubeObject[],
  metadata: ListMeta,
  request: TableRequest,
): JsonObject {
  const include = request.query.get("includeObject");
  return toTable(
    items.map(asJson),
    {
      columns: tableColumns(type),
      listMetadata: { ...metadata },
      includeObject: include === "None" || include === "Object" ? include : "Metadata",
      now: request.now,
      withDefinitions: request.withDefinitions,
    } satisfies TableOptions,
  );
}

export function metadataOnly(object: KubeObject): JsonObject {
  return toPartialObjectMetadata(asJson(object));
}
