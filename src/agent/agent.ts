/**
 * The eBPF agent of one node as one thing to run: caches, reconciler, sweep, counters, self-test.
 *
 * Guarantees: before the caches are synced programs are at most added (`head_start.ts`); what is pinned stays and works
 * on when the process stops, however it stops; the next one takes it over. It writes one condition of the
 * Pods of its node, and Events about them; nothing else.
 */
import { sleep } from "../lib/clock.ts";
import { syscallTable } from "../domain/syscall_table.ts";
import { ApiClient } from "../runtime/api_client.ts";
import { Controller } from "../runtime/controller.ts";
import { EventRecorder } from "../runtime/event_recorder.ts";
import { objectKey } from "../runtime/resource.ts";
import { TroubleLog } from "../runtime/trouble_log.ts";
import { WorkQueue } from "../runtime/work_queue.ts";
import { Collector } from "./collector.ts";
import { headStart } from "./head_start.ts";
import { Kernel } from "./kernel.ts";
import { createNodeCaches, type NodeCaches } from "./node_caches.ts";
import { PodReconciler } from "./pod_reconciler.ts";
import type { AddressHex } from "../domain/ebpf_programs.ts";
import type { BpfLoader } from "./ports.ts";
import { Programs } from "./programs.ts";
import { Records } from "./records.ts";
import type { AgentDependencies } from "./settings.ts";
import type { Asking } from "./standby.ts";
import { Sweeper } from "./sweeper.ts";
import { VerdictLog } from "./verdict_log.ts";

/** Pods worked on at once: the kernel takes one at a time, the API server several. */
const INFLIGHT = 16;
const SLOW_RETRY_MS = 30_000;
const SWEEP_MS = 60_000;
/** What comes with time, as cgroups do after a reboot, has come by then. */
const SETTLE_MS = 60_000;
/** Between looks at the node's addresses, and between tries of what must succeed once. */
const NODE_LOOK_MS = 5_000;
/** How long the caches, and a controller beside, wait for what is more urgent. */
const HEAD_START_MS = 500;
/** The same, of whether the kernel has been opened. */
const OPENED_LOOK_MS = 500;

export class NodeAgent {
  readonly #dependencies: AgentDependencies;
  readonly #asking: readonly Asking[];
  readonly #caches: NodeCaches;
  readonly #queue: WorkQueue;
  readonly #records = new Records();
  readonly #kernel: Kernel;
  readonly #collector: Collector;
  readonly #programs: Programs;
  /** Keys of Pods that were there at the start and have not been looked at yet; undefined before that. */
  #unseen: Set<string> | undefined;
  #swept = false;
  /** The node has been as wanted once, or has had its time: monotonic ms from which on single Pods do not count. */
  #settledAt = Infinity;
  /** Aborts once the caches are synced. */
  readonly #synced = new AbortController();
  #addresses: readonly AddressHex[] = [];

  /** @param asking Pods that are known to ask for programs already: see `head_start.ts`. */
  constructor(dependencies: AgentDependencies, asking: readonly Asking[] = []) {
    this.#dependencies = dependencies;
    this.#asking = asking;
    const { clock, log, metrics, node, settings, runtimeMetrics } = dependencies;
    const { queues } = runtimeMetrics;
    this.#caches = createNodeCaches(dependencies);
    this.#queue = new WorkQueue({ name: this.#name, clock, ...(queues && { metrics: queues }) });
    this.#kernel = new Kernel({
      loader: node.loader,
      canary: node.canary,
      clock,
      log: log.with({ logger: "ebpf" }),
      metrics,
      canaryMs: settings.canaryMs,
      onDemand: settings.role === "leader",
      prepare: (loader) => this.#prepare(loader),
      canaryChanged: () => this.#lookAtEverything(),
    });
    this.#programs = new Programs(this.#kernel, node.cgroups);
    this.#collector = new Collector({
      kernel: this.#kernel,
      table: syscallTable(settings.architecture),
      clock,
      log: log.with({ logger: "counters" }),
      metrics,
    });
    this.#subscribe();
  }

  /** Of queue and controller in metrics: beside a controller's own "pod" it has another. */
  get #name(): string {
    return this.#dependencies.settings.role === "agent" ? "pod" : "node_pod";
  }

  get informers(): NodeCaches["informers"] {
    return this.#caches.informers;
  }

  /** Any Pod of the node is to have programs. */
  get isWanted(): boolean {
    return this.#records.wantsPrograms;
  }

  /**
   * Whether this node's Pods are served, and what is in the way. A Pod that fails alone says so in its
   * condition, and is no word about the others; but at the start all must be as wanted, or have had a minute.
   */
  readiness(): { readonly ok: boolean; readonly detail: string } {
    if (this.#unseen === undefined) return { ok: false, detail: "caches are not synced" };
    const { trouble } = this.#kernel;
    if (trouble !== undefined) return { ok: false, detail: trouble.message };
    if (this.#unseen.size > 0) {
      return { ok: false, detail: `${this.#unseen.size} Pods have not been looked at yet` };
    }
    if (!this.#swept) return { ok: false, detail: "what other Pods left has not been removed yet" };
    const now = this.#dependencies.clock.monotonic();
    const record = this.#records.trouble();
    if (record === undefined) {
      this.#settledAt = Math.min(this.#settledAt, now);
      return { ok: true, detail: "all Pods are as wanted" };
    }
    const { namespace, name } = record.pod;
    const reasons = record.failures.join(", ");
    return { ok: now >= this.#settledAt, detail: `Pod ${objectKey(namespace, name)}: ${reasons}` };
  }

  /**
   * Works until `signal` aborts; resolves once everything has ended. What is pinned stays.
   * @param begun called when others may have the processor: nothing is urgent, or a moment has passed.
   */
  async run(signal: AbortSignal, begun = () => {}): Promise<void> {
    const beginning = this.#begin(signal);
    await this.#forAMoment(beginning, signal);
    begun();
    const informing = new AbortController();
    const informers = this.#caches.informers.map((informer) => informer.run(informing.signal));
    try {
      await Promise.race([this.#work(signal), ...informers.map(endedTooEarly)]);
    } finally {
      informing.abort();
      await Promise.allSettled([beginning, ...informers]);
      // Another one of this process begins with all that the kernel has counted.
      this.#collector.forgetAll();
      this.#dependencies.metrics.stopped();
      await this.#kernel.close();
    }
  }

  /** A leader's node is claimed, and what is missing there added, before anything else of the term. */
  async #begin(signal: AbortSignal): Promise<void> {
    const { node, log, settings } = this.#dependencies;
    if (settings.role !== "leader") return;
    const kernel = this.#kernel;
    if (!await kernel.openAhead(this.#asking.length > 0)) return;
    const applied = await headStart(this.#asking, {
      kernel,
      cgroups: node.cgroups,
      signal: AbortSignal.any([signal, this.#synced.signal]),
    });
    if (applied > 0) log.info("Applied firewalls ahead of the caches", { pods: applied });
  }

  async #forAMoment(work: Promise<void>, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const limit = sleep(
      this.#dependencies.clock,
      HEAD_START_MS,
      AbortSignal.any([signal, over.signal]),
    );
    await Promise.race([work, limit.catch(() => {})]);
    over.abort();
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { clock, random, log, settings, runtimeMetrics, rest, beforeWrite } = this.#dependencies;
    await Promise.all(this.#caches.informers.map((informer) => informer.whenSynced(signal)));
    if (signal.aborted) return;
    this.#synced.abort();
    log.info("Caches are synced", { pods: this.#caches.pods.size, pcmcs: this.#caches.pcmcs.size });
    const { requests } = runtimeMetrics;
    const api = new ApiClient({
      rest: rest.api,
      clock,
      ...(beforeWrite && { beforeWrite }),
      ...(requests && { metrics: requests }),
    });
    const recorder = new EventRecorder({
      api,
      clock,
      random,
      log: log.with({ logger: "events" }),
      reportingController: "podconfig.example.com/podconfigmap-agent",
      reportingInstance: settings.identity,
    });
    const controller = this.#controller(api, recorder);
    using _queue = runtimeMetrics.queues?.observeQueue(this.#queue);
    this.#unseen = new Set(this.#lookAtEverything());
    this.#settledAt = clock.monotonic() + SETTLE_MS;
    const verdicts = new VerdictLog({
      kernel: this.#kernel,
      records: this.#records,
      clock,
      log: log.with({ logger: "verdicts" }),
    });
    try {
      await Promise.all([
        controller.run(signal),
        recorder.run(signal),
        this.#collector.run(signal),
        this.#sweep(signal),
        this.#watchNode(signal),
        ...(settings.verdictLogPerSecond > 0 ? [verdicts.run(signal)] : []),
      ]);
    } finally {
      this.#queue.shutDown();
    }
  }

  #controller(api: ApiClient, recorder: EventRecorder): Controller {
    const { clock, random, log, settings, metrics, runtimeMetrics } = this.#dependencies;
    const reconciler = new PodReconciler({
      caches: this.#caches,
      programs: this.#programs,
      records: this.#records,
      collector: this.#collector,
      api,
      recorder,
      settings,
      clock,
      random,
      log: log.with({ logger: "agent" }),
      metrics,
    });
    return new Controller({
      name: this.#name,
      queue: this.#queue,
      reconcile: async (key, signal) => {
        const outcome = await reconciler.reconcile(key, signal);
        this.#unseen?.delete(key);
        return outcome;
      },
      workers: 1,
      inflight: INFLIGHT,
      maxRetries: settings.maxRetries,
      slowRetryMs: SLOW_RETRY_MS,
      timeoutMs: settings.reconciliationTimeoutMs,
      clock,
      random,
      log: log.with({ logger: "agent" }),
      ...(runtimeMetrics.controllers && { metrics: runtimeMetrics.controllers }),
    });
  }

  #subscribe(): void {
    const { pods, pcmcs } = this.#caches;
    pods.subscribe(({ before, after }) => {
      if (before !== undefined && before.uid !== after?.uid) {
        this.#queue.add(objectKey(before.namespace, before.uid));
      }
      // Every event, though nothing kept has changed: a container may have started.
      if (after !== undefined) this.#queue.add(objectKey(after.namespace, after.uid));
    });
    pcmcs.subscribe(({ before, after }) => {
      const same = before?.uid === after?.uid && before?.generation === after?.generation &&
        before?.terminating === after?.terminating;
      const namespace = (after ?? before)?.namespace;
      if (!same && namespace !== undefined) this.#lookAt(namespace);
    });
  }

  #lookAt(namespace: string): void {
    for (const { uid } of this.#caches.pods.byIndex("namespace", namespace)) {
      this.#queue.add(objectKey(namespace, uid));
    }
  }

  #lookAtEverything(): string[] {
    const keys = [...this.#caches.pods.values()].map(({ namespace, uid }) =>
      objectKey(namespace, uid)
    );
    for (const key of keys) this.#queue.add(key);
    return keys;
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#dependencies;
    const sweeper = new Sweeper({
      kernel: this.#kernel,
      caches: this.#caches,
      records: this.#records,
      log: log.with({ logger: "sweep" }),
    });
    const trouble = new TroubleLog(log, clock, {
      trouble: "What Pods left cannot be removed",
      recovery: "What Pods left is removed again",
    });
    while (!signal.aborted) {
      let pauseMs = 100;
      if (this.#unseen?.size === 0) {
        try {
          await sweeper.sweep();
          trouble.recovered();
          this.#swept = true;
          this.#keepNamespaces();
          pauseMs = SWEEP_MS;
        } catch (error) {
          trouble.trouble("sweep", { err: error });
          pauseMs = NODE_LOOK_MS;
        }
      }
      await sleep(clock, pauseMs, signal).catch(() => {});
    }
  }

  #keepNamespaces(): void {
    const { pods } = this.#caches;
    this.#dependencies.runtimeMetrics.keepNamespaces?.((namespace) =>
      pods.countByIndex("namespace", namespace) > 0
    );
  }

  /**
   * The canary while firewalls are at work, and the addresses that reach probe ports. An agent's first
   * canary comes in any case: all that it takes to load and attach has been used once when a Pod comes.
   */
  async #watchNode(signal: AbortSignal): Promise<void> {
    const { clock, log, settings } = this.#dependencies;
    let isFirst = settings.role === "agent";
    while (!signal.aborted) {
      if (this.#kernel.opened) {
        if (isFirst || this.#records.wantsFirewall) await this.#kernel.checkCanary();
        isFirst = false;
        try {
          await this.#kernel.use((loader) => this.#setAddresses(loader));
        } catch (error) {
          log.warning("The node's addresses cannot be set", { err: error });
        }
      }
      const pauseMs = this.#kernel.opened ? NODE_LOOK_MS : OPENED_LOOK_MS;
      await sleep(clock, pauseMs, signal).catch(() => {});
    }
  }

  async #prepare(loader: BpfLoader): Promise<void> {
    await this.#setAddresses(loader);
    // While it could not be opened, Pods that want nothing were passed over.
    if (this.#kernel.trouble !== undefined) this.#lookAtEverything();
  }

  async #setAddresses(loader: BpfLoader): Promise<void> {
    const addresses = [...await this.#dependencies.node.addresses.list()].sort();
    if (addresses.join() === this.#addresses.join()) return;
    await loader.firewall.setNodeAddresses(addresses);
    this.#addresses = addresses;
  }
}

/** An informer ends only when told to; anything else is a fault that must end the process. */
async function endedTooEarly(informer: Promise<void>): Promise<void> {
  await informer;
  return new Promise(() => {});
}
