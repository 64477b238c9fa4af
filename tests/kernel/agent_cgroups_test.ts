/** Pods' cgroups are found wherever a kubelet puts them. */
import assert from "node:assert/strict";
import { cgroupId, hasFeature, inodeOf } from "../../ffi/mod.ts";
import { EbpfError } from "../../src/agent/ports.ts";
import { makePorts, resolverOf } from "./support/agent.ts";
import { makePod, type PodOptions, removePod } from "./support/kubelet.ts";
import { kernelTest } from "./support/sandbox.ts";

const DRIVERS = ["systemd", "cgroupfs"] as const;
const CLASSES = ["Guaranteed", "Burstable", "BestEffort"] as const;

kernelTest("both drivers, every QoS class, static Pods, nested roots", async (sandbox) => {
  for (const driver of DRIVERS) {
    for (const qosClass of CLASSES) {
      for (const more of [{}, { staticPod: true }, { prefix: "kubelet" }] as PodOptions[]) {
        const pod = makePod(sandbox, { driver, qosClass, ...more });
        const found = await resolverOf(sandbox).resolve(pod.query);
        assert.equal(found.path, pod.path);
        assert.equal(found.id, cgroupId(pod.path));
        // What the id is taken from where a container may not ask for handles.
        assert.equal(found.id, inodeOf(pod.path));
        // Where programs cannot ask for ancestors, each cgroup of the Pod is named.
        const named = hasFeature("ancestorCgroup") ? [] : [cgroupId(pod.container)];
        assert.deepEqual(found.descendants, named);
        // The sandbox is one level below the root.
        const depth = pod.path.slice(sandbox.root.length).split("/").length - 1;
        assert.equal(found.level, depth + 1);
        const { qosClass: _, ...unhinted } = pod.query;
        assert.equal((await resolverOf(sandbox).resolve(unhinted)).path, pod.path);
      }
    }
  }
});

kernelTest("a cgroup is seen once it is there, and no more once it went", async (sandbox) => {
  const resolver = resolverOf(sandbox);
  const notFound = (error: unknown) =>
    error instanceof EbpfError && error.reason === "CgroupNotFound";
  const uid = "8d2c1a0e-0000-4000-8000-000000000001";
  await assert.rejects(resolver.resolve({ podUid: uid }), /no kubepods below/);
  makePod(sandbox);
  await assert.rejects(resolver.resolve({ podUid: uid }), notFound);
  const pod = makePod(sandbox, { uid });
  assert.equal((await resolver.resolve({ podUid: uid })).path, pod.path);
  await removePod(pod);
  await assert.rejects(resolver.resolve({ podUid: uid }), notFound);
});

kernelTest("without a root given, all cgroup2 mounts are searched", async (sandbox) => {
  const pod = makePod(sandbox);
  assert.equal((await makePorts("").cgroups.resolve(pod.query)).path, pod.path);
});

Deno.test("the node's addresses are its interfaces', loopback aside", async () => {
  const addresses = await makePorts("").addresses.list();
  const expected = Deno.networkInterfaces().filter(({ name }) => name !== "lo").length > 0;
  assert.equal(addresses.length > 0, expected);
  assert.ok(addresses.every((address) => /^[0-9a-f]{32}$/.test(address)));
});
