import { deepStrictEqual as deepEqual, ok, strictEqual as equal } from "node:assert/strict";
import fc from "fast-check";
import {
  fromJson,
  fromJsonText,
  parseTemplate,
  projectFields,
  reachableFields,
  TemplateError,
  type TemplateLimits,
} from "./mod.ts";
import type { GoValue } from "./value.ts";

function render(text: string, data: unknown = {}, limits: Partial<TemplateLimits> = {}): string {
  return parseTemplate("t", text, limits).execute(fromJson(data));
}

function failure(text: string, limits: Partial<TemplateLimits> = {}): TemplateError {
  try {
    const output = render(text, {}, limits);
    throw new Error(`rendered ${JSON.stringify(output)}`);
  } catch (error) {
    ok(error instanceof TemplateError, String(error));
    return error;
  }
}

Deno.test("a template stops at each of its limits, with an error that names it", () => {
  const cases: [TemplateError["limit"], string, Partial<TemplateLimits>][] = [
    ["template", "x".repeat(11), { templateBytes: 10 }],
    ["template", "é".repeat(6), { templateBytes: 11 }],
    ["nesting", "{{((((1))))}}", { nesting: 3 }],
    ["nesting", "{{if 1}}{{if 1}}{{if (1)}}{{end}}{{end}}{{end}}", { nesting: 3 }],
    ["steps", "{{range until 1000}}{{end}}", { steps: 500 }],
    ["memory", '{{len (repeat 1000 "x")}}', { memory: 999 }],
    ["output", "{{range until 10}}0123456789{{end}}", { outputBytes: 99 }],
    ["output", "ééééé", { outputBytes: 9 }],
    ["depth", '{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', { depth: 10 }],
    ["depth", '{{$d := dict}}{{$_ := set $d "self" $d}}{{$d}}', {}],
  ];
  for (const [limit, text, limits] of cases) equal(failure(text, limits).limit, limit, text);
});

Deno.test("at its limits exactly, a template still works", () => {
  equal(render("é".repeat(5), {}, { templateBytes: 10, outputBytes: 10 }), "é".repeat(5));
  equal(render("{{(((1)))}}", {}, { nesting: 3 }), "1");
  const twice =
    '{{define "x"}}{{if .}}{{template "x" slice . 1}}{{end}}{{end}}{{template "x" "a"}}ok';
  equal(render(twice, {}, { depth: 2 }), "ok");
  equal(failure(twice, { depth: 1 }).limit, "depth");
});

Deno.test("the steps that a rendering may take do not depend on the renderings before it", () => {
  const text = '{{range until 20}}{{regexMatch "(a{1,20}b?){1,5}" "aab"}}{{end}}';
  const works = (steps: number) => {
    const template = parseTemplate("t", text, { steps });
    return [1, 2, 3].map(() => {
      try {
        return template.execute({}) === "true".repeat(20);
      } catch (error) {
        equal((error as TemplateError).limit, "steps");
        return false;
      }
    });
  };
  let enough = 1;
  while (!works(enough).includes(true)) enough *= 2;
  deepEqual(works(enough), [true, true, true]);
  deepEqual(works(enough / 2), [false, false, false]);
});

Deno.test("rendering leaves the data as it was, whatever the template does to it", () => {
  const data = { map: { a: 1, inner: { x: 1 } }, list: ["b", "a"] };
  const before = structuredClone(data);
  const text = '{{$_ := set .map "b" 2}}{{$_ := merge .map.inner (dict "y" 2)}}' +
    "{{$l := sortAlpha .list}}{{$k := keys .map}}{{$s := sortAlpha $k}}{{.map}} {{.list}}";
  const template = parseTemplate("t", text);
  const output = "map[a:1 b:2 inner:map[x:1 y:2]] [b a]";
  equal(template.execute(data), output);
  equal(template.execute(data), output);
  deepEqual(data, before);
});

Deno.test("names of JavaScript's own are keys like any other", () => {
  const data = fromJsonText('{"__proto__": {"x": 1}, "constructor": "c"}');
  const template = '{{index . "__proto__" "x"}} {{.constructor}} {{.toString}} {{.hasOwnProperty}}';
  equal(parseTemplate("t", template).execute(data), "1 c <no value> <no value>");
  equal(
    render('{{$d := dict "__proto__" 1}}{{$d}}{{hasKey $d "valueOf"}}'),
    "map[__proto__:1]false",
  );
  equal(render("{{.constructor}}{{len .}}", { a: 1 }), "<no value>1");
});

Deno.test("numbers of parsed JSON are int64 when whole, float64 otherwise", () => {
  const types = "{{range .}}{{typeOf .}}={{.}} {{end}}";
  equal(
    render(types, [1, -0, 2.5, 1e20, 9007199254740992]),
    [
      "int64=1",
      "int64=0",
      "float64=2.5",
      "float64=1e+20",
      "int64=9007199254740992 ",
    ].join(" "),
  );
  const exact = fromJsonText("[2.0, 9223372036854775807, 1e0, 9223372036854775808]");
  equal(
    parseTemplate("t", types).execute(exact),
    "float64=2 int64=9223372036854775807 float64=1 float64=9.223372036854776e+18 ",
  );
});

Deno.test("arithmetic is exact beyond 2^53 and wraps around at 64 bits", () => {
  equal(render("{{add 9007199254740993 1}}"), "9007199254740994");
  equal(render("{{mul 3037000500 3037000500}}"), "-9223372036709301616");
  equal(render("{{sub -9223372036854775808 1}}"), "9223372036854775807");
  equal(render("{{div -9223372036854775808 -1}}"), "-9223372036854775808");
  equal(render("{{mod 9223372036854775807 10}}"), "7");
});

Deno.test("strings are bytes: a character that is cut and put together again is whole", () => {
  equal(render('{{$a := slice "é" 0 1}}{{$b := slice "é" 1}}{{eq (print $a $b) "é"}}'), "true");
  equal(render('{{$a := slice "é" 0 1}}{{$b := slice "é" 1}}{{$a}}{{$b}}'), "é");
  equal(render('{{slice "é" 0 1}}|{{len "👍"}}|{{printf "%q" "\\xff"}}'), '\ufffd|4|"\\xff"');
  equal(
    render('{{contains "\\xc3" "é"}} {{trimPrefix "\\xc3" "é" | printf "%q"}}'),
    'true "\\xa9"',
  );
});

Deno.test("output is well-formed Unicode whatever the data holds", () => {
  equal(render("{{.a}}", { a: "x\ud800y" }), "x\ufffdy");
  ok(render("{{range .}}{{.}}{{end}}", ["\ud83d", "\udc4d"]).isWellFormed());
});

Deno.test("a loop assigns to variables of outside, and its own do not outlive it", () => {
  equal(render("{{$n := 0}}{{range until 4}}{{$n = add $n .}}{{end}}{{$n}}"), "6");
  equal(failure("{{range until 1}}{{$v := 1}}{{end}}{{$v}}").phase, "parse");
});

Deno.test("break and continue leave the blocks inside of the loop, and only that loop", () => {
  const text =
    "{{range until 3}}{{$i := .}}{{range until 9}}{{if gt . 1}}{{with 1}}{{break}}{{end}}" +
    "{{end}}{{if eq . 0}}{{continue}}{{end}}{{$i}}{{.}} {{end}}{{end}}";
  equal(render(text), "01 11 21 ");
});

const reach = (text: string) => reachableFields(parseTemplate("t", text));

Deno.test("the fields that a template reaches are those that it reads, and what they stand in", () => {
  const cases: [string, unknown][] = [
    ["plain text", []],
    ["{{.metadata.name}}", [["metadata", "name"]]],
    ['{{index .metadata.labels "app"}}', [["metadata", "labels", "app"]]],
    ["{{range .spec.containers}}{{.image}}{{end}}", [["spec", "containers", "*", "image"]]],
    ["{{range .spec.containers}}x{{end}}", [["spec", "containers", "*", ""]]],
    ["{{$m := .metadata}}{{range .l}}{{$m.uid}}{{end}}", [["l", "*", ""], ["metadata", "uid"]]],
    ["{{with .status}}{{.phase}}{{end}}", [["status"]]],
    ['{{define "n"}}{{.name}}{{end}}{{template "n" .metadata}}', [["metadata", "name"]]],
    ["{{(index .spec.containers 0).name}}", [["spec", "containers", "*", "name"]]],
    ["{{.a.b}}{{.a}}", [["a"]]],
    ["{{$x := 0}}{{range .l}}{{$x = .v}}{{end}}{{$x}}", [["l", "*", "v"]]],
    ["{{.}}", "all"],
    ["{{toJson $}}", "all"],
    ["{{range $k, $v := .}}{{$k}}{{end}}", [["*", ""]]],
  ];
  for (const [text, expected] of cases) {
    deepEqual(reach(text), expected, text);
  }
  const walk =
    '{{define "w"}}{{.v}}{{range .kids}}{{template "w" .}}{{end}}{{end}}{{template "w" .tree}}';
  const paths = reach(walk);
  ok(paths !== "all" && paths.length < 20, "a template that calls itself is cut off");
  ok(paths.some((path) => path.at(-1) === "kids" || path.at(-1) === "*"), JSON.stringify(paths));
});

Deno.test("a projection keeps what the paths name, scalars and nulls on the way, and the length of lists", () => {
  const data = { a: { b: 1, c: 2 }, l: [{ x: 1, y: 2 }, { y: 3 }, null, "s"], n: null, z: 1 };
  const paths = [["a", "b"], ["l", "*", "x"], ["n", "deep"], ["missing"]];
  equal(
    JSON.stringify(projectFields(data, paths)),
    '{"a":{"b":1},"l":[{"x":1},{},null,"s"],"n":null}',
  );
  equal(projectFields(data, "all"), data);
});

/** Random templates from pieces that are right in themselves. */
const operand = fc.constantFrom(
  ".a",
  ".a.b",
  "$",
  "1",
  "-1.5e3",
  "'x'",
  '"s\\n"',
  "`r`",
  "true",
  ".",
  "$v",
);
const pipe = fc.letrec<{ pipe: string }>((tie) => ({
  pipe: fc.oneof(
    { depthSize: "small" },
    operand,
    fc.tuple(fc.constantFrom("print", "len", "printf"), operand).map((parts) => parts.join(" ")),
    fc.tuple(operand, fc.constantFrom("print", "html")).map(([a, b]) => `${a} | ${b}`),
    tie("pipe").map((inner) => `(${inner}).x`),
    tie("pipe").map((inner) => `print (${inner}) nil`),
    tie("pipe").map((inner) => `$v := ${inner}`),
  ),
})).pipe.filter((text) => !/\(\$v := .*\$v/.test(text));
const text = fc.stringMatching(/^[a{} \n-]{0,6}$/).filter((piece) => !piece.includes("{{"));
const body = fc.letrec<{ body: string }>((tie) => ({
  body: fc.oneof(
    { depthSize: "small" },
    text,
    fc.tuple(fc.constantFrom("{{", "{{- "), pipe, fc.constantFrom("}}", " -}}")).map((parts) =>
      parts.join("")
    ),
    fc.constantFrom("{{/* note */}}", "{{- /* note */ -}}"),
    fc.tuple(
      fc.constantFrom("if", "with", "range", "range $i, $e :="),
      pipe,
      tie("body"),
      tie("body"),
    )
      .map(([word, value, a, b]) =>
        `{{${word} ${value.replace("$v := ", "")}}}${a}{{else}}${b}{{end}}`
      ),
    fc.tuple(pipe, tie("body")).map(([value, a]) =>
      `{{if ${value.replace("$v := ", "")}}}${a}{{else if 1}}${a}{{end}}`
    ),
    tie("body").map((a) => `{{range .l}}${a}{{if .}}{{break}}{{end}}{{continue}}{{end}}`),
    fc.tuple(tie("body"), tie("body")).map((parts) => parts.join("")),
  ),
})).body;

function withoutPositions(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(
      value,
      (key, part) => key === "pos" ? undefined : typeof part === "bigint" ? String(part) : part,
    ),
  );
}

Deno.test("a printed tree parses to the same tree, and renders the same", () => {
  let parsed = 0;
  fc.assert(
    fc.property(body, body, (main, other) => {
      const source =
        `{{$v := 1}}${main}{{define "d\\n"}}${other}{{end}}{{block "b" .}}${other}{{end}}`;
      let template;
      try {
        template = parseTemplate("t", source);
      } catch (error) {
        ok(error instanceof TemplateError, String(error));
        return;
      }
      parsed++;
      const again = parseTemplate("t", template.toString());
      const trees = (from: typeof again) => withoutPositions([...from.trees].toSorted());
      deepEqual(trees(again), trees(template));
    }),
    { seed: 7, numRuns: 3000 },
  );
  ok(parsed > 1500, `only ${parsed} of the sources parsed`);
});

Deno.test("the same data gives the same text, in whatever order its keys are", () => {
  const template = parseTemplate(
    "t",
    "{{.}} {{toJson .}} {{keys .}} {{range $k, $v := .}}{{$k}}{{end}}",
  );
  const forward: GoValue = { b: 1, a: { y: 1, x: 2 }, "10": 1, "9": 2 };
  const backward: GoValue = { "9": 2, "10": 1, a: { x: 2, y: 1 }, b: 1 };
  equal(template.execute(forward), template.execute(backward));
});
