/**
 * One term of leadership: the queues, the ledger and the two controllers, from warm caches to the end
 * of the term. A term starts with everything unproven and looks at every Pod once; what it finds in
 * place is not written again.
 *
 * It turns cache changes into keys (section "event table" of `docs/architecture.md`) and does no
 * other work: `PodReconciler` and `PcmcReconciler` do that.
 */
import { sleep } from "../lib/clock.ts";
import { servedNode } from "../domain/ebpf_status.ts";
import { configMapOwners } from "../domain/ownership.ts";
import { type ObservedConfigMap, type PodFacts, samePodFacts } from "../domain/model.ts";
import type { PcmcView } from "../domain/projections.ts";
import type { ApiClient } from "../runtime/api_client.ts";
import { Controller, type Outcome } from "../runtime/controller.ts";
import type { EventRecorder } from "../runtime/event_recorder.ts";
import { objectKey } from "../runtime/resource.ts";
import type { Change } from "../runtime/store.ts";
import { WorkQueue } from "../runtime/work_queue.ts";
import { AbsenceCheck } from "./absence_check.ts";
import type { Caches } from "./caches.ts";
import { ConfigMapWriter } from "./config_map_writer.ts";
import { Ledger } from "./ledger.ts";
import type { PodDocuments } from "./pod_documents.ts";
import { PcmcReconciler } from "./pcmc_reconciler.ts";
import { PodReconciler } from "./pod_reconciler.ts";
import { ServedNodes } from "./served_nodes.ts";
import type { ControllerDependencies } from "./settings.ts";
import { UnservedPods } from "./unserved_pods.ts";

/** Pace of a key whose fast tries are used up. */
const SLOW_RETRY_MS = 30_000;

export interface TermOptions {
  readonly dependencies: ControllerDependencies;
  readonly caches: Caches;
  readonly documents: PodDocuments;
  readonly api: ApiClient;
  readonly recorder: EventRecorder;
}

export class Term {
  readonly #dependencies: ControllerDependencies;
  readonly #caches: Caches;
  readonly #ledger = new Ledger();
  readonly #podQueue: WorkQueue;
  readonly #pcmcQueue: WorkQueue;
  readonly #podController: Controller;
  readonly #pcmcController: Controller;
  readonly #served: ServedNodes;
  /** Pod keys with unwritten changes -> monotonic ms of the first of them. */
  readonly #staleSince = new Map<string, number>();

  constructor(options: TermOptions) {
    const { dependencies, caches, documents, api, recorder } = options;
    const { clock, settings, runtimeMetrics, service } = dependencies;
    this.#dependencies = dependencies;
    this.#caches = caches;
    this.#served = this.#createServed();
    const metrics = runtimeMetrics.queues;
    this.#podQueue = new WorkQueue({ name: "pod", clock, ...(metrics && { metrics }) });
    this.#pcmcQueue = new WorkQueue({ name: "pcmc", clock, ...(metrics && { metrics }) });
    const log = dependencies.log.with({ logger: "controller" });
    const pods = new PodReconciler({
      caches,
      documents,
      writer: new ConfigMapWriter({
        api,
        store: caches.configMaps,
        codec: dependencies.codecs.configMaps,
        metrics: dependencies.metrics,
      }),
      absence: new AbsenceCheck(api, clock),
      ledger: this.#ledger,
      clock,
      log,
      served: (nodeName) => this.#served.has(nodeName),
      unserved: service && new UnservedPods({ api, caches, clock, nodeName: service.nodeName }),
      failures: (podKey) => this.#podQueue.failures(podKey),
      maxRetries: settings.maxRetries,
      pairChanged: (pcmcKey) => {
        if (this.#ledger.isTelling(pcmcKey)) this.#pcmcQueue.add(pcmcKey);
      },
    });
    const pcmcs = new PcmcReconciler({
      caches,
      api,
      recorder,
      ledger: this.#ledger,
      clock,
      log,
      metrics: dependencies.metrics,
    });
    this.#podController = this.#controller({
      name: "pod",
      queue: this.#podQueue,
      workers: settings.podWorkers,
      reconcile: (key, signal) => this.#reconcilePod(pods, key, signal),
    });
    this.#pcmcController = this.#controller({
      name: "pcmc",
      queue: this.#pcmcQueue,
      workers: settings.pcmcWorkers,
      reconcile: (key, signal) => pcmcs.reconcile(key, signal),
    });
  }

  /** Works until `signal` aborts; resolves once no work is under way. The caches must be synced. */
  async run(signal: AbortSignal): Promise<void> {
    const { queues } = this.#dependencies.runtimeMetrics;
    using _pods = queues?.observeQueue(this.#podQueue);
    using _pcmcs = queues?.observeQueue(this.#pcmcQueue);
    using _service = this.#follow();
    using _served = this.#served;
    this.#lookAtEverything();
    try {
      await Promise.all([
        this.#podController.run(signal),
        this.#pcmcController.run(signal),
        this.#resync(signal),
      ]);
    } finally {
      // Delayed keys would keep timers, and through them this term, alive.
      this.#podQueue.shutDown();
      this.#pcmcQueue.shutDown();
    }
  }

  podChanged({ key, before, after, initial, cause }: Change<PodFacts>): void {
    this.#agentChanged(before, after);
    if (after === undefined) {
      for (const pcmc of this.#pcmcsOf(before?.namespace ?? "")) {
        const pcmcKey = objectKey(pcmc.namespace, pcmc.name);
        if (this.#ledger.forgetPod(pcmcKey, key)) this.#pcmcQueue.add(pcmcKey);
      }
      this.#staleSince.delete(key);
      // The reconciler notes when the Pod was first missed; later passes remove what is left.
      this.#podQueue.add(key, { bulk: true });
      return;
    }
    if (before !== undefined && samePodFacts(before, after)) return;
    this.#enqueuePod(key, initial || cause === "list");
  }

  /** A node has got a ready agent, or lost it: its Pods are no longer served as they were. */
  #agentChanged(before: PodFacts | undefined, after: PodFacts | undefined): void {
    const { settings, service } = this.#dependencies;
    if (service !== undefined) return;
    const { namespace = "" } = settings.agents ?? {};
    const was = before && servedNode(before, namespace);
    const is = after && servedNode(after, namespace);
    if (was === is) return;
    for (const node of [was, is]) if (node !== undefined) this.#served.agentChanged(node);
  }

  #createServed(): ServedNodes {
    const { clock, service } = this.#dependencies;
    const { pods } = this.#caches;
    const ready = service === undefined
      ? (nodeName: string) => pods.countByIndex("served", nodeName) > 0
      : (nodeName: string) => nodeName === service.nodeName && service.ready;
    const changed = (nodeName: string) => {
      for (const pod of pods.byIndex("node", nodeName)) {
        this.#enqueuePod(objectKey(pod.namespace, pod.name), true);
      }
    };
    return new ServedNodes({ clock, ready, changed });
  }

  /** The agent of this process starts with the term: until it has looked around it has its grace. */
  #follow(): Disposable | undefined {
    const { service } = this.#dependencies;
    if (service === undefined) return undefined;
    this.#served.agentChanged(service.nodeName);
    return service.subscribe(() => this.#served.agentChanged(service.nodeName));
  }

  pcmcChanged({ key, before, after }: Change<PcmcView>): void {
    if (after === undefined) {
      this.#ledger.close(key);
      for (const podKey of this.#podsWithConfigMapsOf(key)) this.#enqueuePod(podKey, true);
    } else {
      this.#open(key, after);
      if (before !== undefined && before.uid !== after.uid) {
        for (const podKey of this.#podsWithConfigMapsOf(key)) this.#enqueuePod(podKey, true);
      }
    }
    this.#pcmcQueue.add(key);
  }

  configMapChanged({ before, after, cause }: Change<ObservedConfigMap>): void {
    // What we wrote ourselves is as the reconcile that wrote it left it.
    if (cause === "own-write") return;
    for (const object of [before, after]) {
      if (object === undefined) continue;
      const pod = configMapOwners(object)?.pod;
      if (pod !== undefined) this.#enqueuePod(objectKey(object.namespace, pod), cause === "list");
    }
  }

  /** What templates see of that Pod has changed. */
  documentChanged(podKey: string): void {
    this.#enqueuePod(podKey, false);
  }

  /** Opens the books of a PCMC's current generation, and has every Pod that it concerns looked at. */
  #open(key: string, pcmc: PcmcView): void {
    const { uid, generation } = pcmc;
    if (this.#ledger.isOpen(key, uid, generation)) return;
    const matching: string[] = [];
    if (pcmc.spec !== undefined) {
      for (const pod of this.#caches.pods.byIndex("namespace", pcmc.namespace)) {
        if (pcmc.spec.selects(pod.labels)) matching.push(objectKey(pod.namespace, pod.name));
      }
    }
    const at = this.#dependencies.clock.monotonic();
    this.#ledger.begin(key, { uid, generation, at, matching });
    for (const podKey of matching) this.#enqueuePod(podKey, true);
    for (const podKey of this.#podsWithConfigMapsOf(key)) this.#enqueuePod(podKey, true);
  }

  #lookAtEverything(): void {
    const { pods, pcmcs, configMaps } = this.#caches;
    for (const pcmc of pcmcs.values()) {
      const key = objectKey(pcmc.namespace, pcmc.name);
      this.#open(key, pcmc);
      this.#pcmcQueue.add(key);
    }
    for (const pod of pods.values()) {
      this.#podQueue.add(objectKey(pod.namespace, pod.name), { bulk: true });
    }
    // Orphans: ConfigMaps whose Pod or PCMC went while nobody led.
    for (const configMap of configMaps.values()) {
      const pod = configMapOwners(configMap)?.pod;
      if (pod !== undefined) {
        this.#podQueue.add(objectKey(configMap.namespace, pod), { bulk: true });
      }
    }
  }

  async #resync(signal: AbortSignal): Promise<void> {
    const { clock, settings, metrics } = this.#dependencies;
    try {
      while (true) {
        await sleep(clock, settings.resyncPeriodMs, signal);
        this.#lookAtEverything();
        const { pods, pcmcs } = this.#caches;
        metrics.keepNamespaces?.((namespace) =>
          [pods, pcmcs].some((store) => store.countByIndex("namespace", namespace) > 0)
        );
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #controller(options: {
    name: string;
    queue: WorkQueue;
    workers: number;
    reconcile: ConstructorParameters<typeof Controller>[0]["reconcile"];
  }): Controller {
    const { clock, random, log, settings, runtimeMetrics } = this.#dependencies;
    return new Controller({
      ...options,
      inflight: settings.workerInflight,
      maxRetries: settings.maxRetries,
      slowRetryMs: SLOW_RETRY_MS,
      timeoutMs: settings.reconciliationTimeoutMs,
      clock,
      random,
      log: log.with({ logger: "controller" }),
      ...(runtimeMetrics.controllers && { metrics: runtimeMetrics.controllers }),
    });
  }

  #enqueuePod(podKey: string, bulk: boolean): void {
    if (!this.#staleSince.has(podKey)) {
      this.#staleSince.set(podKey, this.#dependencies.clock.monotonic());
    }
    this.#podQueue.add(podKey, { bulk });
  }

  /** Measures from the first event that made the Pod's ConfigMaps stale to the last write. */
  async #reconcilePod(
    pods: PodReconciler,
    key: string,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const since = this.#staleSince.get(key);
    this.#staleSince.delete(key);
    const { outcome, wrote, recheckMs } = await pods.reconcile(key, signal);
    if (recheckMs !== undefined) this.#podQueue.addAfter(key, recheckMs);
    if (since !== undefined) {
      const { clock, metrics } = this.#dependencies;
      if (wrote) metrics.eventToWrite((clock.monotonic() - since) / 1000);
      else if (outcome.kind === "retry") this.#staleSince.set(key, since);
    }
    return outcome;
  }

  #pcmcsOf(namespace: string): readonly PcmcView[] {
    return this.#caches.pcmcs.byIndex("namespace", namespace);
  }

  #podsWithConfigMapsOf(pcmcKey: string): Set<string> {
    const keys = new Set<string>();
    for (const configMap of this.#caches.configMaps.byIndex("pcmc", pcmcKey)) {
      const pod = configMapOwners(configMap)?.pod;
      if (pod !== undefined) keys.add(objectKey(configMap.namespace, pod));
    }
    return keys;
  }
}
