/** What one write of a controller says about the world at that moment, held against the world. */
import type { KubeObject, SimulatedCluster, WriteRecord } from "../../src/simulator/cluster.ts";
import {
  GROUP,
  isTerminating,
  isValid,
  LABEL_POD_UID,
  nameOf,
  pairOf,
  selects,
  specOf,
} from "./oracle.ts";

const API_VERSION = `${GROUP}/v1alpha1`;
/** A request may be on its way for so long where a server is slow but nothing fails. */
const UNDERWAY_MAX_MS = 5_000;

/**
 * A ConfigMap was deleted although its Pod is the one it was made for, and its PCMC was there before it,
 * is the first of its name, has never changed and selects every Pod: no view of the world, however old, justifies that.
 */
export function neverToBeDeleted({ before }: WriteRecord, cluster: SimulatedCluster): boolean {
  const pair = before && pairOf(before);
  if (before === undefined || pair === undefined || before["immutable"] === true) return false;
  const { namespace = "", labels = {}, uid } = before.metadata;
  const pod = cluster.get("v1", "Pod", namespace, pair.pod);
  const pcmc = cluster.get(API_VERSION, "PodConfigMapConfig", namespace, pair.pcmc);
  if (pod === undefined || pcmc === undefined || isTerminating(pcmc)) return false;
  if (pod.metadata.uid !== labels[LABEL_POD_UID]) return false;
  const { matchLabels = {}, matchExpressions = [] } = specOf(pcmc).podSelector ?? {};
  const selectsAll = Object.keys(matchLabels).length + matchExpressions.length === 0;
  if (!isValid(pcmc) || pcmc.metadata.generation !== 1 || !selectsAll) return false;
  // An earlier one of its name may not have selected the Pod, and be all that the process has heard of.
  const isFirst = !cluster.writes.some(({ kind, after }) =>
    kind === pcmc.kind && after?.metadata.name === pcmc.metadata.name &&
    after.metadata.namespace === namespace && after.metadata.uid !== pcmc.metadata.uid
  );
  if (!isFirst) return false;
  const made = (wanted: string) =>
    cluster.writes.find(({ verb, after }) => verb === "create" && after?.metadata.uid === wanted);
  const [pcmcMade, configMapMade] = [made(pcmc.metadata.uid), made(uid)];
  return pcmcMade !== undefined && configMapMade !== undefined &&
    pcmcMade.sequence < configMapMade.sequence;
}

/** Its label and its owner speak of Pods with different uids. */
export function ownsItselfTwice({ after }: WriteRecord): boolean {
  const { labels = {}, ownerReferences = [] } = after?.metadata ?? {};
  return ownerReferences.some(({ uid }) => uid !== labels[LABEL_POD_UID]);
}

/** Pods older than the generation that a status write calls done, without their ConfigMap. */
export function undoneBefore(record: WriteRecord, cluster: SimulatedCluster): string[] {
  const { before, after, elapsed } = record;
  const pcmc = after;
  if (pcmc === undefined || !isValid(pcmc)) return [];
  const { generation, uid, namespace = "", name } = pcmc.metadata;
  const observed = (object: KubeObject | undefined) =>
    (object?.["status"] as { observedGeneration?: number } | undefined)?.observedGeneration;
  if (observed(pcmc) !== generation || observed(before) === generation) return [];
  const changed = cluster.writes.find(({ after }) =>
    after?.metadata.uid === uid && after.metadata.generation === generation
  );
  const since = changed?.sequence ?? 0;
  const lately = cluster.writes.filter((write) => elapsed - write.elapsed <= UNDERWAY_MAX_MS);
  const pods = cluster.list("v1", "Pod").filter((pod) =>
    pod.metadata.namespace === namespace && !isTerminating(pod) && selects(specOf(pcmc), pod)
  );
  return pods.flatMap((pod) => {
    const newer = cluster.writes.some(({ sequence, kind, after }) =>
      sequence > since && kind === "Pod" && after?.metadata.uid === pod.metadata.uid
    );
    const wanted = nameOf(pod.metadata.name, name);
    const disturbed = lately.some((write) =>
      write.kind === "ConfigMap" && write.name === wanted && write.user !== record.user
    );
    if (newer || disturbed) return [];
    const found = cluster.get("v1", "ConfigMap", namespace, wanted);
    return found === undefined ? [`${namespace}/${wanted} is missing`] : [];
  });
}
