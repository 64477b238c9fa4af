import assert from "node:assert/strict";
import fc from "fast-check";
import type { JsonValue } from "../../runtime/ports/rest.ts";
import { applyJsonPatch, jsonEqual } from "./json_patch.ts";
import { PatchError } from "./patch_error.ts";

function patched(doc: JsonValue, ...ops: JsonValue[]): JsonValue {
  return applyJsonPatch(doc, ops);
}

function codeOf(run: () => unknown): number {
  try {
    run();
  } catch (error) {
    if (error instanceof PatchError) return error.code;
    throw error;
  }
  return assert.fail("it was accepted");
}

Deno.test("applyJsonPatch() adds, replaces and removes in objects and lists", () => {
  assert.deepEqual(patched({ a: 1 }, { op: "add", path: "/b", value: 2 }), { a: 1, b: 2 });
  assert.deepEqual(patched({ l: [1, 3] }, { op: "add", path: "/l/1", value: 2 }), { l: [1, 2, 3] });
  assert.deepEqual(patched({ l: [1] }, { op: "add", path: "/l/-", value: 2 }), { l: [1, 2] });
  assert.deepEqual(patched({ l: [1, 2] }, { op: "replace", path: "/l/1", value: 9 }), {
    l: [1, 9],
  });
  assert.deepEqual(patched({ l: [1, 2] }, { op: "remove", path: "/l/0" }), { l: [2] });
  assert.deepEqual(patched({ a: { b: 1, c: 2 } }, { op: "remove", path: "/a/b" }), { a: { c: 2 } });
  assert.deepEqual(patched({ a: 1 }, { op: "replace", path: "", value: { b: 2 } }), { b: 2 });
});

Deno.test("applyJsonPatch() reads ~1 as a slash and ~0 as a tilde", () => {
  const doc = { "a/b": 1, "c~1d": 2 };
  const ops = [{ op: "replace", path: "/a~1b", value: 3 }, { op: "remove", path: "/c~01d" }];
  assert.deepEqual(applyJsonPatch(doc, ops), { "a/b": 3 });
});

Deno.test("applyJsonPatch() is as lax as the server's library", () => {
  assert.deepEqual(patched({}, { op: "replace", path: "/absent", value: 1 }), { absent: 1 });
  assert.deepEqual(patched({}, { op: "copy", from: "/absent", path: "/b" }), { b: null });
  assert.deepEqual(patched({}, { op: "test", path: "/absent", value: null }), {});
  assert.deepEqual(patched({}, { op: "add", path: "/a" }), { a: null });
});

Deno.test("applyJsonPatch() refuses what does not apply with 422", () => {
  const refusals: JsonValue[] = [
    { op: "remove", path: "/absent" },
    { op: "remove", path: "" },
    { op: "add", path: "/absent/x", value: 1 },
    { op: "add", path: "/l/5", value: 1 },
    { op: "add", path: "/l/01", value: 1 },
    { op: "replace", path: "/l/1", value: 1 },
    { op: "move", from: "/absent", path: "/x" },
    { op: "copy", path: "/x" },
    { op: "test", path: "/l", value: [2] },
    { op: "nonsense", path: "/l" },
    { op: "add" },
    { op: "add", path: "nowhere", value: 1 },
    { op: "replace", path: "", value: null },
    { op: "replace", path: "", value: [] },
  ];
  for (const op of refusals) {
    assert.equal(codeOf(() => applyJsonPatch({ l: [1] }, [op])), 422, JSON.stringify(op));
  }
});

Deno.test("applyJsonPatch() refuses what is no patch with 400, and too long a one with 413", () => {
  assert.equal(codeOf(() => applyJsonPatch({}, {})), 400);
  assert.equal(codeOf(() => applyJsonPatch({}, "x")), 400);
  assert.equal(codeOf(() => applyJsonPatch({}, [1])), 400);
  const op = { op: "add", path: "/a", value: 1 };
  assert.deepEqual(applyJsonPatch({}, Array(10_000).fill(op)), { a: 1 });
  assert.equal(codeOf(() => applyJsonPatch({}, Array(10_001).fill(op))), 413);
});

Deno.test("applyJsonPatch() neither changes its input nor shares parts with it", () => {
  const doc = { a: { b: [1] } };
  const value = { c: 1 };
  const result = patched(
    doc,
    { op: "copy", from: "/a/b", path: "/d" },
    { op: "add", path: "/e", value },
    { op: "add", path: "/d/-", value: 2 },
  );
  assert.deepEqual(doc, { a: { b: [1] } });
  assert.deepEqual(result, { a: { b: [1] }, d: [1, 2], e: { c: 1 } });
  assert.notEqual((result as { e: unknown }).e, value);
});

Deno.test("applyJsonPatch() treats __proto__ as a key like any other", () => {
  const result = patched({}, { op: "add", path: "/__proto__", value: { polluted: true } });
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  assert.deepEqual(Object.keys(result as object), ["__proto__"]);
});

Deno.test("a move is its removal and an addition; a failing test at the end undoes all", () => {
  const keys = fc.constantFrom("a", "b", "c");
  fc.assert(
    fc.property(
      fc.dictionary(keys, fc.jsonValue(), { noNullPrototype: true }),
      keys,
      keys,
      (doc, from, path) => {
        const before = structuredClone(doc) as JsonValue;
        fc.pre(Object.hasOwn(doc, from));
        const value = (doc[from] ?? null) as JsonValue;
        const moved = patched(before, { op: "move", from: `/${from}`, path: `/${path}` });
        const byHand = patched(
          before,
          { op: "remove", path: `/${from}` },
          { op: "add", path: `/${path}`, value },
        );
        assert.ok(jsonEqual(moved, byHand));
        const undone = [{ op: "move", from: `/${from}`, path: "/z" }, {
          op: "test",
          path: "/z",
          value: { no: [value] },
        }];
        assert.equal(codeOf(() => applyJsonPatch(before, undone)), 422);
        assert.deepEqual(before, doc);
      },
    ),
  );
});
