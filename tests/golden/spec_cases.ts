/**
 * Specs at and past every limit and rule of the API, with the path of the problem.
 *
 * One table for the decoder and for a real API server with the CRD installed: both must agree.
 */
import type { JsonObject } from "../../src/runtime/ports/rest.ts";

export interface SpecCase {
  readonly name: string;
  readonly spec: JsonObject;
  /** Where the decoder finds a problem; absent when the spec is fine. */
  readonly problem?: string;
}

const numbered = (count: number, prefix = "k") =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);
const ports = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const mapOf = (count: number, value = "v") =>
  Object.fromEntries(numbered(count).map((key) => [key, value]));
/** A label key of exactly `length` characters with a prefix of 253. */
const longKey = (name: number, prefix = 253) =>
  `${`${"a".repeat(61)}.`.repeat(5).slice(0, prefix - 1)}a/${"n".repeat(name)}`;
/** 128 different keys of 317 characters, the most that a list can hold. */
const fullKeys = numbered(128, "").map((digits) => longKey(63).slice(0, -digits.length) + digits);

type Case = readonly [name: string, spec: JsonObject, problem?: string];

function keyCases(field: string, prefix: string): Case[] {
  const path = `spec.${field}`;
  return [
    [`${prefix}128 keys of 317 characters`, { [field]: fullKeys }],
    [`${prefix}129 keys`, { [field]: numbered(129) }, path],
    [`${prefix}name of 63`, { [field]: ["n".repeat(63)] }],
    [`${prefix}name of 64`, { [field]: ["n".repeat(64)] }, `${path}[0]`],
    [`${prefix}prefix of 254`, { [field]: [longKey(10, 254)] }, `${path}[0]`],
    [`${prefix}characters / - . _`, { [field]: ["app.kubernetes.io/na-me_x.Y", "a-b.c_d"] }],
    [`${prefix}empty key`, { [field]: [""] }, `${path}[0]`],
    [`${prefix}two slashes`, { [field]: ["a/b/c"] }, `${path}[0]`],
    [`${prefix}space`, { [field]: ["a b"] }, `${path}[0]`],
    [`${prefix}repeated`, { [field]: ["a", "b", "a"] }, `${path}[2]`],
    [`${prefix}a/b meets a_b`, { [field]: ["a/b", "c", "a_b"] }, `${path}[0]`],
    [`${prefix}a_b meets a/b`, { [field]: ["a_b", "a/b"] }, `${path}[1]`],
    [`${prefix}a/b beside a.b and a-b`, { [field]: ["a/b", "a.b", "a-b", "a/c_d", "a/c-d"] }],
    [`${prefix}no list`, { [field]: "a" }, path],
    [`${prefix}no text`, { [field]: [1] }, `${path}[0]`],
    [`${prefix}null`, { [field]: null }],
    [`${prefix}empty`, { [field]: [] }],
  ];
}

const selector = (podSelector: JsonObject): JsonObject => ({ podSelector });
const expression = (requirement: JsonObject) => selector({ matchExpressions: [requirement] });
const VALUES = "spec.podSelector.matchExpressions[0].values";
const LABELS = "spec.podSelector.matchLabels";

const SELECTOR_CASES: readonly Case[] = [
  ["empty spec", {}],
  ["empty selector", selector({})],
  ["64 labels", selector({ matchLabels: mapOf(64) })],
  ["65 labels", selector({ matchLabels: mapOf(65) }), LABELS],
  ["label key of 317", selector({ matchLabels: { [longKey(63)]: "" } })],
  ["label key prefix of 254", selector({ matchLabels: { [longKey(5, 254)]: "" } }), `${LABELS}[`],
  ["label key with a space", selector({ matchLabels: { "a b": "" } }), `${LABELS}["a b"]`],
  ["label value of 63", selector({ matchLabels: { a: "v".repeat(63) } })],
  ["label value of 64", selector({ matchLabels: { a: "v".repeat(64) } }), `${LABELS}.a`],
  ["label value with a slash", selector({ matchLabels: { a: "b/c" } }), `${LABELS}.a`],
  ["In with values", expression({ key: "a", operator: "In", values: ["b", "c"] })],
  ["In without values", expression({ key: "a", operator: "In" }), VALUES],
  ["NotIn with no value", expression({ key: "a", operator: "NotIn", values: [] }), VALUES],
  ["Exists", expression({ key: "a", operator: "Exists" })],
  ["Exists with no value", expression({ key: "a", operator: "Exists", values: [] })],
  ["Exists with a value", expression({ key: "a", operator: "Exists", values: ["b"] }), VALUES],
  ["DoesNotExist", expression({ key: "a", operator: "DoesNotExist" })],
  [
    "DoesNotExist with a value",
    expression({ key: "a", operator: "DoesNotExist", values: ["b"] }),
    VALUES,
  ],
  [
    "unknown operator",
    expression({ key: "a", operator: "Gt", values: ["1"] }),
    "spec.podSelector.matchExpressions[0].operator",
  ],
  ["no key", expression({ operator: "Exists" }), "spec.podSelector.matchExpressions[0].key"],
  [
    "64 expressions of 128 values",
    selector({
      matchExpressions: numbered(64).map((key) => ({
        key,
        operator: "In",
        values: numbered(128),
      })),
    }),
  ],
  [
    "65 expressions",
    selector({ matchExpressions: numbered(65).map((key) => ({ key, operator: "Exists" })) }),
    "spec.podSelector.matchExpressions",
  ],
  ["129 values", expression({ key: "a", operator: "In", values: numbered(129) }), VALUES],
];

const templates = (configMapDataTemplate: JsonObject): JsonObject => ({ configMapDataTemplate });
const TEMPLATES = "spec.configMapDataTemplate";
const TEMPLATE_CASES: readonly Case[] = [
  ["64 templates", templates(mapOf(64, "{{ .metadata.name }}"))],
  ["65 templates", templates(mapOf(65)), TEMPLATES],
  ["template of 32768", templates({ a: "x".repeat(32_768) })],
  ["template of 32768 beyond the basic plane", templates({ a: "🙂".repeat(32_768) })],
  ["template of 32769", templates({ a: "x".repeat(32_769) }), `${TEMPLATES}.a`],
  ["template key of 253", templates({ ["k".repeat(253)]: "" })],
  ["64 template keys of 253", templates(mapKeys(64, 253))],
  ["template key of 254", templates({ ["k".repeat(254)]: "" }), `${TEMPLATES}.k`],
  ["template keys with - . _", templates({ ".env": "", "a-b_c.txt": "", "-": "" })],
  ["template key .", templates({ ".": "" }), `${TEMPLATES}["."]`],
  ["template key ..a", templates({ "..a": "" }), `${TEMPLATES}["..a"]`],
  ["template key with a slash", templates({ "a/b": "" }), `${TEMPLATES}["a/b"]`],
  ["template key podName", templates({ podName: "" }), `${TEMPLATES}.podName`],
  ["template key ebpf_status", templates({ ebpf_status: "" }), `${TEMPLATES}.ebpf_status`],
  ["template key label_x", templates({ label_x: "" }), `${TEMPLATES}.label_x`],
  ["template key annotation_x", templates({ annotation_x: "" }), `${TEMPLATES}.annotation_x`],
  ["template key ebpf_note", templates({ ebpf_note: "" })],
  ["template key __proto__", templates(JSON.parse(`{"__proto__":""}`)), `${TEMPLATES}.__proto__`],
];

function mapKeys(count: number, length: number): JsonObject {
  return Object.fromEntries(numbered(count).map((key) => [key.padEnd(length, "x"), ""]));
}

const firewall = (l4Firewall: JsonObject): JsonObject => ({ ebpfConfig: { l4Firewall } });
const syscalls = (syscallMonitoring: JsonObject): JsonObject => ({
  ebpfConfig: { syscallMonitoring },
});
const interval = (updateInterval: string): JsonObject => ({
  ebpfConfig: { metricsExport: { enabled: true, updateInterval } },
});
const FIREWALL = "spec.ebpfConfig.l4Firewall";
const SYSCALLS = "spec.ebpfConfig.syscallMonitoring";
const INTERVAL = "spec.ebpfConfig.metricsExport.updateInterval";

const EBPF_CASES: readonly Case[] = [
  ["empty ebpfConfig", { ebpfConfig: {} }],
  ["1024 ports", firewall({ allowedPorts: ports(1024), blockedPorts: ports(1024) })],
  ["1025 allowed ports", firewall({ allowedPorts: ports(1025) }), `${FIREWALL}.allowedPorts`],
  ["1025 blocked ports", firewall({ blockedPorts: ports(1025) }), `${FIREWALL}.blockedPorts`],
  ["port 65535", firewall({ allowedPorts: [1, 65_535] })],
  ["port 65536", firewall({ allowedPorts: [1, 65_536] }), `${FIREWALL}.allowedPorts[1]`],
  ["port 0", firewall({ blockedPorts: [0] }), `${FIREWALL}.blockedPorts[0]`],
  ["port 1.5", firewall({ blockedPorts: [1.5] }), `${FIREWALL}.blockedPorts[0]`],
  ["port as text", firewall({ blockedPorts: ["80"] }), `${FIREWALL}.blockedPorts[0]`],
  ["port repeated", firewall({ allowedPorts: [80, 81, 80] }), `${FIREWALL}.allowedPorts[2]`],
  ["unknown action", firewall({ defaultAction: "drop" }), `${FIREWALL}.defaultAction`],
  ["unknown mode", firewall({ mode: "dry" }), `${FIREWALL}.mode`],
  ["both directions", firewall({ directions: ["ingress", "egress"], mode: "audit" })],
  ["no direction", firewall({ directions: [] }), `${FIREWALL}.directions`],
  ["unknown direction", firewall({ directions: ["up"] }), `${FIREWALL}.directions[0]`],
  [
    "direction repeated",
    firewall({ directions: ["egress", "egress"] }),
    `${FIREWALL}.directions[1]`,
  ],
  ["enabled as text", firewall({ enabled: "true" }), `${FIREWALL}.enabled`],
  ["512 syscalls of 64", syscalls({ syscallNames: numbered(512).map((n) => n.padEnd(64, "x")) })],
  ["513 syscalls", syscalls({ syscallNames: numbered(513) }), `${SYSCALLS}.syscallNames`],
  ["syscall of 65", syscalls({ syscallNames: ["s".repeat(65)] }), `${SYSCALLS}.syscallNames[0]`],
  ["empty syscall", syscalls({ syscallNames: [""] }), `${SYSCALLS}.syscallNames[0]`],
  ["syscall in capitals", syscalls({ syscallNames: ["READ"] }), `${SYSCALLS}.syscallNames[0]`],
  ["syscall repeated", syscalls({ syscallNames: ["a", "a"] }), `${SYSCALLS}.syscallNames[1]`],
  ["errors and latency", syscalls({ enabled: true, errors: true, latency: true })],
  ["errors as text", syscalls({ errors: "yes" }), `${SYSCALLS}.errors`],
  ["latency as number", syscalls({ latency: 1 }), `${SYSCALLS}.latency`],
  ["interval of 1s", interval("1s")],
  ["interval of 1m30.5s", interval("1m30.5s")],
  ["interval of 24h", interval("24h")],
  ["interval of 24h0.001s", interval("24h0.001s"), INTERVAL],
  ["interval of 999ms", interval("999ms"), INTERVAL],
  ["interval of 0", interval("0"), INTERVAL],
  ["interval of -5s", interval("-5s"), INTERVAL],
  ["interval without unit", interval("30"), INTERVAL],
  ["interval in days", interval("1d"), INTERVAL],
  ["empty interval", interval(""), INTERVAL],
  ["interval of 32 characters", interval(`${"0".repeat(30)}5s`)],
  ["interval of 33 characters", interval(`${"0".repeat(31)}5s`), INTERVAL],
];

const PREFIX_CASES: readonly Case[] = [
  ["annotation prefix in capitals", { annotationsToInclude: ["Foo.Example/bar"] }],
  ["label prefix in capitals", { labelsToInclude: ["Foo.Example/bar"] }, "spec.labelsToInclude[0]"],
];

/** The API server bounds the run time cost of all CEL rules of one object together. */
const FULL: Case = ["everything at its limit", {
  labelsToInclude: fullKeys,
  annotationsToInclude: fullKeys,
  podSelector: {
    matchLabels: Object.fromEntries(fullKeys.slice(0, 64).map((key) => [key, "v".repeat(63)])),
    matchExpressions: fullKeys.slice(0, 64).map((key) => ({
      key,
      operator: "In",
      values: numbered(128).map((value) => value.padEnd(63, "x")),
    })),
  },
  configMapDataTemplate: mapKeys(64, 253),
  ebpfConfig: {
    l4Firewall: { allowedPorts: ports(1024), blockedPorts: ports(1024) },
    syscallMonitoring: { syscallNames: numbered(512).map((name) => name.padEnd(64, "x")) },
    metricsExport: { updateInterval: `${"0".repeat(30)}5s` },
  },
}];

export const SPEC_CASES: readonly SpecCase[] = [
  ...keyCases("labelsToInclude", "labels: "),
  ...keyCases("annotationsToInclude", "annotations: "),
  ...PREFIX_CASES,
  ...SELECTOR_CASES,
  ...TEMPLATE_CASES,
  ...EBPF_CASES,
  FULL,
].map(([name, spec, problem]) => ({ name, spec, ...(problem === undefined ? {} : { problem }) }));
