/** The whole object: kind PodConfigMapConfig as users write it and as the API server stores it. */
import { z } from "zod";
import { specSchema } from "./spec_schema.ts";
import { statusSchema } from "./status_schema.ts";
import { API_GROUP_VERSION, PCMC_KIND } from "./well_known.ts";

export const pcmcSchema = z.object({
  apiVersion: z.literal(API_GROUP_VERSION),
  kind: z.literal(PCMC_KIND),
  metadata: z.looseObject({
    name: z.string().min(1).optional(),
    generateName: z.string().min(1).optional(),
    namespace: z.string().optional(),
  }),
  spec: specSchema.prefault({}).describe("Which Pods get a ConfigMap, and what it holds."),
  status: statusSchema.optional().describe("What the controller has done so far."),
}).describe("Rules by which the Pods of a namespace each get a generated ConfigMap.");

export type PodConfigMapConfig = z.infer<typeof pcmcSchema>;
