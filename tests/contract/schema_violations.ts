/** One violation for each rule that the Widget's schema states, with the causes of the real server. */
import type { StatusCause } from "../../src/runtime/ports/errors.ts";
import type { JsonObject } from "../../src/runtime/ports/rest.ts";

type Violation = readonly [JsonObject, readonly StatusCause[]];

function invalid(field: string, value: string, text: string) {
  return [{
    reason: "FieldValueInvalid",
    message: `Invalid value: ${value}: ${field} in body ${text}`,
    field,
  }];
}

function wrongType(field: string, wanted: string, actual: string) {
  return [{
    reason: "FieldValueTypeInvalid",
    message: `Invalid value: "${actual}": ${field} in body must be of type ${wanted}: "${actual}"`,
    field,
  }];
}

function general(message: string) {
  return { reason: "FieldValueInvalid", message: `Invalid value: "": ${message}`, field: "<nil>" };
}

function required(field: string) {
  return { reason: "FieldValueRequired", message: "Required value", field };
}

/** Fields of a Widget's spec, and what the server has against them. */
export const SCHEMA_VIOLATIONS: readonly Violation[] = [
  [{ req: 1 }, wrongType("spec.req", "string", "integer")],
  [{ color: "blue" }, [{
    reason: "FieldValueNotSupported",
    message: 'Unsupported value: "blue": supported values: "red", "green"',
    field: "spec.color",
  }]],
  [{ n: 11 }, invalid("spec.n", "11", "should be less than or equal to 10")],
  [{ n: 0 }, invalid("spec.n", "0", "should be greater than or equal to 1")],
  [{ n: "1" }, wrongType("spec.n", "integer", "string")],
  [{ n: 1.5 }, [
    ...wrongType("spec.n", "integer", "number"),
    general("Checked value must be of type integer (default format) in spec.n"),
  ]],
  [{ i32: 99999999999 }, [
    general("Checked value must be of type integer with format int32 in spec.i32"),
  ]],
  [{ f: -1 }, invalid("spec.f", "-1", "should be greater than 0")],
  [{ m: 0.7 }, invalid("spec.m", "0.7", "should be a multiple of 0.5")],
  [{ str: "a" }, invalid("spec.str", '"a"', "should be at least 2 chars long")],
  [{ str: "AB" }, invalid("spec.str", '"AB"', "should match '^[a-z]*$'")],
  [{ str: "aaaaaa" }, [{
    reason: "FieldValueTooLong",
    message: "Too long: may not be more than 5 bytes",
    field: "spec.str",
  }]],
  [{ ios: true }, wrongType("spec.ios", "integer,string", "boolean")],
  [{ b: "true" }, wrongType("spec.b", "boolean", "string")],
  [{ when: "nope" }, [{
    reason: "FieldValueTypeInvalid",
    message: 'Invalid value: "nope": spec.when in body must be of type date-time: "nope"',
    field: "spec.when",
  }]],
  [{ arr: [] }, invalid("spec.arr", "0", "should have at least 1 items")],
  [{ arr: ["a", "b", "c", "d"] }, [{
    reason: "FieldValueTooMany",
    message: "Too many: 4: must have at most 3 items",
    field: "spec.arr",
  }]],
  [{ arr: ["a", 1] }, wrongType("spec.arr[1]", "string", "integer")],
  [{ arr: [null] }, wrongType("spec.arr[0]", "string", "null")],
  [{ set: ["a", "b", "a", "a"] }, [{
    reason: "FieldValueDuplicate",
    message: 'Duplicate value: "a"',
    field: "spec.set[2]",
  }]],
  [{ lmap: [{ k: "a" }, { k: "a", v: 1 }] }, [{
    reason: "FieldValueDuplicate",
    message: 'Duplicate value: {"k":"a"}',
    field: "spec.lmap[1]",
  }]],
  [{ lmap: [{ v: 1 }] }, [required("spec.lmap[0].k")]],
  [{ map: {} }, invalid("spec.map", "0", "should have at least 1 properties")],
  [{ map: { a: "1", b: "2", c: "3", d: "4" } }, [{
    reason: "FieldValueTooMany",
    message: "Too many: 4: must have at most 3 items",
    field: "spec.map",
  }]],
  [{ map: { "a.b/c": "12345" } }, [{
    reason: "FieldValueTooLong",
    message: "Too long: may not be more than 3 bytes",
    field: "spec.map.a.b/c",
  }]],
  [{ nested: [] }, wrongType("spec.nested", "object", "array")],
  [{ any2: {} }, [
    general('"spec.any2" must validate at least one schema (anyOf)'),
    required("spec.any2.p"),
  ]],
  [{ one: { p: "", q: "" } }, [
    general('"spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives'),
  ]],
  [{ one: {} }, [
    general('"spec.one" must validate one and only one schema (oneOf). Found none valid'),
    required("spec.one.p"),
  ]],
  [{ nt: { p: "1" } }, [general('"spec.nt" must not validate the schema (not)')]],
  [{ all: { p: "1" } }, [
    required("spec.all.q"),
    general('"spec.all" must validate all the schemas (allOf)'),
  ]],
];
