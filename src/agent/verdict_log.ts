/**
 * Log lines about connections that firewalls blocked, or would have blocked.
 *
 * Bounded twice: each Pod by its program, the node here. What is left out is counted in a later line.
 */
import { type Clock, sleep } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { formatAddress } from "../domain/address_hex.ts";
import { objectKey } from "../runtime/resource.ts";
import { TokenBucket } from "../runtime/token_bucket.ts";
import type { Kernel } from "./kernel.ts";
import type { VerdictEvent } from "./ports.ts";
import type { Records } from "./records.ts";

const POLL_MS = 500;
const BATCH = 512;
/** Lines of the node: this many at once, then ten a second. */
const LIMIT = { burst: 200, refillMs: 100 };

export interface VerdictLogOptions {
  readonly kernel: Kernel;
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Logger;
}

export class VerdictLog {
  readonly #options: VerdictLogOptions;
  readonly #limit: TokenBucket;

  constructor(options: VerdictLogOptions) {
    this.#options = options;
    this.#limit = new TokenBucket({ clock: options.clock, ...LIMIT });
  }

  /** Logs until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      await this.drain().catch((error) => log.debug("Verdicts cannot be read", { err: error }));
      await sleep(clock, POLL_MS, signal).catch(() => {});
    }
  }

  /** Logs what waits. @throws EbpfError */
  async drain(): Promise<void> {
    const { kernel, records } = this.#options;
    if (!kernel.opened || !records.wantsFirewall) return;
    const events = await kernel.use(({ firewall }) => firewall.drainVerdicts(BATCH));
    for (const event of events) this.#log(event);
  }

  #log(event: VerdictEvent): void {
    const { records, log } = this.#options;
    if (!this.#limit.tryTake()) return;
    const suppressed = this.#limit.takeRefused();
    const pod = records.podOf(event.cgroupId);
    const { direction, protocol, verdict, remotePort, localPort } = event;
    log.info(verdict === "audited" ? "Connection would be blocked" : "Connection blocked", {
      // A Pod that has just gone is known by its cgroup alone.
      ...(pod === undefined
        ? { cgroup: String(event.cgroupId) }
        : { pod: objectKey(pod.namespace, pod.name) }),
      direction,
      protocol,
      remote: formatAddress(event.remote),
      remotePort,
      localPort,
      ...(suppressed > 0 ? { suppressed } : {}),
    });
  }
}
