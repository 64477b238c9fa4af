import assert from "node:assert/strict";
import type { JsonValue } from "../../runtime/ports/rest.ts";
import { PatchError } from "./patch_error.ts";
import { applyStrategicMergePatch, strategicHints } from "./strategic.ts";

const HINTS = { "list": "name", "list.inner": "id", "set": "" };

function patched(doc: JsonValue, patch: JsonValue): JsonValue {
  return applyStrategicMergePatch(doc, patch, HINTS);
}

Deno.test("strategic patches merge keyed lists, also within their items", () => {
  const doc = {
    list: [{ name: "a", x: 1, inner: [{ id: 1, v: "one" }] }, { name: "b", x: 2 }],
  };
  const patch = {
    list: [{ name: "c", x: 3 }, { name: "a", y: 1, inner: [{ id: 2 }, { id: 1, v: "uno" }] }],
  };
  assert.deepEqual(patched(doc, patch), {
    list: [
      { name: "c", x: 3 },
      { name: "a", x: 1, y: 1, inner: [{ id: 2 }, { id: 1, v: "uno" }] },
      { name: "b", x: 2 },
    ],
  });
});

Deno.test("strategic patches delete items of keyed lists and of sets", () => {
  assert.deepEqual(
    patched({ list: [{ name: "a" }, { name: "b" }] }, { list: [{ name: "a", $patch: "delete" }] }),
    { list: [{ name: "b" }] },
  );
  assert.deepEqual(
    patched({ set: ["a", "b", "c"] }, { "$deleteFromPrimitiveList/set": ["a", "x"], set: ["d"] }),
    { set: ["d", "b", "c"] },
  );
});

Deno.test("strategic patches replace other lists, and on demand lists and maps that would merge", () => {
  assert.deepEqual(patched({ plain: [1, 2] }, { plain: [3] }), { plain: [3] });
  assert.deepEqual(
    patched({ list: [{ name: "a" }] }, { list: [{ $patch: "replace" }, { name: "b" }] }),
    { list: [{ name: "b" }] },
  );
  assert.deepEqual(patched({ m: { a: 1 } }, { m: { $patch: "replace", b: 2 } }), { m: { b: 2 } });
  assert.deepEqual(patched({ m: { a: 1 }, n: 1 }, { m: { $patch: "delete" } }), { m: {}, n: 1 });
  assert.deepEqual(patched({ m: { a: 1 } }, { m: null }), {});
});

Deno.test("strategic patches order lists and clear what is not retained", () => {
  const order = [{ name: "c" }, { name: "a" }];
  assert.deepEqual(
    patched({ list: [{ name: "a" }, { name: "b" }, { name: "c" }] }, {
      "$setElementOrder/list": order,
    }),
    { list: [{ name: "b" }, { name: "c" }, { name: "a" }] },
  );
  assert.deepEqual(
    patched({ set: ["a", "b"] }, { "$setElementOrder/set": ["b", "a"], set: ["b", "a"] }),
    { set: ["b", "a"] },
  );
  assert.deepEqual(
    patched({ u: { old: 1, kept: 2 } }, { u: { $retainKeys: ["kept", "new"], new: 3 } }),
    { u: { kept: 2, new: 3 } },
  );
});

Deno.test("strategic patches refuse unknown directives and items without their key", () => {
  const broken: JsonValue[] = [
    { m: { $patch: "nonsense" } },
    { m: { $patch: "merge" } },
    { list: [{ name: "a" }], "$setElementOrder/list": [{ name: "b" }] },
    { set: ["a", "b"], "$setElementOrder/set": ["b", "a"] },
    { set: null, "$setElementOrder/set": ["a"] },
    { list: [{ x: 1 }] },
    { list: ["text"] },
  ];
  for (const patch of broken) {
    const doc = { m: { a: 1 }, list: [{ name: "z" }], set: ["z"] };
    assert.throws(() => patched(doc, patch), (error: PatchError) => error.code === 500);
  }
  assert.throws(() => patched({}, []), (error: PatchError) => error.code === 400);
  const unretained = { u: { $retainKeys: ["a"], a: 1, b: 2 } };
  assert.throws(() => patched({ u: {} }, unretained), (error: PatchError) => error.code === 400);
});

Deno.test("hints know a Pod's lists, and every kind's owners and finalizers", () => {
  const pod = strategicHints("Pod");
  assert.equal(pod["spec.containers.env"], "name");
  assert.equal(pod["status.conditions"], "type");
  assert.equal(strategicHints("ConfigMap")["metadata.ownerReferences"], "uid");
  assert.equal(strategicHints("Anything")["metadata.finalizers"], "");
});

Deno.test("merged lists come in the API server's order: what is new before the item it precedes", () => {
  const names = (text: string) => text.split("").map((name) => ({ name }));
  const cases: [string, string, string][] = [
    ["rbz", "faz", "farbz"],
    ["rbz", "zn", "rbzn"],
    ["rbz", "zr", "bzr"],
  ];
  for (const [before, patch, expected] of cases) {
    const merged = patched({ list: names(before) }, { list: names(patch) });
    assert.deepEqual(merged, { list: names(expected) }, `${before} + ${patch}`);
    const set = patched({ set: before.split("") }, { set: patch.split("") });
    assert.deepEqual(set, { set: expected.split("") }, `${before} + ${patch}`);
  }
});

Deno.test("strategic patches of what is not there yet are taken as they are, without orders", () => {
  const twice = [{ name: "a", x: 1 }, { name: "a", x: 2 }];
  assert.deepEqual(patched({}, { list: [...twice, { name: "b", $patch: "delete" }] }), {
    list: twice,
  });
  assert.deepEqual(patched({}, { m: { a: 1, b: null } }), { m: { a: 1 } });
  assert.deepEqual(patched({}, { m: { $patch: "merge", a: 1 } }), { m: {} });
});
