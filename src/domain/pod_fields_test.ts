import assert from "node:assert/strict";
import { coversFields, unionOfFields } from "./pod_fields.ts";

const NAME = ["metadata", "name"];
const LABELS = ["metadata", "labels"];
const APP = ["metadata", "labels", "app"];

Deno.test("a union holds both, without what is covered already", () => {
  assert.deepEqual(unionOfFields([NAME], [APP]), [NAME, APP]);
  assert.deepEqual(unionOfFields([APP], [LABELS]), [LABELS]);
  assert.deepEqual(unionOfFields([LABELS], [APP]), [LABELS]);
  assert.equal(unionOfFields([NAME], "all"), "all");
  assert.equal(unionOfFields("all", [NAME]), "all");
});

Deno.test("fields cover what is at or below them, and every element covers each", () => {
  assert.equal(coversFields([LABELS], [APP]), true);
  assert.equal(coversFields([APP], [LABELS]), false);
  assert.equal(coversFields("all", [APP]), true);
  assert.equal(coversFields([LABELS], "all"), false);
  assert.equal(
    coversFields([["spec", "containers", "*"]], [["spec", "containers", "*", "image"]]),
    true,
  );
  assert.equal(
    coversFields([["spec", "containers", "*", "image"]], [["spec", "containers", "*"]]),
    false,
  );
});
