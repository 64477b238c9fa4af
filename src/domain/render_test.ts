import { deepStrictEqual as deepEqual, strictEqual as equal } from "node:assert/strict";
import { decodeSpec } from "../api/decode.ts";
import { compileSpec } from "./compiled_spec.ts";
import { projectPod } from "./projections.ts";
import { renderData, type RenderInput } from "./render.ts";

const POD = projectPod({
  metadata: {
    name: "web-0",
    namespace: "shop",
    uid: "u1",
    labels: { app: "web", "app.kubernetes.io/name": "web", empty: "" },
    annotations: { note: "hello\nworld", "x/y": "z" },
  },
  spec: { nodeName: "n1" },
  status: { phase: "Running" },
});
const BASE = {
  podName: "web-0",
  namespace: "shop",
  nodeName: "n1",
  phase: "Running",
  pcmcName: "conf",
};

function render(spec: unknown, more: Partial<RenderInput> = {}) {
  const decoded = decodeSpec(spec);
  if (!decoded.ok) throw new Error(JSON.stringify(decoded.problems));
  const compiled = compileSpec(decoded.value);
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  return renderData({
    pcmcName: "conf",
    spec: compiled.spec,
    pod: POD,
    ebpfStatus: "pending",
    ...more,
  });
}
const dataOf = (spec: unknown, more?: Partial<RenderInput>) => {
  const rendered = render(spec, more);
  return rendered.kind === "data" ? rendered.data : rendered;
};

Deno.test("without any list the data is the five facts", () => {
  deepEqual(dataOf({}), BASE);
});

Deno.test("a Pod without node and phase has them empty", () => {
  const data = dataOf({}, { pod: projectPod({ metadata: { name: "web-0", namespace: "shop" } }) });
  deepEqual(data, { ...BASE, nodeName: "", phase: "" });
});

Deno.test("listed labels and annotations are copied where the Pod has them, / as _", () => {
  deepEqual(
    dataOf({
      labelsToInclude: ["app", "app.kubernetes.io/name", "empty", "missing", "constructor"],
      annotationsToInclude: ["note", "x/y", "toString"],
    }),
    {
      ...BASE,
      label_app: "web",
      "label_app.kubernetes.io_name": "web",
      label_empty: "",
      annotation_note: "hello\nworld",
      annotation_x_y: "z",
    },
  );
});

Deno.test("ebpf keys appear for the parts that ebpfConfig mentions", () => {
  deepEqual(dataOf({ ebpfConfig: {} }, { ebpfStatus: "applied" }), {
    ...BASE,
    ebpf_enabled: "true",
    ebpf_status: "applied",
  });
  deepEqual(
    dataOf({
      ebpfConfig: {
        syscallMonitoring: { enabled: true },
        l4Firewall: { enabled: false, defaultAction: "block" },
        metricsExport: { enabled: true },
      },
    }, { ebpfStatus: "unserved" }),
    {
      ...BASE,
      ebpf_enabled: "true",
      ebpf_syscall_monitoring: "true",
      ebpf_l4_firewall: "false",
      ebpf_l4_firewall_default_action: "block",
      ebpf_metrics_export: "true",
      ebpf_status: "unserved",
    },
  );
});

Deno.test("data of exactly 1 MiB of values is rendered, one byte more is too large", () => {
  const fixed = Object.values(BASE).join("").length;
  const podWith = (note: string) => ({ ...POD, annotations: { note } });
  const spec = { annotationsToInclude: ["note"] };
  const limit = 1024 * 1024;
  equal(render(spec, { pod: podWith("x".repeat(limit - fixed)) }).kind, "data");
  deepEqual(render(spec, { pod: podWith("x".repeat(limit - fixed + 1)) }), {
    kind: "too-large",
    bytes: limit + 1,
    limit,
  });
  // Two bytes each in UTF-8, one unit each in JavaScript.
  equal(render(spec, { pod: podWith("ä".repeat(limit / 2)) }).kind, "too-large");
  equal(render(spec, { pod: podWith("ä".repeat((limit - fixed - 10) / 2)) }).kind, "data");
});

Deno.test("templates that do not parse are problems with key, line and column, all at once", () => {
  const texts = { a: "one\n  {{ if }}", b: "{{ nosuch }}", fine: "x" };
  const decoded = decodeSpec({ configMapDataTemplate: texts });
  if (!decoded.ok) throw new Error("decodable");
  const compiled = compileSpec(decoded.value);
  deepEqual(compiled.ok ? [] : compiled.problems, [{
    path: "spec.configMapDataTemplate.a",
    message: "template: a:2: missing value for if (column 8)",
  }, {
    path: "spec.configMapDataTemplate.b",
    message: 'template: b:1: function "nosuch" not defined (column 3)',
  }]);
});
