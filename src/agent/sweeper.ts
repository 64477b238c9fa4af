/**
 * Collects what Pods left that are gone: firewalls by uid, rows of the syscall counter by cgroup, and
 * the counter itself where no row needs it.
 *
 * It finds what no event tells of: the Pods that went while no agent ran, and what a process that died
 * half-way left. What belongs to a Pod that still is here is the reconciler's business.
 */
import type { Logger } from "../lib/log.ts";
import type { Kernel } from "./kernel.ts";
import type { NodeCaches } from "./node_caches.ts";
import { strayRows } from "./plan.ts";
import type { Records } from "./records.ts";

export interface SweeperOptions {
  readonly kernel: Kernel;
  readonly caches: NodeCaches;
  readonly records: Records;
  readonly log: Logger;
}

export class Sweeper {
  readonly #options: SweeperOptions;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** The caches must be synced, and every Pod of theirs looked at once. @throws EbpfError */
  async sweep(): Promise<void> {
    const { kernel, caches, log } = this.#options;
    await kernel.useToRemove(async ({ firewall, syscalls }) => {
      for (const uid of await firewall.list()) {
        // Asked anew for each: a Pod may have come meanwhile.
        if (caches.pods.countByIndex("uid", uid) > 0) continue;
        await firewall.remove(uid);
        log.info("Removed the firewall of a Pod that is gone", { uid });
      }
      const found = await syscalls.inspect();
      const kept = this.#cgroupIds();
      if (kept === undefined) return;
      const stray = strayRows(found, kept);
      for (const row of stray) {
        await syscalls.remove(row);
        log.info("Removed the row of a Pod that is gone", { row });
      }
      const unused = found.present && found.rows.length === stray.length;
      if (unused && !this.#options.records.wantsSyscalls) await syscalls.detachUnused();
    });
  }

  /** Cgroups of Pods that may have rows; undefined while that is not known of every Pod. */
  #cgroupIds(): Set<bigint> | undefined {
    const { records } = this.#options;
    for (const { uid, wantsSyscalls, failures } of records.values()) {
      if (!wantsSyscalls || records.cgroupOf(uid) !== undefined) continue;
      // Without a cgroup there is nothing to count; any other failure may hide one.
      if (failures.some((reason) => reason !== "CgroupNotFound")) return undefined;
    }
    return records.cgroupIds;
  }
}
