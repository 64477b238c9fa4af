/**
 * The ConfigMap controller as one thing to run: caches, leader election, terms.
 *
 * Guarantees: caches are warm before the lease is asked for; only the holder of the lease writes, and
 * each write is fenced by the elector's local deadline; a lost lease ends the term's work at once and
 * the process becomes a standby again; on a stop, work in flight is finished and only then is the
 * lease released. Nothing is remembered between terms but the caches.
 */
import type { PcmcView } from "../domain/projections.ts";
import type { ObservedConfigMap, PodFacts } from "../domain/model.ts";
import { ApiClient } from "../runtime/api_client.ts";
import { EventRecorder } from "../runtime/event_recorder.ts";
import { LeaderElector } from "../runtime/leader_election.ts";
import type { Change } from "../runtime/store.ts";
import { type Caches, createCaches, type InformerState } from "./caches.ts";
import type { ControllerDependencies } from "./settings.ts";
import { PodDocuments } from "./pod_documents.ts";
import { Term } from "./term.ts";

export class Manager {
  readonly #dependencies: ControllerDependencies;
  readonly #caches: Caches;
  readonly #documents: PodDocuments;
  #term: Term | undefined;
  #elector: LeaderElector | undefined;

  constructor(dependencies: ControllerDependencies) {
    this.#dependencies = dependencies;
    this.#caches = createCaches(dependencies);
    // Subscribed once: the caches outlive terms, and a standby's changes concern nobody.
    const { pods, pcmcs, configMaps } = this.#caches;
    this.#documents = new PodDocuments({
      dependencies,
      pcmcs,
      changed: (podKey) => this.#term?.documentChanged(podKey),
    });
    pods.subscribe((change: Change<PodFacts>) => this.#term?.podChanged(change));
    pcmcs.subscribe((change: Change<PcmcView>) => {
      const namespace = (change.after ?? change.before)?.namespace;
      if (namespace !== undefined) this.#documents.pcmcChanged(namespace);
      this.#term?.pcmcChanged(change);
    });
    configMaps.subscribe((change: Change<ObservedConfigMap>) =>
      this.#term?.configMapChanged(change)
    );
  }

  get informers(): readonly InformerState[] {
    return [...this.#caches.informers, ...this.#documents.informers];
  }

  get caches(): Caches {
    return this.#caches;
  }

  get leading(): boolean {
    return this.#term !== undefined;
  }

  /** How the lease is reached; undefined before the caches are synced, and without leader election. */
  get lease(): Pick<LeaderElector, "answeredAt" | "trouble"> | undefined {
    return this.#elector;
  }

  /** Works until `signal` aborts; resolves once everything has ended and the lease is released. */
  async run(signal: AbortSignal): Promise<void> {
    const informing = new AbortController();
    const informers = [
      ...this.#caches.informers.map((informer) => informer.run(informing.signal)),
      this.#documents.run(informing.signal),
    ];
    try {
      await Promise.race([this.#work(signal), ...informers.map(endedTooEarly)]);
    } finally {
      informing.abort();
      await Promise.allSettled(informers);
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { log, settings } = this.#dependencies;
    await Promise.all(this.#caches.informers.map((informer) => informer.whenSynced(signal)));
    if (signal.aborted) return;
    log.info("Caches are synced", {
      pods: this.#caches.pods.size,
      pcmcs: this.#caches.pcmcs.size,
      configMaps: this.#caches.configMaps.size,
    });
    if (!settings.leaderElection.enabled) return await this.#lead(signal, () => {});
    // One for all terms: what it has seen of the lease decides when a missing one may be made again.
    const elector = this.#createElector();
    while (!signal.aborted) {
      const lead = (leading: AbortSignal) => this.#lead(leading, () => elector.assertLeading());
      const end = await elector.run(signal, lead);
      if (end === "lost") log.warning("Lost the lease; standing by");
    }
  }

  async #lead(signal: AbortSignal, beforeWrite: () => void): Promise<void> {
    const { rest, clock, random, log, runtimeMetrics, service, settings } = this.#dependencies;
    const api = new ApiClient({
      rest: rest.api,
      clock,
      beforeWrite,
      ...(runtimeMetrics.requests && { metrics: runtimeMetrics.requests }),
    });
    const recorder = new EventRecorder({
      api,
      clock,
      random,
      log: log.with({ logger: "events" }),
      reportingController: "podconfig.example.com/podconfigmap-controller",
      reportingInstance: settings.identity,
    });
    const term = new Term({
      dependencies: this.#dependencies,
      caches: this.#caches,
      documents: this.#documents,
      api,
      recorder,
    });
    this.#term = term;
    // First: Pods wait for their rules; ConfigMaps are there already, or can wait a moment.
    const turn = Promise.withResolvers<void>();
    if (service === undefined) turn.resolve();
    try {
      await Promise.all([
        service?.lead(signal, beforeWrite, turn.resolve),
        turn.promise.then(() => term.run(signal)),
        recorder.run(signal),
      ]);
    } finally {
      this.#term = undefined;
    }
  }

  #createElector(): LeaderElector {
    const { rest, clock, random, log, runtimeMetrics, settings } = this.#dependencies;
    const { enabled: _, lockName, lockNamespace, ...times } = settings.leaderElection;
    this.#elector = new LeaderElector({
      ...times,
      rest: rest.lease,
      namespace: lockNamespace,
      name: lockName,
      identity: settings.identity,
      clock,
      random,
      log: log.with({ logger: "leader-election" }),
      ...(runtimeMetrics.election && { metrics: runtimeMetrics.election }),
    });
    return this.#elector;
  }
}

/** An informer ends only when told to; anything else is a fault that must end the process. */
async function endedTooEarly(informer: Promise<void>): Promise<void> {
  await informer;
  return new Promise(() => {});
}
