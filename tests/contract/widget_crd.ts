/** A definition with one field for each rule that a structural schema can state. */
import type { JsonObject } from "../../src/runtime/ports/rest.ts";

const TEXT: JsonObject = { type: "string" };
const PAIR: JsonObject = { type: "object", properties: { p: TEXT, q: TEXT } };
const EITHER: JsonObject[] = [{ required: ["p"] }, { required: ["q"] }];

const SPEC: JsonObject = {
  req: TEXT,
  color: { type: "string", enum: ["red", "green"], default: "red" },
  n: { type: "integer", minimum: 1, maximum: 10 },
  i32: { type: "integer", format: "int32" },
  f: { type: "number", minimum: 0, exclusiveMinimum: true },
  m: { type: "number", multipleOf: 0.5 },
  str: { type: "string", minLength: 2, maxLength: 5, pattern: "^[a-z]*$" },
  nul: { type: "string", nullable: true },
  nuldef: { type: "string", default: "d" },
  ios: { "x-kubernetes-int-or-string": true },
  any: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  when: { type: "string", format: "date-time" },
  b: { type: "boolean" },
  arr: { type: "array", items: { type: "string", maxLength: 3 }, minItems: 1, maxItems: 3 },
  set: { type: "array", items: TEXT, "x-kubernetes-list-type": "set" },
  lmap: {
    type: "array",
    items: {
      type: "object",
      required: ["k"],
      properties: { k: TEXT, v: { type: "integer", default: 3 } },
    },
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k"],
  },
  map: {
    type: "object",
    additionalProperties: { type: "string", maxLength: 3 },
    minProperties: 1,
    maxProperties: 3,
  },
  nested: {
    type: "object",
    default: {},
    properties: {
      a: { type: "integer", default: 7 },
      o: { type: "object", properties: { z: { type: "integer", default: 1 } } },
    },
  },
  any2: { ...PAIR, anyOf: EITHER },
  one: { ...PAIR, oneOf: EITHER },
  nt: { ...PAIR, not: { required: ["p"] } },
  all: { ...PAIR, allOf: EITHER },
};

const COLUMNS: JsonObject[] = [
  { name: "Color", type: "string", jsonPath: ".spec.color" },
  { name: "N", type: "integer", jsonPath: ".spec.n" },
  { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
  { name: "Wide", type: "string", jsonPath: ".spec.str", priority: 1 },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
];

export function widgetCrd(group: string): JsonObject {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `widgets.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural: "widgets", kind: "Widget", shortNames: ["wg"] },
      versions: [{
        name: "v1",
        served: true,
        storage: true,
        subresources: { status: {} },
        selectableFields: [{ jsonPath: ".spec.color" }],
        additionalPrinterColumns: COLUMNS,
        schema: {
          openAPIV3Schema: {
            type: "object",
            description: "A Widget is for tests.",
            required: ["spec"],
            properties: {
              spec: {
                type: "object",
                description: "What is wanted.",
                required: ["req"],
                properties: SPEC,
              },
              status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
            },
          },
        },
      }],
    },
  };
}
