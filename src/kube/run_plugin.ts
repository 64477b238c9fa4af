/** Starts exec plug-ins as programs of this machine. */
import type { Clock } from "../lib/clock.ts";
import type { PluginRun, RunPlugin } from "./exec_plugin.ts";

/** A plug-in that nobody has to answer is given this long. */
const RUN_MS_MAX = 60_000;
const QUOTED_CHARACTERS_MAX = 300;

export function pluginRunner(clock: Clock): RunPlugin {
  return async ({ spec, execInfo, interactive }: PluginRun): Promise<string> => {
    const permission = await Deno.permissions.query({ name: "run", command: spec.command });
    if (permission.state !== "granted") {
      throw new Error(`this process may not start programs (--allow-run=${spec.command})`);
    }
    const child = start(spec.command, {
      args: [...spec.args],
      env: { ...spec.env, KUBERNETES_EXEC_INFO: execInfo },
      stdin: interactive ? "inherit" : "null",
      stdout: "piped",
      stderr: interactive ? "inherit" : "piped",
    });
    let late = false;
    const timer = interactive ? undefined : clock.setTimer(RUN_MS_MAX, () => {
      late = true;
      child.kill("SIGKILL");
    });
    try {
      const output = await child.output();
      if (output.success) return new TextDecoder().decode(output.stdout);
      if (late) throw new Error(`it did not end within ${RUN_MS_MAX / 1000} s`);
      const said = interactive ? "" : new TextDecoder().decode(output.stderr).trim();
      const tail = said.slice(-QUOTED_CHARACTERS_MAX);
      throw new Error(`it failed with status ${output.code}${tail === "" ? "" : `: ${tail}`}`);
    } finally {
      timer?.[Symbol.dispose]();
    }
  };
}

function start(command: string, options: Deno.CommandOptions): Deno.ChildProcess {
  try {
    return new Deno.Command(command, options).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new Error("it is not installed", { cause: error });
    }
    throw error;
  }
}
