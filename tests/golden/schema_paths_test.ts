/**
 * Every field that the CRD accepts has an effect, and a test that shows it. A field that is new in the schema
 * fails here until its test is named; a test that is renamed or removed fails here, too.
 *
 * Templates and eBPF: so far what is named shows that the fields are decoded, kept and bounded.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { STRUCTURAL_SCHEMA, type StructuralSchema } from "../../src/api/crd.ts";

const SELECTOR = "src/domain/selector_test.ts: selects as metav1.LabelSelector does";
const LISTED = "src/domain/render_test.ts: listed labels and annotations are copied";
const EBPF_KEYS = "src/domain/render_test.ts: ebpf keys appear for the parts";
const WANTED = "src/domain/plan_pod_test.ts: eBPF status goes into the data and the pair";
const DEFAULTS = "src/api/decode_test.ts: decodeSpec() applies the defaults";
const EBPF_COUNTS = "src/domain/status_test.ts: EbpfApplied follows the counts";
const SETTLED = "src/domain/status_test.ts: once every Pod is dealt with";
const TRANSITION = "src/api/conditions_test.ts: lastTransitionTime moves with status only";
const inCases = (name: string) => `tests/golden/spec_cases.ts: ${name}`;

const BEHAVIOUR: Readonly<Record<string, string>> = {
  "spec.podSelector": SELECTOR,
  "spec.podSelector.matchLabels": SELECTOR,
  "spec.podSelector.matchLabels{}": SELECTOR,
  "spec.podSelector.matchExpressions": SELECTOR,
  "spec.podSelector.matchExpressions[].key": SELECTOR,
  "spec.podSelector.matchExpressions[].operator": SELECTOR,
  "spec.podSelector.matchExpressions[].values": SELECTOR,
  "spec.podSelector.matchExpressions[].values[]": SELECTOR,
  "spec.labelsToInclude": LISTED,
  "spec.labelsToInclude[]": LISTED,
  "spec.annotationsToInclude": LISTED,
  "spec.annotationsToInclude[]": LISTED,
  "spec.configMapDataTemplate": inCases("64 templates"),
  "spec.configMapDataTemplate{}": inCases("template of 32768"),
  "spec.ebpfConfig": EBPF_KEYS,
  "spec.ebpfConfig.syscallMonitoring": EBPF_KEYS,
  "spec.ebpfConfig.syscallMonitoring.enabled": EBPF_KEYS,
  "spec.ebpfConfig.syscallMonitoring.syscallNames": inCases("512 syscalls of 64"),
  "spec.ebpfConfig.syscallMonitoring.syscallNames[]": inCases("syscall of 65"),
  "spec.ebpfConfig.syscallMonitoring.errors": inCases("errors and latency"),
  "spec.ebpfConfig.syscallMonitoring.latency": inCases("errors and latency"),
  "spec.ebpfConfig.l4Firewall": EBPF_KEYS,
  "spec.ebpfConfig.l4Firewall.enabled": WANTED,
  "spec.ebpfConfig.l4Firewall.allowedPorts": inCases("1025 allowed ports"),
  "spec.ebpfConfig.l4Firewall.allowedPorts[]": inCases("port 65536"),
  "spec.ebpfConfig.l4Firewall.blockedPorts": inCases("1025 blocked ports"),
  "spec.ebpfConfig.l4Firewall.blockedPorts[]": inCases("port 0"),
  "spec.ebpfConfig.l4Firewall.defaultAction": EBPF_KEYS,
  "spec.ebpfConfig.l4Firewall.mode": DEFAULTS,
  "spec.ebpfConfig.l4Firewall.directions": DEFAULTS,
  "spec.ebpfConfig.l4Firewall.directions[]": inCases("both directions"),
  "spec.ebpfConfig.metricsExport": EBPF_KEYS,
  "spec.ebpfConfig.metricsExport.enabled": EBPF_KEYS,
  "spec.ebpfConfig.metricsExport.updateInterval": inCases("interval of 999ms"),
  "status.observedGeneration": SETTLED,
  "status.conditions": SETTLED,
  "status.conditions[].type": SETTLED,
  "status.conditions[].status": TRANSITION,
  "status.conditions[].observedGeneration": SETTLED,
  "status.conditions[].lastTransitionTime": TRANSITION,
  "status.conditions[].reason": SETTLED,
  "status.conditions[].message": "src/domain/status_test.ts: a conflict is Ready=False at once",
  "status.matchedPods": SETTLED,
  "status.configMaps": SETTLED,
  "status.conflicts": "src/domain/status_test.ts: a conflict is Ready=False at once",
  "status.failed": "src/domain/status_test.ts: a failure is Ready=False with its reason",
  "status.ebpf": "src/domain/status_test.ts: are absent without ebpfConfig, and leave with it",
  "status.ebpf.desired": EBPF_COUNTS,
  "status.ebpf.applied": EBPF_COUNTS,
  "status.ebpf.failed": EBPF_COUNTS,
  "status.ebpf.unserved": EBPF_COUNTS,
};

function paths(schema: StructuralSchema, path: string): string[] {
  return [
    path,
    ...Object.entries(schema.properties ?? {}).flatMap(([name, child]) =>
      paths(child, `${path}.${name}`)
    ),
    ...(schema.items ? paths(schema.items, `${path}[]`) : []),
    ...(schema.additionalProperties ? paths(schema.additionalProperties, `${path}{}`) : []),
  ];
}

/** The list of items that are maps has no field of its own beside the maps' fields. */
const isContainer = (path: string) =>
  /^(spec|status)$|(matchExpressions|conditions)\[\]$/.test(path);

Deno.test("every field of the schema names a test of its behaviour, and no other field does", () => {
  const all = ["spec", "status"].flatMap((part) =>
    paths(STRUCTURAL_SCHEMA.properties?.[part] as StructuralSchema, part)
  ).filter((path) => !isContainer(path));
  assert.deepEqual(Object.keys(BEHAVIOUR).sort(), all.sort());
});

Deno.test("every test that the table names exists", () => {
  for (const [path, reference] of Object.entries(BEHAVIOUR)) {
    const [file, name] = reference.split(": ", 2) as [string, string];
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
    const title = new RegExp(`(Deno\\.test\\(\\s*|\\[\\s*)"[^"\\n]*${escaped(name)}`);
    assert.match(text, title, `${path}: ${reference}`);
  }
});

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
