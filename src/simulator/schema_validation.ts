/**
 * Validation of custom resources against a structural OpenAPI v3 schema.
 *
 * Guarantees: the API server's field paths, reasons and sentences for types, required, enum, numeric,
 * string, list and map limits, formats, patterns, list types, and the logical combinators. With the
 * old object given, fields that did not change are not judged again (validation ratcheting).
 * It does not evaluate `x-kubernetes-validations` (CEL): a resource that only such a rule would refuse
 * is accepted; that rules were not looked at is said where the server says it.
 */
import { jsonEqual } from "./patch/json_patch.ts";
import type { JsonObject, JsonValue } from "../runtime/ports/rest.ts";
import { isObject, propertySchema, type Schema } from "./schema.ts";
import {
  checkNumber,
  checkString,
  type FieldError,
  fieldError,
  invalid,
} from "./schema_scalars.ts";

/** Every violation, in the order of the schema. `value` is a whole resource, `old` its stored state on updates. */
export function validate(schema: Schema, value: JsonValue, old?: JsonValue): FieldError[] {
  const errors: FieldError[] = [];
  validateNode({ schema, value, old, path: "" }, errors);
  const duplicates: FieldError[] = [];
  checkListTypes(schema, value, "", duplicates);
  if (duplicates.length > 0 && old !== undefined) {
    const before: FieldError[] = [];
    checkListTypes(schema, old, "", before);
    if (before.length > 0) duplicates.length = 0;
  }
  const found = [...errors, ...duplicates];
  const blocked = found.some(({ reason }) => BLOCKING.has(reason)) && hasRules(schema);
  return blocked ? [...found, RULES_NOT_CHECKED] : found;
}

/** Violations after which the server does not look at rules in CEL, and says so. */
const BLOCKING = new Set([
  "FieldValueNotSupported",
  "FieldValueRequired",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);

const RULES_NOT_CHECKED: FieldError = {
  reason: "FieldValueInvalid",
  message: "Invalid value: null: some validation rules were not checked because the object was " +
    "invalid; correct the existing errors to complete validation",
  field: "<nil>",
};

const ruled = new WeakMap<Schema, boolean>();

/** Whether a rule in CEL is anywhere in the schema. Looked up once a schema. */
function hasRules(schema: Schema): boolean {
  const known = ruled.get(schema);
  if (known !== undefined) return known;
  const values = schema.additionalProperties;
  const children = [
    ...Object.values(schema.properties ?? {}),
    ...(schema.items ? [schema.items] : []),
    ...(typeof values === "object" ? [values] : []),
  ];
  const found = (schema["x-kubernetes-validations"]?.length ?? 0) > 0 || children.some(hasRules);
  ruled.set(schema, found);
  return found;
}

interface Node {
  readonly schema: Schema;
  readonly value: JsonValue;
  /** The value at the same place of the stored object, where places correspond. */
  readonly old: JsonValue;
  readonly path: string;
}

function validateNode(node: Node, errors: FieldError[]): void {
  const { schema, value, old, path } = node;
  if (old !== undefined && jsonEqual(value, old)) return;
  if (value === null && schema.nullable === true) return;
  if (!checkType(schema, value, path, errors)) return;
  if (typeof value === "string") checkString(schema, value, path, errors);
  else if (typeof value === "number") checkNumber(schema, value, path, errors);
  else if (Array.isArray(value)) checkArray(node, value, errors);
  else if (isObject(value)) checkObject(node, value, errors);
  checkEnum(schema, value, path, errors);
  checkCombinators(node, errors);
}

/** Errors without a field of their own, as the server sends them. */
function general(message: string): FieldError {
  return fieldError("FieldValueInvalid", "<nil>", `Invalid value: "": ${message}`);
}

function typeName(value: JsonValue): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function checkType(schema: Schema, value: JsonValue, path: string, errors: FieldError[]): boolean {
  const actual = typeName(value);
  const wanted = schema["x-kubernetes-int-or-string"] === true
    ? "integer,string"
    : schema.type ?? "";
  if (wanted === "") return true;
  const fits = wanted.split(",").includes(actual) ||
    (wanted === "number" && actual === "integer");
  if (fits) {
    if (actual === "integer" && schema.type === "integer") {
      checkIntegerRange(schema, value as number, path, errors);
    }
    return true;
  }
  errors.push(fieldError(
    "FieldValueTypeInvalid",
    path,
    `Invalid value: "${actual}": ${path} in body must be of type ${wanted}: "${actual}"`,
  ));
  if (wanted === "integer" && actual === "number") {
    errors.push(general(`Checked value must be of type integer (default format) in ${path}`));
  }
  return false;
}

function checkIntegerRange(schema: Schema, value: number, path: string, errors: FieldError[]) {
  if (schema.format === "int32" && (value > 2 ** 31 - 1 || value < -(2 ** 31))) {
    errors.push(general(`Checked value must be of type integer with format int32 in ${path}`));
  }
}

function checkArray(node: Node, value: readonly JsonValue[], errors: FieldError[]): void {
  const { schema, path, old } = node;
  const items = schema.items;
  if (items) {
    const keys = schema["x-kubernetes-list-type"] === "map"
      ? schema["x-kubernetes-list-map-keys"] ?? []
      : undefined;
    value.forEach((item, index) => {
      // Only items of map lists have an identity by which the old one can be found.
      const before = keys && Array.isArray(old)
        ? old.find((candidate) => jsonEqual(identity(candidate, keys), identity(item, keys)))
        : undefined;
      validateNode(
        { schema: items, value: item, old: before, path: `${path}[${index}]` },
        errors,
      );
    });
  }
  if (schema.minItems !== undefined && value.length < schema.minItems) {
    errors.push(invalid(path, value.length, `should have at least ${schema.minItems} items`));
  }
  if (schema.maxItems !== undefined && value.length > schema.maxItems) {
    errors.push(tooMany(path, value.length, schema.maxItems));
  }
}

function tooMany(path: string, count: number, max: number): FieldError {
  return fieldError(
    "FieldValueTooMany",
    path,
    `Too many: ${count}: must have at most ${max} items`,
  );
}

function checkObject(node: Node, value: JsonObject, errors: FieldError[]): void {
  const { schema, path, old } = node;
  const count = Object.keys(value).length;
  if (schema.minProperties !== undefined && count < schema.minProperties) {
    errors.push(invalid(path, count, `should have at least ${schema.minProperties} properties`));
  }
  if (schema.maxProperties !== undefined && count > schema.maxProperties) {
    errors.push(tooMany(path, count, schema.maxProperties));
  }
  for (const key of schema.required ?? []) {
    if (value[key] === undefined) {
      errors.push(fieldError("FieldValueRequired", join(path, key), "Required value"));
    }
  }
  for (const [key, child] of Object.entries(value)) {
    const property = propertySchema(schema, key);
    if (property === undefined || child === undefined) continue;
    const before = isObject(old) ? old[key] : undefined;
    validateNode({ schema: property, value: child, old: before, path: join(path, key) }, errors);
  }
}

function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function checkEnum(schema: Schema, value: JsonValue, path: string, errors: FieldError[]): void {
  if (!schema.enum || schema.enum.some((allowed) => jsonEqual(allowed, value))) return;
  const supported = schema.enum.map((allowed) => JSON.stringify(allowed)).join(", ");
  errors.push(fieldError(
    "FieldValueNotSupported",
    path,
    `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported}`,
  ));
}

function checkCombinators(node: Node, errors: FieldError[]): void {
  const { schema, path } = node;
  // The sub-schemas judge the same value; ratcheting was decided for the whole node already.
  const problems = (branch: Schema): FieldError[] => {
    const found: FieldError[] = [];
    validateNode({ ...node, schema: branch, old: undefined }, found);
    return found;
  };
  const quoted = `"${path}"`;
  if (schema.allOf) {
    const found = schema.allOf.map(problems);
    errors.push(...found.flat());
    if (found.some((list) => list.length > 0)) {
      errors.push(general(`${quoted} must validate all the schemas (allOf)`));
    }
  }
  if (schema.anyOf) {
    const found = schema.anyOf.map(problems);
    if (found.every((list) => list.length > 0)) {
      errors.push(general(`${quoted} must validate at least one schema (anyOf)`));
      errors.push(...closest(found));
    }
  }
  if (schema.oneOf) {
    const found = schema.oneOf.map(problems);
    const valid = found.filter((list) => list.length === 0).length;
    if (valid !== 1) {
      const what = valid === 0 ? "Found none valid" : `Found ${valid} valid alternatives`;
      errors.push(general(`${quoted} must validate one and only one schema (oneOf). ${what}`));
      if (valid === 0) errors.push(...closest(found));
    }
  }
  if (schema.not && problems(schema.not).length === 0) {
    errors.push(general(`${quoted} must not validate the schema (not)`));
  }
}

/** What the branch that came nearest had to say: the first of those with the fewest problems. */
function closest(found: readonly FieldError[][]): FieldError[] {
  return found.reduce<FieldError[]>(
    (best, list) => best.length === 0 || list.length < best.length ? list : best,
    [],
  );
}

function checkListTypes(
  schema: Schema | undefined,
  value: JsonValue,
  path: string,
  errors: FieldError[],
): void {
  if (schema === undefined) return;
  if (Array.isArray(value)) {
    checkDuplicates(schema, value, path, errors);
    value.forEach((item, index) => checkListTypes(schema.items, item, `${path}[${index}]`, errors));
  } else if (isObject(value)) {
    for (const [key, child] of Object.entries(value)) {
      checkListTypes(propertySchema(schema, key), child, join(path, key), errors);
    }
  }
}

function checkDuplicates(
  schema: Schema,
  value: readonly JsonValue[],
  path: string,
  errors: FieldError[],
): void {
  const type = schema["x-kubernetes-list-type"];
  if (type !== "set" && type !== "map") return;
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  // Each value is reported once, at its second place.
  const seen = new Map<string, number>();
  value.forEach((item, index) => {
    const text = JSON.stringify(type === "map" ? identity(item, keys) : item);
    const count = (seen.get(text) ?? 0) + 1;
    seen.set(text, count);
    if (count === 2) {
      errors.push(fieldError(
        "FieldValueDuplicate",
        `${path}[${index}]`,
        `Duplicate value: ${text}`,
      ));
    }
  });
}

function identity(item: JsonValue, keys: readonly string[]): JsonObject {
  const object = isObject(item) ? item : {};
  return Object.fromEntries(keys.map((key) => [key, object[key]]));
}
