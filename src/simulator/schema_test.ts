import assert from "node:assert/strict";
import type { JsonValue } from "../runtime/ports/rest.ts";
import { applyDefaults, prune, type Schema } from "./schema.ts";
import { validate } from "./schema_validation.ts";

function root(spec: Record<string, Schema>, rest: Schema = {}): Schema {
  return { type: "object", properties: { spec: { type: "object", properties: spec, ...rest } } };
}

/** `field: message` of each violation. */
function problems(schema: Schema, spec: JsonValue, old?: JsonValue): string[] {
  return validate(schema, { spec }, old === undefined ? undefined : { spec: old })
    .map(({ field, message }) => `${field}: ${message}`);
}

Deno.test("prune() drops unknown fields and names them in order, keeping what may be kept", () => {
  const schema = root({
    a: { type: "string" },
    list: { type: "array", items: { type: "object", properties: { k: { type: "string" } } } },
    map: {
      type: "object",
      additionalProperties: { type: "object", properties: { v: { type: "integer" } } },
    },
    open: {
      type: "object",
      properties: { known: { type: "object", properties: {} } },
      "x-kubernetes-preserve-unknown-fields": true,
    },
    embedded: {
      type: "object",
      properties: { spec: { type: "object" } },
      "x-kubernetes-embedded-resource": true,
    },
  });
  const document = {
    apiVersion: "g/v1",
    kind: "K",
    metadata: { name: "n", anything: 1 },
    top: 1,
    spec: {
      z: 1,
      a: "x",
      list: [{ k: "1", more: 2 }],
      map: { "any key": { v: 1, w: 2 } },
      open: { x: { y: 1 }, known: { gone: 1 } },
      embedded: { apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, other: 1 },
    },
  };
  const { value, unknown } = prune(schema, document);
  assert.deepEqual(unknown, [
    "spec.embedded.other",
    "spec.list[0].more",
    "spec.map.any key.w",
    "spec.open.known.gone",
    "spec.z",
    "top",
  ]);
  assert.deepEqual(value, {
    apiVersion: "g/v1",
    kind: "K",
    metadata: { name: "n", anything: 1 },
    spec: {
      a: "x",
      list: [{ k: "1" }],
      map: { "any key": { v: 1 } },
      open: { x: { y: 1 }, known: {} },
      embedded: { apiVersion: "v1", kind: "Pod", metadata: { name: "p" } },
    },
  });
  assert.equal(document.spec.z, 1);
});

Deno.test("applyDefaults() fills nested defaults and replaces or drops nulls that may not be", () => {
  const schema = root({
    a: { type: "string", default: "A" },
    nullable: { type: "string", nullable: true, default: "N" },
    plain: { type: "string" },
    items: { type: "array", items: { type: "object", properties: { v: { default: 3 } } } },
    nested: { type: "object", default: {}, properties: { b: { type: "integer", default: 1 } } },
    map: { type: "object", additionalProperties: { type: "string" } },
  });
  const filled = (spec: JsonValue) => (applyDefaults(schema, { spec }) as { spec: JsonValue }).spec;
  assert.deepEqual(filled({}), { a: "A", nullable: "N", nested: { b: 1 } });
  assert.deepEqual(
    filled({ a: null, nullable: null, plain: null, items: [{}, { v: 1 }], map: { x: null } }),
    { a: "A", nullable: null, items: [{ v: 3 }, { v: 1 }], nested: { b: 1 }, map: {} },
  );
  assert.deepEqual(applyDefaults(schema, {}), {});
});

Deno.test("validate() counts characters, not UTF-16 units", () => {
  const schema = root({ s: { type: "string", maxLength: 2, minLength: 2 } });
  assert.deepEqual(problems(schema, { s: "😀😀" }), []);
  assert.equal(problems(schema, { s: "😀" }).length, 1);
});

Deno.test("validate() lets unchanged violations pass, also in items of map lists, not of others", () => {
  const limited: Schema = { type: "integer", maximum: 5 };
  const item: Schema = { type: "object", properties: { k: { type: "string" }, v: limited } };
  const schema = root({
    n: limited,
    m: limited,
    keyed: {
      type: "array",
      items: item,
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["k"],
    },
    atomic: { type: "array", items: item },
  });
  const old = { n: 9, m: 1, keyed: [{ k: "a", v: 9 }], atomic: [{ k: "a", v: 9 }] };
  assert.deepEqual(problems(schema, { ...old, m: 2 }, old), []);
  assert.deepEqual(
    problems(schema, { ...old, keyed: [{ k: "b", v: 1 }, { k: "a", v: 9 }] }, old),
    [],
  );
  assert.deepEqual(problems(schema, { ...old, keyed: [{ k: "a", v: 8 }] }, old), [
    "spec.keyed[0].v: Invalid value: 8: spec.keyed[0].v in body should be less than or equal to 5",
  ]);
  assert.equal(
    problems(schema, { ...old, atomic: [{ k: "b", v: 1 }, { k: "a", v: 9 }] }, old).length,
    1,
  );
  assert.equal(problems(schema, old).length, 3);
});

Deno.test("validate() lets duplicates pass that were there before", () => {
  const schema = root({ set: { type: "array", "x-kubernetes-list-type": "set" } });
  assert.deepEqual(problems(schema, { set: ["a", "a"] }), ['spec.set[1]: Duplicate value: "a"']);
  assert.deepEqual(problems(schema, { set: ["a", "a", "b", "b"] }, { set: ["c", "c"] }), []);
});

Deno.test("validate() takes a pattern that is no JavaScript as matched", () => {
  assert.deepEqual(problems(root({ s: { type: "string", pattern: "(?i)^x$" } }), { s: "y" }), []);
  assert.equal(problems(root({ s: { type: "string", pattern: "^x$" } }), { s: "y" }).length, 1);
});

Deno.test("validate() says that rules in CEL were not looked at when something else is wrong", () => {
  const rules = [{ rule: "self != ''" }];
  const schema = root({ s: { type: "string", maxLength: 1, "x-kubernetes-validations": rules } });
  assert.deepEqual(problems(schema, { s: "" }), []);
  const [first, second, ...rest] = problems(schema, { s: "ab" });
  assert.match(first ?? "", /Too long/);
  assert.match(second ?? "", /^<nil>: Invalid value: null: some validation rules were not checked/);
  assert.deepEqual(rest, []);
});
