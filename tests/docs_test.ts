/** The generated reference pages are as the tables say. */
import assert from "node:assert/strict";
import { generatedDocs } from "../scripts/docs.ts";

for (const [path, text] of generatedDocs()) {
  Deno.test(`${path} is up to date (deno task docs)`, () => {
    assert.equal(Deno.readTextFileSync(new URL(`../${path}`, import.meta.url)), text);
  });
}
