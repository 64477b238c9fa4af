/**
 * Structural OpenAPI v3 schemas of CustomResourceDefinitions: pruning and defaulting.
 * Validation is in `schema_validation.ts`.
 *
 * Guarantees: inputs are never changed; unknown fields are dropped and named exactly as the API server
 * names them; nulls of non-nullable fields are dropped before anything looks at them. At the root of
 * the document `apiVersion`, `kind` and `metadata` are always kept.
 */
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";

/** A node of a structural schema (`apiextensions.k8s.io/v1` JSONSchemaProps, the parts that act here). */
export interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly nullable?: boolean;
  readonly default?: JsonValue;
  readonly enum?: readonly JsonValue[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
  readonly description?: string;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
  readonly "x-kubernetes-embedded-resource"?: boolean;
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-map-type"?: string;
  readonly "x-kubernetes-validations"?: readonly JsonValue[];
}

/** Keys that a resource's root has whatever its schema says. */
const ROOT_KEYS = ["apiVersion", "kind", "metadata"];

export interface Pruned {
  readonly value: JsonValue;
  /** Paths of the dropped fields, such as `spec.items[0].extra`, sorted. */
  readonly unknown: readonly string[];
}

/** Drops what the schema does not know. `value` is a whole resource. */
export function prune(schema: Schema, value: JsonValue): Pruned {
  const unknown: string[] = [];
  const pruned = pruneNode(schema, value, "", true, unknown);
  return { value: pruned, unknown: unknown.sort() };
}

function pruneNode(
  schema: Schema | undefined,
  value: JsonValue,
  path: string,
  isResource: boolean,
  unknown: string[],
): JsonValue {
  if (Array.isArray(value)) {
    return value.map((item, index) =>
      pruneNode(
        schema?.items,
        item,
        `${path}[${index}]`,
        schema?.items?.["x-kubernetes-embedded-resource"] === true,
        unknown,
      )
    );
  }
  if (!isObject(value)) return value;
  const entries: [string, JsonValue][] = [];
  for (const [key, child] of Object.entries(value)) {
    const childPath = path === "" ? key : `${path}.${key}`;
    if (isResource && ROOT_KEYS.includes(key)) {
      entries.push([key, structuredClone(child)]);
      continue;
    }
    const childSchema = propertySchema(schema, key);
    if (childSchema === undefined) {
      if (schema === undefined || keepsUnknown(schema)) entries.push([key, structuredClone(child)]);
      else unknown.push(childPath);
      continue;
    }
    const embedded = childSchema["x-kubernetes-embedded-resource"] === true;
    entries.push([key, pruneNode(childSchema, child, childPath, embedded, unknown)]);
  }
  return Object.fromEntries(entries);
}

function keepsUnknown(schema: Schema): boolean {
  return schema["x-kubernetes-preserve-unknown-fields"] === true ||
    schema.additionalProperties === true;
}

/** The schema of one key: a named property, or the values of a map. */
export function propertySchema(schema: Schema | undefined, key: string): Schema | undefined {
  if (schema?.properties && Object.hasOwn(schema.properties, key)) return schema.properties[key];
  const values = schema?.additionalProperties;
  return typeof values === "object" ? values : undefined;
}

/**
 * Fills in defaults, depth first, and drops nulls of non-nullable fields. `value` is a whole resource
 * that was pruned.
 */
export function applyDefaults(schema: Schema, value: JsonValue): JsonValue {
  return defaultNode(schema, structuredClone(value));
}

function defaultNode(schema: Schema | undefined, value: JsonValue): JsonValue {
  if (schema === undefined) return value;
  if (Array.isArray(value)) return value.map((item) => defaultNode(schema.items, item));
  if (!isObject(value)) return value;
  const result = new Map(Object.entries(value));
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    const current = result.get(key);
    const missing = current === undefined || (current === null && property.nullable !== true);
    if (missing && property.default !== undefined) {
      result.set(key, structuredClone(property.default));
    }
  }
  for (const [key, child] of [...result]) {
    const property = propertySchema(schema, key);
    if (child === null && property !== undefined && property.nullable !== true) result.delete(key);
    else result.set(key, defaultNode(property, child));
  }
  return Object.fromEntries(result);
}

export function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
