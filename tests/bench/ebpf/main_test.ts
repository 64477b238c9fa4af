/** The benchmark itself, one round of it: every variant starts, is measured and leaves nothing. */
import assert from "node:assert/strict";
import { kernelTest, missingForKernel } from "../../kernel/support/sandbox.ts";
import { run } from "../../support/processes.ts";
import { disturbances, missingTools } from "./peers.ts";
import { BASELINE } from "./rounds.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const lacks = missingForKernel().length > 0 ? [] : [...missingTools(), ...disturbances()];

/** Sandboxes, and what is mounted for them, whose process has ended. */
function leftovers(root: string): string[] {
  const cgroups = [...Deno.readDirSync(`${root}/..`)].map(({ name }) => name);
  const mounts = Deno.readTextFileSync("/proc/mounts").split("\n");
  return [...cgroups, ...mounts].filter((name) => {
    const [, pid] = /podconfigmap-test-(\d+)-/.exec(name) ?? [];
    return pid !== undefined && !isAlive(pid);
  });
}

function isAlive(pid: string): boolean {
  try {
    return Deno.statSync(`/proc/${pid}`).isDirectory;
  } catch {
    return false;
  }
}

kernelTest(
  "one round of the benchmark measures every variant and leaves nothing",
  async (sandbox) => {
    const folder = await Deno.makeTempDir({ prefix: "bench-ebpf-test-" });
    try {
      const before = leftovers(sandbox.root);
      const { code, stdout, stderr } = await run(
        Deno.execPath(),
        ["run", "--allow-all", "--no-check", MAIN, "--rounds", "1", "--output", folder],
      );
      assert.equal(code, 0, stderr);
      const [json = ""] = [...Deno.readDirSync(folder)].map(({ name }) => name)
        .filter((name) => name.endsWith(".json"));
      const { syscalls, network } = JSON.parse(Deno.readTextFileSync(`${folder}/${json}`));
      for (const rows of [syscalls, network]) {
        assert.equal(rows[0].variant, BASELINE);
        for (const { variant, missing, values } of rows) {
          const measured = Object.values(values) as number[][];
          const complete = measured.length > 0 && measured.every(([value]) => Number(value) > 0);
          assert.ok(missing !== undefined || complete, variant);
        }
      }
      assert.match(stdout, /\| nothing attached \| takes \d+ \|/);
      assert.deepEqual(leftovers(sandbox.root).filter((name) => !before.includes(name)), []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
  lacks,
);
