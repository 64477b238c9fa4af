import assert from "node:assert/strict";
import type { JsonValue } from "../runtime/ports/rest.ts";
import {
  bytes,
  decode,
  DecodeError,
  flagPointer,
  list,
  map,
  META_SHAPE,
  microTime,
  nullableTime,
  openStruct,
  raw,
  scalar,
  type Shape,
  stringMap,
  struct,
  text,
  textPointer,
} from "./shapes.ts";

const THING = struct("Thing", {
  metadata: META_SHAPE,
  data: stringMap,
  binary: map(bytes, "map[string][]uint8"),
  count: scalar("number"),
  flag: flagPointer,
  spec: struct("v1.ThingSpec", { holder: textPointer, renewed: microTime }, true),
  items: list(struct("v1.Item", { name: text, size: scalar("number") }), "[]v1.Item"),
  anything: raw,
});

function decoded(value: JsonValue, shape: Shape = THING): { value: JsonValue; unknown: string[] } {
  const unknown: string[] = [];
  return { value: decode(shape, value, { go: "Thing", unknown }), unknown };
}

Deno.test("what Go's omitempty leaves out is left out, what a pointer holds stays", () => {
  const given = {
    metadata: { name: "", labels: {}, finalizers: [], creationTimestamp: null },
    data: {},
    count: 0,
    flag: false,
    spec: { holder: "" },
    items: [],
    anything: { empty: {}, nothing: null },
  };
  assert.deepEqual(decoded(given).value, {
    metadata: {},
    flag: false,
    spec: { holder: "" },
    anything: { empty: {} },
  });
});

Deno.test("unknown fields are dropped and named in the order they came, at any depth", () => {
  const { value, unknown } = decoded({
    metadata: { foo: 1 },
    later: 1,
    items: [{ name: "a" }, { name: "b", extra: true }],
    spec: { bogus: {} },
  });
  assert.deepEqual(unknown, ["metadata.foo", "later", "items[1].extra", "spec.bogus"]);
  assert.deepEqual(value, { metadata: {}, spec: {}, items: [{ name: "a" }, { name: "b" }] });
});

Deno.test("values of the wrong type are refused in Go's words", () => {
  const cases: [JsonValue, string][] = [
    [
      { data: { a: 3 } },
      "json: cannot unmarshal number into Go struct field Thing.data of type string",
    ],
    [
      { data: [] },
      "json: cannot unmarshal array into Go struct field Thing.data of type map[string]string",
    ],
    [
      { metadata: { labels: { a: true } } },
      "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
    ],
    [
      { metadata: { ownerReferences: [{ uid: 5 }] } },
      "json: cannot unmarshal number into Go struct field OwnerReference.metadata.ownerReferences.uid of type types.UID",
    ],
    [
      { metadata: "x" },
      "json: cannot unmarshal string into Go struct field Thing.metadata of type v1.ObjectMeta",
    ],
    [
      { items: [{ size: "x" }] },
      "json: cannot unmarshal string into Go struct field Item.items.size of type int32",
    ],
    [{ binary: { a: "???" } }, "illegal base64 data at input byte 0"],
    [
      { spec: { renewed: "2026-01-01T00:00:00.123Z" } },
      'parsing time "2026-01-01T00:00:00.123Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse ".123Z" as ".000000"',
    ],
  ];
  for (const [value, message] of cases) {
    assert.throws(
      () => decoded(value),
      (error) => error instanceof DecodeError && error.message === message,
      message,
    );
  }
});

Deno.test("times come out in UTC with the digits their type has", () => {
  const { value } = decoded({
    metadata: { creationTimestamp: "2026-01-01T02:00:00+02:00" },
    spec: { renewed: "2026-01-01T01:00:00.123456+01:00" },
  });
  assert.deepEqual(value, {
    metadata: { creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { renewed: "2026-01-01T00:00:00.123456Z" },
  });
});

Deno.test("map keys come out sorted, keys that name prototypes among them", () => {
  const { value } = decoded(JSON.parse('{"data":{"b":"1","__proto__":"2","a":"3"}}'));
  assert.equal(
    JSON.stringify(value),
    '{"metadata":{},"data":{"__proto__":"2","a":"3","b":"1"},"spec":{}}',
  );
});

Deno.test("an open struct keeps what it does not list, and shows its nullable times", () => {
  const condition = openStruct("v1.Condition", { at: nullableTime });
  const shape = openStruct("v1.Status", { conditions: list(condition, "[]v1.Condition") }, true);
  const { value, unknown } = decoded({ phase: "Running", conditions: [{ type: "Ready" }] }, shape);
  assert.deepEqual(value, { phase: "Running", conditions: [{ type: "Ready", at: null }] });
  assert.deepEqual(unknown, []);
});

Deno.test("the decoded value shares nothing with what was given", () => {
  const given = { anything: { deep: [1] }, data: { a: "b" } };
  const { value } = decoded(given);
  given.anything.deep.push(2);
  given.data.a = "c";
  assert.deepEqual(value, { metadata: {}, data: { a: "b" }, spec: {}, anything: { deep: [1] } });
});
