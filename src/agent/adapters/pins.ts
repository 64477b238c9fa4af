/**
 * What of ours is pinned, by path: `<folder>/v1/{maps,pods/<uid>,sys}`, in a bpffs.
 *
 * Found and opened by path alone: asking the kernel for all its objects takes more rights than the
 * agent has. Folders double as marks: a bpffs holds no plain files.
 */
import {
  BpfError,
  BpfMap,
  fileExists,
  FileSystem,
  fileSystemOf,
  Link,
  listDirectory,
  makeDirectory,
  removeDirectory,
  removeFile,
} from "../../../ffi/mod.ts";
import { EbpfError } from "../ports.ts";
import { during } from "./failures.ts";

/** Of the pins and of the layout of pinned maps. */
export const PINS_VERSION = "v1";
const VERSION = /^v\d+$/;
/** Folder in a layout's own: it keeps to the form of `carry.ts`, by which others go on with its counts. */
export const CARRY_MARK = "carry-1";
/** A bpffs takes no dots in names. */
const UID = /^[A-Za-z0-9_-]{1,128}$/;

export class Pins {
  /** In a bpffs; all of it is ours. */
  readonly folder: string;
  readonly maps: string;
  readonly pods: string;
  readonly sys: string;
  readonly #root: string;
  readonly #version: string;

  /** @param version of the layout: another one's than this program's is for tests of the change. */
  constructor(folder: string, version: string = PINS_VERSION) {
    this.folder = folder.replace(/\/+$/, "");
    this.#version = version;
    this.#root = `${this.folder}/${version}`;
    this.maps = `${this.#root}/maps`;
    this.pods = `${this.#root}/pods`;
    this.sys = `${this.#root}/sys`;
  }

  /** Makes the folders. @throws EbpfError BpffsUnavailable */
  prepare(): void {
    during("bpffs", () => {
      if (!isInBpffs(this.folder)) {
        throw new EbpfError(
          "BpffsUnavailable",
          `Cannot pin below ${this.folder}: it is not in a bpffs`,
        );
      }
      const mark = `${this.#root}/${CARRY_MARK}`;
      for (const path of [this.folder, this.#root, this.maps, this.pods, this.sys, mark]) {
        makeFolder(path);
      }
    });
  }

  /** @throws EbpfError InternalError for what cannot be a uid. */
  pod(uid: string): string {
    if (!UID.test(uid)) {
      throw new EbpfError("InternalError", `Cannot pin for the Pod uid ${JSON.stringify(uid)}`);
    }
    return `${this.pods}/${uid}`;
  }

  /** Pods with anything pinned, by programs of other layouts too. */
  podUids(): string[] {
    const uids = [this.pods, ...this.others().map((version) => `${version}/pods`)]
      .flatMap((path) => namesIn(path));
    return [...new Set(uids)].filter((uid) => UID.test(uid)).sort();
  }

  /** Anything is pinned, of any layout; false where the folder cannot be looked into. */
  get inUse(): boolean {
    try {
      return this.others().length > 0 ||
        [this.maps, this.pods, this.sys].some((path) => namesIn(path).length > 0);
    } catch (error) {
      if (error instanceof BpfError && error.errno === "EACCES") return false;
      throw error;
    }
  }

  /** Takes down every link and map, of all layouts: in each version, links to Pods first. */
  clear(): void {
    for (const name of namesIn(this.folder)) removeTree(`${this.folder}/${name}`);
  }

  /** Folders of other layouts: of a newer program, or an older one. */
  others(): string[] {
    return namesIn(this.folder)
      .filter((name) => VERSION.test(name) && name !== this.#version)
      .map((name) => `${this.folder}/${name}`);
  }

  /** Those whose links and counts can be taken over. */
  legible(): string[] {
    return this.others().filter((version) => namesIn(version).includes(CARRY_MARK));
  }

  /** Where other layouts have something of a Pod. */
  othersOf(uid: string): string[] {
    return this.others().filter((version) => namesIn(`${version}/pods`).includes(uid))
      .map((version) => `${version}/pods/${uid}`);
  }

  /** Takes down what other layouts have of a Pod, once this one has it; links that are pinned here work on. */
  removeOthersOf(uid: string): void {
    const kept = linkIdsIn(this.pod(uid));
    for (const version of this.others()) {
      removeTree(`${version}/pods/${uid}`, kept);
      removeIfUnused(version);
    }
  }

  /** Takes down the counters of other layouts; what only they attach goes with them. */
  removeOtherCounters(): void {
    const kept = linkIdsIn(this.sys);
    for (const version of this.others()) {
      // First what makes it one: half of a counter is not taken over again.
      if (fileExists(`${version}/maps/sys_cgroups`)) removeFile(`${version}/maps/sys_cgroups`);
      removeTree(`${version}/sys`, kept);
      for (const name of counterMapsIn(version)) unpin(`${version}/maps/${name}`);
      removeIfUnused(version);
    }
  }

  /** What is left of layouts that have neither Pods nor a counter. */
  removeUnusedOthers(): void {
    for (const version of this.others()) removeIfUnused(version);
  }

  /** Some other layout has anything of a counter. */
  get othersCount(): boolean {
    return this.others().some((version) =>
      namesIn(`${version}/sys`).length > 0 || counterMapsIn(version).length > 0
    );
  }
}

const counterMapsIn = (version: string) =>
  namesIn(`${version}/maps`).filter((name) => name.startsWith("sys_"));

/** What is left of a layout without Pods and counter are the maps that its firewalls shared. */
function removeIfUnused(version: string): void {
  const used = namesIn(`${version}/pods`).length > 0 || namesIn(`${version}/sys`).length > 0 ||
    counterMapsIn(version).length > 0;
  if (!used) removeTree(version);
}

/** Kernel's ids of the links pinned in a folder. */
export function linkIdsIn(folder: string): Set<number> {
  const ids = new Set<number>();
  for (const name of namesIn(folder).filter((name) => LINKS.has(name))) {
    using link = openLink(`${folder}/${name}`);
    if (link !== undefined) ids.add(link.info().id);
  }
  return ids;
}

/** Names in a folder, sorted; none where it does not exist. */
export function namesIn(path: string): string[] {
  try {
    return listDirectory(path).map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof BpfError && error.errno === "ENOENT") return [];
    throw error;
  }
}

/** A folder, or one that is still to be made: other file systems say no more than that it cannot be. */
export function isInBpffs(folder: string): boolean {
  const there = fileExists(folder) ? folder : folder.replace(/\/[^/]*$/, "") || "/";
  return fileExists(there) && fileSystemOf(there) === FileSystem.BPF;
}

/** With its parent existing; no error where it is there. */
export function makeFolder(path: string): void {
  if (fileExists(path)) return;
  makeDirectory(path);
}

/**
 * Unpins one thing. A link is detached at once: the kernel would do it a little later; not so those
 * of `kept`, which are pinned elsewhere, too. No error where there is nothing.
 */
export function unpin(path: string, kept: ReadonlySet<number> = new Set()): void {
  let link: Link;
  try {
    link = Link.openPinned(path);
  } catch (error) {
    if (error instanceof BpfError && error.errno === "ENOENT") return;
    throw error;
  }
  using owned = link;
  if (kept.size === 0 || !kept.has(owned.info().id)) {
    try {
      owned.detach();
    } catch {
      // Not a link to a cgroup: those go when their last descriptor is closed.
    }
  }
  removeFile(path);
}

/** Everything below, links before the rest, and the folder. No error where there is nothing. */
export function removeTree(path: string, kept?: ReadonlySet<number>): void {
  let entries;
  try {
    entries = listDirectory(path);
  } catch (error) {
    if (error instanceof BpfError && error.errno === "ENOENT") return;
    throw error;
  }
  for (const { name } of entries.filter(({ isDirectory }) => isDirectory)) {
    removeTree(`${path}/${name}`, kept);
  }
  const pins = entries.filter(({ isDirectory }) => !isDirectory).map(({ name }) => name);
  for (const name of pins.sort(linksFirst)) unpin(`${path}/${name}`, kept);
  removeDirectory(path);
}

const LINKS: ReadonlySet<string> = new Set([
  ...["in", "out", "c4", "c6", "m4", "m6"],
  ...["enter", "exit"],
]);
const linksFirst = (one: string, other: string) =>
  Number(LINKS.has(other)) - Number(LINKS.has(one));

/** The map pinned there, or undefined. */
export function openMap(path: string): BpfMap | undefined {
  try {
    return BpfMap.openPinned(path);
  } catch (error) {
    if (error instanceof BpfError && error.errno === "ENOENT") return undefined;
    throw error;
  }
}

/** The link pinned there, or undefined. */
export function openLink(path: string): Link | undefined {
  try {
    return Link.openPinned(path);
  } catch (error) {
    if (error instanceof BpfError && error.errno === "ENOENT") return undefined;
    throw error;
  }
}
