/** The documents: generated pages are as the tables say, commands are run, what is named exists. */
import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { generatedDocs } from "../scripts/docs.ts";
import {
  commandBlocks,
  documents,
  fences,
  readDocument,
  RUN_BY,
} from "./support/documented_commands.ts";

const exists = (path: string) => {
  try {
    Deno.statSync(new URL(`../${path}`, import.meta.url));
    return true;
  } catch {
    return false;
  }
};

for (const [path, text] of generatedDocs()) {
  Deno.test(`${path} is up to date (deno task docs)`, () => assert.equal(readDocument(path), text));
}

Deno.test("every command in the documents is run by a test, or its block says what it needs", () => {
  const commands = documents().flatMap((path) => commandBlocks(path))
    .filter(({ needs }) => needs === "")
    .flatMap(({ commands }) => commands);
  assert.deepEqual(commands.filter((command) => !(command in RUN_BY)), []);
  assert.deepEqual(Object.keys(RUN_BY).filter((command) => !commands.includes(command)), []);
  for (const by of Object.values(RUN_BY)) assert.ok(by === "walk" || by === "ci" || exists(by), by);
});

Deno.test("a block that does not say what it needs, and a command that nothing runs, would be seen", () => {
  const block = (info: string) =>
    commandBlocks("x.md", `\`\`\`${info}\na \\\n  b # c\n\n# d\n\`\`\`\n`);
  assert.deepEqual(block("sh"), [{ path: "x.md", needs: "", commands: ["a b"] }]);
  assert.deepEqual(block("sh cluster")[0]?.needs, "cluster");
  assert.deepEqual(block("yaml"), []);
  for (const info of ["bash", "sh Cluster", "console"]) assert.throws(() => block(info), /needs/);
});

Deno.test("links between documents lead somewhere", () => {
  const dead = documents().flatMap((path) => {
    const text = readDocument(path).replaceAll(/```.*?```/gs, "");
    return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link)
      .filter((link) => !/^[a-z]+:/.test(link) && !leads(path, link))
      .map((link) => `${path}: ${link}`);
  });
  assert.deepEqual(dead, []);
});

Deno.test("files that the documents name exist", () => {
  const missing = documents().flatMap((path) => {
    const names = readDocument(path).match(
      /(?<![\w./-])(?:deploy|examples|docs|scripts|tests|crd|bpf|ffi|src)\/[\w./-]*\w/g,
    ) ?? [];
    return names.filter((name) => !exists(name)).map((name) => `${path}: ${name}`);
  });
  assert.deepEqual(missing, []);
});

Deno.test("environment variables that the documents name exist", () => {
  // Of the build and the tests, and of others.
  const others =
    /^(KUBEBUILDER_ASSETS|DENORT_BIN|DENO_\w+|KERNEL_IMAGE|NODE_VM|LIBBPF_PATH|XDG_\w+)$/;
  const known = readDocument("docs/configuration.md");
  const missing = documents().flatMap((path) =>
    [...readDocument(path).matchAll(/`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`/g)].map(([, name = ""]) => name)
      .filter((name) => !known.includes(`\`${name}\``) && !others.test(name))
      .map((name) => `${path}: ${name}`)
  );
  assert.deepEqual(missing, []);
});

Deno.test("docs/security.md names every right that the roles grant, and no other", async () => {
  const text = readDocument("docs/security.md");
  const [, controller = "", agent = ""] =
    /Controller \(.*?\n(.*?)\nAgent \(.*?\n(.*?)\nPeople/s.exec(text) ?? [];
  assert.deepEqual(
    rightsInTable(controller),
    await rights("deploy/controller/cluster-role.yaml", "deploy/base/lock-role.yaml"),
  );
  assert.deepEqual(rightsInTable(agent), await rights("deploy/agent/rbac.yaml"));
});

Deno.test("docs/security.md names every right of the process that the build compiles in", () => {
  const code = readDocument("scripts/build.ts");
  const lists = code.match(/const (?:WORKSTATION_)?RIGHTS = \[.*?\];/gs)?.join("\n") ?? "";
  const compiled = lists.match(/--allow-[\w=,]+/g) ?? [];
  const documented = readDocument("docs/security.md").match(/^\|.*?`--allow-.*?\|/gm)
    ?.flatMap((cell) => cell.match(/--allow-[\w=,]+/g) ?? []) ?? [];
  assert.ok(compiled.length > 5);
  assert.deepEqual([...documented].sort(), [...compiled].sort());
});

Deno.test("figures of README and operations are those of the last measurement", () => {
  // Newest first.
  const [, newest = ""] = /^## \d{4}-(.*?)^## /ms.exec(readDocument("docs/performance.md")) ?? [];
  const figure = (row: string) => new RegExp(`^\\| ${row} +\\| ([\\d.]+)`, "m").exec(newest)?.[1];
  const readme = readDocument("README.md").replaceAll(/\s+/g, " ");
  const operations = readDocument("docs/operations.md");
  const memory = "controller peak resident memory";
  const [cpu, ratio, small, large] = [
    "controller CPU a ConfigMap",
    "controller / raw",
    memory,
    `10000 Pods, cold: ${memory}`,
  ].map(figure);
  const [p50, p99] = ["p50", "p99"].map((p) =>
    figure(`Pod seen to ConfigMap seen, at 20 Pods/s: ${p}`)
  );
  const told = [
    `${cpu} ms of CPU a ConfigMap`,
    `${ratio} times what a raw load generator takes`,
    `${small} MiB at 5,000 Pods and ${large} MiB at 10,000`,
    `${p50} ms (p50) and ${p99} ms (p99)`,
  ];
  assert.deepEqual(told.filter((words) => !readme.includes(words)), []);
  assert.match(operations, new RegExp(`^\\| 5,000 +\\| ${small} MiB`, "m"));
  assert.match(operations, new RegExp(`^\\| 10,000 +\\| ${large} MiB`, "m"));
});

Deno.test("the README's manifests are those that its commands name", () => {
  const manifests = fences(readDocument("README.md")).filter(({ info }) => info === "yaml");
  assert.deepEqual(
    manifests.map(({ body }) => parseAllDocuments(body).map((one) => one.toJS().kind)),
    [["PodConfigMapConfig"], ["Pod"]],
  );
});

/** A file, and the heading where the link names one. */
function leads(from: string, link: string): boolean {
  const [file = "", heading] = link.split("#");
  const base = new URL(from, "file:///");
  const path = file === "" ? from : new URL(file, base).pathname.slice(1);
  if (!exists(path)) return false;
  if (heading === undefined) return true;
  const headings = readDocument(path).match(/^#+ .*$/gm) ?? [];
  return headings.some((line) => slug(line) === heading);
}

/** As forges make anchors of headings. */
function slug(line: string): string {
  return line.replace(/^#+ /, "").toLowerCase().replaceAll(/[^\w\- ]/g, "").replaceAll(" ", "-");
}

/** `verb resource`, sorted, of a table with the columns resource and verbs. */
function rightsInTable(table: string): string[] {
  const rows = [...table.matchAll(/^\| ([a-z./0-9]+) +\| ([a-z, ]+?) +\|/gm)];
  return rows.filter(([, resource]) => resource !== "resource")
    .flatMap(([, resource, verbs = ""]) => verbs.split(", ").map((verb) => `${verb} ${resource}`))
    .sort();
}

interface Role {
  rules?: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

/** The same, of the roles in the files. */
async function rights(...paths: string[]): Promise<string[]> {
  const roles = await Promise.all(paths.map(async (path) => {
    const text = await Deno.readTextFile(new URL(`../${path}`, import.meta.url));
    return parseAllDocuments(text).map((document) => document.toJS() as Role | null);
  }));
  return roles.flat().flatMap((role) => role?.rules ?? []).flatMap((
    { apiGroups, resources, verbs },
  ) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) => {
        const [plural = "", ...sub] = resource.split("/");
        const name = [[plural, group].filter(Boolean).join("."), ...sub].join("/");
        return verbs.map((verb) => `${verb} ${name}`);
      })
    )
  ).sort();
}
