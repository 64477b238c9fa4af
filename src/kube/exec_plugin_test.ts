import assert from "node:assert/strict";
import { VirtualClock } from "../lib/virtual_clock.ts";
import { systemClock } from "../lib/clock.ts";
import { KubeConnectionError } from "../runtime/ports/errors.ts";
import { ExecCredentials, parseExecCredential, type PluginRun } from "./exec_plugin.ts";
import type { ExecSpec } from "./kubeconfig_context.ts";
import { pluginRunner } from "./run_plugin.ts";

const v1 = "client.authentication.k8s.io/v1";
const spec: ExecSpec = {
  apiVersion: v1,
  command: "login",
  args: [],
  env: {},
  interactive: "Never",
  installHint: "brew install login",
};

const credential = (status: Record<string, unknown> | undefined, apiVersion = v1) =>
  JSON.stringify({ apiVersion, kind: "ExecCredential", status });

function credentials(outputs: string[], more: Partial<ExecSpec> = {}, terminal = false) {
  const clock = new VirtualClock();
  const runs: PluginRun[] = [];
  const exec = new ExecCredentials({
    spec: { ...spec, ...more },
    origin: 'context "c" of /k',
    clock,
    terminal: () => terminal,
    run: (run) => {
      runs.push(run);
      const output = outputs.shift();
      return output === undefined ? Promise.reject(new Error("broke")) : Promise.resolve(output);
    },
  });
  return { exec, clock, runs };
}

Deno.test("a token is kept until it expires, and asked for once by many", async () => {
  const outputs = ["a", "b"].map((token, index) =>
    credential({ token, expirationTimestamp: new Date(Date.UTC(2026, 0, 1 + index, 1)) })
  );
  const { exec, clock, runs } = credentials(outputs);
  const asked = await Promise.all([exec.authorization(), exec.authorization(), exec.certificate()]);
  assert.deepEqual(asked, ["Bearer a", "Bearer a", undefined]);
  assert.equal(runs.length, 1);
  await clock.advance(3600_000);
  assert.equal(exec.authorization(), "Bearer a");
  await clock.advance(1);
  assert.equal(await exec.authorization(), "Bearer b");
  assert.equal(runs.length, 2);
});

Deno.test("a refused token runs the plug-in again, though not in a storm", async () => {
  const { exec, clock, runs } = credentials([
    credential({ token: "a" }),
    credential({ token: "b" }),
  ]);
  await exec.authorization();
  assert.equal(await exec.refresh("Bearer a"), false);
  await clock.advance(10_000);
  assert.equal(await exec.refresh("Bearer a"), true);
  assert.equal(exec.authorization(), "Bearer b");
  // Someone else's old token: the new one is here already.
  assert.equal(await exec.refresh("Bearer a"), true);
  assert.equal(runs.length, 2);
});

Deno.test("the plug-in is told what it may ask and of which cluster", async () => {
  const cluster = { server: "https://h" };
  const { exec, runs } = credentials([credential({ token: "a" })], {
    cluster,
    interactive: "IfAvailable",
  }, true);
  await exec.authorization();
  assert.deepEqual(JSON.parse(runs[0]?.execInfo ?? ""), {
    apiVersion: v1,
    kind: "ExecCredential",
    spec: { interactive: true, cluster },
  });
  const never = credentials([credential({ token: "a" })], {}, true);
  await never.exec.authorization();
  assert.deepEqual(JSON.parse(never.runs[0]?.execInfo ?? "").spec, { interactive: false });
});

Deno.test("a failure names plug-in, context and hint, and is no reason to stop trying", async () => {
  const { exec, runs } = credentials([]);
  for (let n = 1; n <= 2; n++) {
    await assert.rejects(Promise.resolve(exec.authorization()), (error) => {
      assert.ok(error instanceof KubeConnectionError && error.failure === "credentials");
      assert.match(
        error.message,
        /plug-in login of context "c" of \/k: broke \(brew install login\)/,
      );
      return true;
    });
    assert.equal(runs.length, n);
  }
  const always = credentials([credential({ token: "a" })], { interactive: "Always" });
  await assert.rejects(Promise.resolve(always.exec.authorization()), /not a terminal/);
});

Deno.test("outputs that give no credentials are refused without being quoted", () => {
  const bad: [string, RegExp][] = [
    ["secret", /not JSON/],
    ["{}", /not an ExecCredential/],
    [credential({ token: "secret" }, "client.authentication.k8s.io/v1beta1"), /v1beta1/],
    [credential(undefined), /no status/],
    [credential({}), /neither/],
    [credential({ token: 5 }), /token is not a string/],
    [credential({ clientKeyData: "secret" }), /without the other/],
    [credential({ token: "secret", expirationTimestamp: "soon" }), /not a time/],
  ];
  for (const [output, message] of bad) {
    assert.throws(() => parseExecCredential(output, v1), (error) => {
      assert.match((error as Error).message, message);
      assert.doesNotMatch((error as Error).message, /secret/);
      return true;
    });
  }
});

Deno.test("a real program gets its environment, and its failure is told", async () => {
  const run = pluginRunner(systemClock);
  const program = (script: string, env = {}) => ({
    spec: { ...spec, command: "sh", args: ["-c", script], env },
    execInfo: "INFO",
    interactive: false,
  });
  assert.equal(await run(program('printf "$KUBERNETES_EXEC_INFO $A"', { A: "1" })), "INFO 1");
  await assert.rejects(run(program("echo no luck >&2; exit 3")), /status 3: no luck/);
  await assert.rejects(
    run({ ...program(""), spec: { ...spec, command: "no-such-program-here" } }),
    /not installed/,
  );
});

Deno.test({
  name: "without permission to start programs the plug-in is refused in words",
  permissions: { run: false },
  fn: async () => {
    const run = pluginRunner(systemClock);
    await assert.rejects(
      run({ spec, execInfo: "", interactive: false }),
      /may not start programs \(--allow-run=login\)/,
    );
  },
});
