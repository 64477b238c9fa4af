/**
 * What templates need of Pods: for each namespace whose PCMCs have templates, a watch of its Pods
 * that keeps the fields those templates can reach.
 *
 * Namespaces without templates cost nothing here. When a spec needs more, the namespace is read anew
 * with more; until that is complete the old fields go on serving the templates they suffice for. What
 * is no longer needed is given up with the namespace's last template. As the caches, it lives as long
 * as the process, leader or not.
 */
import { coversFields, type PodFields, unionOfFields } from "../domain/pod_fields.ts";
import { samePodFacts } from "../domain/model.ts";
import { type PcmcView, type PodDocument, projectPodDocument } from "../domain/projections.ts";
import { Informer } from "../runtime/informer.ts";
import { jsonCodec } from "../runtime/json_codec.ts";
import { type Change, Store } from "../runtime/store.ts";
import type { InformerState } from "./caches.ts";
import { PODS } from "./resources.ts";
import type { ControllerDependencies } from "./settings.ts";

export interface PodDocumentsOptions {
  readonly dependencies: ControllerDependencies;
  readonly pcmcs: Store<PcmcView>;
  /** What is known of that Pod has changed. */
  readonly changed: (podKey: string) => void;
}

interface Watching {
  readonly fields: PodFields;
  readonly store: Store<PodDocument>;
  readonly informer: Informer<PodDocument>;
  readonly stop: AbortController;
}

interface Namespace {
  /** Synced: what is served. */
  current: Watching | undefined;
  /** Being read, to replace it. */
  next: Watching | undefined;
}

export class PodDocuments {
  readonly #options: PodDocumentsOptions;
  readonly #namespaces = new Map<string, Namespace>();
  readonly #running = new Set<Promise<void>>();
  readonly #failure = Promise.withResolvers<never>();
  #ended = false;

  constructor(options: PodDocumentsOptions) {
    this.#options = options;
    // Whoever runs this hears of it; when nobody does yet, it is no unhandled rejection.
    this.#failure.promise.catch(() => {});
  }

  get informers(): readonly InformerState[] {
    return [...this.#namespaces.values()]
      .flatMap(({ current, next }) => [current, next])
      .flatMap((watching) => watching === undefined ? [] : [watching.informer]);
  }

  /** The Pod with at least `fields`; undefined while that is not known. */
  get(namespace: string, podKey: string, fields: PodFields): PodDocument | undefined {
    const current = this.#namespaces.get(namespace)?.current;
    if (current === undefined || !coversFields(current.fields, fields)) return undefined;
    return current.store.get(podKey);
  }

  /** A PCMC of the namespace has changed: reads more when more is needed, nothing when nothing is. */
  pcmcChanged(namespace: string): void {
    if (this.#ended) return;
    const needed = this.#neededIn(namespace);
    if (needed === undefined) return this.#drop(namespace);
    const entry = this.#namespaces.get(namespace) ?? { current: undefined, next: undefined };
    this.#namespaces.set(namespace, entry);
    const latest = entry.next ?? entry.current;
    if (latest !== undefined && coversFields(latest.fields, needed)) return;
    entry.next?.stop.abort();
    const fields = latest === undefined ? needed : unionOfFields(latest.fields, needed);
    entry.next = this.#watch(namespace, fields);
  }

  /** Resolves once `signal` has aborted and every watch has ended. @throws for a bug of an informer. */
  async run(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<void>();
    const onAbort = () => aborted.resolve();
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([aborted.promise, this.#failure.promise]);
    } finally {
      this.#ended = true;
      for (const namespace of [...this.#namespaces.keys()]) this.#drop(namespace);
      await Promise.allSettled(this.#running);
    }
  }

  #neededIn(namespace: string): PodFields | undefined {
    let needed: PodFields | undefined;
    for (const { spec, terminating } of this.#options.pcmcs.byIndex("namespace", namespace)) {
      const fields = terminating ? undefined : spec?.templateFields;
      if (fields === undefined) continue;
      needed = needed === undefined ? fields : unionOfFields(needed, fields);
    }
    return needed;
  }

  #drop(namespace: string): void {
    const entry = this.#namespaces.get(namespace);
    this.#namespaces.delete(namespace);
    entry?.current?.stop.abort();
    entry?.next?.stop.abort();
  }

  #watch(namespace: string, fields: PodFields): Watching {
    const { rest, clock, random, log, runtimeMetrics } = this.#options.dependencies;
    const store = new Store<PodDocument>({ log: log.with({ logger: "cache" }) });
    const informer = new Informer<PodDocument>({
      type: PODS,
      namespace,
      codec: jsonCodec((object) => projectPodDocument(object, fields)),
      store,
      rest: rest.watch,
      clock,
      random,
      log: log.with({ logger: "informer", for: "templates" }),
      ...(runtimeMetrics.watches && { metrics: runtimeMetrics.watches }),
    });
    const watching: Watching = { fields, store, informer, stop: new AbortController() };
    store.subscribe((change) => this.#documentChanged(namespace, watching, change));
    const running = this.#follow(namespace, watching);
    this.#running.add(running);
    running.finally(() => this.#running.delete(running)).catch(() => {});
    return watching;
  }

  async #follow(namespace: string, watching: Watching): Promise<void> {
    const { informer, stop } = watching;
    const following = informer.run(stop.signal);
    try {
      await Promise.race([informer.whenSynced(stop.signal), following]);
      if (!stop.signal.aborted) this.#serve(namespace, watching);
      await following;
    } catch (error) {
      this.#failure.reject(error);
    }
  }

  /** It has everything: it takes the place of what was served before. */
  #serve(namespace: string, watching: Watching): void {
    const entry = this.#namespaces.get(namespace);
    if (entry?.next !== watching) return;
    entry.current?.stop.abort();
    entry.current = watching;
    entry.next = undefined;
    for (const { namespace, name } of watching.store.values()) {
      this.#options.changed(`${namespace}/${name}`);
    }
  }

  #documentChanged(
    namespace: string,
    watching: Watching,
    { key, before, after }: Change<PodDocument>,
  ): void {
    // Before it serves, nobody has seen it; afterwards it is of no interest.
    if (this.#namespaces.get(namespace)?.current !== watching) return;
    if (before !== undefined && after !== undefined && sameDocument(before, after)) return;
    this.#options.changed(key);
  }
}

/** A heartbeat in a field that no template reaches is no change. */
function sameDocument(one: PodDocument, other: PodDocument): boolean {
  return samePodFacts(one, other) &&
    JSON.stringify(one.document) === JSON.stringify(other.document);
}
