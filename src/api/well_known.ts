/** Names that users and other programs see: a contract. Extend it, never change it. */

export const API_GROUP = "podconfig.example.com";
export const API_VERSION = "v1alpha1";
export const API_GROUP_VERSION = `${API_GROUP}/${API_VERSION}`;
export const PCMC_KIND = "PodConfigMapConfig";
export const PCMC_PLURAL = "podconfigmapconfigs";

/** Labels of generated ConfigMaps. */
export const LABEL_GENERATED_BY = "podconfig.example.com/generated-by-pcmc";
export const LABEL_POD_UID = "podconfig.example.com/pod-uid";
export const LABEL_MANAGED_BY = "app.kubernetes.io/managed-by";
export const MANAGED_BY = "podconfigmap-controller";

/** Annotations of generated ConfigMaps: the full names, always. */
export const ANNOTATION_POD = "podconfig.example.com/pod";
export const ANNOTATION_PCMC = "podconfig.example.com/pcmc";
/** Without it, Stakater Reloader in auto mode restarts Pods that mount their own ConfigMap, for ever. */
export const ANNOTATION_RELOADER = "reloader.stakater.com/ignore";

/** What this project writes into a ConfigMap's metadata, and all that is kept of it in caches. */
export const OUR_LABELS: readonly string[] = [LABEL_GENERATED_BY, LABEL_POD_UID, LABEL_MANAGED_BY];
export const OUR_ANNOTATIONS: readonly string[] = [
  ANNOTATION_POD,
  ANNOTATION_PCMC,
  ANNOTATION_RELOADER,
];

/** Labels by which an agent's Pod is known. */
export const AGENT_LABELS = {
  "app.kubernetes.io/name": "podconfigmap-controller",
  "app.kubernetes.io/component": "agent",
} as const;

/** Pod condition by which a node's agent reports. */
export const POD_CONDITION_EBPF = "podconfig.example.com/EbpfApplied";

/** Condition types of a PodConfigMapConfig. */
export const CONDITION_READY = "Ready";
export const CONDITION_VALID = "Valid";
export const CONDITION_EBPF = "EbpfApplied";
