import { strictEqual as equal } from "node:assert/strict";
import { sha256Hex } from "./hash.ts";

Deno.test("sha256Hex() gives the published digests, of UTF-8", () => {
  equal(sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  equal(sha256Hex("", 10), "e3b0c44298");
  equal(sha256Hex("ä", 8), "33e6d73f");
});
