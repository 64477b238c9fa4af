import assert from "node:assert/strict";
import { run, RunningProcess, temporaryDir } from "../support/processes.ts";
import { testNeeding } from "../support/requirements.ts";

/** The test runner builds it; see `scripts/test.ts`. */
function binary(): string {
  const path = Deno.env.get("CONTROLLER_BINARY");
  if (!path) throw new Error("Cannot find the compiled program: set CONTROLLER_BINARY");
  return path;
}

testNeeding({
  needs: ["DENORT_BIN"],
  name: "the compiled program knows its version and commit, without Deno or the sources",
  async fn() {
    await using empty = await temporaryDir("binary-test");
    const env = { PATH: "", HOME: empty.path, DENO_DIR: `${empty.path}/deno` };
    const { code, stdout, stderr } = await run(binary(), ["version", "-o", "json"], {
      cwd: empty.path,
      env,
    });
    assert.equal(code, 0, stderr);
    const version = JSON.parse(stdout);
    assert.match(version.commit, /^[0-9a-f]{12}(-dirty)?$/);
    assert.match(version.version, /^\d+\.\d+\.\d+/);
    assert.deepEqual([...Deno.readDirSync(empty.path)], [], "it left files in its home");
  },
});

testNeeding({
  needs: ["DENORT_BIN"],
  name: "the compiled program asks for nothing it was not given: every command starts",
  async fn() {
    for (const command of ["controller", "demo", "render", "validate", "version"]) {
      const { code, stdout, stderr } = await run(binary(), [command, "--help"]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, new RegExp(command));
    }
    // All rights that the story uses: listening, writing the kubeconfig, removing it again.
    await using dir = await temporaryDir("binary-test");
    await using demo = await RunningProcess.start({
      command: binary(),
      args: ["demo"],
      env: { TMPDIR: dir.path },
      logFile: `${dir.path}/log`,
    });
    await demo.logLine("The story is told", { timeoutMs: 120_000 });
    const { code, signal } = await demo.stop();
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
    assert.deepEqual([...Deno.readDirSync(dir.path)].map((entry) => entry.name), ["log"]);
  },
});
