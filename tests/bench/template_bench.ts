/**
 * Renders a template of ten actions over a Pod as often as one core can, and a template with an
 * expensive function, for comparison.
 *
 *     deno run --allow-read --no-check tests/bench/template_bench.ts [--seconds N]
 *
 * Prints renderings a second, parsed once. Needs nothing but a quiet machine.
 */
import { readFileSync } from "node:fs";
import { fromJson, parseTemplate } from "../../src/domain/template/mod.ts";

const TEN_ACTIONS = `name={{ .metadata.name }}
namespace={{ .metadata.namespace }}
node={{ .spec.nodeName }}
ip={{ .status.podIP }}
app={{ index .metadata.labels "app.kubernetes.io/name" }}
phase={{ .status.phase | lower }}
team={{ .metadata.labels.team | default "none" }}
{{ if eq .status.phase "Running" }}up{{ else }}down{{ end }}
{{ range .spec.containers }}{{ .image }} {{ end }}
qos={{ printf "%s-%d" .status.qosClass .spec.terminationGracePeriodSeconds }}
`;

const TEMPLATES: Readonly<Record<string, string>> = {
  "ten actions": TEN_ACTIONS,
  "ten fields": "{{ .metadata.name }}\n".repeat(10),
  "whole Pod as JSON": "{{ toPrettyJson . }}",
  "one regular expression": '{{ regexReplaceAll "[^a-z0-9]+" .metadata.name "_" }}',
};

/** The Pod of the conformance vectors. */
function pod(): unknown {
  const path = new URL("../golden/template_vectors.json", import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")).documents.pod;
}

function rendersPerSecond(text: string, data: unknown, seconds: number): number {
  const template = parseTemplate("bench", text);
  const value = fromJson(data);
  for (let i = 0; i < 2_000; i++) template.execute(value);
  let count = 0;
  const start = performance.now();
  let spent = 0;
  while (spent < seconds * 1000) {
    for (let i = 0; i < 500; i++) template.execute(value);
    count += 500;
    spent = performance.now() - start;
  }
  return count / (spent / 1000);
}

const at = Deno.args.indexOf("--seconds");
const seconds = at < 0 ? 3 : Number(Deno.args[at + 1]);
const data = pod();
for (const [name, text] of Object.entries(TEMPLATES)) {
  const rate = Math.round(rendersPerSecond(text, data, seconds));
  Deno.stdout.writeSync(new TextEncoder().encode(`${name}: ${rate} renderings/s\n`));
}
