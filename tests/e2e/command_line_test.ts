/** The program as a process: what it says and how it ends when it cannot begin, and the demo. */
import assert from "node:assert/strict";
import { controllerCommand } from "../support/controller.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, output, run, RunningProcess, temporaryDir } from "../support/processes.ts";
import { testNeeding } from "../support/requirements.ts";

async function program(args: readonly string[], env: Record<string, string> = {}) {
  const [command = "", ...before] = controllerCommand();
  // Neither the machine's own kubeconfig nor a Pod's service account.
  const isolated = { KUBECONFIG: "", HOME: "/nonexistent", KUBERNETES_SERVICE_HOST: "", ...env };
  return await run(command, [...before, ...args], { env: { ...cache(), ...isolated } });
}

/** Deno finds its compiled modules below HOME unless told. */
function cache(): Record<string, string> {
  const home = Deno.env.get("HOME") ?? "";
  return { DENO_DIR: Deno.env.get("DENO_DIR") ?? `${home}/.cache/deno` };
}

/** A kubeconfig for a server that need not exist. */
async function kubeconfig(dir: string, cluster: Record<string, unknown> = {}): Promise<string> {
  const path = `${dir}/kubeconfig`;
  const server = `https://127.0.0.1:${freePort()}`;
  const text = JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    clusters: [{ name: "c", cluster: { server, ...cluster } }],
    users: [{ name: "u", user: { token: "t" } }],
  });
  await Deno.writeTextFile(path, text);
  return path;
}

Deno.test("unknown flag, bad duration, bad address: all problems at once, exit code 2", async () => {
  const args = ["controller", "--no-such-flag", "--lease-duration=5", "--metrics-addr=nowhere"];
  const { code, stdout, stderr } = await program(args, {
    CONTROLLER_MAX_RETRIES: "many",
    LOG_LEVEL: "loud",
  });
  assert.equal(code, 2);
  assert.equal(stdout, "");
  const problems = stderr.split("\n").filter((line) => line.startsWith("error: "));
  for (
    const each of [
      "--no-such-flag",
      "--lease-duration",
      "--metrics-addr",
      "CONTROLLER_MAX_RETRIES",
      "LOG_LEVEL",
    ]
  ) {
    assert.equal(problems.filter((line) => line.includes(each)).length, 1, stderr);
  }
  assert.equal(problems.length, 5, stderr);
});

Deno.test("the name alone, typed on a terminal, prints the help and works on no cluster", async () => {
  await using dir = await temporaryDir("terminal");
  const typed = [...controllerCommand()].map((word) => `'${word}'`).join(" ");
  const env = { ...cache(), KUBECONFIG: await kubeconfig(dir.path), HOME: dir.path };
  // Its own terminal, on which it types that line.
  const { code, stdout } = await run("script", ["-qec", typed, "/dev/null"], { env });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^Usage: podconfigmap-controller/);
});

Deno.test("no command that exists: says which there are, exit code 2", async () => {
  const { code, stderr } = await program(["contoller"]);
  assert.equal(code, 2);
  assert.match(stderr, /contoller/);
  assert.match(stderr, /controller/);
});

Deno.test("a kubeconfig that is missing, not readable as one, or names a missing CA: says which file, exit code 2", async () => {
  await using dir = await temporaryDir("command-line");
  const off = "--metrics-addr=off";
  const missing = `${dir.path}/no-such-file`;
  const absent = await program(["controller", off, "--kubeconfig", missing]);
  assert.equal(absent.code, 2, absent.stderr);
  assert.match(absent.stderr, new RegExp(`Cannot read kubeconfig ${missing}: .*[Nn]o such file`));

  const garbage = `${dir.path}/garbage`;
  await Deno.writeTextFile(garbage, "clusters: [\n");
  const broken = await program(["controller", off, "--kubeconfig", garbage]);
  assert.equal(broken.code, 2, broken.stderr);
  assert.match(broken.stderr, new RegExp(garbage));

  const withoutCa = await kubeconfig(dir.path, { "certificate-authority": missing });
  const noCa = await program(["controller", off, "--kubeconfig", withoutCa]);
  assert.equal(noCa.code, 2, noCa.stderr);
  assert.match(noCa.stderr, new RegExp(`certificate.*${missing}`));

  const nowhere = await program(["controller", off]);
  assert.equal(nowhere.code, 2, nowhere.stderr);
  assert.match(nowhere.stderr, /Cannot find a Kubernetes cluster/);
});

Deno.test("a metrics port that is in use: says so, exit code 1", async () => {
  await using dir = await temporaryDir("command-line");
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
  const args = ["controller", "--kubeconfig", await kubeconfig(dir.path)];
  const { code, stderr } = await program(args, { METRICS_ADDR: address });
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`Cannot listen on ${address}: .*in use`));
});

Deno.test("demo --once tells its story and ends with exit code 0", async () => {
  const { code, stdout, stderr } = await program(["demo", "--once"]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /the controller wrote 0 times/);
  assert.deepEqual(stderr.split("\n").filter((line) => /^E|error/.test(line)), []);
});

testNeeding({
  needs: ["KUBEBUILDER_ASSETS"],
  name: "kubectl joins a running demo: get, apply, wait, label and delete have their effects",
  async fn() {
    await using dir = await temporaryDir("demo");
    const [command = "", ...before] = controllerCommand();
    await using demo = await RunningProcess.start({
      command,
      args: [...before, "demo", "--no-story"],
      env: { TMPDIR: dir.path },
      logFile: `${dir.path}/log`,
    });
    const line = await demo.logLine("kubectl --server");
    const url = /--server (\S+)/.exec(line)?.[1] ?? "";
    const kubectl = (stdin: string, ...args: string[]) =>
      output(`${Deno.env.get("KUBEBUILDER_ASSETS")}/kubectl`, [
        `--server=${url}`,
        `--cache-dir=${dir.path}/cache`,
        "--namespace=demo",
        ...args,
      ], { stdin, env: { KUBECONFIG: "/nonexistent" } });
    assert.match(await kubectl("", "get", "pods"), /web-1/);
    const pcmc = {
      apiVersion: "podconfig.example.com/v1alpha1",
      kind: "PodConfigMapConfig",
      metadata: { name: "mine" },
      spec: { labelsToInclude: ["tier"] },
    };
    assert.match(await kubectl(JSON.stringify(pcmc), "apply", "-f", "-"), /created/);
    await kubectl("", "wait", "--for=condition=Ready", "--timeout=60s", "pcmc/mine");
    await kubectl("", "label", "pod", "web-1", "tier=front");
    const read = () =>
      kubectl(
        "",
        "get",
        "configmap",
        "pod-web-1-from-mine-cfg",
        "-o",
        "jsonpath={.data.label_tier}",
      );
    await eventually("the label is copied", async () => await read() === "front");
    await kubectl("", "delete", "pcmc", "mine");
    await eventually("its ConfigMaps are gone", async () => {
      const names = await kubectl("", "get", "configmaps", "-o", "name");
      return !names.includes("from-mine-cfg");
    });
    const { code } = await demo.stop();
    assert.equal(code, 0);
  },
});
