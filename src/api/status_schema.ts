/** `status` of a PodConfigMapConfig. Every field is optional: an object begins without status. */
import { z } from "zod";
import * as limits from "./limits.ts";
import { integer, text } from "./schema_parts.ts";

const generation = integer(0, Number.MAX_SAFE_INTEGER);
const count = (what: string) => integer(0, 2 ** 31 - 1).describe(`Number of ${what}.`);

export const conditionSchema = z.object({
  type: text(limits.CONDITION_TYPE_CHARS_MAX)
    .regex(
      /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$/,
    )
    .describe("What the condition speaks of: Ready, Valid or EbpfApplied."),
  status: z.enum(["True", "False", "Unknown"]).describe("True, False or Unknown."),
  observedGeneration: generation.optional().describe(
    "The metadata.generation that the condition was worked out for.",
  ),
  lastTransitionTime: z.string().meta({ format: "date-time" }).describe(
    "When the status last changed from one value to another.",
  ),
  reason: text(limits.CONDITION_REASON_CHARS_MAX).min(1)
    .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/)
    .describe("Why, in one word for programs."),
  message: text(limits.CONDITION_MESSAGE_CHARS_MAX).describe("Why, in a sentence for people."),
});

export const ebpfCountsSchema = z.object({
  desired: count("matching Pods for which eBPF programs are wanted"),
  applied: count("those whose node reports the programs in place"),
  failed: count("those whose node reports a failure"),
  unserved: count("those on a node without a ready agent"),
});

export const statusSchema = z.object({
  observedGeneration: generation.optional().describe(
    "The metadata.generation whose work is done: its ConfigMaps are in place.",
  ),
  conditions: z.array(conditionSchema).max(limits.CONDITIONS_MAX).meta({
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
  }).optional().describe(
    "Ready: the ConfigMaps are in place. Valid: the spec makes sense. " +
      "EbpfApplied: the eBPF programs are in place, where ebpfConfig is set.",
  ),
  matchedPods: count("Pods that the selector matches").optional(),
  configMaps: count("ConfigMaps in place").optional(),
  conflicts: count("ConfigMaps whose name an object of someone else has").optional(),
  failed: count("ConfigMaps that cannot be written").optional(),
  ebpf: ebpfCountsSchema.optional().describe(
    "How far eBPF programs are in place, where ebpfConfig is set.",
  ),
});

export type Condition = z.infer<typeof conditionSchema>;
export type EbpfCounts = z.infer<typeof ebpfCountsSchema>;
export type PcmcStatus = z.infer<typeof statusSchema>;
