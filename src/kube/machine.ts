/** What reading a configuration needs of the machine; tests pass their own. */
import { type Clock, systemClock } from "../lib/clock.ts";
import type { RunPlugin } from "./exec_plugin.ts";
import { pluginRunner } from "./run_plugin.ts";

export interface Machine {
  readonly clock: Clock;
  env(name: string): string | undefined;
  /** Rejects with a `Deno.errors.NotFound` when there is no such file. */
  readTextFile(path: string): Promise<string>;
  /** Standard input is a terminal. */
  terminal(): boolean;
  readonly runPlugin: RunPlugin;
}

export const thisMachine: Machine = {
  clock: systemClock,
  env: (name) => Deno.env.get(name),
  readTextFile: (path) => Deno.readTextFile(path),
  terminal: () => Deno.stdin.isTerminal(),
  runPlugin: pluginRunner(systemClock),
};
