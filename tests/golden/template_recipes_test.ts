import { ok, strictEqual as equal } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fromJson, parseTemplate } from "../../src/domain/template/mod.ts";
import { FUNCTIONS } from "../../src/domain/template/functions.ts";

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
const page = read("../../docs/templates.md");
const { pod, minpod } = JSON.parse(read("template_vectors.json")).documents;

/** Heading, template and expected text of each recipe. */
function recipes(): { name: string; template: string; output: string }[] {
  const pattern =
    /^### (\d+\. .*)\n\n```gotemplate\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```$/gm;
  return [...page.matchAll(pattern)].map(([, name = "", template = "", output = ""]) => ({
    name,
    template,
    output,
  }));
}

Deno.test("the page has ten recipes", () => equal(recipes().length, 10));

for (const { name, template, output } of recipes()) {
  Deno.test(`recipe ${name} renders what the page shows, and works for a Pod that just began`, () => {
    const parsed = parseTemplate("recipe", template);
    equal(parsed.execute(fromJson(pod)).trimEnd(), output.trimEnd());
    ok(!parsed.execute(fromJson(pod)).includes("<no value>"));
    ok(!parsed.execute(fromJson(minpod)).includes("<no value>"));
  });
}

Deno.test("the page lists exactly the functions that there are", () => {
  const section = /## Functions\n([\s\S]*?)\n## /.exec(page)?.[1] ?? "";
  const listed = [...section.matchAll(/`([^`]+)`/g)].flatMap(([, names = ""]) => names.split(/\s+/));
  equal(listed.toSorted().join(" "), [...FUNCTIONS.keys()].toSorted().join(" "));
});
