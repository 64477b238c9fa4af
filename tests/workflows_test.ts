/** The workflows for a public forge: a linter accepts them, and they do what CI does elsewhere. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { run } from "./support/processes.ts";
import { testNeeding } from "./support/requirements.ts";

const ROOT = new URL("../", import.meta.url);
const read = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));
const FOLDER = ".github/workflows";
const ci = parse(read(`${FOLDER}/ci.yml`));

testNeeding({
  needs: ["actionlint"],
  name: "actionlint accepts the workflows, and would not accept a broken one",
  async fn() {
    const files = [...Deno.readDirSync(new URL(FOLDER, ROOT))]
      .map(({ name }) => `${ROOT.pathname}${FOLDER}/${name}`);
    assert.ok(files.length >= 2);
    const lint = (args: readonly string[], stdin?: string) =>
      run("actionlint", ["-no-color", ...args], {
        cwd: ROOT.pathname,
        ...(stdin === undefined ? {} : { stdin }),
      });
    const { code, stdout, stderr } = await lint(files);
    assert.equal(code, 0, stdout + stderr);
    const broken = read(`${FOLDER}/ci.yml`).replaceAll("matrix.deno", "matrix.node");
    assert.match((await lint(["-"], broken)).stdout, /property "node" is not defined/);
  },
});

Deno.test("CI on a forge finds the packages that the tests are given elsewhere", async () => {
  const named = ({ name }: { name?: string }) => name === "Packages that the tests use";
  const [script] = ci.jobs.test.steps.find(named).run.split(" |\n");
  const { stdout } = await run("sh", ["-euc", script], { cwd: ROOT.pathname });
  const lists = [...read(".ci/run").matchAll(/^packages\+?=\((.*?)\)$/gms)];
  assert.equal(stdout, lists.map(([, list]) => `${list}\n`).join(""));
  assert.match(stdout, /\blibbpf1\b/);
});

Deno.test("CI on a forge has each program that a test may need", () => {
  const [, list = ""] = /const PROGRAMS = \[(.*?)\]/s.exec(read("tests/support/requirements.ts")) ??
    [];
  const programs = [...list.matchAll(/"([\w-]+)"/g)].map(([, name = ""]) => name);
  assert.ok(programs.length > 3);
  const others: Readonly<Record<string, string>> = {
    pyspdxtools: "spdx-tools",
    promtool: "prometheus",
  };
  const given = `${read(`${FOLDER}/ci.yml`)}${read(".ci/run").match(/^packages.*$/gm)}`;
  assert.deepEqual(programs.filter((name) => !given.includes(others[name] ?? name)), []);
});

Deno.test("CI on a forge tries the oldest and the pinned Deno", () => {
  const [, oldest] = /deno-compile-([\d.]+)$/m.exec(read(".ci/run")) ?? [];
  assert.deepEqual(ci.jobs.check.strategy.matrix.deno, [oldest, read(".deno-version").trim()]);
});
