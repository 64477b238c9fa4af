import assert from "node:assert/strict";
import { missingCapabilities, parseCapabilities } from "./capabilities.ts";
import { candidates, levelBits } from "./cgroups.ts";
import { parseMounts } from "./mounts.ts";

Deno.test("mounts of cgroups are read with their version and root", () => {
  const text = [
    "30 24 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate",
    "31 24 0:26 /../../.. /host/cg\\040roup ro - cgroup2 cgroup rw",
    "32 24 0:30 / /sys/fs/cgroup/net_cls rw shared:9 - cgroup cgroup rw,net_cls,net_prio",
    "33 24 0:31 / /proc rw - proc proc rw",
    "",
  ].join("\n");
  assert.deepEqual(parseMounts(text), [
    { path: "/sys/fs/cgroup", version: 2, root: "/", options: ["rw", "nsdelegate"] },
    { path: "/host/cg roup", version: 2, root: "/../../..", options: ["rw"] },
    {
      path: "/sys/fs/cgroup/net_cls",
      version: 1,
      root: "/",
      options: ["rw", "net_cls", "net_prio"],
    },
  ]);
});

Deno.test("the likeliest place of a Pod's cgroup comes first", () => {
  const uid = "a-b";
  assert.deepEqual(candidates("/c/kubepods.slice", uid, "BestEffort"), [
    "/c/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-poda_b.slice",
    "/c/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice",
    "/c/kubepods.slice/kubepods-poda_b.slice",
  ]);
  assert.deepEqual(candidates("/c/k/kubepods", uid, "Guaranteed"), [
    "/c/k/kubepods/poda-b",
    "/c/k/kubepods/burstable/poda-b",
    "/c/k/kubepods/besteffort/poda-b",
  ]);
  assert.equal(
    candidates("/c/kubelet.slice/kubelet-kubepods.slice", uid)[0],
    "/c/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-poda_b.slice",
  );
});

Deno.test("what is no uid leads nowhere", () => {
  for (const uid of ["", ".", "a/../../system.slice/sshd.service", "a.slice/../../system", "a\0"]) {
    for (const root of ["/c/kubepods.slice", "/c/kubepods"]) {
      assert.deepEqual(candidates(root, uid), []);
    }
  }
});

Deno.test("missing capabilities are named; SYS_ADMIN stands for two of them", () => {
  const missing = (mask: string) =>
    missingCapabilities(parseCapabilities(`Name:\tx\nCapEff:\t${mask}\n`));
  assert.deepEqual(missing("0000000000000000"), ["BPF", "PERFMON", "NET_ADMIN"]);
  assert.deepEqual(missing("000000c000001000"), []);
  assert.deepEqual(missing("0000000000200000"), ["NET_ADMIN"]);
  assert.deepEqual(missing("000001ffffffffff"), []);
});

Deno.test("where the root is out of sight, Pods may be at any deeper level", () => {
  assert.equal(levelBits(3, true), 0b1000);
  assert.equal(levelBits(3, false), 0b1111_1111_1111_1000);
});
