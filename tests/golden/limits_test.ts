import { deepStrictEqual as deepEqual, ok, strictEqual as equal } from "node:assert/strict";
import { decodeSpec } from "../../src/api/decode.ts";
import { SPEC_CASES } from "./spec_cases.ts";

for (const { name, spec, problem } of SPEC_CASES) {
  const verdict = problem === undefined ? "accepts" : "refuses";
  Deno.test(`the decoder ${verdict}: ${name}`, () => {
    const decoded = decodeSpec(spec);
    deepEqual(decoded.warnings, []);
    const paths = decoded.ok ? [] : decoded.problems.map(({ path }) => path);
    if (problem === undefined) return deepEqual(paths, []);
    ok(paths.some((path) => path.startsWith(problem)), `${problem} is among: ${paths.join(", ")}`);
  });
}

Deno.test("the table of specs has a name for each case, and both verdicts", () => {
  equal(new Set(SPEC_CASES.map(({ name }) => name)).size, SPEC_CASES.length);
  ok(SPEC_CASES.filter(({ problem }) => problem !== undefined).length > 40);
});
