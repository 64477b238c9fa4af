/** `prepare-node`: what takes root, done once before an agent without it runs: an init container. */
import { prepareFolder } from "../agent/adapters/node_folder.ts";
import { EbpfError } from "../agent/ports.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { EXIT, type Shell } from "./shell.ts";

export function prepareNode(options: OptionsOf<"prepare-node">, shell: Shell): number {
  const { bpffsFolder, ownerUid: uid, ownerGid: gid } = options;
  try {
    prepareFolder(bpffsFolder, { uid, gid });
    shell.print(`${bpffsFolder} is ready for ${uid}:${gid}\n`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof EbpfError)) throw error;
    shell.printError(`error: ${error.message}\n`);
    return EXIT.failed;
  }
}
