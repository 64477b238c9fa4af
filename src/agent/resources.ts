/** The resource types that the agent reads and writes. */
import type { ResourceType } from "../runtime/resource.ts";

export const PODS: ResourceType = {
  group: "",
  version: "v1",
  plural: "pods",
  kind: "Pod",
  namespaced: true,
};

export const PCMCS: ResourceType = {
  group: "podconfig.example.com",
  version: "v1alpha1",
  plural: "podconfigmapconfigs",
  kind: "PodConfigMapConfig",
  namespaced: true,
};
