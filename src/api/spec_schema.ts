/**
 * `spec` of a PodConfigMapConfig: the one source of its types, its checks and its part of the CRD.
 *
 * Descriptions are what `kubectl explain` prints.
 */
import { z } from "zod";
import { parseGoDuration } from "../lib/duration.ts";
import { ANNOTATION_DATA_PREFIX, FIXED_DATA_KEYS, LABEL_DATA_PREFIX } from "./data_keys.ts";
import * as limits from "./limits.ts";
import {
  ANNOTATION_KEY_PATTERN,
  atomicListOf,
  integer,
  KEYS_MEET_RULE,
  LABEL_KEY_PATTERN,
  LABEL_VALUE_PATTERN,
  mapOf,
  PREFIX_LENGTH_RULE,
  type Rule,
  setOf,
  text,
  withRules,
} from "./schema_parts.ts";

const labelKey = withRules(
  text(limits.QUALIFIED_NAME_CHARS_MAX).regex(new RegExp(LABEL_KEY_PATTERN), "must be a label key"),
  [PREFIX_LENGTH_RULE],
);
const annotationKey = withRules(
  text(limits.QUALIFIED_NAME_CHARS_MAX).regex(
    new RegExp(ANNOTATION_KEY_PATTERN),
    "must be an annotation key",
  ),
  [PREFIX_LENGTH_RULE],
);
const labelValue = text(limits.LABEL_VALUE_CHARS_MAX).regex(
  new RegExp(LABEL_VALUE_PATTERN),
  "must be a label value",
);

const MATCH_LABELS_KEYS_RULE: Rule<Record<string, string>> = {
  cel: `self.all(k, size(k) <= ${limits.QUALIFIED_NAME_CHARS_MAX} && ` +
    `k.matches(r'${LABEL_KEY_PATTERN}') && k.indexOf('/') <= ${limits.QUALIFIED_NAME_PREFIX_CHARS_MAX})`,
  message: "keys must be label keys",
  check: (labels) =>
    Object.keys(labels).flatMap((key) =>
      labelKey.safeParse(key).success ? [] : [{ path: [key], message: "must have a label key" }]
    ),
};

const OPERATOR_RULE: Rule<{ operator: string; values?: readonly string[] | undefined }> = {
  cel: `self.operator in ['In', 'NotIn'] ` +
    `? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0`,
  message: "values are required with In and NotIn, and not allowed with Exists and DoesNotExist",
  check: ({ operator, values = [] }) => {
    const wanted = operator === "In" || operator === "NotIn";
    const known = wanted || operator === "Exists" || operator === "DoesNotExist";
    if (!known || !Array.isArray(values) || wanted === values.length > 0) return [];
    const message = `must ${wanted ? "not " : ""}be empty with operator ${operator}`;
    return [{ path: ["values"], message }];
  },
};

const requirement = withRules(
  z.object({
    key: labelKey.describe("Label key that the requirement speaks of."),
    operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]).describe(
      "How the label relates to the values: In, NotIn, Exists or DoesNotExist. " +
        "NotIn and DoesNotExist also hold for a Pod without the label.",
    ),
    values: atomicListOf(labelValue, limits.MATCH_VALUES_MAX).optional().describe(
      "Label values. At least one with In and NotIn, none with Exists and DoesNotExist.",
    ),
  }),
  [OPERATOR_RULE],
);

export const labelSelectorSchema = z.object({
  matchLabels: withRules(mapOf(labelValue, limits.MATCH_LABELS_MAX), [MATCH_LABELS_KEYS_RULE])
    .optional().describe("Labels that a Pod must have, with these values."),
  matchExpressions: atomicListOf(requirement, limits.MATCH_EXPRESSIONS_MAX).optional().describe(
    "Requirements that a Pod's labels must meet, all of them.",
  ),
}).meta({ "x-kubernetes-map-type": "atomic" });

/** ConfigMap keys that a template cannot have; `__proto__` is no usable key in JavaScript. */
const TAKEN_KEYS: readonly string[] = [...FIXED_DATA_KEYS, "__proto__"];
const TEMPLATE_KEY_CHARS = "[-._a-zA-Z0-9]+";

const TEMPLATE_KEYS_RULE: Rule<Record<string, string>> = {
  cel: `self.all(k, size(k) <= ${limits.DATA_KEY_CHARS_MAX} && ` +
    `k.matches(r'^${TEMPLATE_KEY_CHARS}$') && k != '.' && !k.startsWith('..'))`,
  message: "keys must be keys of ConfigMap data: letters, digits, - . _, not . and not starting " +
    `with .., at most ${limits.DATA_KEY_CHARS_MAX}`,
  check: (templates) =>
    Object.keys(templates).filter((key) =>
      key.length > limits.DATA_KEY_CHARS_MAX || key === "." || key.startsWith("..") ||
      !new RegExp(`^${TEMPLATE_KEY_CHARS}$`).test(key)
    ).map((key) => ({ path: [key], message: "must have a key that ConfigMap data allows" })),
};

const TAKEN_KEYS_RULE: Rule<Record<string, string>> = {
  cel: `self.all(k, !k.startsWith('${LABEL_DATA_PREFIX}') && ` +
    `!k.startsWith('${ANNOTATION_DATA_PREFIX}') && ` +
    `!(k in [${TAKEN_KEYS.map((key) => `'${key}'`).join(", ")}]))`,
  message: `keys must not start with ${LABEL_DATA_PREFIX} or ${ANNOTATION_DATA_PREFIX}, ` +
    `nor be one of ${TAKEN_KEYS.join(", ")}`,
  check: (templates) =>
    Object.keys(templates).filter((key) =>
      TAKEN_KEYS.includes(key) || key.startsWith(LABEL_DATA_PREFIX) ||
      key.startsWith(ANNOTATION_DATA_PREFIX)
    ).map((key) => ({ path: [key], message: "must not have a key that the controller writes" })),
};

const INTERVAL_RULE: Rule<string> = {
  cel: `duration(self) >= duration('${limits.UPDATE_INTERVAL_MIN_MS}ms') && ` +
    `duration(self) <= duration('${limits.UPDATE_INTERVAL_MAX_MS}ms')`,
  message: "must be a duration of 1s to 24h",
  check: (interval) => {
    const parsed = parseGoDuration(interval);
    if ("error" in parsed) return [{ message: `must be a duration of 1s to 24h: ${parsed.error}` }];
    const { ms } = parsed;
    return ms >= limits.UPDATE_INTERVAL_MIN_MS && ms <= limits.UPDATE_INTERVAL_MAX_MS
      ? []
      : [{ message: `must be a duration of 1s to 24h, got ${JSON.stringify(interval)}` }];
  },
};

const port = integer(1, limits.PORT_MAX);
const off = (what: string) => z.boolean().default(false).describe(`Whether to ${what}.`);

export const syscallMonitoringSchema = z.object({
  enabled: off("count the system calls of the Pods"),
  syscallNames: setOf(
    text(limits.SYSCALL_CHARS_MAX).regex(/^[a-z_][a-z0-9_]*$/, "must be the name of a system call"),
    limits.SYSCALLS_MAX,
  ).optional().describe(
    "Names of the system calls to count, such as openat. Absent or empty: all of them.",
  ),
  errors: off("count calls that failed, too"),
  latency: off("measure how long calls take, too; this costs the node more than counting"),
});

export const l4FirewallSchema = z.object({
  enabled: off("filter new connections of the Pods by port"),
  allowedPorts: setOf(port, limits.PORTS_MAX).optional().describe(
    "Ports that are open, each for TCP and for UDP. What blockedPorts lists stays blocked.",
  ),
  blockedPorts: setOf(port, limits.PORTS_MAX).optional().describe(
    "Ports that are blocked, each for TCP and for UDP, also where allowedPorts lists them.",
  ),
  defaultAction: z.enum(["allow", "block"]).default("allow").describe(
    "What becomes of a port that neither list names: allow or block.",
  ),
  mode: z.enum(["enforce", "audit"]).default("enforce").describe(
    "enforce blocks connections; audit only counts what would be blocked.",
  ),
  directions: setOf(z.enum(["ingress", "egress"]), 2).min(1).default(["ingress"]).describe(
    "Which connections are filtered: ingress (by the Pod's port), egress (by the remote port).",
  ),
});

export const metricsExportSchema = z.object({
  enabled: off("export metrics of the Pods' programs"),
  updateInterval: withRules(text(limits.DURATION_CHARS_MAX), [INTERVAL_RULE]).default("30s")
    .describe("How often the metrics are read, as a Go duration of 1s to 24h, such as 1m30s."),
});

export const ebpfConfigSchema = z.object({
  syscallMonitoring: syscallMonitoringSchema.optional().describe(
    "Counting of system calls, per Pod.",
  ),
  l4Firewall: l4FirewallSchema.optional().describe("A firewall by port, per Pod."),
  metricsExport: metricsExportSchema.optional().describe("Export of metrics to Prometheus."),
});

export const specSchema = z.object({
  podSelector: labelSelectorSchema.optional().describe(
    "Selects Pods of the namespace by their labels. Absent or empty: every Pod.",
  ),
  labelsToInclude: withRules(setOf(labelKey, limits.INCLUDED_KEYS_MAX), [KEYS_MEET_RULE])
    .optional().describe(
      "Keys of Pod labels to copy. Each becomes the data key label_<key>, a / in it becomes _.",
    ),
  annotationsToInclude: withRules(setOf(annotationKey, limits.INCLUDED_KEYS_MAX), [KEYS_MEET_RULE])
    .optional().describe(
      "Keys of Pod annotations to copy. Each becomes the data key annotation_<key>, a / in it becomes _.",
    ),
  configMapDataTemplate: withRules(
    mapOf(text(limits.TEMPLATE_CHARS_MAX), limits.TEMPLATES_MAX),
    [TEMPLATE_KEYS_RULE, TAKEN_KEYS_RULE],
  ).optional().describe(
    "Further data: maps a data key to a Go template (text/template) that is given the Pod.",
  ),
  ebpfConfig: ebpfConfigSchema.optional().describe(
    "eBPF programs for the Pods, run on their nodes.",
  ),
});

export type LabelSelector = z.infer<typeof labelSelectorSchema>;
export type EbpfConfig = z.infer<typeof ebpfConfigSchema>;
/** A checked spec, defaults applied. */
export type PcmcSpec = z.infer<typeof specSchema>;
