import assert from "node:assert/strict";
import type { Shell } from "./shell.ts";
import { validate } from "./validate.ts";

const VALID = `
apiVersion: podconfig.example.com/v1alpha1
kind: PodConfigMapConfig
metadata: { name: facts }
spec: { labelsToInclude: [app] }
`;

/** Validates files, name -> text; a name without a text cannot be read. */
async function validated(files: Readonly<Record<string, string | Error>>) {
  const out: string[] = [];
  const err: string[] = [];
  const shell: Shell = {
    print: (line) => void out.push(line),
    printError: (line) => void err.push(line),
    readTextFile(path) {
      const text = files[path];
      return typeof text === "string" ? Promise.resolve(text) : Promise.reject(text);
    },
    readStandardInput: () => Promise.resolve(""),
    hostName: () => "host",
    colour: false,
  };
  const code = await validate({ files: Object.keys(files), output: "text" }, shell);
  return { code, out: out.join(""), err: err.join("") };
}

Deno.test("a valid config is valid, with CRLF and a byte order mark, too", async () => {
  for (const text of [VALID, VALID.replaceAll("\n", "\r\n"), `\ufeff${VALID}`]) {
    const { code, out, err } = await validated({ "a.yaml": text });
    assert.equal(code, 0, err);
    assert.equal(out, "a.yaml: PodConfigMapConfig facts: valid\n");
  }
});

Deno.test("a system call that no architecture has is valid, with a warning that names it", async () => {
  const names = '["read", "nosuchcall", "open"]';
  const spec =
    `spec: { ebpfConfig: { syscallMonitoring: { enabled: true, syscallNames: ${names} } } }`;
  const { code, out } = await validated({
    "a.yaml": VALID.replace("spec: { labelsToInclude: [app] }", spec),
  });
  assert.equal(code, 0);
  const warnings = out.split("\n").filter((line) => line.includes("warning"));
  // `open` is a call of x86_64 alone.
  assert.deepEqual(warnings, [
    "  warning: spec.ebpfConfig.syscallMonitoring.syscallNames[1]: no system call of x86_64 or " +
    'aarch64 has the name "nosuchcall"',
  ]);
});

Deno.test("a name that Kubernetes refuses is invalid", async () => {
  for (const name of ["Facts", "a_b", "caf\u00e9", "-a", "a..b", "a".repeat(254)]) {
    const { code, out } = await validated({ "a.yaml": VALID.replace("facts", `"${name}"`) });
    assert.equal(code, 1, name);
    assert.match(out, /metadata\.name: must be a name in lower case/);
  }
  assert.equal((await validated({ "a.yaml": VALID.replace("facts", "a.b-c") })).code, 0);
});

Deno.test("YAML is read as kubectl reads it: yes is true, << merges, a time is a string", async () => {
  const spec = (text: string) => VALID.replace("spec: { labelsToInclude: [app] }", text);
  const good = [
    "spec: { ebpfConfig: { l4Firewall: { enabled: yes, allowedPorts: [0x50] } } }",
    "spec: { configMapDataTemplate: { t: 12:30, d: 2001-01-01, z: 2001-12-14T21:59:43Z } }",
    "x: &x { labelsToInclude: [app] }\nspec: { <<: *x }",
  ];
  for (const text of good) {
    const { code, out } = await validated({ "a.yaml": spec(text) });
    assert.equal(code, 0, out);
    assert.doesNotMatch(out, /spec.*warning|<</);
  }
  const { code, out } = await validated({ "a.yaml": spec("spec: { labelsToInclude: [on] }") });
  assert.equal(code, 1);
  assert.match(out, /labelsToInclude\[0\]/);
});

Deno.test("what is not UTF-8 is refused with its line", async () => {
  for (const text of [`${VALID}# caf\ufffd\n`, `${VALID}# \0\n`]) {
    const { code, err } = await validated({ "a.yaml": text });
    assert.equal(code, 1);
    assert.match(err, /Cannot parse a\.yaml: not a text in UTF-8, see line 6\n/);
  }
});

Deno.test("nothing to validate is a failure", async () => {
  for (const text of ["", "---\n", "apiVersion: v1\nkind: Pod\n"]) {
    const { code, err } = await validated({ "a.yaml": text });
    assert.equal(code, 1);
    assert.match(err, /no PodConfigMapConfig in a\.yaml/);
  }
  assert.match((await validated({ "-": "" })).err, /no PodConfigMapConfig in stdin\n/);
});

Deno.test("a file that cannot be read, or is no YAML, is told in a few lines", async () => {
  const directory = new Error("Is a directory (os error 21): readfile 'dir'");
  const noYaml = "a: b: c\n".repeat(30);
  const { code, out, err } = await validated({ dir: directory, "a.ts": noYaml, "b.yaml": VALID });
  assert.equal(code, 1);
  assert.equal(out, "");
  const lines = err.trimEnd().split("\n");
  assert.equal(lines[0], "error: Cannot read dir: Is a directory");
  assert.match(lines[1] ?? "", /^error: Cannot parse a\.ts: .* at line 1, column \d+$/);
  assert.equal(lines.length, 5);
  assert.match(lines[4] ?? "", /^error: Cannot parse a\.ts: \d+ more such errors$/);
});
