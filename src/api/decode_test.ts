import { deepStrictEqual as deepEqual, strictEqual as equal } from "node:assert/strict";
import { decodePcmc, decodeSpec, decodeStatus, formatPath, formatProblem } from "./decode.ts";

function problemsOf(spec: unknown): string[] {
  const decoded = decodeSpec(spec);
  return decoded.ok ? [] : decoded.problems.map(formatProblem);
}

Deno.test("decodeSpec() reports every problem at once, with field paths", () => {
  deepEqual(
    problemsOf({
      podSelector: {
        matchExpressions: [{ key: "a", operator: "In" }, { operator: "Exists" }],
      },
      labelsToInclude: ["ok", "not ok", 5, "ok"],
      configMapDataTemplate: { "a b": 4, podName: "" },
      ebpfConfig: {
        l4Firewall: { allowedPorts: [80, 443, 8080, 70000], defaultAction: "drop" },
        metricsExport: { updateInterval: "1 minute" },
      },
    }),
    [
      "spec.podSelector.matchExpressions[0].values: must not be empty with operator In",
      "spec.podSelector.matchExpressions[1].key: is required",
      'spec.labelsToInclude[1]: must be a label key, got "not ok"',
      "spec.labelsToInclude[2]: must be a string, got 5",
      'spec.labelsToInclude[3]: must not repeat "ok", listed at [0] already',
      'spec.configMapDataTemplate["a b"]: must be a string, got 4',
      'spec.configMapDataTemplate["a b"]: must have a key that ConfigMap data allows',
      "spec.configMapDataTemplate.podName: must not have a key that the controller writes",
      "spec.ebpfConfig.l4Firewall.allowedPorts[3]: must be 1..65535, got 70000",
      'spec.ebpfConfig.l4Firewall.defaultAction: must be one of allow, block, got "drop"',
      "spec.ebpfConfig.metricsExport.updateInterval: must be a duration of 1s to 24h: " +
      '"1 minute" has the unknown unit " minute" (ns, us, ms, s, m, h)',
    ],
  );
});

Deno.test("decodeSpec() names both keys that would meet in one data key", () => {
  deepEqual(problemsOf({ annotationsToInclude: ["x/a_b", "c", "x_a_b"] }), [
    'spec.annotationsToInclude[0]: must not meet "x_a_b" at [2]: ' +
    '"x/a_b" becomes the same data key',
  ]);
});

Deno.test("decodeSpec() applies the defaults", () => {
  deepEqual(
    decodeSpec({ ebpfConfig: { syscallMonitoring: {}, l4Firewall: {}, metricsExport: {} } }),
    {
      ok: true,
      warnings: [],
      value: {
        ebpfConfig: {
          syscallMonitoring: { enabled: false, errors: false, latency: false },
          l4Firewall: {
            enabled: false,
            defaultAction: "allow",
            mode: "enforce",
            directions: ["ingress"],
          },
          metricsExport: { enabled: false, updateInterval: "30s" },
        },
      },
    },
  );
});

Deno.test("decodeSpec() takes an absent, null or empty spec as an empty one, null fields as absent", () => {
  for (const spec of [undefined, null, {}, { podSelector: null, ebpfConfig: null }]) {
    deepEqual(decodeSpec(spec), { ok: true, value: {}, warnings: [] });
  }
  deepEqual(problemsOf({ labelsToInclude: [null] }), [
    "spec.labelsToInclude[0]: must be a string, got null",
  ]);
});

Deno.test("decodeSpec() drops unknown fields with a warning each, and accepts the rest", () => {
  const decoded = decodeSpec({
    labelsToInclude: ["app"],
    podSelektor: {},
    ebpfConfig: { l4Firewall: { enabled: true, allowPorts: [1] } },
    podSelector: { matchExpressions: [{ key: "a", operator: "Exists", vals: [] }] },
  });
  deepEqual(decoded.warnings.map(formatProblem), [
    "spec.podSelektor: unknown field, ignored",
    "spec.ebpfConfig.l4Firewall.allowPorts: unknown field, ignored",
    "spec.podSelector.matchExpressions[0].vals: unknown field, ignored",
  ]);
  equal(decoded.ok && "podSelektor" in decoded.value, false);
  deepEqual(decoded.ok && decoded.value.labelsToInclude, ["app"]);
});

Deno.test("decodeSpec() never throws on what is no spec at all", () => {
  deepEqual(problemsOf("text"), ['spec: must be a map, got "text"']);
  deepEqual(problemsOf([1]), ["spec: must be a map, got [1]"]);
  deepEqual(problemsOf({ ebpfConfig: 5, labelsToInclude: { a: 1 } }), [
    'spec.labelsToInclude: must be a list, got {"a":1}',
    "spec.ebpfConfig: must be a map, got 5",
  ]);
});

Deno.test("decodePcmc() wants the kind and version, and keeps metadata", () => {
  const manifest = {
    apiVersion: "podconfig.example.com/v1alpha1",
    kind: "PodConfigMapConfig",
    metadata: { name: "a", namespace: "b", labels: { c: "d" } },
    status: { observedGeneration: 1 },
  };
  deepEqual(decodePcmc(manifest), { ok: true, value: { ...manifest, spec: {} }, warnings: [] });
  const other = decodePcmc({ ...manifest, apiVersion: "v1", kind: "Pod", metadata: undefined });
  deepEqual(other.ok || other.problems.map(formatProblem), [
    'apiVersion: must be podconfig.example.com/v1alpha1, got "v1"',
    'kind: must be PodConfigMapConfig, got "Pod"',
    "metadata: is required",
  ]);
});

Deno.test("decodeStatus() takes an unusable status as none", () => {
  deepEqual(decodeStatus({ observedGeneration: 3, extra: 1 }), { observedGeneration: 3 });
  deepEqual(decodeStatus({ conditions: [{ type: "Ready" }] }), {});
  deepEqual(decodeStatus(undefined), {});
});

Deno.test("formatPath() quotes what is no plain name", () => {
  equal(formatPath(["spec", "a", 0, "x/y", "z"]), 'spec.a[0]["x/y"].z');
});
