import assert from "node:assert/strict";
import { eventually } from "./eventually.ts";
import { output, RunningProcess, temporaryDir } from "./processes.ts";

/** Runs until it is killed, holding a child and a folder. */
const HOLDER = `
import { RunningProcess, temporaryDir } from ${
  JSON.stringify(import.meta.resolve("./processes.ts"))
};
const dir = await temporaryDir("held");
const child = await RunningProcess.start({
  command: "sleep", args: ["1000"], logFile: dir.path + "/log",
});
await Deno.writeTextFile(Deno.args[0]!, JSON.stringify({ dir: dir.path, pid: child.pid }));
await child.status;
`;

Deno.test("a killed test leaves neither its processes nor its folders behind", async () => {
  await using dir = await temporaryDir("processes-test");
  await Deno.writeTextFile(`${dir.path}/holder.ts`, HOLDER);
  await using holder = await RunningProcess.start({
    command: Deno.execPath(),
    args: ["run", "--allow-all", "--no-check", `${dir.path}/holder.ts`, `${dir.path}/held.json`],
    cwd: new URL("../..", import.meta.url).pathname,
    logFile: `${dir.path}/holder.log`,
  });
  const held = await eventually("the holder runs", async () => {
    if (holder.ended !== undefined) throw new Error(await holder.tail());
    const text = await Deno.readTextFile(`${dir.path}/held.json`);
    return JSON.parse(text) as { dir: string; pid: number };
  });
  assert.ok(await isRunning(held.pid));
  await holder.kill();
  await eventually("its child is gone", async () => !await isRunning(held.pid));
  await eventually("its folder is gone", async () => {
    const gone = await Deno.stat(held.dir).then(() => false, () => true);
    return gone;
  });
});

Deno.test("stop() ends a process that ignores SIGTERM", async () => {
  await using dir = await temporaryDir("processes-test");
  const stubborn = await RunningProcess.start({
    command: "sh",
    args: ["-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"],
    logFile: `${dir.path}/log`,
  });
  await stubborn.logLine("ready");
  const status = await stubborn.stop(100);
  assert.equal(status.signal, "SIGKILL");
});

Deno.test("logLine() fails with the log's end when the process ends first", async () => {
  await using dir = await temporaryDir("processes-test");
  await using process = await RunningProcess.start({
    command: "sh",
    args: ["-c", "echo out of luck; exit 3"],
    logFile: `${dir.path}/log`,
  });
  await assert.rejects(process.logLine("never"), /ended with code 3\nout of luck/);
});

async function isRunning(pid: number): Promise<boolean> {
  // A zombie has ended; it only waits for its parent to ask.
  const state = await output("ps", ["-o", "stat=", "-p", String(pid)]).catch(() => "");
  return state.trim() !== "" && !state.startsWith("Z");
}
