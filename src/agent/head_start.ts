/**
 * Firewalls for Pods that have none, before a term's caches are read.
 *
 * It only adds. What is in place may be newer than what is known here: it is changed, and taken away, by
 * the reconciler, once its caches are read. That one also meets, retries and reports all failures.
 */
import type { Kernel } from "./kernel.ts";
import type { CgroupResolver } from "./ports.ts";
import { cgroupQuery } from "./programs.ts";
import type { Asking } from "./standby.ts";

export interface HeadStartOptions {
  readonly kernel: Pick<Kernel, "use">;
  readonly cgroups: CgroupResolver;
  /** Aborts when somebody knows better. */
  readonly signal: AbortSignal;
}

/** @returns how many have got one. Never throws. */
export async function headStart(
  asking: readonly Asking[],
  { kernel, cgroups, signal }: HeadStartOptions,
): Promise<number> {
  let applied = 0;
  for (const { pod, firewall: spec } of asking) {
    if (spec === undefined) continue;
    if (signal.aborted) break;
    try {
      const cgroup = await cgroups.resolve(cgroupQuery(pod));
      await kernel.use(async ({ firewall }) => {
        if (await firewall.inspect(pod.uid) !== undefined || signal.aborted) return;
        await firewall.apply(pod.uid, cgroup, spec);
        applied++;
      });
    } catch {
      // The reconciler comes by in a moment.
    }
  }
  return applied;
}
