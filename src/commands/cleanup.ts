/** `cleanup`: takes down all eBPF of ours on this node, for an uninstall. */
import { cleanFolder } from "../agent/adapters/node_folder.ts";
import { EbpfError } from "../agent/ports.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { EXIT, type Shell } from "./shell.ts";

/** With `hold`, a success lasts until `signal`: a DaemonSet's Pod must not end. */
export async function cleanup(
  options: OptionsOf<"cleanup">,
  shell: Shell,
  signal: AbortSignal,
): Promise<number> {
  try {
    const { pins, pods } = cleanFolder(options.bpffsFolder);
    shell.print(
      pins === 0
        ? `nothing was pinned in ${options.bpffsFolder}\n`
        : `removed ${pins} pins, of ${pods} Pods and the node, from ${options.bpffsFolder}\n`,
    );
    if (options.hold) await aborted(signal);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof EbpfError)) throw error;
    shell.printError(`error: ${error.message}\n`);
    return EXIT.failed;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}
