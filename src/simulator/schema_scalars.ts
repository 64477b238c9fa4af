/**
 * What a structural schema says of texts and numbers: lengths, patterns, formats, ranges.
 *
 * Formats other than those in FORMATS are annotations. Patterns are JavaScript's with the `u` flag,
 * which agrees with Go's RE2 on what CRDs commonly use; one that does not compile here matches
 * everything.
 */
import type { StatusCause } from "../runtime/ports/errors.ts";
import type { JsonValue } from "../runtime/ports/rest.ts";
import type { Schema } from "./schema.ts";

/** A `metav1.StatusCause` with all its parts. */
export type FieldError = Required<StatusCause>;

export function fieldError(reason: string, field: string, message: string): FieldError {
  return { reason, message, field };
}

export function invalid(path: string, value: JsonValue, text: string): FieldError {
  return fieldError(
    "FieldValueInvalid",
    path,
    `Invalid value: ${JSON.stringify(value)}: ${path} in body ${text}`,
  );
}

export function checkString(
  schema: Schema,
  value: string,
  path: string,
  errors: FieldError[],
): void {
  const length = [...value].length;
  if (schema.maxLength !== undefined && length > schema.maxLength) {
    errors.push(fieldError(
      "FieldValueTooLong",
      path,
      `Too long: may not be more than ${schema.maxLength} bytes`,
    ));
  }
  if (schema.minLength !== undefined && length < schema.minLength) {
    errors.push(invalid(path, value, `should be at least ${schema.minLength} chars long`));
  }
  if (schema.pattern !== undefined && !matchesPattern(schema.pattern, value)) {
    errors.push(invalid(path, value, `should match '${schema.pattern}'`));
  }
  const format = FORMATS[schema.format ?? ""];
  if (format && !format.test(value)) {
    errors.push(fieldError(
      "FieldValueTypeInvalid",
      path,
      `Invalid value: ${JSON.stringify(value)}: ${path} in body must be of type ${schema.format}: ${
        JSON.stringify(value)
      }`,
    ));
  }
}

const FORMATS: Readonly<Record<string, RegExp>> = {
  "date-time":
    /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/,
  date: /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/,
  uuid: /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i,
  byte: /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
  ipv4: /^((25[0-5]|2[0-4]\d|1?\d?\d)(\.|$)){4}$/,
};

const patterns = new Map<string, RegExp | undefined>();

function matchesPattern(pattern: string, value: string): boolean {
  if (!patterns.has(pattern)) {
    let compiled: RegExp | undefined;
    try {
      compiled = new RegExp(pattern, "u");
    } catch {
      compiled = undefined; // A pattern of RE2's own syntax: see the header.
    }
    patterns.set(pattern, compiled);
  }
  return patterns.get(pattern)?.test(value) ?? true;
}

export function checkNumber(
  schema: Schema,
  value: number,
  path: string,
  errors: FieldError[],
): void {
  const { minimum, maximum, multipleOf } = schema;
  if (multipleOf !== undefined && !Number.isInteger(value / multipleOf)) {
    errors.push(invalid(path, value, `should be a multiple of ${multipleOf}`));
  }
  if (maximum !== undefined) {
    if (schema.exclusiveMaximum === true ? value >= maximum : value > maximum) {
      const relation = schema.exclusiveMaximum === true ? "less than" : "less than or equal to";
      errors.push(invalid(path, value, `should be ${relation} ${maximum}`));
    }
  }
  if (minimum !== undefined) {
    if (schema.exclusiveMinimum === true ? value <= minimum : value < minimum) {
      const relation = schema.exclusiveMinimum === true
        ? "greater than"
        : "greater than or equal to";
      errors.push(invalid(path, value, `should be ${relation} ${minimum}`));
    }
  }
}
