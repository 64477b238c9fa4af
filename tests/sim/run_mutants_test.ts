/**
 * The tests of the role `run` notice planted bugs: each mutant of the sources, in a copy, fails one of
 * them. The texts occur exactly once, so that a change of the source cannot quietly disarm a mutant.
 */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import type { Mutant } from "./mutants.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SEEDS = "15";
const LEADER_AGENT = "src/agent/leader_agent.ts";

const MUTANTS: readonly Mutant[] = [
  {
    name: "takes down without having claimed the node",
    file: LEADER_AGENT,
    find: "await this.#loader.open();",
    replace: "",
  },
  {
    name: "takes down whenever it does not lead",
    file: LEADER_AGENT,
    find: 'return node === this.nodeName ? "settled" : "elsewhere";',
    replace: 'return "elsewhere";',
  },
  {
    name: "takes down while nobody holds the lease",
    file: LEADER_AGENT,
    find: 'if (node === undefined) return "open";',
    replace: 'if (node === undefined) return "elsewhere";',
  },
  {
    name: "takes nothing down",
    file: LEADER_AGENT,
    find: 'sight === "elsewhere" ? await this.#takeDown() : sight;',
    replace: 'sight === "elsewhere" ? "settled" : sight;',
  },
  {
    name: "ends without waiting for who comes next",
    file: LEADER_AGENT,
    find: "const HAND_OVER_MS = 2_500;",
    replace: "const HAND_OVER_MS = 0;",
  },
  {
    name: "goes on with the node after its term",
    file: "src/controllers/manager.ts",
    find: "service?.lead(signal, beforeWrite, turn.resolve),",
    replace: "void service?.lead(new AbortController().signal, beforeWrite, turn.resolve),",
  },
  {
    name: "other nodes' Pods keep what was said of them",
    file: "src/controllers/unserved_pods.ts",
    find: 'if (pod === undefined || pod.nodeName === "" ||',
    replace: "if (pod === undefined || clock !== undefined ||",
  },
  {
    name: "series of a term that is over stay",
    file: "src/agent/agent.ts",
    find: "this.#collector.forgetAll();",
    replace: "",
  },
  {
    name: "opens the kernel where nobody asks for programs",
    file: "src/agent/kernel.ts",
    find: "if (onDemand && !this.#opened && !await loader.present()) return;",
    replace: "",
  },
  {
    name: "begins a term with the kernel, asked for or not",
    file: "src/agent/kernel.ts",
    find: "if (!areWanted && !await this.#options.loader.present()) return false;",
    replace: "",
  },
  {
    name: "warms up where nobody asks for programs",
    file: "src/agent/standby.ts",
    find: "if (this.asking().length > 0) return node.warmUp();",
    replace: "return node.warmUp();",
  },
  {
    name: "begins a term without what the standby knew",
    file: LEADER_AGENT,
    find: "const asking = this.#standby?.standby.asking();",
    replace: "const asking = undefined;",
  },
  {
    name: "a head start changes what is in place",
    file: "src/agent/head_start.ts",
    find: "await firewall.inspect(pod.uid) !== undefined || ",
    replace: "",
  },
];

Deno.test("the tests of run catch each planted bug", async (t) => {
  const copy = mkdtempSync(`${tmpdir()}/run-mutants-`);
  try {
    for (
      const part of ["src", "bpf", "ffi", "tests/sim", "tests/support", "deno.json", "deno.lock"]
    ) {
      cpSync(`${ROOT}${part}`, `${copy}/${part}`, { recursive: true });
    }
    for (const mutant of MUTANTS) await t.step(mutant.name, () => catchMutant(copy, mutant));
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
    const { code, output } = await play(copy);
    assert.notEqual(code, 0, "not noticed");
    // By a test, not by a source that cannot be run.
    assert.match(output, /passed \| [1-9]\d* failed/);
  } finally {
    writeFileSync(path, original);
  }
}

async function play(copy: string): Promise<{ code: number; output: string }> {
  const tests = ["run_test.ts", "run_sim_test.ts"].map((name) => `${copy}/tests/sim/${name}`);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-check", "--allow-all", "--fail-fast", ...tests],
    cwd: copy,
    env: { RUN_SIM_SEEDS: SEEDS, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, output: text(stdout) + text(stderr) };
}
