/**
 * The caches: one store each for Pods, PodConfigMapConfigs and the ConfigMaps that carry our label,
 * fed by one informer a watched namespace (or one for the cluster).
 *
 * They live as long as the process, leader or not, so that a standby takes over with warm caches.
 */
import { AGENT_LABELS } from "../api/well_known.ts";
import { servedNode } from "../domain/ebpf_status.ts";
import { configMapOwners } from "../domain/ownership.ts";
import type { ObservedConfigMap, PodFacts } from "../domain/model.ts";
import { LABEL_GENERATED_BY } from "../domain/names.ts";
import type { PcmcView } from "../domain/projections.ts";
import { Informer } from "../runtime/informer.ts";
import type { Codec, StoredObject } from "../runtime/ports/codec.ts";
import { objectKey, type ResourceType } from "../runtime/resource.ts";
import { Store } from "../runtime/store.ts";
import { CONFIG_MAPS, PCMCS, PODS } from "./resources.ts";
import type { ControllerDependencies } from "./settings.ts";

/** What the rest of the program may know of an informer. */
export interface InformerState {
  readonly resource: string;
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  readonly synced: boolean;
  readonly lastProgress: number;
  readonly trouble: Error | undefined;
  whenSynced(signal: AbortSignal): Promise<void>;
  run(signal: AbortSignal): Promise<void>;
}

export interface Caches {
  readonly pods: Store<PodFacts>;
  readonly pcmcs: Store<PcmcView>;
  readonly configMaps: Store<ObservedConfigMap>;
  readonly informers: readonly InformerState[];
}

const byNamespace = (object: StoredObject) => [object.namespace];

export function createCaches(dependencies: ControllerDependencies): Caches {
  const log = dependencies.log.with({ logger: "cache" });
  const { codecs, settings } = dependencies;
  const { agents } = settings;
  const pods = new Store<PodFacts>({
    log,
    indexes: {
      namespace: byNamespace,
      node: ({ nodeName }) => nodeName === "" ? [] : [nodeName],
      // Nodes that have a ready eBPF agent.
      served: (pod) => listOf(servedNode(pod, agents?.namespace ?? "")),
    },
  });
  const pcmcs = new Store<PcmcView>({ log, indexes: { namespace: byNamespace } });
  const configMaps = new Store<ObservedConfigMap>({
    log,
    indexes: {
      pod: (object) => ownerKeys(object, "pod"),
      pcmc: (object) => ownerKeys(object, "pcmc"),
    },
  });
  const { namespaces } = settings;
  const scopes = namespaces.length === 0 ? [undefined] : namespaces;
  const informers = scopes.flatMap((namespace) => [
    inform(dependencies, { type: PCMCS, namespace, codec: codecs.pcmcs, store: pcmcs }),
    inform(dependencies, { type: PODS, namespace, codec: codecs.pods, store: pods }),
    inform(dependencies, {
      type: CONFIG_MAPS,
      namespace,
      labelSelector: LABEL_GENERATED_BY,
      codec: codecs.configMaps,
      store: configMaps,
    }),
  ]);
  const apart = agents?.watch === true && namespaces.length > 0 &&
    !namespaces.includes(agents.namespace);
  if (apart) {
    // Their readiness alone matters: without PodConfigMapConfigs of that namespace they are left alone.
    const labelSelector = Object.entries(AGENT_LABELS).map((label) => label.join("=")).join(",");
    const { namespace } = agents;
    const watched = { type: PODS, namespace, labelSelector, codec: codecs.pods, store: pods };
    informers.push(inform(dependencies, watched));
  }
  return { pods, pcmcs, configMaps, informers };
}

const listOf = (text: string | undefined) => text === undefined ? [] : [text];

/** Keys of the Pod or PCMC that a ConfigMap speaks of; none where it names none. */
function ownerKeys(object: ObservedConfigMap, which: "pod" | "pcmc"): readonly string[] {
  const owners = configMapOwners(object);
  const name = owners?.[which];
  return name === undefined ? [] : [objectKey(object.namespace, name)];
}

function inform<T extends StoredObject>(
  { rest, clock, random, log, runtimeMetrics }: ControllerDependencies,
  watched: {
    type: ResourceType;
    namespace: string | undefined;
    labelSelector?: string;
    codec: Codec<T>;
    store: Store<T>;
  },
): Informer<T> {
  const { namespace, ...rest_ } = watched;
  return new Informer<T>({
    ...rest_,
    ...(namespace === undefined ? {} : { namespace }),
    rest: rest.watch,
    clock,
    random,
    log: log.with({ logger: "informer" }),
    ...(runtimeMetrics.watches === undefined ? {} : { metrics: runtimeMetrics.watches }),
  });
}
