import assert from "node:assert/strict";
import { compileJsonPath } from "./json_path.ts";

const DOCUMENT = {
  spec: { color: "red", "a.b": 1, list: [10, 20, 30] },
  status: {
    conditions: [
      { type: "Ready", status: "True", message: "fine" },
      { type: "Valid", status: "False" },
    ],
  },
};

Deno.test("compileJsonPath() follows fields, quoted keys, indexes and wildcards", () => {
  const read = (path: string) => compileJsonPath(path)(DOCUMENT);
  assert.deepEqual(read(".spec.color"), ["red"]);
  assert.deepEqual(read("spec.color"), ["red"]);
  assert.deepEqual(read(".spec['a\\.b']"), [1]);
  assert.deepEqual(read('.spec["a.b"]'), [1]);
  assert.deepEqual(read(".spec.list[1]"), [20]);
  assert.deepEqual(read(".spec.list[-1]"), [30]);
  assert.deepEqual(read(".spec.list[*]"), [10, 20, 30]);
  assert.deepEqual(read(".status.conditions[*].type"), ["Ready", "Valid"]);
});

Deno.test("compileJsonPath() filters by equality, and goes on behind the filter", () => {
  const read = (path: string) => compileJsonPath(path)(DOCUMENT);
  assert.deepEqual(read('.status.conditions[?(@.type=="Valid")].status'), ["False"]);
  assert.deepEqual(read(".status.conditions[?(@.type == 'Ready')].message"), ["fine"]);
  assert.deepEqual(read('.status.conditions[?(@.type!="Ready")].type'), ["Valid"]);
  assert.deepEqual(read('.status.conditions[?(@.type=="Other")].status'), []);
});

Deno.test("compileJsonPath() gives nothing where the way ends", () => {
  for (const path of [".absent", ".spec.color.more", ".spec.list[9]", ".spec[0]", ".absent[*].x"]) {
    assert.deepEqual(compileJsonPath(path)(DOCUMENT), [], path);
  }
});

Deno.test("compileJsonPath() refuses what it does not know", () => {
  for (const path of [".spec..color", ".spec[?(@.x>1)]", ".spec[", "{.spec}"]) {
    assert.throws(() => compileJsonPath(path), SyntaxError, path);
  }
});
