import assert from "node:assert/strict";
import { compileBundle, withoutCachePath } from "./build.ts";
import { BUILD_MACHINE, elfMachine, machine } from "./machines.ts";

Deno.test("a bundle names its packages, and no folder of the machine that made it", () => {
  const folder = "../../home/you/my cache/deno/npm/registry.npmjs.org";
  const bundle = [
    `// ${folder}/zod/4.6.7/v4/core/util.js`,
    `  "${folder}/@scope/one/1.0.0/dist/index.js"(exports) {`,
    `// ${folder}/@scope/one/1.0.0/dist/index.js`,
    "// src/lib/clock.ts",
    `const url = "https://registry.npmjs.org/zod";`,
  ];
  const { text, packages } = withoutCachePath(bundle.join("\n"));
  assert.deepEqual(text.split("\n"), [
    "// npm/zod/4.6.7/v4/core/util.js",
    `  "npm/@scope/one/1.0.0/dist/index.js"(exports) {`,
    "// npm/@scope/one/1.0.0/dist/index.js",
    ...bundle.slice(3),
  ]);
  assert.deepEqual(packages, ["@scope/one@1.0.0", "zod@4.6.7"]);
});

Deno.test("a runtime of another architecture than the target is refused, with what to do", async () => {
  const target = BUILD_MACHINE === "amd64" ? "arm64" : "amd64";
  const before = Deno.env.get("DENORT_BIN");
  Deno.env.set("DENORT_BIN", Deno.execPath());
  try {
    await assert.rejects(
      compileBundle({ text: "", packages: [] }, { target, output: "never-written" }),
      new RegExp(`Cannot compile for ${target}: DENORT_BIN .* is a runtime for ${BUILD_MACHINE}`),
    );
  } finally {
    if (before === undefined) Deno.env.delete("DENORT_BIN");
    else Deno.env.set("DENORT_BIN", before);
  }
});

Deno.test("architectures are told by name and by executable", () => {
  assert.equal(machine("arm64"), "arm64");
  assert.throws(() => machine("riscv64"), /the targets are amd64, arm64/);
  assert.throws(() => machine(undefined), /the targets are amd64, arm64/);
  assert.equal(elfMachine(Deno.execPath()), BUILD_MACHINE);
  assert.throws(() => elfMachine(new URL(import.meta.url).pathname), /not an executable for/);
});
