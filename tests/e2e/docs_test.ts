/**
 * The walk of a new user through the README, typed as it stands: on this checkout, and on a real API
 * server with the program in the place of the Pods that no kubelet starts here.
 */
import assert from "node:assert/strict";
import { startControlPlane } from "../support/control_plane.ts";
import { controllerKubeconfig, ControllerProcess } from "../support/controller.ts";
import {
  commandBlocks,
  documents,
  fences,
  readDocument,
  RUN_BY,
} from "../support/documented_commands.ts";
import { eventually } from "../support/eventually.ts";
import { run, RunningProcess, temporaryDir } from "../support/processes.ts";
import { testNeeding } from "../support/requirements.ts";
import { ROOT } from "./stage.ts";

const README = "README.md";
const WALKED = Object.keys(RUN_BY).filter((command) => RUN_BY[command] === "walk");

/** A folder as the user's: the checkout, and what the README says to save in it. */
async function userFolder() {
  const folder = await temporaryDir("readme");
  for (const name of ["crd", "deploy", "dist"]) {
    await Deno.symlink(ROOT + name, `${folder.path}/${name}`);
  }
  const [config, pod] = fences(readDocument(README)).filter(({ info }) => info === "yaml");
  await Deno.writeTextFile(`${folder.path}/config.yaml`, config?.body ?? "");
  await Deno.writeTextFile(`${folder.path}/pod.yaml`, pod?.body ?? "");
  return folder;
}

/** @returns what it prints. @throws Error when it fails. */
async function type(
  command: string,
  cwd: string,
  env: Record<string, string> = {},
): Promise<string> {
  const { code, stdout, stderr } = await run("sh", ["-euc", command], { cwd, env });
  assert.equal(code, 0, `${command}\n${stdout}${stderr}`);
  assert.doesNotMatch(stderr, /warning/i, command);
  return stdout;
}

/** The block of the README's data that it says `render` prints. */
function promisedData(): string {
  const [block] = fences(readDocument(README)).filter(({ info }) => info === "text");
  assert.ok(block);
  return block.body;
}

testNeeding({
  needs: ["DENORT_BIN"],
  name: "README: what needs no cluster works as it is typed",
  async fn() {
    await using folder = await userFolder();
    const commands = commandBlocks(README).filter(({ needs }) => needs === "")
      .flatMap(({ commands }) => commands).filter((command) => WALKED.includes(command));
    assert.deepEqual([...commands].sort(), [...WALKED].sort());
    const outputs = new Map<string, string>();
    for (const command of commands) {
      if (command === "make demo") await demo(command, folder.path);
      else {
        const cwd = command.startsWith("make ") ? ROOT : folder.path;
        outputs.set(command, await type(command, cwd));
      }
    }
    const [rendered = ""] = [...outputs].filter(([command]) => command.includes(" render "))
      .map(([, output]) => output);
    assert.match(rendered, /^ {2}name: pod-web-1-from-app-specific-config-cfg$/m);
    assert.ok(rendered.includes(promisedData()), rendered);
  },
});

/** Until it tells how kubectl joins in, then Ctrl-C: that reaches every process of the terminal. */
async function demo(command: string, dir: string): Promise<void> {
  const process = await RunningProcess.start({
    command: "setsid",
    args: command.split(" "),
    cwd: ROOT,
    logFile: `${dir}/demo.log`,
  });
  const group = ["--", `-${process.pid}`];
  try {
    await process.logLine("kubectl --server", { timeoutMs: 120_000 });
  } finally {
    await run("kill", ["-INT", ...group]);
    await process.status;
  }
  await eventually("the demo's processes have ended", async () => {
    return (await run("kill", ["-0", ...group])).code !== 0;
  });
}

testNeeding({
  needs: ["KUBEBUILDER_ASSETS", "DENORT_BIN"],
  name: "README and uninstall: what needs a cluster works as it is typed",
  async fn() {
    await using plane = await startControlPlane();
    await using folder = await userFolder();
    const assets = Deno.env.get("KUBEBUILDER_ASSETS");
    const env = {
      KUBECONFIG: plane.kubeconfig,
      KUBECACHEDIR: `${plane.dir}/kubectl-cache`,
      PATH: `${assets}:${Deno.env.get("PATH")}`,
    };
    const outputs: string[] = [];
    const walk = async (commands: readonly string[]) => {
      for (const command of commands) outputs.push(await type(command, folder.path, env));
    };
    const [install, first, live, ...more] = commandBlocks(README)
      .filter(({ needs }) => needs === "cluster").map(({ commands }) => commands);
    assert.deepEqual(more, []);
    await walk(install ?? []);
    {
      const kubeconfig = await controllerKubeconfig(plane);
      await using controller = await ControllerProcess.start({
        plane,
        kubeconfig,
        name: "replica-1",
      });
      await controller.ready();
      await walk(first ?? []);
      assert.match(outputs.at(-2) ?? "", /^pod-web-1-from-app-specific-config-cfg /m);
      // Counts follow within ten seconds.
      assert.match(outputs.at(-1) ?? "", /^app-specific-config +True +[01] +[01] /m);
      await walk(live ?? []);
      assert.match(outputs.at(-1) ?? "", /^ {2}name: pod-web-1-from-app-specific-config-cfg$/m);
      await look(folder.path, env);
      await uninstall(walk, outputs);
    }
    const left = await plane.kubectl("get", "ns,clusterrole,clusterrolebinding,crd", "-o", "name");
    assert.doesNotMatch(left, /podconfig/);
  },
});

/**
 * What all documents say to look at: kubectl understands it. Most of it is not there without Pods, which
 * is another complaint than that about a flag or resource that does not exist.
 */
async function look(cwd: string, env: Record<string, string>): Promise<void> {
  const commands = documents().flatMap((path) => commandBlocks(path))
    .filter(({ needs }) => needs === "cluster")
    .flatMap(({ commands }) => commands)
    .filter((command) => /^kubectl (get|events|logs|describe|explain|exec) /.test(command));
  assert.ok(commands.length > 10);
  const complaints = await Promise.all(commands.map(async (command) => {
    const { code, stderr } = await run("sh", ["-uc", command], { cwd, env });
    const absent = /not ?found|No (resources|events) found|does not have a host/i.test(stderr);
    return code === 0 || absent ? [] : [`${command}: ${stderr}`];
  }));
  assert.deepEqual(complaints.flat(), []);
}

/** As docs/installation.md says, without agents. The running controller is the Pod that goes with it. */
async function uninstall(
  walk: (commands: readonly string[]) => Promise<void>,
  outputs: readonly string[],
): Promise<void> {
  const block = commandBlocks("docs/installation.md")
    .find(({ commands }) => commands.at(-1) === "kubectl delete -k crd");
  const [remove = "", look = "", ...rest] = block?.commands ?? [];
  await walk([remove]);
  await eventually("the generated ConfigMaps are gone", async () => {
    await walk([look]);
    return outputs.at(-1) === "";
  });
  await walk(rest.filter((command) => !/agent|cleanup/.test(command)));
}
