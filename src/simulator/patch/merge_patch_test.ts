import assert from "node:assert/strict";
import fc from "fast-check";
import type { JsonValue } from "../../runtime/ports/rest.ts";
import { jsonEqual } from "./json_patch.ts";
import { applyMergePatch } from "./merge_patch.ts";
import { PatchError } from "./patch_error.ts";

Deno.test("applyMergePatch() follows the examples of RFC 7386", () => {
  const examples: [JsonValue, JsonValue, JsonValue][] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [doc, patch, expected] of examples) {
    assert.deepEqual(applyMergePatch(doc, patch), expected, JSON.stringify(patch));
  }
});

Deno.test("applyMergePatch() refuses patches that are no objects", () => {
  for (const patch of [[], "x", 1, null]) {
    assert.throws(() => applyMergePatch({}, patch), (error: PatchError) => error.code === 400);
  }
});

Deno.test("applyMergePatch() twice is the same as once, and leaves its input alone", () => {
  const object = fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true });
  fc.assert(fc.property(object, object, (doc, patch) => {
    const before = structuredClone(doc);
    const once = applyMergePatch(doc as JsonValue, patch as JsonValue);
    assert.ok(jsonEqual(applyMergePatch(once, patch as JsonValue), once));
    assert.deepEqual(doc, before);
  }));
});
