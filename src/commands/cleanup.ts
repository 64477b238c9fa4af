/** `cleanup`: takes down all eBPF of ours on this node, for an uninstall. */
import { cleanFolder } from "../agent/adapters/node_folder.ts";
import { EbpfError } from "../agent/ports.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { EXIT, type Shell } from "./shell.ts";

export function cleanup(options: OptionsOf<"cleanup">, shell: Shell): number {
  try {
    const { pins, pods } = cleanFolder(options.bpffsFolder);
    shell.print(
      pins === 0
        ? `nothing was pinned in ${options.bpffsFolder}\n`
        : `removed ${pins} pins, of ${pods} Pods and the node, from ${options.bpffsFolder}\n`,
    );
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof EbpfError)) throw error;
    shell.printError(`error: ${error.message}\n`);
    return EXIT.failed;
  }
}
