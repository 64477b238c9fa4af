/**
 * The agent's caches: the Pods of its node, and the PodConfigMapConfigs with what programs they ask for.
 *
 * A config that cannot be read any more keeps what it last asked for, as long as this process lives.
 */
import { type EbpfPart, ebpfPart, type EbpfSource } from "../domain/ebpf_part.ts";
import { type NodePod, projectNodePod } from "../domain/node_pod.ts";
import { Informer } from "../runtime/informer.ts";
import { jsonCodec } from "../runtime/json_codec.ts";
import type { StoredObject } from "../runtime/ports/codec.ts";
import type { ResourceType } from "../runtime/resource.ts";
import { Store } from "../runtime/store.ts";
import { PCMCS, PODS } from "./resources.ts";
import type { AgentDependencies } from "./settings.ts";

export interface NodePcmc extends StoredObject, EbpfSource {}

export interface NodeCaches {
  readonly pods: Store<NodePod>;
  readonly pcmcs: Store<NodePcmc>;
  readonly informers: readonly Pick<
    Informer<StoredObject>,
    "run" | "whenSynced" | "synced" | "lastProgress" | "trouble" | "resource"
  >[];
  /** Configs of the namespace; one that is invalid counts as what it was before. */
  sources(namespace: string): NodePcmc[];
}

export function projectNodePcmc(object: unknown): NodePcmc {
  const { metadata = {}, spec } = object as {
    metadata?: Partial<StoredObject> & { generation?: number; deletionTimestamp?: string };
    spec?: unknown;
  };
  const { namespace = "", name = "", uid = "", resourceVersion = "", generation = 0 } = metadata;
  const terminating = Boolean(metadata.deletionTimestamp);
  return { namespace, name, uid, resourceVersion, generation, terminating, ebpf: ebpfPart(spec) };
}

export function createNodeCaches(dependencies: AgentDependencies): NodeCaches {
  const { rest, clock, random, runtimeMetrics, settings } = dependencies;
  const log = dependencies.log.with({ logger: "cache" });
  const byNamespace = ({ namespace }: StoredObject) => [namespace];
  const pods = new Store<NodePod>({
    log,
    indexes: { namespace: byNamespace, uid: ({ uid }) => [uid] },
  });
  const pcmcs = new Store<NodePcmc>({ log, indexes: { namespace: byNamespace } });
  const scopes = settings.namespaces.length === 0 ? [undefined] : settings.namespaces;
  const common = {
    rest: rest.watch,
    clock,
    random,
    log: log.with({ logger: "informer" }),
    ...(runtimeMetrics.watches && { metrics: runtimeMetrics.watches }),
  };
  const informers = scopes.flatMap((namespace) => {
    const at = <T>(type: ResourceType, rest: T) => ({
      ...common,
      type,
      ...(namespace === undefined ? {} : { namespace }),
      ...rest,
    });
    const fieldSelector = `spec.nodeName=${settings.nodeName}`;
    return [
      new Informer(at(PCMCS, { codec: jsonCodec(projectNodePcmc), store: pcmcs })),
      new Informer(at(PODS, { fieldSelector, codec: jsonCodec(projectNodePod), store: pods })),
    ];
  });
  const remembered = rememberValid(pcmcs);
  return {
    pods,
    pcmcs,
    informers,
    sources: (namespace) =>
      pcmcs.byIndex("namespace", namespace).map((pcmc) =>
        pcmc.ebpf.kind === "invalid"
          ? { ...pcmc, ebpf: remembered.get(pcmc.uid) ?? pcmc.ebpf }
          : pcmc
      ),
  };
}

function rememberValid(pcmcs: Store<NodePcmc>): ReadonlyMap<string, EbpfPart> {
  const remembered = new Map<string, EbpfPart>();
  pcmcs.subscribe(({ before, after }) => {
    if (before !== undefined && before.uid !== after?.uid) remembered.delete(before.uid);
    if (after !== undefined && after.ebpf.kind !== "invalid") remembered.set(after.uid, after.ebpf);
  });
  return remembered;
}
