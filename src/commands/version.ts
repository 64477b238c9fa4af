/** `version`: what is running. */
import { stringify } from "yaml";
import type { OptionsOf } from "../ops/options/table.ts";
import { versionInfo } from "../ops/version.ts";
import { EXIT, type Shell } from "./shell.ts";

export function version({ output }: OptionsOf<"version">, shell: Shell): number {
  const info = versionInfo();
  if (output === "json") shell.print(`${JSON.stringify(info, undefined, 2)}\n`);
  else if (output === "yaml") shell.print(stringify(info));
  else {
    shell.print(
      `podconfigmap-controller ${info.version} (commit ${info.commit}, ${info.target}, ` +
        `Deno ${info.deno}, V8 ${info.v8})\n`,
    );
  }
  return EXIT.ok;
}
