/**
 * The project's own definition: what a server stores of the examples, fills in, and refuses. Rules in
 * CEL are not part of the contract: the simulator does not evaluate them.
 */
import assert from "node:assert/strict";
import { parse } from "yaml";
import type { JsonObject, JsonValue } from "../../../src/runtime/ports/rest.ts";
import { type Behaviour, type Json, MERGE, refused, type World } from "../world.ts";

const ROOT = new URL("../../../", import.meta.url);
const GROUP = "podconfig.example.com";

function read(path: string): Json {
  return parse(Deno.readTextFileSync(new URL(path, ROOT)));
}

async function serve(t: World): Promise<string> {
  const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  await t.create(crds, read("crd/podconfigmapconfig_crd.yaml")).catch((error) => {
    if (error.status !== 409) throw error;
  });
  const path = `/apis/${GROUP}/v1alpha1/namespaces/${t.namespace}/podconfigmapconfigs`;
  await t.eventually("the type is served", () => t.get(path).then(() => true, () => false));
  return path;
}

function podConfig(spec: JsonValue, name = "c"): JsonObject {
  return {
    apiVersion: `${GROUP}/v1alpha1`,
    kind: "PodConfigMapConfig",
    metadata: { name },
    spec,
  };
}

function firewall(rules: JsonObject): JsonObject {
  return { ebpfConfig: { l4Firewall: { enabled: true, ...rules } } };
}

export const podConfigs: readonly Behaviour[] = [
  {
    name: "the examples are stored as they are written, without their status",
    async run(t) {
      const path = await serve(t);
      for (const entry of Deno.readDirSync(new URL("examples/", ROOT))) {
        if (!/^0.*\.yaml$/.test(entry.name)) continue;
        const example = read(`examples/${entry.name}`);
        const metadata = { ...example.metadata, namespace: t.namespace };
        const made = await t.create(path, { ...example, metadata }, { fieldValidation: "Strict" });
        assert.equal(made.status, undefined);
        assert.equal(made.metadata.generation, 1);
        const { ebpfConfig: _, ...plain } = example.spec ?? {};
        const { ebpfConfig: __, ...stored } = made.spec;
        assert.deepEqual(stored, plain, entry.name);
      }
      const made = await t.get(`${path}/ebpf-monitoring-config`);
      assert.deepEqual(made.spec.ebpfConfig, {
        syscallMonitoring: {
          enabled: true,
          errors: false,
          latency: false,
          syscallNames: ["read", "write", "open", "close", "connect", "accept"],
        },
        l4Firewall: {
          enabled: true,
          allowedPorts: [80, 443, 8080, 8443],
          blockedPorts: [22, 23, 3389, 1433, 3306],
          defaultAction: "allow",
          directions: ["ingress"],
          mode: "enforce",
        },
        metricsExport: { enabled: true, updateInterval: "30s" },
      });
    },
  },
  {
    name: "a spec that is left out is empty, an empty ebpfConfig stays empty",
    async run(t) {
      const path = await serve(t);
      const { spec: _, ...bare } = podConfig({});
      assert.deepEqual((await t.create(path, bare)).spec, {});
      const made = await t.create(path, podConfig({ ebpfConfig: {} }, "d"));
      assert.deepEqual(made.spec, { ebpfConfig: {} });
    },
  },
  {
    name: "what the schema forbids is refused at its field",
    async run(t) {
      const path = await serve(t);
      const cases: [JsonObject, string][] = [
        [firewall({ allowedPorts: [0] }), "spec.ebpfConfig.l4Firewall.allowedPorts[0]"],
        [firewall({ blockedPorts: [1, 65536] }), "spec.ebpfConfig.l4Firewall.blockedPorts[1]"],
        [firewall({ allowedPorts: [80, 80] }), "spec.ebpfConfig.l4Firewall.allowedPorts[1]"],
        [firewall({ defaultAction: "deny" }), "spec.ebpfConfig.l4Firewall.defaultAction"],
        [firewall({ directions: [] }), "spec.ebpfConfig.l4Firewall.directions"],
        [firewall({ directions: ["up"] }), "spec.ebpfConfig.l4Firewall.directions[0]"],
        [{ labelsToInclude: ["a", "b", "a"] }, "spec.labelsToInclude[2]"],
        [{ labelsToInclude: ["-a"] }, "spec.labelsToInclude[0]"],
        [{ annotationsToInclude: ["a/b/c"] }, "spec.annotationsToInclude[0]"],
        [{ configMapDataTemplate: { k: 1 } }, "spec.configMapDataTemplate.k"],
        [
          { podSelector: { matchExpressions: [{ key: "a", operator: "Like" }] } },
          "spec.podSelector.matchExpressions[0].operator",
        ],
        [{ podSelector: { matchLabels: { a: "-" } } }, "spec.podSelector.matchLabels.a"],
      ];
      for (const [spec, field] of cases) {
        const error = await refused(t.create(path, podConfig(spec)), {
          code: 422,
          reason: "Invalid",
        });
        assert.ok(error.causes.some((cause) => cause.field === field), error.message);
      }
    },
  },
  {
    name: "limits of lists and texts hold at N and break at N + 1",
    async run(t) {
      const path = await serve(t);
      const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`);
      const ports = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
      const template = (bytes: number) => ({ k: "x".repeat(bytes) });
      const dryRun = { dryRun: "All" };
      const fits: JsonObject[] = [
        { labelsToInclude: keys(128) },
        firewall({ allowedPorts: ports(1024) }),
        { configMapDataTemplate: template(32768) },
      ];
      for (const spec of fits) await t.create(path, podConfig(spec), dryRun);
      const breaks: [JsonObject, string][] = [
        [{ labelsToInclude: keys(129) }, "FieldValueTooMany"],
        [firewall({ allowedPorts: ports(1025) }), "FieldValueTooMany"],
        [{ configMapDataTemplate: template(32769) }, "FieldValueTooLong"],
      ];
      for (const [spec, reason] of breaks) {
        const error = await refused(t.create(path, podConfig(spec), dryRun), {
          code: 422,
          reason: "Invalid",
        });
        assert.ok(error.hasCause(reason), error.message);
      }
    },
  },
  {
    name: "the controller's status is stored, checked, and shown in the table",
    async run(t) {
      const path = await serve(t);
      const made = await t.create(path, podConfig({}));
      const condition = {
        type: "Ready",
        status: "True",
        reason: "Written",
        message: "",
        observedGeneration: 1,
        lastTransitionTime: "2026-01-02T03:04:05Z",
      };
      const { resourceVersion } = made.metadata;
      await t.patch(`${path}/c/status`, MERGE, {
        metadata: { resourceVersion },
        status: { observedGeneration: 1, matchedPods: 3, configMaps: 3, conditions: [condition] },
      });
      await refused(
        t.patch(`${path}/c/status`, MERGE, {
          status: { conditions: [{ ...condition, status: "Perhaps" }] },
        }),
        {
          code: 422,
          reason: "Invalid",
          causes: [{
            reason: "FieldValueNotSupported",
            message: 'Unsupported value: "Perhaps": supported values: "True", "False", "Unknown"',
            field: "status.conditions[0].status",
          }, {
            // Said whenever the definition has rules in CEL and something else is wrong already.
            reason: "FieldValueInvalid",
            message: "Invalid value: null: some validation rules were not checked because the " +
              "object was invalid; correct the existing errors to complete validation",
            field: "<nil>",
          }],
        },
      );
      const table = await t.call("GET", path, {
        accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
      });
      const columns = table.columnDefinitions.map((column: Json) => column.name);
      assert.deepEqual(columns, ["Name", "Ready", "Pods", "ConfigMaps", "eBPF", "Age", "Reason"]);
      const [{ cells }] = table.rows;
      assert.deepEqual(cells.slice(0, 5), ["c", "True", 3, 3, null]);
      assert.equal(cells[6], "Written");
    },
  },
  {
    name: "a ConfigMap goes with the Pod that owns it, also when its successor is there already",
    async run(t) {
      const spec = { nodeName: "n", containers: [{ name: "c", image: "i" }] };
      const pod = { metadata: { name: "p" }, spec };
      const first = await t.create(t.pods(), pod);
      const owner = ({ uid }: Json) => [{ apiVersion: "v1", kind: "Pod", name: "p", uid }];
      await t.create(t.configMaps(), {
        metadata: { name: "old", ownerReferences: owner(first.metadata) },
      });
      await t.delete(t.pods("p"), { gracePeriodSeconds: 0 });
      const second = await t.create(t.pods(), pod);
      await t.create(t.configMaps(), {
        metadata: { name: "new", ownerReferences: owner(second.metadata) },
      });
      await t.eventually("the old one is gone", async () => !await t.exists(t.configMaps("old")));
      assert.equal(await t.exists(t.configMaps("new")), true);
    },
  },
];
