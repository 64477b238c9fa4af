import { deepStrictEqual, ok, strictEqual as equal } from "node:assert/strict";
import { ebpfAtWork, ebpfPart, ebpfRevision } from "./ebpf_part.ts";
import { formatReport, parseReport } from "./ebpf_report.ts";
import { ebpfStatus, servedNode } from "./ebpf_status.ts";
import { projectPod } from "./projections.ts";

const REVISION = "0123456789ab";

function podWith(
  status: string | undefined,
  message = `revision ${REVISION}: m`,
  nodeName = "node",
): ReturnType<typeof projectPod> {
  const conditions = status === undefined
    ? []
    : [{ type: "podconfig.example.com/EbpfApplied", status, reason: "R", message }];
  return projectPod({ spec: { nodeName }, status: { conditions } });
}

const statusOf = (pod: ReturnType<typeof projectPod>, served: boolean) =>
  ebpfStatus(pod, { served, pcmcName: "web", revision: REVISION });

Deno.test("ebpfStatus() folds the agent's report and whether there is an agent", () => {
  equal(statusOf(podWith(undefined), true), "pending");
  equal(statusOf(podWith("Unknown"), true), "pending");
  equal(statusOf(podWith("True"), true), "applied");
  equal(statusOf(podWith("False", `revision ${REVISION}, failed a, web: m`), true), "failed");
  equal(statusOf(podWith("False", `revision ${REVISION}, failed *: m`), true), "failed");
  equal(statusOf(podWith(undefined), false), "unserved");
  equal(statusOf(podWith("True"), false), "unserved");
});

Deno.test("ebpfStatus() blames only the configs that a report names", () => {
  equal(statusOf(podWith("False", `revision ${REVISION}, failed webs: m`), true), "applied");
});

Deno.test("ebpfStatus() takes no report of another generation for one of this", () => {
  for (const message of ["", "revision ba9876543210: m", "revision ba9876543210, failed *: m"]) {
    for (const status of ["True", "False"]) {
      equal(statusOf(podWith(status, message), true), "pending");
      equal(statusOf(podWith(status, message), false), "unserved");
    }
  }
});

Deno.test("ebpfStatus() keeps a failure although the failing agent is not ready", () => {
  equal(statusOf(podWith("False", `revision ${REVISION}, failed *: m`), false), "failed");
});

Deno.test("ebpfStatus() does not miss an agent for a Pod without a node", () => {
  equal(statusOf(podWith(undefined, "", ""), false), "pending");
});

Deno.test("a report is read as it was written, and too many names become all", () => {
  for (const failed of [[], ["a"], ["a", "b.c-d"], "all" as const]) {
    const report = { revision: REVISION, failed, text: "Cannot x: y, z" };
    deepStrictEqual(parseReport(formatReport(report)), report);
  }
  const names = Array.from({ length: 41 }, (_, index) => `pcmc-${index}`);
  const long = formatReport({ revision: REVISION, failed: names, text: "x".repeat(9_999) });
  equal(parseReport(long)?.failed, "all");
  equal(long.length, 4_096);
  equal(parseReport("something else"), undefined);
});

Deno.test("at work are the configs that want programs, select the Pod and are not on their way out", () => {
  const source = (name: string, spec: unknown, terminating = false) => ({
    name,
    uid: `uid-${name}`,
    generation: 1,
    terminating,
    ebpf: ebpfPart(spec),
  });
  const on = { l4Firewall: { enabled: true } };
  const sources = [
    source("z", { ebpfConfig: on }),
    source("a", { podSelector: { matchLabels: { app: "x" } }, ebpfConfig: on }),
    source("other", { podSelector: { matchLabels: { app: "y" } }, ebpfConfig: on }),
    source("going", { ebpfConfig: on }, true),
    source("off", {
      ebpfConfig: { l4Firewall: { enabled: false }, metricsExport: { enabled: true } },
    }),
    source("plain", {}),
    // A mistake elsewhere in the spec does not turn programs off.
    source("typo", { configMapDataTemplate: { a: "{{" }, labelsToInclude: ["!"], ebpfConfig: on }),
    source("bad", { ebpfConfig: { l4Firewall: { enabled: true, allowedPorts: [0] } } }),
  ];
  const atWork = ebpfAtWork(sources, { app: "x" });
  deepStrictEqual(atWork.map(({ name }) => name), ["a", "typo", "z"]);
  equal(sources.at(-1)?.ebpf.kind, "invalid");
  const revision = ebpfRevision(atWork);
  ok(/^[0-9a-f]{12}$/.test(revision));
  equal(ebpfRevision([...atWork].reverse()), revision);
  ok(ebpfRevision(atWork.map((one) => ({ ...one, generation: 2 }))) !== revision);
});

Deno.test("a node is served by an agent's Pod that is ready, of the right namespace and not on its way out", () => {
  const agent = (part: object = {}, status = "True") =>
    projectPod({
      metadata: {
        namespace: "system",
        labels: {
          "app.kubernetes.io/name": "podconfigmap-controller",
          "app.kubernetes.io/component": "agent",
        },
        ...part,
      },
      spec: { nodeName: "n" },
      status: { conditions: [{ type: "Ready", status }] },
    });
  equal(servedNode(agent(), "system"), "n");
  equal(servedNode(agent(), ""), "n");
  equal(servedNode(agent(), "other"), undefined);
  equal(servedNode(agent({}, "False"), "system"), undefined);
  equal(servedNode(agent({ deletionTimestamp: "2026-01-01T00:00:00Z" }), "system"), undefined);
  equal(servedNode(agent({ labels: { "app.kubernetes.io/component": "agent" } }), ""), undefined);
});
