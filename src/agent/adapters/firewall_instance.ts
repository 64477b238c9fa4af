/**
 * The firewall of one Pod, as its pins are: `pods/<uid>/` holds a link for each hook, the maps
 * `rules`, `config`, `counters`, the constants `settings`, and a folder that marks which build
 * finished the work. Without that mark something was begun and not ended.
 */
import {
  AttachType,
  type BpfMap,
  type BpfObject,
  CgroupDirectory,
  type Program,
  removeDirectory,
  renameFile,
} from "../../../ffi/mod.ts";
import type { FirewallSpec } from "../../domain/ebpf_programs.ts";
import { EbpfError, type FirewallState, type PodCgroup } from "../ports.ts";
import { during, duringAsync, orUndo } from "./failures.ts";
import {
  ALL_HOOKS,
  decodeSettings,
  decodeSpec,
  encodeConfig,
  encodeSettings,
  type Hook,
  HOOKS,
  hooksOf,
  KERNEL_FLAGS,
  PLANES,
  specFlags,
} from "./firewall_values.ts";
import { buildMark, globalPlace, openObject, u32 } from "./objects.ts";
import { makeFolder, namesIn, openLink, openMap, removeTree, unpin } from "./pins.ts";

export const OWN_MAPS = ["rules", "config", "counters"] as const;
export type OwnMap = (typeof OWN_MAPS)[number];
const SETTINGS = "settings";
const NEXT_SETTINGS = "settings_next";

export interface Instance {
  /** `pods/<uid>` */
  readonly folder: string;
  readonly podUid: string;
}

/** What a new instance needs of the node. */
export interface InstanceNode {
  /** `KERNEL_FLAGS` that hold here. */
  readonly kernelFlags: number;
  readonly hashSeed: bigint;
  /** Has the object share its maps with the other Pods. */
  share(object: BpfObject): void;
}

/** As the kernel has it, or undefined where nothing is pinned. */
export function readInstance({ folder, podUid }: Instance): FirewallState | undefined {
  const found = look(folder);
  if (found === undefined) return undefined;
  const { names, links, spec, cgroupId, holds } = found;
  const complete = holds && names.has(buildMark("firewall")) &&
    spec !== undefined && links.size === hooksOf(spec).length;
  return { podUid, cgroupId, complete, spec };
}

interface Found {
  readonly names: ReadonlySet<string>;
  readonly links: ReadonlyMap<Hook, unknown>;
  readonly spec: FirewallSpec | undefined;
  /** 0 where links differ, or are of a cgroup that is gone. */
  readonly cgroupId: bigint;
  /** Each hook that its rules need is attached, whatever build did it, and whatever was begun since. */
  readonly holds: boolean;
}

function look(folder: string): Found | undefined {
  const names = new Set(namesIn(folder));
  if (names.size === 0) return undefined;
  const links = readLinks(folder);
  const known = readSpec(folder);
  const cgroupIds = new Set([...links.values()].map(({ cgroupId }) => cgroupId));
  const [one = 0n] = cgroupIds;
  const cgroupId = cgroupIds.size === 1 ? one : 0n;
  const holds = known !== undefined && cgroupId !== 0n && known.podId === cgroupId &&
    hooksOf(known.spec).every((hook) => links.has(hook));
  return { names, links, spec: known?.spec, cgroupId, holds };
}

function readLinks(folder: string): Map<Hook, { cgroupId: bigint }> {
  const found = new Map<Hook, { cgroupId: bigint }>();
  for (const hook of ALL_HOOKS) {
    using link = openLink(`${folder}/${hook}`);
    if (link === undefined) continue;
    const info = link.info();
    if (info.attachType === AttachType[HOOKS[hook].type]) found.set(hook, info);
  }
  return found;
}

/** Undefined where a map is missing or of another layout. */
function readSpec(folder: string): { spec: FirewallSpec; podId: bigint } | undefined {
  using rules = openMap(`${folder}/rules`);
  using config = openMap(`${folder}/config`);
  using settings = openMap(`${folder}/${SETTINGS}`);
  try {
    const constants = settings?.lookup(u32(0));
    const bytes = config?.lookup(u32(0));
    if (rules === undefined || constants === undefined || bytes === undefined) return undefined;
    const planes = Array.from({ length: PLANES }, (_, key) => rules.lookup(u32(key)));
    const present = planes.filter((plane) => plane !== undefined);
    if (present.length !== PLANES) return undefined;
    const { offset, size } = globalPlace("firewall", "settings");
    const { podId, flags } = decodeSettings(constants.subarray(offset, offset + size));
    return { podId, spec: decodeSpec({ flags, config: bytes, planes: present }) };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/**
 * Makes the instance what `spec` says. One that is there must hang on this cgroup, or be removed first.
 * When this fails, what held before holds on, however often it fails; what was half there is gone.
 */
export async function applyInstance(
  instance: Instance,
  to: { cgroup: PodCgroup; spec: FirewallSpec },
  node: InstanceNode,
): Promise<void> {
  const before = readInstance(instance);
  const held = look(instance.folder)?.holds === true;
  const undo = () => {
    if (!held) removeTree(instance.folder);
  };
  await orUndo(async () => {
    using directory = during("attach", () => CgroupDirectory.open(to.cgroup.path));
    checkId(directory.id, to.cgroup);
    const same = before?.complete === true && before.spec !== undefined &&
      specFlags(before.spec) === specFlags(to.spec);
    if (same) during("map", () => writeRules(instance.folder, to.spec));
    else await replacePrograms(instance, { directory, spec: to.spec }, node);
    verify(instance, to.cgroup);
  }, undo);
}

function checkId(id: bigint, cgroup: PodCgroup): void {
  if (id === cgroup.id) return;
  throw new EbpfError("CgroupNotFound", `Cannot use the cgroup ${cgroup.path}: it was replaced`);
}

/** All hooks hold, and on the cgroup that has the path now. */
function verify(instance: Instance, cgroup: PodCgroup): void {
  using directory = during("attach", () => CgroupDirectory.open(cgroup.path));
  checkId(directory.id, cgroup);
  const after = during("map", () => readInstance(instance));
  if (after?.complete === true && after.cgroupId === cgroup.id) return;
  throw new EbpfError(
    "AttachFailed",
    `Cannot attach to ${cgroup.path}: not all programs are in place`,
  );
}

async function replacePrograms(
  { folder }: Instance,
  to: { directory: CgroupDirectory; spec: FirewallSpec },
  node: InstanceNode,
): Promise<void> {
  const { directory, spec } = to;
  const mark = `${folder}/${buildMark("firewall")}`;
  const hooks = hooksOf(spec);
  using object = during("load", () => openObject("firewall"));
  using owned = new DisposableStack();
  during("bpffs", () => {
    makeFolder(folder);
    removeMarks(folder);
    unpin(`${folder}/${NEXT_SETTINGS}`);
  });
  during("load", () => {
    const flags = specFlags(spec) | (node.kernelFlags & KERNEL_FLAGS);
    const settings = { podId: directory.id, flags, hashSeed: node.hashSeed };
    object.setGlobal("settings", encodeSettings(settings));
    for (const hook of ALL_HOOKS) object.setAutoload(HOOKS[hook].program, hooks.includes(hook));
    for (const map of OWN_MAPS) object.setPinPath(map, `${folder}/${map}`);
    node.share(object);
  });
  await duringAsync("load", () => object.load());
  during("map", () => writeRules(folder, spec));
  using settings = object.map(".rodata");
  during("bpffs", () => settings.pin(`${folder}/${NEXT_SETTINGS}`));
  const programs = new Map(
    hooks.map((hook) => [hook, owned.use(object.program(HOOKS[hook].program))]),
  );
  during("attach", () => attachAll(folder, directory, programs));
  during("bpffs", () => {
    for (const hook of ALL_HOOKS) if (!hooks.includes(hook)) unpin(`${folder}/${hook}`);
    renameFile(`${folder}/${NEXT_SETTINGS}`, `${folder}/${SETTINGS}`);
    makeFolder(mark);
  });
}

function removeMarks(folder: string): void {
  for (const name of namesIn(folder)) {
    if (name.startsWith("build-")) removeDirectory(`${folder}/${name}`);
  }
}

/**
 * New hooks before those that are replaced: when one of them fails, the old ones have not changed.
 * No packet passes between the old program and the new one.
 */
function attachAll(
  folder: string,
  directory: CgroupDirectory,
  programs: ReadonlyMap<Hook, Program>,
): void {
  const added: Hook[] = [];
  try {
    for (const [hook, program] of programs) {
      using existing = openLink(`${folder}/${hook}`);
      if (existing !== undefined) continue;
      using link = program.attachCgroup(directory, AttachType[HOOKS[hook].type]);
      link.pin(`${folder}/${hook}`);
      added.push(hook);
    }
  } catch (error) {
    for (const hook of added) unpin(`${folder}/${hook}`);
    throw error;
  }
  for (const [hook, program] of programs) {
    if (added.includes(hook)) continue;
    using link = openLink(`${folder}/${hook}`);
    link?.update(program);
  }
}

/** In place: a port's bits lie in one byte, so that no packet meets half of a change. */
function writeRules(folder: string, spec: FirewallSpec): void {
  using rules = need(folder, "rules");
  using config = need(folder, "config");
  config.update(u32(0), encodeConfig(spec));
  spec.planes.forEach((plane, key) => rules.update(u32(key), plane));
}

function need(folder: string, name: OwnMap): BpfMap {
  const map = openMap(`${folder}/${name}`);
  if (map === undefined) throw new EbpfError("InternalError", `Cannot open ${folder}/${name}`);
  return map;
}
