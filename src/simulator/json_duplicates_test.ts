import assert from "node:assert/strict";
import { duplicateFields } from "./json_duplicates.ts";

Deno.test("duplicateFields() names repeated members by their paths, each once", () => {
  assert.deepEqual(duplicateFields('{"a":1,"a":2,"a":3}'), ["a"]);
  assert.deepEqual(duplicateFields('{"d":{"k":"1","x":[],"k":"2"},"e":1}'), ["d.k"]);
  assert.deepEqual(duplicateFields('{"l":[{"a":1},{"a":1,"b":{"c":1,"c":1},"a":2}]}'), [
    "l[1].b.c",
    "l[1].a",
  ]);
  assert.deepEqual(duplicateFields('{"\\u0061":1,"a":2}'), ["a"]);
});

Deno.test("duplicateFields() is not misled by values, brackets in strings and equal names elsewhere", () => {
  for (
    const text of [
      '{"a":"a","b":["a","a"],"c":{"a":1},"d":{"a":1}}',
      '{"a":"}{","b":"\\"a\\":1,\\"a\\":2"}',
      '["a","a"]',
      '"a"',
      '{"a":true,"b":null,"c":-1.5e3}',
      "{}",
    ]
  ) assert.deepEqual(duplicateFields(text), [], text);
});
