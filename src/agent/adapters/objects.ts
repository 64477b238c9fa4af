/** The eBPF objects inside of this program, opened and checked against the layout. */
import { gunzipSync } from "node:zlib";
import { FIREWALL_OBJECT, SYSCALLS_OBJECT } from "../../../bpf/embedded.ts";
import { FW_LAYOUT, SYS_LAYOUT } from "../../../bpf/layout.ts";
import { BpfObject, Btf, type Feature, type GlobalVariable, hasFeature } from "../../../ffi/mod.ts";
import { sha256Hex } from "../../lib/hash.ts";

const OBJECTS = {
  firewall: { packed: FIREWALL_OBJECT, prefix: "fw_", layout: FW_LAYOUT },
  syscalls: { packed: SYSCALLS_OBJECT, prefix: "sys_", layout: SYS_LAYOUT },
} as const;
export type ObjectName = keyof typeof OBJECTS;
export const OBJECT_NAMES = Object.keys(OBJECTS) as readonly ObjectName[];

const unpacked = new Map<ObjectName, Uint8Array<ArrayBuffer>>();

/** The object file. */
export function objectBytes(name: ObjectName): Uint8Array<ArrayBuffer> {
  let bytes = unpacked.get(name);
  if (bytes === undefined) {
    const packed = Uint8Array.from(atob(OBJECTS[name].packed), (char) => char.charCodeAt(0));
    bytes = new Uint8Array(gunzipSync(packed));
    unpacked.set(name, bytes);
  }
  return bytes;
}

/** Maps of a type that not every kernel has. Without them the programs do what else they do. */
const MAPS_BY_FEATURE: Readonly<Record<ObjectName, Readonly<Record<string, Feature>>>> = {
  firewall: { events: "ringBuffer" },
  syscalls: { starts: "taskStorage" },
};

/** Their layout fits: they are part of this program, and do not change. */
const checked = new Set<ObjectName>();

/**
 * Maps that this kernel cannot make are left out of it.
 *
 * @throws LayoutError when the object is not the one that this program was written for.
 */
export function openObject(name: ObjectName): BpfObject {
  const object = BpfObject.open(objectBytes(name), name);
  try {
    if (!checked.has(name)) object.checkLayout(OBJECTS[name].prefix, OBJECTS[name].layout);
    checked.add(name);
    for (const [map, feature] of Object.entries(MAPS_BY_FEATURE[name])) {
      if (!hasFeature(feature)) object.setAutocreate(map, false);
    }
    return object;
  } catch (error) {
    object.close();
    throw error;
  }
}

let lastFailed = false;

/** After a failure with libbpf's own words, else without: those take a while where the event loop is busy. */
export async function loadObject(object: BpfObject): Promise<void> {
  const details = lastFailed;
  lastFailed = true;
  await object.load({ details });
  lastFailed = false;
}

const globals = new Map<ObjectName, Readonly<Record<string, GlobalVariable>>>();

/** Where a global variable lies in the map of its section. */
export function globalPlace(name: ObjectName, variable: string): GlobalVariable {
  let known = globals.get(name);
  if (known === undefined) {
    known = new Btf(objectBytes(name)).globals();
    globals.set(name, known);
  }
  const place = known[variable];
  if (place === undefined) throw new TypeError(`Cannot find ${variable} in the object ${name}`);
  return place;
}

/** Tells builds of an object apart: names the folder that marks what this build has finished. */
export function buildMark(name: ObjectName): string {
  return `build-${sha256Hex(OBJECTS[name].packed, 12)}`;
}

export const u32 = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);
export const u64 = (value: bigint) => new Uint8Array(new BigUint64Array([value]).buffer);
