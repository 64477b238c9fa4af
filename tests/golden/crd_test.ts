import { deepStrictEqual as deepEqual, ok, strictEqual as equal } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { generatedManifests } from "../../scripts/manifests.ts";
import { STRUCTURAL_SCHEMA, type StructuralSchema } from "../../src/api/crd.ts";

for (const { path, text } of generatedManifests()) {
  Deno.test(`${path} is what scripts/manifests.ts makes`, () => {
    const file = readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
    equal(file, text, `${path} is stale: run deno run -A scripts/manifests.ts`);
  });
}

Deno.test("the CRD has the names, columns and subresource that users rely on", () => {
  const crd = parse(generatedManifests()[0]?.text ?? "");
  equal(crd.metadata.name, "podconfigmapconfigs.podconfig.example.com");
  deepEqual(crd.spec.names.shortNames, ["pcmc"]);
  const [version] = crd.spec.versions;
  deepEqual(version.subresources, { status: {} });
  deepEqual(
    version.additionalPrinterColumns.filter((c: { priority?: number }) => !c.priority)
      .map((column: { name: string }) => column.name),
    ["Ready", "Pods", "ConfigMaps", "eBPF", "Age"],
  );
});

function walk(
  schema: StructuralSchema,
  path: string,
  visit: (schema: StructuralSchema, path: string) => void,
): void {
  visit(schema, path);
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    walk(child, path === "" ? name : `${path}.${name}`, visit);
  }
  if (schema.items) walk(schema.items, `${path}[]`, visit);
  if (schema.additionalProperties) walk(schema.additionalProperties, `${path}{}`, visit);
}

Deno.test("every field of the CRD has a description", () => {
  const missing: string[] = [];
  walk(STRUCTURAL_SCHEMA, "", (schema, path) => {
    const isField = path !== "metadata" && !/[\]}]$/.test(path);
    if (isField && !schema.description) missing.push(path);
  });
  deepEqual(missing, []);
});

Deno.test("every list, map and string that users write has a bound, and every list a type", () => {
  const unbound: string[] = [];
  let seen = 0;
  walk(STRUCTURAL_SCHEMA.properties?.["spec"] as StructuralSchema, "spec", (schema, path) => {
    const bounded = schema.type === "array"
      ? schema.maxItems !== undefined && schema["x-kubernetes-list-type"] !== undefined
      : schema.type === "string"
      ? schema.maxLength !== undefined || schema.enum !== undefined
      : schema.additionalProperties === undefined || schema.maxProperties !== undefined;
    if (!bounded) unbound.push(path);
    seen++;
  });
  deepEqual(unbound, []);
  ok(seen > 30, "the walk saw the schema");
});
