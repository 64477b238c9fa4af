import assert from "node:assert/strict";
import { ebpfAtWork, ebpfPart } from "./ebpf_part.ts";
import { RULE } from "./ebpf_programs.ts";
import { wantedPrograms } from "./ebpf_wanted.ts";
import { ruleOf } from "./firewall_rules.ts";
import { projectNodePod } from "./node_pod.ts";
import { syscallTable } from "./syscall_table.ts";

const table = syscallTable("x86_64");
const OPTIONS = { table, pids: false, logPerSecond: 7 };

const atWork = (...configs: unknown[]) =>
  ebpfAtWork(
    configs.map((ebpfConfig, index) => ({
      name: `pcmc-${index}`,
      uid: `uid-${index}`,
      generation: 1,
      terminating: false,
      ebpf: ebpfPart({ ebpfConfig }),
    })),
    {},
  );

const POD = {
  metadata: {
    namespace: "ns",
    name: "p",
    uid: "u",
  },
  spec: {
    nodeName: "n",
    readinessGates: [{ conditionType: "podconfig.example.com/EbpfApplied" }],
    containers: [{
      ports: [
        { name: "web", containerPort: 8080 },
        { name: "dns", containerPort: 53, protocol: "UDP" },
      ],
      livenessProbe: { httpGet: { port: "web" } },
      readinessProbe: { tcpSocket: { port: 9000 } },
      startupProbe: { grpc: { port: 7000 } },
      lifecycle: { preStop: { httpGet: { port: "9001" } } },
    }],
    initContainers: [
      { startupProbe: { httpGet: { port: 5, host: "example.org" } } },
      { livenessProbe: { httpGet: { port: "dns" } }, readinessProbe: { exec: {} } },
      { livenessProbe: { tcpSocket: { port: 9000 } } },
    ],
  },
  status: {
    phase: "Running",
    qosClass: "Burstable",
    podIP: "10.0.0.2",
    podIPs: [{ ip: "fd00::2" }, { ip: "10.0.0.2" }],
    conditions: [{ type: "podconfig.example.com/EbpfApplied", status: "True" }],
  },
};

Deno.test("a Pod is kept with what its programs depend on", () => {
  assert.deepEqual(projectNodePod(POD), {
    namespace: "ns",
    name: "p",
    uid: "u",
    resourceVersion: "",
    labels: {},
    nodeName: "n",
    phase: "Running",
    hostNetwork: false,
    qosClass: "Burstable",
    configHash: "",
    addresses: ["00000000000000000000ffff0a000002", "fd000000000000000000000000000002"],
    probePorts: [7000, 8080, 9000, 9001],
    gated: true,
    condition: { status: "True", reason: "", message: "" },
  });
  assert.deepEqual(projectNodePod({}).probePorts, []);
});

Deno.test("only the mirror of a static Pod has another uid on its node", () => {
  const hash = "0123456789abcdef0123456789abcdef";
  const uidOf = (annotations: Record<string, string>, ownerReferences?: object[]) =>
    projectNodePod({ ...POD, metadata: { ...POD.metadata, annotations, ownerReferences } })
      .configHash;
  const annotated = (value: string) => ({
    "kubernetes.io/config.hash": value,
    "kubernetes.io/config.mirror": value,
  });
  const node = { apiVersion: "v1", kind: "Node", name: "n", uid: "n-1", controller: true };
  assert.equal(uidOf(annotated(hash), [node]), hash);
  assert.equal(uidOf({ "kubernetes.io/config.hash": hash }, [node]), "");
  assert.equal(uidOf(annotated(hash)), "");
  assert.equal(uidOf(annotated(hash), [{ ...node, name: "other" }]), "");
  assert.equal(uidOf(annotated(hash), [{ ...node, kind: "ReplicaSet" }]), "");
  // Another Pod's, and out of the cgroups of Pods.
  assert.equal(uidOf(annotated("2c5d1ce5-6d5f-4b7c-9d5e-0a8f6e7d1c2b"), [node]), "");
  assert.equal(uidOf(annotated("u/../../system.slice/sshd.service"), [node]), "");
});

Deno.test("a firewall has the folded rules, and what the Pod alone decides", () => {
  const configs = atWork({
    l4Firewall: { enabled: true, blockedPorts: [22], directions: ["ingress"] },
  }, {
    l4Firewall: {
      enabled: true,
      defaultAction: "block",
      allowedPorts: [443],
      directions: ["egress"],
    },
  });
  const { firewall, syscalls, pcmcs } = wantedPrograms(projectNodePod(POD), configs, OPTIONS);
  assert.equal(syscalls, undefined);
  assert.deepEqual(pcmcs, ["pcmc-0", "pcmc-1"]);
  const { spec, exportMs } = firewall ?? assert.fail("no firewall");
  const { planes, ...rest } = spec;
  assert.deepEqual(rest, {
    ingress: true,
    egress: true,
    hostNetwork: false,
    otherEgress: "block",
    probePorts: [7000, 8080, 9000, 9001],
    selfAddresses: ["00000000000000000000ffff0a000002", "fd000000000000000000000000000002"],
    logPerSecond: 7,
  });
  assert.deepEqual(
    planes.map((plane) => [22, 443, 80].map((port) => ruleOf(plane, port))),
    [...Array(2).fill([RULE.block, 0, 0]), ...Array(2).fill([RULE.block, 0, RULE.block])],
  );
  assert.equal(exportMs, undefined);
});

Deno.test("system calls are the union of all names; unknown ones are named, not counted", () => {
  const monitor = (part: object) => ({ syscallMonitoring: { enabled: true, ...part } });
  const { syscalls, unknownSyscalls } = wantedPrograms(
    projectNodePod(POD),
    atWork(
      monitor({ syscallNames: ["write", "nonsense"] }),
      monitor({ syscallNames: ["read", "write"], errors: true }),
      {
        syscallMonitoring: { enabled: false, syscallNames: ["open"] },
        l4Firewall: { enabled: true },
      },
    ),
    OPTIONS,
  );
  assert.deepEqual(syscalls?.spec, { numbers: [0, 1], errors: true, latency: false, pids: false });
  assert.deepEqual(unknownSyscalls, ["nonsense"]);
  const all = wantedPrograms(projectNodePod(POD), atWork(monitor({})), { ...OPTIONS, pids: true });
  assert.equal(all.syscalls?.spec.numbers.length, 512);
  assert.equal(all.syscalls?.spec.pids, true);
  const none = wantedPrograms(
    projectNodePod(POD),
    atWork(monitor({ syscallNames: ["x"] })),
    OPTIONS,
  );
  assert.equal(none.syscalls, undefined);
  assert.deepEqual(none.unknownSyscalls, ["x"]);
});

Deno.test("metrics are exported at the shortest interval of the configs that export, per kind of program", () => {
  const exporting = (updateInterval: string) => ({ enabled: true, updateInterval });
  const { syscalls, firewall } = wantedPrograms(
    projectNodePod(POD),
    atWork(
      { syscallMonitoring: { enabled: true }, metricsExport: exporting("10s") },
      { syscallMonitoring: { enabled: true }, metricsExport: exporting("5s") },
      {
        syscallMonitoring: { enabled: true },
        metricsExport: { enabled: false, updateInterval: "1s" },
      },
      { l4Firewall: { enabled: true }, metricsExport: { enabled: false } },
    ),
    OPTIONS,
  );
  assert.equal(syscalls?.exportMs, 5_000);
  assert.equal(firewall?.exportMs, undefined);
});

Deno.test("more probed ports than fit are said, not passed over", () => {
  const containers = Array.from({ length: 65 }, (_, index) => ({
    livenessProbe: { tcpSocket: { port: index + 1 } },
  }));
  const pod = projectNodePod({ ...POD, spec: { containers } });
  const wanted = wantedPrograms(pod, atWork({ l4Firewall: { enabled: true } }), OPTIONS);
  assert.equal(wanted.tooManyProbePorts, true);
  assert.equal(wanted.firewall?.spec.probePorts.length, 64);
});
