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
  waitForPrograms,
} from "../../../ffi/mod.ts";
import type { FirewallSpec } from "../../domain/ebpf_programs.ts";
import { EbpfError, type FirewallState, type PodCgroup } from "../ports.ts";
import { CarryPin } from "./carry.ts";
import { during, duringAsync, orUndo } from "./failures.ts";
import { FirewallBook, hashSeedIn } from "./firewall_book.ts";
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
import { buildMark, globalPlace, loadObject, openObject, u32 } from "./objects.ts";
import { linkIdsIn, makeFolder, namesIn, openLink, openMap, removeTree, unpin } from "./pins.ts";

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
  /** The Pod's folders in other layouts that keep to the form of `carry.ts`. */
  readonly legible: readonly string[];
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
 * One of another layout is replaced in its links, and what it counted is carried over; it stays pinned.
 * When this fails, what held before holds on, however often it fails; what was half there is gone, but
 * for what runs in another layout's links.
 */
export async function applyInstance(
  instance: Instance,
  to: { cgroup: PodCgroup; spec: FirewallSpec },
  node: InstanceNode,
): Promise<void> {
  const before = readInstance(instance);
  const held = look(instance.folder)?.holds === true;
  const took = { over: false };
  const undo = () => {
    if (!held && !took.over) removeInstance(instance, node.legible);
  };
  await orUndo(async () => {
    using directory = during("attach", () => CgroupDirectory.open(to.cgroup.path));
    checkId(directory.id, to.cgroup);
    const books = during(
      "map",
      () => node.legible.flatMap((folder) => FirewallBook.open(folder, directory) ?? []),
    );
    const same = before?.complete === true && before.spec !== undefined && books.length === 0 &&
      specFlags(before.spec) === specFlags(to.spec);
    if (same) during("map", () => writeRules(instance.folder, to.spec));
    else await replacePrograms(instance, { directory, spec: to.spec, books, took }, node);
    if (books.length > 0) during("map", () => carry(instance.folder, books));
    verify(instance, to.cgroup);
  }, undo);
}

/** Links that other layouts have pinned, too, stay as they are. */
export function removeInstance({ folder }: Instance, elsewhere: readonly string[]): void {
  const ids = elsewhere.flatMap((other) => [...linkIdsIn(other)]);
  removeTree(folder, new Set(ids));
}

/** What was counted before this instance's own map began. */
export function carryPin(folder: string): CarryPin {
  return new CarryPin(`${folder}/carry`);
}

/** No program of theirs runs any more. */
function carry(folder: string, books: readonly FirewallBook[]): void {
  waitForPrograms();
  using counters = need(folder, "counters");
  const pin = carryPin(folder);
  const record = books.reduce((merged, book) => merged.merge(book.record()), pin.read());
  pin.publish(record.withoutSource(counters.info.id));
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

interface Replacement {
  readonly directory: CgroupDirectory;
  readonly spec: FirewallSpec;
  /** Of other layouts. */
  readonly books: readonly FirewallBook[];
  /** Whether a program of this instance runs in a link of theirs. */
  readonly took: { over: boolean };
}

async function replacePrograms(
  { folder }: Instance,
  to: Replacement,
  node: InstanceNode,
): Promise<void> {
  const { directory, spec, books } = to;
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
    // Connections already counted stay known.
    const known = hashSeedIn(folder) ?? firstOf(books, (book) => book.hashSeed());
    const settings = { podId: directory.id, flags, hashSeed: known ?? node.hashSeed };
    object.setGlobal("settings", encodeSettings(settings));
    for (const hook of ALL_HOOKS) object.setAutoload(HOOKS[hook].program, hooks.includes(hook));
    for (const map of OWN_MAPS) object.setPinPath(map, `${folder}/${map}`);
    node.share(object);
  });
  await duringAsync("load", () => loadObject(object));
  during("map", () => writeRules(folder, spec));
  using settings = object.map(".rodata");
  // The first ones at once: what was attached when a process died can be read.
  const first = !namesIn(folder).includes(SETTINGS);
  during("bpffs", () => settings.pin(`${folder}/${first ? SETTINGS : NEXT_SETTINGS}`));
  const programs = new Map(
    hooks.map((hook) => [hook, owned.use(object.program(HOOKS[hook].program))]),
  );
  during("attach", () => attachAll(folder, to, programs));
  during("bpffs", () => {
    for (const hook of ALL_HOOKS) if (!hooks.includes(hook)) unpin(`${folder}/${hook}`);
    if (!first) renameFile(`${folder}/${NEXT_SETTINGS}`, `${folder}/${SETTINGS}`);
    makeFolder(mark);
  });
}

function removeMarks(folder: string): void {
  for (const name of namesIn(folder)) {
    if (name.startsWith("build-")) removeDirectory(`${folder}/${name}`);
  }
}

function firstOf<T>(
  books: readonly FirewallBook[],
  look: (book: FirewallBook) => T | undefined,
): T | undefined {
  for (const book of books) {
    const found = look(book);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * New hooks before those that are replaced: when one of them fails, the old ones have not changed.
 * No packet passes between the old program and the new one, and each is counted by one of them.
 */
function attachAll(
  folder: string,
  { directory, books, took }: Replacement,
  programs: ReadonlyMap<Hook, Program>,
): void {
  const [added, adopted]: [Hook[], Hook[]] = [[], []];
  try {
    for (const [hook, program] of programs) {
      using existing = openLink(`${folder}/${hook}`);
      if (existing !== undefined) continue;
      using link = firstOf(books, (book) => book.link(hook));
      (link === undefined ? added : adopted).push(hook);
      using ours = link ?? program.attachCgroup(directory, AttachType[HOOKS[hook].type]);
      ours.pin(`${folder}/${hook}`);
    }
  } catch (error) {
    for (const hook of added) unpin(`${folder}/${hook}`);
    for (const hook of adopted) unpin(`${folder}/${hook}`, linkIdsIn(folder));
    throw error;
  }
  for (const [hook, program] of programs) {
    if (added.includes(hook)) continue;
    using link = openLink(`${folder}/${hook}`);
    took.over ||= books.length > 0;
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
