import assert from "node:assert/strict";
import type { FirewallSpec } from "../domain/ebpf_programs.ts";
import { projectNodePod } from "../domain/node_pod.ts";
import { headStart, type HeadStartOptions } from "./head_start.ts";
import { EbpfError, type FirewallState } from "./ports.ts";

const SPEC = { ingress: true } as FirewallSpec;
const asking = (uid: string, firewall: FirewallSpec | undefined = SPEC) => ({
  pod: projectNodePod({ metadata: { namespace: "ns", name: uid, uid } }),
  firewall,
});

/** Cgroups of the Pods a, b, c; `b` has a firewall. */
function node(ended: AbortController, endsAfter = "") {
  const applied: string[] = [];
  const inPlace = { podUid: "b", cgroupId: 1n, complete: false, spec: undefined };
  const firewall = {
    inspect: (uid: string): Promise<FirewallState | undefined> =>
      Promise.resolve(uid === "b" ? inPlace : undefined),
    apply: (uid: string) => {
      applied.push(uid);
      if (uid === endsAfter) ended.abort();
      return Promise.resolve();
    },
  };
  const options = {
    kernel: { use: (work: (loader: unknown) => Promise<unknown>) => work({ firewall }) },
    cgroups: {
      resolve: ({ podUid }: { podUid: string }) => {
        if (!"abc".includes(podUid)) throw new EbpfError("CgroupNotFound", "Cannot find it");
        return Promise.resolve({ path: podUid, id: 1n, level: 1, descendants: [] });
      },
    },
    signal: ended.signal,
  } as unknown as HeadStartOptions;
  return { applied, options };
}

Deno.test("a head start adds what is missing, and leaves what is in place, or cannot be found, to others", async () => {
  const { applied, options } = node(new AbortController());
  const pods = [asking("x"), asking("a"), asking("b"), asking("c")];
  assert.equal(await headStart(pods, options), 2);
  assert.deepEqual(applied, ["a", "c"]);
  assert.equal(await headStart([{ ...asking("a"), firewall: undefined }], options), 0);
});

Deno.test("a head start ends when somebody knows better", async () => {
  const { applied, options } = node(new AbortController(), "a");
  assert.equal(await headStart([asking("a"), asking("c")], options), 1);
  assert.deepEqual(applied, ["a"]);
});
