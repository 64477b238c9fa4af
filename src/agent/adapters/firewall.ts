/** Firewalls of the node's Pods, by libbpf: one instance a Pod, and the maps that they share. */
import {
  BpfError,
  type BpfObject,
  fileExists,
  hasFeature,
  type MapInfo,
  RingBuffer,
} from "../../../ffi/mod.ts";
import { FW_LAYOUT } from "../../../bpf/layout.ts";
import type { AddressHex, FirewallSpec } from "../../domain/ebpf_programs.ts";
import type { Random } from "../../lib/random.ts";
import {
  EbpfError,
  type FirewallCounts,
  type FirewallPort,
  type FirewallState,
  type PodCgroup,
  type VerdictEvent,
} from "../ports.ts";
import { during } from "./failures.ts";
import { CARRY_ROW } from "./firewall_book.ts";
import { applyInstance, carryPin, readInstance, removeInstance } from "./firewall_instance.ts";
import {
  addressBytes,
  bytesToAddress,
  decodeCounts,
  decodeEvent,
  FwFlag,
} from "./firewall_values.ts";
import { u32 } from "./objects.ts";
import { openMap, type Pins, removeTree, unpin } from "./pins.ts";

/** Maps of the object that all Pods share, by the name of their pin below `maps/`. */
export const SHARED_MAPS = {
  flows: "fw_flows",
  seen: "fw_seen",
  node_addresses: "fw_node_addresses",
  events: "fw_events",
} as const;

const { FW_NODE_ADDRESSES_MAX, FW_FLOWS_MAX, FW_SEEN_SETS, FW_EVENTS_BYTES } =
  FW_LAYOUT.enums.fw_limit;
const { structs } = FW_LAYOUT;

/** Of the shared maps, by pin: sizes of keys and values, and how many there are. */
const SHARED_SHAPES = {
  fw_flows: [structs.fw_flow_key.size, structs.fw_flow.size, FW_FLOWS_MAX],
  fw_seen: [4, structs.fw_seen.size, FW_SEEN_SETS],
  fw_node_addresses: [structs.fw_address.size, 4, FW_NODE_ADDRESSES_MAX],
  fw_events: [0, 0, FW_EVENTS_BYTES],
} as const;

const isAlike = ({ keySize, valueSize, maxEntries }: MapInfo, shape: readonly number[]) =>
  [keySize, valueSize, maxEntries].every((size, index) => size === shape[index]);

export class LibbpfFirewall implements FirewallPort {
  readonly #pins: Pins;
  readonly #hashSeed: bigint;
  #nodeAddresses: readonly AddressHex[] = [];
  #log: RingBuffer | undefined;
  /** Taken out of the kernel, not asked for yet. */
  #pending: VerdictEvent[] = [];

  constructor(pins: Pins, random: Random) {
    this.#pins = pins;
    this.#hashSeed = BigInt(Math.floor(random.next() * 2 ** 32)) << 32n |
      BigInt(Math.floor(random.next() * 2 ** 32));
  }

  list(): Promise<readonly string[]> {
    return answer(() => during("bpffs", () => this.#pins.podUids()));
  }

  inspect(podUid: string): Promise<FirewallState | undefined> {
    return answer(() =>
      during("map", () => {
        const state = readInstance({ folder: this.#pins.pod(podUid), podUid });
        if (this.#pins.othersOf(podUid).length === 0) return state;
        // Another layout has it, too, or only.
        const nothing = { podUid, cgroupId: 0n, spec: undefined };
        return { ...state ?? nothing, complete: false };
      })
    );
  }

  async apply(podUid: string, cgroup: PodCgroup, spec: FirewallSpec): Promise<void> {
    const instance = { folder: this.#pins.pod(podUid), podUid };
    const before = during("map", () => readInstance(instance));
    const usable = before?.spec !== undefined && before.cgroupId === cgroup.id;
    const legible = during("bpffs", () => this.#pins.legible());
    const elsewhere = legible.map((version) => `${version}/pods/${podUid}`);
    if (before !== undefined && !usable) {
      during("bpffs", () => removeInstance(instance, elsewhere));
    }
    await applyInstance(instance, { cgroup, spec }, {
      legible: elsewhere,
      kernelFlags: firewallKernelFlags(),
      hashSeed: this.#hashSeed,
      share: (object) => this.#share(object),
    });
    during("bpffs", () => {
      this.#pins.removeOthersOf(podUid);
      const pin = carryPin(instance.folder);
      if (elsewhere.length > 0) pin.publish(pin.read().fold());
    });
    this.#writeNodeAddresses();
  }

  remove(podUid: string): Promise<void> {
    return answer(() =>
      during("bpffs", () => {
        removeTree(this.#pins.pod(podUid));
        this.#pins.removeOthersOf(podUid);
        if (this.#pins.podUids().length === 0) this.#removeShared();
      })
    );
  }

  counts(podUid: string): Promise<FirewallCounts | undefined> {
    return answer(() =>
      during("map", () => {
        using counters = openMap(`${this.#pins.pod(podUid)}/counters`);
        const value = counters?.lookup(u32(0));
        if (counters === undefined || value === undefined) return undefined;
        const carried = carryPin(this.#pins.pod(podUid)).read().of(CARRY_ROW);
        return decodeCounts(counters.sumU64(value), carried);
      })
    );
  }

  setNodeAddresses(addresses: readonly AddressHex[]): Promise<void> {
    return answer(() => {
      if (addresses.length > FW_NODE_ADDRESSES_MAX) {
        throw new EbpfError(
          "CapacityExceeded",
          `Cannot keep ${addresses.length} node addresses: at most ${FW_NODE_ADDRESSES_MAX}`,
        );
      }
      this.#nodeAddresses = addresses;
      this.#writeNodeAddresses();
    });
  }

  drainVerdicts(max: number): Promise<readonly VerdictEvent[]> {
    return answer(() =>
      during("map", () => {
        if (this.#pending.length < max) {
          const samples = this.#openLog()?.consume() ?? [];
          this.#pending.push(...samples.flatMap((sample) => decodeEvent(sample) ?? []));
        }
        return this.#pending.splice(0, max);
      })
    );
  }

  /** Gives back what this process holds; pins stay. */
  close(): void {
    this.#log?.[Symbol.dispose]();
    this.#log = undefined;
    this.#pending = [];
  }

  /** What is pinned is shared, by other layouts too; what is not is made, and pinned, by loading. */
  #share(object: BpfObject): void {
    for (const [map, pin] of Object.entries(SHARED_MAPS)) {
      const path = `${this.#pins.maps}/${pin}`;
      if (!fileExists(path)) this.#adopt(pin);
      object.setPinPath(map, path);
    }
  }

  /** Flows under way, and connections already counted, stay known. */
  #adopt(pin: keyof typeof SHARED_SHAPES): void {
    for (const version of this.#pins.legible()) {
      using map = openMap(`${version}/maps/${pin}`);
      if (map === undefined || !isAlike(map.info, SHARED_SHAPES[pin])) continue;
      map.pin(`${this.#pins.maps}/${pin}`);
      return;
    }
  }

  /** Nothing wanted, nothing paid: the table of flows alone is several MiB. */
  #removeShared(): void {
    this.close();
    for (const pin of Object.values(SHARED_MAPS)) unpin(`${this.#pins.maps}/${pin}`);
  }

  #openLog(): RingBuffer | undefined {
    if (this.#log !== undefined) return this.#log;
    using map = openMap(`${this.#pins.maps}/${SHARED_MAPS.events}`);
    if (map !== undefined) this.#log = new RingBuffer(map);
    return this.#log;
  }

  /** Without a firewall there is no map: the first one gets them. */
  #writeNodeAddresses(): void {
    during("map", () => {
      using map = openMap(`${this.#pins.maps}/${SHARED_MAPS.node_addresses}`);
      if (map === undefined) return;
      const wanted = new Set(this.#nodeAddresses);
      const present = new Set(map.keys().map(bytesToAddress));
      for (const address of present) {
        if (!wanted.has(address)) map.delete(addressBytes(address));
      }
      for (const address of wanted) {
        if (!present.has(address)) map.update(addressBytes(address), u32(1));
      }
    });
  }
}

/** Flags for what this kernel has. */
export function firewallKernelFlags(): number {
  return (hasFeature("coarseClock") ? FwFlag.FW_FLAG_COARSE_CLOCK : 0) |
    (hasFeature("ringBuffer") ? FwFlag.FW_FLAG_EVENTS : 0);
}

/** A synchronous answer as the port's promise: what it throws is a rejection. */
export function answer<T>(work: () => T): Promise<T> {
  return new Promise((resolve) => resolve(work()));
}

/** Entries of a pinned map, and how many it could hold; undefined where there is none. */
export function mapFilling(path: string): { entries: number; capacity: number } | undefined {
  try {
    using map = openMap(path);
    return map && { entries: map.entries().length, capacity: map.info.maxEntries };
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}
