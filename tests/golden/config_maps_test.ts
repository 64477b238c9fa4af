/**
 * The ConfigMaps that the examples make of the Pods in `pods.yaml`, against `config_maps.yaml`.
 * UPDATE_GOLDEN=1 writes that file anew; read the difference before committing it.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { env } from "node:process";
import { parseAllDocuments, stringify } from "yaml";
import { decodePcmc } from "../../src/api/decode.ts";
import { planPod } from "../../src/domain/plan_pod.ts";
import { projectPcmc, projectPod, projectPodDocument } from "../../src/domain/projections.ts";

const ROOT = new URL("../../", import.meta.url);
const GOLDEN = new URL("config_maps.yaml", import.meta.url);

type Manifest = { kind: string; metadata: { name: string; namespace?: string } };

function documents(path: string): Manifest[] {
  const text = readFileSync(new URL(path, ROOT), "utf8");
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

const examples = readdirSync(new URL("examples/", ROOT))
  .filter((name) => /^\d\d-.*\.yaml$/.test(name)).sort()
  .map((name) => ({ path: `examples/${name}`, manifests: documents(`examples/${name}`) }));

for (const { path, manifests } of examples) {
  Deno.test(`${path} is valid to the letter`, () => {
    for (const manifest of manifests) {
      const decoded = decodePcmc(manifest);
      assert.deepEqual([decoded.ok || decoded.problems, decoded.warnings], [true, []]);
    }
  });
}

function render(): string {
  const pcmcs = examples.flatMap(({ manifests }) => manifests)
    .map(({ metadata, ...manifest }) =>
      projectPcmc({ ...manifest, metadata: { namespace: "default", ...metadata } })
    );
  const bodies = documents("tests/golden/pods.yaml").flatMap((manifest) => {
    const pod = projectPod(manifest);
    const plan = planPod({
      podName: pod.name,
      pod,
      pcmcs: pcmcs.filter(({ namespace }) => namespace === pod.namespace),
      observed: [],
      served: true,
      document: (fields) => projectPodDocument(manifest, fields),
    });
    return plan.pairs.map(({ decision }) => {
      assert.equal(decision.kind, "create");
      return decision.kind === "create" ? decision.body : undefined;
    });
  });
  return bodies.map((body) => stringify(body, { lineWidth: 0 })).join("---\n");
}

Deno.test("the examples make exactly these ConfigMaps", () => {
  const rendered = render();
  if (env["UPDATE_GOLDEN"] === "1") writeFileSync(GOLDEN, rendered);
  assert.equal(rendered, readFileSync(GOLDEN, "utf8"));
});
