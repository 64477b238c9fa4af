/**
 * What a process that stands by knows of its node, so that its term can begin at once: the node's Pods
 * and what they ask for, and all that takes time once a process, done before it is needed.
 *
 * - The kernel is asked for nothing where no Pod asks for programs, and is not changed in any case.
 * - What is known here may be old by a moment, or by the length of a silence on the wire: it is good
 *   for adding what is missing (`head_start.ts`), and for nothing else.
 */
import { sleep } from "../lib/clock.ts";
import { hasFinished, type NodePod } from "../domain/node_pod.ts";
import type { FirewallSpec } from "../domain/ebpf_programs.ts";
import { decide } from "./decision.ts";
import { createNodeCaches, type NodeCaches } from "./node_caches.ts";
import type { AgentDependencies } from "./settings.ts";

/** Between looks at whether a Pod asks for programs now. */
const LOOK_MS = 1_000;

/** A Pod that asks for programs. */
export interface Asking {
  readonly pod: NodePod;
  /** Undefined: it asks for another program only. */
  readonly firewall: FirewallSpec | undefined;
}

export class Standby {
  readonly #dependencies: AgentDependencies;
  readonly #caches: NodeCaches;
  #changed = true;

  constructor(dependencies: AgentDependencies) {
    this.#dependencies = dependencies;
    this.#caches = createNodeCaches(dependencies);
    const changed = () => void (this.#changed = true);
    this.#caches.pods.subscribe(changed);
    this.#caches.pcmcs.subscribe(changed);
  }

  /** Follows until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const informers = this.#caches.informers.map((informer) => informer.run(signal));
    await Promise.all([...informers, this.#warmUp(signal)]);
  }

  /** As last heard of; none while the server's changes are not followed. */
  asking(): Asking[] {
    const { settings } = this.#dependencies;
    const { informers, pods, sources } = this.#caches;
    if (!informers.every(({ synced, trouble }) => synced && trouble === undefined)) return [];
    return [...pods.values()].flatMap((pod) => {
      // Of static Pods one may be taken for another: they wait for those who look closer.
      if (hasFinished(pod) || pod.configHash !== "") return [];
      const { wanted: { firewall, syscalls }, hold } = decide(
        pod,
        sources(pod.namespace),
        settings,
      );
      const nothing = firewall === undefined && syscalls === undefined;
      return nothing || hold.length > 0 ? [] : [{ pod, firewall: firewall?.spec }];
    });
  }

  async #warmUp(signal: AbortSignal): Promise<void> {
    const { node, clock } = this.#dependencies;
    await Promise.all(this.#caches.informers.map((informer) => informer.whenSynced(signal)));
    while (!signal.aborted) {
      const following = this.#caches.informers.every(({ trouble }) => trouble === undefined);
      if (this.#changed && following) {
        this.#changed = false;
        if (this.asking().length > 0) return node.warmUp();
      }
      await sleep(clock, LOOK_MS, signal).catch(() => {});
    }
  }
}
