/**
 * Which nodes have an eBPF agent at work, as ConfigMaps and statuses tell it.
 *
 * A node that loses its agent counts as served for a while: an agent that restarts, or is replaced by the
 * next version, is back before that, rules and counts go on meanwhile, and nothing needs to be written
 * twice. A node that was not served when the term began gets no such grace.
 */
import type { Clock } from "../lib/clock.ts";

/** An agent's Pod is replaced, its image pulled and its node looked at within this time. */
export const SERVED_GRACE_MS = 30_000;

export interface ServedNodesOptions {
  readonly clock: Clock;
  /** Whether the node has a ready agent at this moment. */
  readonly ready: (nodeName: string) => boolean;
  /** The node is served now, or no longer. */
  readonly changed: (nodeName: string) => void;
}

export class ServedNodes implements Disposable {
  readonly #options: ServedNodesOptions;
  /** Nodes whose agent is away, each until its grace is over. */
  readonly #away = new Map<string, Disposable>();

  constructor(options: ServedNodesOptions) {
    this.#options = options;
  }

  has(nodeName: string): boolean {
    return this.#away.has(nodeName) || this.#options.ready(nodeName);
  }

  /** An agent of the node has become ready, or is so no longer. */
  agentChanged(nodeName: string): void {
    const { clock, ready, changed } = this.#options;
    const grace = this.#away.get(nodeName);
    if (ready(nodeName)) {
      if (grace === undefined) return changed(nodeName);
      grace[Symbol.dispose]();
      this.#away.delete(nodeName);
    } else if (grace === undefined) {
      const end = () => {
        this.#away.delete(nodeName);
        changed(nodeName);
      };
      this.#away.set(nodeName, clock.setTimer(SERVED_GRACE_MS, end));
    }
  }

  /** Ends every grace, and tells nobody. */
  [Symbol.dispose](): void {
    for (const grace of this.#away.values()) grace[Symbol.dispose]();
    this.#away.clear();
  }
}
