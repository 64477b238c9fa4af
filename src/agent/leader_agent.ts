/**
 * The node's agent where leader election decides who runs eBPF: at work while this process leads; while
 * another node's process does, what is pinned here is taken down.
 *
 * Guarantees, for a node with one or more such processes:
 * - Programs have one owner: whoever changes anything has claimed the node, be it to apply or to take down.
 * - Nothing is taken down on a guess. The lease is read while the node is claimed, and must name a process
 *   of another node: nobody of this node can have applied anything since. While nobody holds the lease, and
 *   while the API server cannot be asked, rules hold.
 * - A new leader of this node finds what the last one left, and adopts it. What its Pods ask for it knows
 *   from standing by, so that what is missing is added before the caches of the term are read.
 * - A process that stops waits a little to see who comes next, as nobody else can take this node's programs down.
 *
 * Conditions of Pods are the leader's to write (`src/controllers/unserved_pods.ts` for other nodes).
 */
import { type Clock, sleep } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { ApiClient } from "../runtime/api_client.ts";
import { LEASE_TYPE, readRecord } from "../runtime/lease_record.ts";
import { Permits } from "../runtime/permits.ts";
import { isNotFound } from "../runtime/ports/errors.ts";
import type { JsonValue, RestClient } from "../runtime/ports/rest.ts";
import { TroubleLog } from "../runtime/trouble_log.ts";
import { NodeAgent } from "./agent.ts";
import { asEbpfError } from "./kernel.ts";
import type { BpfLoader } from "./ports.ts";
import type { AgentDependencies } from "./settings.ts";
import { Standby } from "./standby.ts";

/** Between looks at what is pinned here, and at whether the node is as wanted. */
const LOOK_MS = 250;
/** Between reads of the lease while another process of this node may lead. */
const LEASE_LOOK_MS = 500;
const LEASE_TIMEOUT_MS = 750;
/** A standby that polls every two seconds has the lease by then; and a process ends within five. */
const HAND_OVER_MS = 2_500;

export interface LeaseAt {
  readonly rest: RestClient;
  readonly namespace: string;
  readonly name: string;
  /** Of this process. */
  readonly identity: string;
  /** The node that a holder's identity names; undefined where it names none. */
  readonly nodeOf: (identity: string) => string | undefined;
}

export interface LeaderAgentOptions {
  readonly dependencies: AgentDependencies;
  /** Undefined without leader election: then this process always leads. */
  readonly lease: LeaseAt | undefined;
}

interface Standing {
  readonly standby: Standby;
  readonly ended: AbortController;
}

/** What a look at the node has come to. */
type Sight =
  /** Nothing of ours is here, or it belongs to a process of this node that leads. */
  | "settled"
  /** Something is here, and who leads is not known yet. */
  | "open";

export class LeaderAgent {
  readonly #dependencies: AgentDependencies;
  readonly #lease: LeaseAt | undefined;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #loader: BpfLoader;
  /** Leading and taking down exclude each other. */
  readonly #turn = new Permits(1);
  readonly #subscribers = new Set<() => void>();
  readonly #trouble: TroubleLog;
  readonly #reader: ApiClient | undefined;
  #leading = false;
  #agent: NodeAgent | undefined;
  #ready = false;
  #standby: Standing | undefined;
  #leaseReadAt = -Infinity;

  constructor({ dependencies, lease }: LeaderAgentOptions) {
    this.#dependencies = dependencies;
    this.#lease = lease;
    const { clock, node } = dependencies;
    this.#clock = clock;
    this.#log = dependencies.log.with({ logger: "leader-node" });
    this.#loader = node.loader;
    this.#trouble = new TroubleLog(this.#log, clock, {
      trouble: "Cannot see to the eBPF programs of a node that does not lead",
      recovery: "Can see to the eBPF programs of a node that does not lead again",
    });
    this.#reader = lease && new ApiClient({
      rest: lease.rest,
      clock,
      ...(dependencies.runtimeMetrics.requests && {
        metrics: dependencies.runtimeMetrics.requests,
      }),
    });
  }

  get nodeName(): string {
    return this.#dependencies.settings.nodeName;
  }

  /** This process leads, and its node's Pods are as wanted. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Of the term; none while another process leads. */
  get informers(): NodeAgent["informers"] {
    return this.#agent?.informers ?? [];
  }

  /** Where nobody asks for programs, a node that cannot run them lacks nothing. */
  readiness(): ReturnType<NodeAgent["readiness"]> {
    if (this.#agent === undefined) return { ok: true, detail: "another process leads" };
    const readiness = this.#agent.readiness();
    if (readiness.ok || this.#agent.isWanted) return readiness;
    return { ok: true, detail: `no Pod of this node asks for eBPF: ${readiness.detail}` };
  }

  /** `changed` is called when {@link ready} has changed, until disposed. */
  subscribe(changed: () => void): Disposable {
    this.#subscribers.add(changed);
    return { [Symbol.dispose]: () => void this.#subscribers.delete(changed) };
  }

  /** As `LeaderService` says. What is pinned stays. */
  async lead(signal: AbortSignal, assertLeading: () => void, begun: () => void): Promise<void> {
    this.#leading = true;
    const turn = this.#turn.acquire();
    if (turn !== undefined) {
      begun();
      await turn;
    }
    const ended = new AbortController();
    let watching: Promise<void> | undefined;
    try {
      if (signal.aborted) return;
      const asking = this.#standby?.standby.asking();
      this.#agent = new NodeAgent({ ...this.#dependencies, beforeWrite: assertLeading }, asking);
      watching = this.#watchReadiness(this.#agent, ended.signal);
      await this.#agent.run(signal, begun);
    } finally {
      begun();
      ended.abort();
      this.#standby?.ended.abort();
      await watching;
      this.#agent = undefined;
      this.#leading = false;
      // At once: who took the lease, if anybody, is known at the server.
      this.#leaseReadAt = -Infinity;
      this.#turn.release();
    }
  }

  async #watchReadiness(agent: NodeAgent, ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      this.#setReady(agent.readiness().ok);
      // Not before: to close connections takes time as well.
      if (agent.informers.every(({ synced }) => synced)) this.#standby?.ended.abort();
      await sleep(this.#clock, LOOK_MS, ended).catch(() => {});
    }
    this.#setReady(false);
  }

  #setReady(ready: boolean): void {
    if (ready === this.#ready) return;
    this.#ready = ready;
    for (const changed of this.#subscribers) changed();
  }

  /** Sees to the node while this process does not lead; a little longer than until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#see(signal), this.#standBy(signal)]);
  }

  /** Knows what the node's Pods ask for, while this process does not lead. */
  async #standBy(signal: AbortSignal): Promise<void> {
    if (this.#lease === undefined) return;
    while (!signal.aborted) {
      if (!this.#leading) {
        const ended = new AbortController();
        const standby = new Standby(this.#dependencies);
        this.#standby = { standby, ended };
        await standby.run(AbortSignal.any([signal, ended.signal]));
        this.#standby = undefined;
      }
      await sleep(this.#clock, LOOK_MS, signal).catch(() => {});
    }
  }

  async #see(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look(LEASE_LOOK_MS);
      await sleep(this.#clock, LOOK_MS, signal).catch(() => {});
    }
    const end = this.#clock.monotonic() + HAND_OVER_MS;
    let told = false;
    while (await this.#look(LOOK_MS) === "open" && this.#clock.monotonic() < end) {
      if (!told) this.#log.info("Waiting to see who leads next");
      told = true;
      await sleep(this.#clock, LOOK_MS);
    }
  }

  /** `leaseLookMs`: how often the lease may be read. */
  async #look(leaseLookMs: number): Promise<Sight> {
    const now = this.#clock.monotonic();
    if (this.#lease === undefined) return "settled";
    if (this.#leading) return "open";
    try {
      if (!await this.#loader.present()) return "settled";
      if (now - this.#leaseReadAt < leaseLookMs) return "open";
      this.#leaseReadAt = now;
      const sight = this.#sightOf(await this.#readHolder());
      const result = sight === "elsewhere" ? await this.#takeDown() : sight;
      this.#trouble.recovered();
      return result;
    } catch (cause) {
      const error = asEbpfError(cause, "take programs down");
      // Another process of this node has it: to take it down, or by a lease that it does not know to be lost.
      if (error.reason !== "AnotherAgent") this.#trouble.trouble(error.reason, { err: error });
      return "open";
    }
  }

  /** Empty where nobody holds the lease. Takes no longer than its limit, retries included. */
  async #readHolder(): Promise<string> {
    const { namespace, name } = this.#lease as LeaseAt;
    const reader = this.#reader as ApiClient;
    const limit = new AbortController();
    const late = () => limit.abort(new Error(`no answer within ${LEASE_TIMEOUT_MS} ms`));
    using _timer = this.#clock.setTimer(LEASE_TIMEOUT_MS, late);
    try {
      const lease = await reader.get<JsonValue>(LEASE_TYPE, { namespace, name }, limit.signal);
      return readRecord(lease).holder;
    } catch (error) {
      if (isNotFound(error)) return "";
      throw error;
    }
  }

  /** One that names no node, as another program's might, says nothing. */
  #sightOf(holder: string): Sight | "elsewhere" {
    const { identity, nodeOf } = this.#lease as LeaseAt;
    const node = holder === identity ? undefined : nodeOf(holder);
    if (node === undefined) return "open";
    return node === this.nodeName ? "settled" : "elsewhere";
  }

  async #takeDown(): Promise<Sight> {
    if (this.#leading) return "open";
    await this.#turn.acquire();
    try {
      try {
        await this.#loader.open();
        // Once more, now that nobody of this node can begin anything.
        const holder = await this.#readHolder();
        if (this.#leading || this.#sightOf(holder) !== "elsewhere") return "open";
        await this.#loader.clear();
        this.#log.info("Took the eBPF programs of this node down: another node leads", {
          node: this.nodeName,
          holder,
        });
        return "settled";
      } finally {
        await this.#loader.close();
      }
    } finally {
      this.#turn.release();
    }
  }
}
