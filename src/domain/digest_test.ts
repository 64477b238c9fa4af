import { notStrictEqual as notEqual, strictEqual as equal } from "node:assert/strict";
import fc from "fast-check";
import { dataDigest } from "./digest.ts";

const data = fc.dictionary(fc.string(), fc.string(), { maxKeys: 6 });

Deno.test("dataDigest() is of the data, not of the order of its keys", () => {
  equal(dataDigest({ a: "1", b: "2" }), dataDigest({ b: "2", a: "1" }));
  equal(dataDigest(undefined), dataDigest({}));
  fc.assert(
    fc.property(data, (one) => {
      equal(dataDigest(Object.fromEntries(Object.entries(one).reverse())), dataDigest(one));
    }),
    { seed: 6 },
  );
});

Deno.test("dataDigest() tells apart data that only looks alike when run together", () => {
  const different: Record<string, string>[] = [
    { a: "bc" },
    { ab: "c" },
    { a: "b", c: "" },
    { a: "b,c" },
    { a: '"b' },
    { a: "\ud800" },
    { a: "\ufffd" },
    {},
    { "": "" },
  ];
  const digests = new Set(different.map(dataDigest));
  equal(digests.size, different.length);
  notEqual(dataDigest({ a: "" }), dataDigest({}));
});
