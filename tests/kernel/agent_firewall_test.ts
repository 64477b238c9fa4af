/** The agent's firewall adapter: real sockets of a Pod that it blocks, counts and lets pass. */
import assert from "node:assert/strict";
import { AttachType, CgroupDirectory, Link, queryCgroup } from "../../ffi/mod.ts";
import { OBJECT_NAMES, objectBytes } from "../../src/agent/adapters/objects.ts";
import { sameFirewall } from "../../src/domain/ebpf_programs.ts";
import { objectFile } from "../../scripts/bpf.ts";
import { Actor, connectNetworks, PEER_V4, POD_V4 } from "./support/actor.ts";
import {
  firewallSpec,
  folderOf,
  openLoader,
  plane,
  resolverOf,
  verdicts,
} from "./support/agent.ts";
import { makePod } from "./support/kubelet.ts";
import { kernelTest, type Sandbox } from "./support/sandbox.ts";

const OPEN = 9000;
const CLOSED = 9001;
/** What is blocked is not answered; what is not, as soon as there is a processor for it. */
const SILENCE_S = 0.15;
const PATIENCE_S = 5;

Deno.test("the embedded objects are the built ones", () => {
  for (const name of OBJECT_NAMES) {
    const same = Deno.readFileSync(objectFile(name)).every((byte, index) =>
      byte === objectBytes(name)[index]
    );
    assert.ok(same, `${name}: run scripts/bpf.ts`);
  }
});

/** A Pod that listens on both ports, and a peer that knocks. */
async function stage(sandbox: Sandbox) {
  const pod = makePod(sandbox);
  const inside = await Actor.start({ cgroup: pod.container, network: true });
  const peer = await Actor.start({ network: true });
  await connectNetworks(inside, peer);
  for (const port of [OPEN, CLOSED]) await inside.server(4, "stream", port);
  const connect = async (port: number, timeout = SILENCE_S) => {
    const id = await peer.socket(4, "stream");
    const outcome = await peer.try("connect", { id, host: POD_V4, port, timeout });
    // Else it is tried again a second later, when the rules may be others.
    if (outcome === "TIMEOUT") await peer.do("close", { id });
    return outcome;
  };
  const end = async () => {
    await inside[Symbol.asyncDispose]();
    await peer[Symbol.asyncDispose]();
  };
  return { pod, inside, connect, [Symbol.asyncDispose]: end };
}

kernelTest("a Pod's firewall follows its specification in place", async (sandbox) => {
  await using staged = await stage(sandbox);
  const { pod, inside, connect } = staged;
  await using loader = await openLoader(folderOf(sandbox));
  const { firewall } = loader;
  const cgroup = await resolverOf(sandbox).resolve(pod.query);
  const { podUid } = pod.query;
  assert.equal(await firewall.inspect(podUid), undefined);

  const first = firewallSpec({ ingress: plane("block", { [OPEN]: "allow" }) }, {
    probePorts: [8080],
    selfAddresses: ["00000000000000000000ffff0a4d0001"],
    logPerSecond: 10,
  });
  await firewall.apply(podUid, cgroup, first);
  assert.deepEqual([await connect(OPEN, PATIENCE_S), await connect(CLOSED)], ["ok", "TIMEOUT"]);
  const state = await firewall.inspect(podUid);
  assert.ok(state?.spec && state.complete && sameFirewall(state.spec, first));
  assert.equal(state.cgroupId, cgroup.id);
  using link = Link.openPinned(`${folderOf(sandbox)}/v1/pods/${podUid}/in`);
  const { programId } = link.info();

  // Rules alone: the same program goes on.
  await firewall.apply(podUid, cgroup, firewallSpec({ ingress: plane("allow") }));
  assert.equal(link.info().programId, programId);
  assert.equal(await connect(CLOSED, PATIENCE_S), "ok");

  // Another direction: another program, in the same link.
  const both = firewallSpec({
    ingress: plane("block", { [OPEN]: "allow" }),
    egress: plane("allow", { [CLOSED]: "block" }),
  }, { otherEgress: "block" });
  await firewall.apply(podUid, cgroup, both);
  assert.notEqual(link.info().programId, programId);
  const id = await inside.socket(4, "stream");
  assert.equal(await inside.try("connect", { id, host: PEER_V4, port: CLOSED }), "EPERM");
  assert.equal(await connect(CLOSED), "TIMEOUT");
  assert.deepEqual(verdicts(await firewall.counts(podUid)), {
    "ingress tcp ipv4 allowed": 2,
    "ingress tcp ipv4 blocked": 2,
    "egress tcp ipv4 blocked": 1,
  });
  using directory = CgroupDirectory.open(pod.path);
  for (const type of Object.values(AttachType)) {
    assert.equal(queryCgroup(directory, type).programIds.length, 1, `${type}`);
  }
  const [event] = await firewall.drainVerdicts(1);
  assert.deepEqual(event, {
    cgroupId: cgroup.id,
    direction: "ingress",
    protocol: "tcp",
    family: "ipv4",
    verdict: "blocked",
    remote: "00000000000000000000ffff0a4d0002",
    remotePort: event?.remotePort,
    localPort: CLOSED,
  });

  await firewall.apply(podUid, cgroup, first);
  for (const type of [AttachType.CGROUP_INET_EGRESS, AttachType.CGROUP_INET4_CONNECT]) {
    assert.equal(queryCgroup(directory, type).programIds.length, 0, "egress is off again");
  }
  await firewall.remove(podUid);
  assert.equal(await connect(CLOSED, PATIENCE_S), "ok");
  assert.deepEqual(await firewall.list(), []);
  assert.equal(await firewall.inspect(podUid), undefined);
  assert.equal(await firewall.counts(podUid), undefined);
  await firewall.remove(podUid);
});
