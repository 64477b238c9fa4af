/** Firewalls of the node's Pods, by libbpf: one instance a Pod, and the maps that they share. */
import { BpfError, type BpfObject, hasFeature, RingBuffer } from "../../../ffi/mod.ts";
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
import { applyInstance, readInstance } from "./firewall_instance.ts";
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

const { FW_NODE_ADDRESSES_MAX } = FW_LAYOUT.enums.fw_limit;

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
        if (state !== undefined || !this.#pins.podUids().includes(podUid)) return state;
        // Only another layout has it.
        return { podUid, cgroupId: 0n, complete: false, spec: undefined };
      })
    );
  }

  async apply(podUid: string, cgroup: PodCgroup, spec: FirewallSpec): Promise<void> {
    const instance = { folder: this.#pins.pod(podUid), podUid };
    const before = during("map", () => readInstance(instance));
    const usable = before?.spec !== undefined && before.cgroupId === cgroup.id;
    if (before !== undefined && !usable) during("bpffs", () => removeTree(instance.folder));
    await applyInstance(instance, { cgroup, spec }, {
      kernelFlags: firewallKernelFlags(),
      hashSeed: this.#hashSeed,
      share: (object) => this.#share(object),
    });
    during("bpffs", () => this.#pins.removeOthersOf(podUid));
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
        return decodeCounts(counters.sumU64(value));
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

  /** What is pinned is shared; what is not is made, and pinned, by loading. */
  #share(object: BpfObject): void {
    for (const [map, pin] of Object.entries(SHARED_MAPS)) {
      object.setPinPath(map, `${this.#pins.maps}/${pin}`);
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
