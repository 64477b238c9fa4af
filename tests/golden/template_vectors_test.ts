import { ok, strictEqual as equal } from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  fromJsonText,
  type GoValue,
  type MissingKey,
  parseTemplate,
  projectFields,
  reachableFields,
  TemplateError,
} from "../../src/domain/template/mod.ts";

interface Vector {
  readonly id: string;
  readonly group: string;
  readonly template: string;
  readonly data: unknown;
  readonly missingkey?: MissingKey;
  readonly output?: string;
  readonly error?: { readonly phase: "parse" | "exec"; readonly message: string };
}

const read = (file: string) => readFileSync(new URL(file, import.meta.url), "utf8");
const text = read("template_vectors.json");
const { vectors } = JSON.parse(text) as { vectors: Vector[] };

/** Data with the numbers that the file says, not those that doubles can hold; fresh for each vector. */
function vectorData(index: number): GoValue {
  const exact = fromJsonText(text) as {
    documents: Record<string, GoValue>;
    vectors: { data: GoValue }[];
  };
  const data = exact.vectors[index]?.data;
  return typeof data === "string" ? exact.documents[data] : data;
}

const outcomes = vectors.map((vector, index) => {
  const data = vectorData(index);
  const missingKey = vector.missingkey ?? "default";
  try {
    return { output: parseTemplate("t", vector.template).execute(data, { missingKey }) };
  } catch (error) {
    ok(error instanceof TemplateError, `${vector.id} threw ${error}`);
    return { error };
  }
});

Deno.test("every conformance vector with an output gives that output to the byte", () => {
  let checked = 0;
  for (const [i, vector] of vectors.entries()) {
    if (vector.output === undefined) continue;
    const outcome = outcomes[i];
    equal(outcome?.output, vector.output, `${vector.id}: ${outcome?.error?.message}`);
    checked++;
  }
  equal(checked, 321);
});

Deno.test("every conformance vector with an error fails in its phase with exactly Go's message", () => {
  let checked = 0;
  for (const [i, vector] of vectors.entries()) {
    if (vector.error === undefined) continue;
    const error = outcomes[i]?.error;
    equal(error?.phase, vector.error.phase, vector.id);
    equal(error?.message, vector.error.message, vector.id);
    checked++;
  }
  equal(checked, 279);
});

Deno.test("random templates give what Go gave for them, messages included", () => {
  const { data, cases } = JSON.parse(read("template_go_cases.json")) as {
    data: string;
    cases: Vector[];
  };
  const documents = fromJsonText(text) as { documents: Record<string, GoValue> };
  for (const { template, output, error } of cases) {
    let actual: unknown;
    try {
      actual = parseTemplate("t", template).execute(documents.documents[data]);
    } catch (thrown) {
      ok(thrown instanceof TemplateError, `${template} threw ${thrown}`);
      actual = `${thrown.phase}: ${thrown.message}`;
    }
    equal(actual, output ?? `${error?.phase}: ${error?.message}`, template);
  }
  ok(cases.length > 800, `${cases.length} cases`);
});

Deno.test("errors say where they are: the line always, the column when rendering", () => {
  for (const { error } of outcomes) {
    if (error === undefined) continue;
    equal(error.key, "t");
    ok(error.message.startsWith(`template: t:${error.line}:`), error.message);
    ok(error.message.endsWith(error.reason), error.message);
    if (error.phase === "exec") ok(error.message.includes(`:${error.line}:${error.column}: `));
  }
});

Deno.test("rendering over the reachable fields alone changes no vector's outcome", () => {
  let narrowed = 0;
  for (const [i, vector] of vectors.entries()) {
    const outcome = outcomes[i];
    if (outcome === undefined || outcome.error?.phase === "parse") continue;
    const template = parseTemplate("t", vector.template);
    const paths = reachableFields(template);
    const part = projectFields(vectorData(i), paths) as GoValue;
    if (paths !== "all") narrowed++;
    let actual: string;
    try {
      actual = template.execute(part, { missingKey: vector.missingkey ?? "default" });
    } catch (error) {
      actual = (error as Error).message;
    }
    equal(actual, outcome.output ?? outcome.error?.message, `${vector.id} ${vector.template}`);
  }
  ok(narrowed > 300, `${narrowed} templates reach a part only`);
});
