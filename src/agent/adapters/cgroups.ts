/**
 * Finds the cgroup of a Pod as the kubelet lays it out, in the unified hierarchy (version 2):
 *
 *     systemd   [PREFIX-]kubepods.slice/[...-burstable.slice/]...-pod<uid with _>.slice
 *     cgroupfs  [PREFIX/]kubepods/[burstable/]pod<uid>
 *
 * Nothing is cached: a mount, a root or a Pod may come at any time. Waiting for a Pod's cgroup is
 * the caller's matter.
 */
import {
  BpfError,
  cgroupId,
  fileExists,
  hasFeature,
  LibraryError,
  listDirectory,
} from "../../../ffi/mod.ts";
import { type CgroupQuery, type CgroupResolver, EbpfError, type PodCgroup } from "../ports.ts";
import { toEbpfError } from "./failures.ts";
import { type CgroupMount, cgroupMounts, isHierarchyRoot } from "./mounts.ts";

const KUBEPODS = /^(?:.+-)?kubepods(?:\.slice)?$/;
/** Roots may lie in a container's cgroup (kind: `<container>/kubelet.slice/kubelet-kubepods.slice`). */
const SEARCH_DEPTH = 5;
const QOS = ["burstable", "besteffort"] as const;

export interface CgroupOptions {
  /** Where to look instead of everywhere that a cgroup2 is mounted; absolute. */
  readonly root?: string;
}

export class KubeletCgroups implements CgroupResolver {
  readonly #options: CgroupOptions;

  constructor(options: CgroupOptions = {}) {
    this.#options = options;
  }

  resolve(query: CgroupQuery): Promise<PodCgroup> {
    return new Promise((resolve) => {
      try {
        resolve(this.#find(query));
      } catch (error) {
        throw toEbpfError(error, "attach");
      }
    });
  }

  /** Roots of Pods' cgroups that can be seen, with the mount that each lies below. */
  roots(depth = SEARCH_DEPTH): { path: string; base: string }[] {
    return this.#bases().flatMap((base) =>
      kubepodsBelow(base, depth).map((path) => ({ path, base }))
    );
  }

  #bases(): string[] {
    if (this.#options.root !== undefined) return [this.#options.root];
    return unifiedMounts().map(({ path }) => path);
  }

  #find(query: CgroupQuery): PodCgroup {
    // The usual place first; the search through everything costs some milliseconds.
    const found = findIn(this.roots(1), query);
    if (found !== undefined) return found;
    const roots = this.roots();
    const nested = findIn(roots, query);
    if (nested !== undefined) return nested;
    if (roots.length === 0) throw this.#noRoots();
    const where = roots.map(({ path }) => path).join(", ");
    throw new EbpfError(
      "CgroupNotFound",
      `Cannot find the cgroup of the Pod: none for uid ${query.podUid} in ${where}`,
    );
  }

  #noRoots(): EbpfError {
    const old = cgroupMounts().filter(({ version }) => version === 1)
      .find(({ path }) => kubepodsBelow(path, 1).length > 0);
    if (old !== undefined) {
      return new EbpfError(
        "UnsupportedCgroups",
        `Cannot find cgroups of Pods: they are under ${old.path}, of cgroup version 1 ` +
          `(a hybrid host needs the kubelet's systemd driver)`,
      );
    }
    const where = this.#bases().join(", ");
    return new EbpfError(
      "CgroupNotFound",
      `Cannot find cgroups of Pods: no kubepods below ${where}`,
    );
  }
}

/** @throws EbpfError UnsupportedCgroups where none is mounted. */
export function unifiedMounts(): CgroupMount[] {
  const mounts = cgroupMounts().filter(({ version }) => version === 2);
  if (mounts.length > 0) return mounts;
  throw new EbpfError(
    "UnsupportedCgroups",
    "Cannot find cgroups: no cgroup2 is mounted (version 1 only?)",
  );
}

/**
 * Bits of the levels, below the hierarchy's own root, that a cgroup may have which lies `level`
 * below what this process sees: all from there on, where the root is out of sight.
 */
export function levelBits(level: number, rootInSight: boolean): number {
  return rootInSight ? 1 << level : 0xffff & ~((1 << level) - 1);
}

export function isRootInSight(): boolean {
  return cgroupMounts().some(({ version, path }) => version === 2 && isHierarchyRoot(path));
}

function findIn(
  roots: readonly { path: string; base: string }[],
  query: CgroupQuery,
): PodCgroup | undefined {
  // Its own first: a static Pod has none.
  const uids = [query.podUid, query.configHash ?? ""];
  for (const { path: root, base } of roots) {
    const paths = uids.flatMap((uid) => candidates(root, uid, query.qosClass));
    const path = paths.find(fileExists);
    if (path !== undefined) return describe(path, base);
  }
  return undefined;
}

/** What is inside of a root of Pods is theirs: not looked at. */
function kubepodsBelow(path: string, depth: number): string[] {
  const folders = subfolders(path);
  const isRoot = (name: string) => KUBEPODS.test(name);
  const found = folders.filter(isRoot).map((name) => `${path}/${name}`);
  if (depth <= 1) return found;
  const others = folders.filter((name) => !isRoot(name));
  return [...found, ...others.flatMap((name) => kubepodsBelow(`${path}/${name}`, depth - 1))];
}

/** None for a cgroup that is going. */
function subfolders(path: string): string[] {
  try {
    return listDirectory(path).filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
  } catch (error) {
    if (error instanceof BpfError) return [];
    throw error;
  }
}

/** What is no uid leads to no Pod, and must lead nowhere else. */
const UID = /^[0-9A-Za-z-]{1,64}$/;

/** Where the Pod may be, likeliest first. Pure. */
export function candidates(root: string, uid: string, qosClass?: string): string[] {
  if (!UID.test(uid)) return [];
  const name = root.slice(root.lastIndexOf("/") + 1);
  const likely = qosClass?.toLowerCase();
  const classes = [...QOS.filter((qos) => qos === likely), ...QOS.filter((qos) => qos !== likely)];
  let inClass: (qos: string) => string;
  let direct: string;
  if (name.endsWith(".slice")) {
    const stem = name.slice(0, -".slice".length);
    const id = uid.replaceAll("-", "_");
    inClass = (qos) => `${root}/${stem}-${qos}.slice/${stem}-${qos}-pod${id}.slice`;
    direct = `${root}/${stem}-pod${id}.slice`;
  } else {
    inClass = (qos) => `${root}/${qos}/pod${uid}`;
    direct = `${root}/pod${uid}`;
  }
  const nested = classes.map(inClass);
  return likely === "guaranteed" || likely === undefined
    ? [direct, ...nested]
    : [...nested, direct];
}

function describe(path: string, base: string): PodCgroup {
  const level = path.slice(base.length).split("/").filter((part) => part !== "").length +
    levelOf(base);
  return { path, id: cgroupId(path), level, descendants: needsDescendants() ? idsBelow(path) : [] };
}

/** Of a base that is itself inside of a mount. */
function levelOf(base: string): number {
  const mount = cgroupMounts()
    .filter(({ version, path }) => version === 2 && (base === path || base.startsWith(`${path}/`)))
    .sort((one, other) => other.path.length - one.path.length)[0];
  return base.slice(mount?.path.length ?? 0).split("/").filter((part) => part !== "").length;
}

function needsDescendants(): boolean {
  try {
    return !hasFeature("ancestorCgroup");
  } catch (error) {
    // Without libbpf nothing is counted at all.
    if (error instanceof LibraryError) return false;
    throw error;
  }
}

function idsBelow(path: string): bigint[] {
  const ids = subfolders(path).flatMap((name) => {
    const below = `${path}/${name}`;
    try {
      return [cgroupId(below), ...idsBelow(below)];
    } catch (error) {
      if (error instanceof BpfError && error.errno === "ENOENT") return [];
      throw error;
    }
  });
  return ids.sort((one, other) => one < other ? -1 : 1);
}
