/**
 * The simulation notices planted bugs: each mutant of the sources, in a copy, violates an invariant
 * within a bounded number of seeds.
 */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { type Mutant, MUTANTS } from "./mutants.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Each is caught far earlier on average; the rest is room for changes. */
const SEEDS_MAX = 400;

interface Outcome {
  readonly seed: number;
  readonly violations: readonly { readonly invariant: string }[];
}

Deno.test("the simulation catches each planted bug", async (t) => {
  const copy = mkdtempSync(`${tmpdir()}/mutants-`);
  try {
    for (const part of ["src", "tests/sim", "deno.json", "deno.lock"]) {
      cpSync(`${ROOT}${part}`, `${copy}/${part}`, { recursive: true });
    }
    for (const mutant of MUTANTS) {
      await t.step(mutant.name, () => catchMutant(copy, mutant));
    }
  } finally {
    rmSync(copy, { recursive: true });
  }
});

async function catchMutant(copy: string, { file, find, replace }: Mutant): Promise<void> {
  const path = `${copy}/${file}`;
  const original = readFileSync(path, "utf8");
  assert.equal(original.split(find).length - 1, 1, `"${find}" occurs once in ${file}`);
  writeFileSync(path, original.replace(find, () => replace));
  try {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-check",
        "--allow-all",
        `${copy}/tests/sim/main.ts`,
        `--seeds=${SEEDS_MAX}`,
        "--first",
        "--json",
      ],
      cwd: copy,
      stdin: "null",
    }).output();
    const errors = new TextDecoder().decode(stderr);
    assert.equal(errors, "", "the mutant runs");
    const lines = new TextDecoder().decode(stdout).trim().split("\n");
    const last = JSON.parse(lines.at(-1) ?? "") as Outcome;
    assert.ok(last.violations.length > 0, `not noticed in ${SEEDS_MAX} seeds`);
    say(`report: caught at seed ${last.seed}: ${last.violations[0]?.invariant}`);
  } finally {
    writeFileSync(path, original);
  }
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
