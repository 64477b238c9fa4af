/** The agent's folder in the bpffs: made for it before it runs, and emptied after it is gone. */
import {
  BpfError,
  changeMode,
  changeOwner,
  fileExists,
  listDirectory,
  removeDirectory,
} from "../../../ffi/mod.ts";
import { EbpfError } from "../ports.ts";
import { during } from "./failures.ts";
import { claimNode } from "./loader.ts";
import { isInBpffs, makeFolder, Pins } from "./pins.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const FOLDER_MODE = 0o700;

/**
 * Makes the folder and gives it, with all that is pinned there, to the user that the agent runs as.
 *
 * @throws EbpfError BpffsUnavailable
 */
export function prepareFolder(folder: string, owner: Owner): void {
  during("bpffs", () => {
    if (!isInBpffs(folder)) {
      throw new EbpfError("BpffsUnavailable", `Cannot prepare ${folder}: it is not in a bpffs`);
    }
    makeFolder(folder);
    changeMode(folder, FOLDER_MODE);
    give(folder, owner);
  });
}

function give(path: string, owner: Owner): void {
  changeOwner(path, owner.uid, owner.gid);
  for (const { name, isDirectory } of listDirectory(path)) {
    if (isDirectory) give(`${path}/${name}`, owner);
    else changeOwner(`${path}/${name}`, owner.uid, owner.gid);
  }
}

/**
 * Takes down every link and map of ours, of all layouts; with them the kernel frees the programs.
 *
 * @returns what was removed. @throws EbpfError AnotherAgent while one runs.
 */
export function cleanFolder(folder: string): { pins: number; pods: number } {
  return during("bpffs", () => {
    if (!fileExists(folder)) return { pins: 0, pods: 0 };
    if (!isInBpffs(folder)) {
      throw new EbpfError("BpffsUnavailable", `Cannot clean ${folder}: it is not in a bpffs`);
    }
    using _claim = claimNode(folder);
    const found = count(folder);
    new Pins(folder).clear();
    removeIfEmpty(folder);
    return found;
  });
}

function count(path: string, inPods = false): { pins: number; pods: number } {
  const total = { pins: 0, pods: 0 };
  for (const { name, isDirectory } of listDirectory(path)) {
    if (!isDirectory) {
      total.pins++;
      continue;
    }
    const below = count(`${path}/${name}`, name === "pods");
    total.pins += below.pins;
    total.pods += below.pods + (inPods ? 1 : 0);
  }
  return total;
}

/** A folder that is mounted into a container stays. */
function removeIfEmpty(folder: string): void {
  try {
    removeDirectory(folder);
  } catch (error) {
    const stays = ["EBUSY", "EPERM", "EACCES", "EROFS", "ENOTEMPTY"];
    if (!(error instanceof BpfError) || !stays.includes(error.errno)) throw error;
  }
}
