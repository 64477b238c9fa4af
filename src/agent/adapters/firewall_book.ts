/** The firewall of a Pod as another layout has it, in the form that all keep to (see `carry.ts`). */
import { AttachType, type CgroupDirectory, type Link } from "../../../ffi/mod.ts";
import { CarryPin, CarryRecord, nonZero } from "./carry.ts";
import { ALL_HOOKS, decodeSettings, type Hook, HOOKS, SETTINGS_BYTES } from "./firewall_values.ts";
import { u32 } from "./objects.ts";
import { openLink, openMap } from "./pins.ts";

/** A firewall's record has one row. */
export const CARRY_ROW = 0;

export class FirewallBook {
  readonly #folder: string;
  readonly #hooks: ReadonlySet<Hook>;

  private constructor(folder: string, hooks: ReadonlySet<Hook>) {
    this.#folder = folder;
    this.#hooks = hooks;
  }

  /** @param folder of the Pod, in another layout. @returns undefined where nothing of it is attached to `cgroup`. */
  static open(folder: string, cgroup: CgroupDirectory): FirewallBook | undefined {
    const hooks = new Set(ALL_HOOKS.filter((hook) => isAttached(folder, hook, cgroup)));
    return hooks.size === 0 ? undefined : new FirewallBook(folder, hooks);
  }

  /** Undefined where it has none of that hook. */
  link(hook: Hook): Link | undefined {
    return this.#hooks.has(hook) ? openLink(`${this.#folder}/${hook}`) : undefined;
  }

  /** By which connections already counted are known. */
  hashSeed(): bigint | undefined {
    return hashSeedIn(this.#folder);
  }

  /** All that it counted, and what was carried over to it. */
  record(): CarryRecord {
    const carried = new CarryPin(`${this.#folder}/carry`).read();
    using counters = openMap(`${this.#folder}/counters`);
    const value = counters?.lookup(u32(0));
    if (counters === undefined || value === undefined) return carried;
    const totals = new Map(nonZero("f", counters.sumU64(value)));
    return carried.merge(CarryRecord.of(counters.info.id, new Map([[CARRY_ROW, totals]])));
  }
}

function isAttached(folder: string, hook: Hook, cgroup: CgroupDirectory): boolean {
  using link = openLink(`${folder}/${hook}`);
  if (link === undefined) return false;
  const { cgroupId, attachType } = link.info();
  return cgroupId === cgroup.id && attachType === AttachType[HOOKS[hook].type];
}

/** Undefined where there are no settings. */
export function hashSeedIn(folder: string): bigint | undefined {
  using settings = openMap(`${folder}/settings`);
  const bytes = settings?.lookup(u32(0));
  if (bytes === undefined || bytes.length < SETTINGS_BYTES) return undefined;
  return decodeSettings(bytes.subarray(0, SETTINGS_BYTES)).hashSeed;
}
