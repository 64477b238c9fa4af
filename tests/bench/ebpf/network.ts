/**
 * What a firewall costs a connection: a Pod's network and a peer's with a cable between them, all on one
 * CPU, so that a time is all of the work and no waiting for another CPU to wake up.
 */
import type { BpfLoader, PodCgroup } from "../../../src/agent/ports.ts";
import type { FirewallSpec } from "../../../src/domain/ebpf_programs.ts";
import { firewallSpec, plane } from "../../kernel/support/agent.ts";
import { eventually } from "../../support/eventually.ts";
import { output } from "../../support/processes.ts";
import { startEmptyHooks, startFirewall } from "./ours.ts";
import { missingPeer, nftRules } from "./peers.ts";
import { BASELINE, type Scenario, type Variant } from "./rounds.ts";
import { type Built, Workload } from "./workload.ts";

const POD = { address: "10.78.0.1", mac: "02:00:00:00:00:01" };
const PEER = { address: "10.78.0.2", mac: "02:00:00:00:00:02" };
const ECHO = 7000;
const RESET = ECHO + 1;

/** Metric -> who calls, what, and how many times a slice: about a millisecond's worth. */
const METRICS = {
  "TCP round trip": { fromPod: false, what: "tcp", port: ECHO, count: 60 },
  "TCP connect to the Pod": { fromPod: false, what: "connect", port: RESET, count: 20 },
  "TCP connect from the Pod": { fromPod: true, what: "connect", port: RESET, count: 20 },
  "UDP round trip to the Pod": { fromPod: false, what: "udp", port: ECHO, count: 60 },
  "UDP round trip from the Pod": { fromPod: true, what: "udp", port: ECHO, count: 60 },
} as const;
const SLICES = 60;

export const FIREWALL_IN = "firewall, ingress";
export const FIREWALL_BOTH = "firewall, both directions";
export const FIREWALL_ELSEWHERE = "firewall on another Pod";
export const FIREWALL_REMOVED = "firewall, applied and removed";
export const NFT_IN = "nft + conntrack, input";
export const NFT_BOTH = "nft + conntrack, both directions";

export interface NetworkStage {
  readonly built: Built;
  readonly loader: BpfLoader;
  readonly pod: PodCgroup;
  readonly otherPod: PodCgroup;
  /** Below the Pod's: where its processes are. */
  readonly container: string;
  /** Where the peer is. */
  readonly elsewhere: string;
  readonly cpu: number;
}

/** Runs its processes, and with them their networks, until disposed. */
export async function networkScenario(stage: NetworkStage): Promise<Scenario & AsyncDisposable> {
  await using owned = new AsyncDisposableStack();
  const place = async (cgroup: string) => {
    const workload = owned.use(new Workload(stage.built.workload));
    await workload.do(`cpu ${stage.cpu}`);
    await workload.do("network");
    await workload.do(`join ${cgroup}`);
    return workload;
  };
  const pod = await place(stage.container);
  const peer = await place(stage.elsewhere);
  await connect(pod.pid, peer.pid);
  await pod.do(`serve ${ECHO}`);
  await peer.do(`serve ${ECHO}`);
  await eventually("the Pod answers", () => peer.do(`connect ${POD.address} ${RESET} 1 1`), {
    timeoutMs: 5_000,
  });
  const kept = owned.move();
  return {
    variants: variants(stage, pod.pid),
    metrics: Object.keys(METRICS),
    measure(metric) {
      const { fromPod, what, port, count } = METRICS[metric as keyof typeof METRICS];
      const [caller, to] = fromPod ? [pod, PEER.address] : [peer, POD.address];
      return caller.do(`${what} ${to} ${port} ${SLICES} ${count}`);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** A cable between the networks of two processes; neighbours are known, so that nobody asks for them. */
async function connect(pod: number, peer: number): Promise<void> {
  const inside = (pid: number, line: string) =>
    output("nsenter", ["--net", "--target", `${pid}`, "sh", "-e", "-c", line]);
  await inside(
    pod,
    `ip link add eth0 address ${POD.mac} type veth peer name eth0 address ${PEER.mac} netns ${peer}`,
  );
  const setUp = (own: typeof POD, other: typeof POD) =>
    `ip link set lo up; ip link set eth0 up; ip addr add ${own.address}/24 dev eth0; ` +
    `ip neigh replace ${other.address} lladdr ${other.mac} dev eth0 nud permanent`;
  await inside(pod, setUp(POD, PEER));
  await inside(peer, setUp(PEER, POD));
}

const PORTS = { [ECHO]: "allow", [RESET]: "allow" } as const;
const INGRESS = firewallSpec({ ingress: plane("block", PORTS) });
const BOTH = firewallSpec(
  { ingress: plane("block", PORTS), egress: plane("block", PORTS) },
  { otherEgress: "block" },
);

function variants(stage: NetworkStage, pid: number): Variant[] {
  const { built, loader, pod, otherPod } = stage;
  const nothing = () => Promise.resolve(new AsyncDisposableStack());
  const firewall = (cgroup: PodCgroup, spec: FirewallSpec) =>
    startFirewall(loader, cgroup, { uid: `bench-${cgroup.id}`, spec });
  const empty = (egress: boolean) => startEmptyHooks(built.empty, { cgroup: pod.path, egress });
  const missing = missingPeer("nft");
  return [
    { name: BASELINE, start: nothing },
    { name: `${BASELINE}, again`, start: nothing },
    {
      name: FIREWALL_REMOVED,
      async start() {
        await (await firewall(pod, BOTH))[Symbol.asyncDispose]();
        return await nothing();
      },
    },
    { name: FIREWALL_ELSEWHERE, start: () => firewall(otherPod, BOTH) },
    { name: "empty programs", start: () => empty(false) },
    { name: "empty programs, at packets out too", start: () => empty(true) },
    { name: FIREWALL_IN, start: () => firewall(pod, INGRESS) },
    { name: FIREWALL_BOTH, start: () => firewall(pod, BOTH) },
    { name: NFT_IN, missing, start: () => nftRules(pid, ruleset(["input"])) },
    { name: NFT_BOTH, missing, start: () => nftRules(pid, ruleset(["input", "output"])) },
  ];
}

/** What the firewall does, as one writes it for nft. */
function ruleset(hooks: readonly string[]): string {
  const ports = Object.keys(PORTS).join(", ");
  const chains = hooks.map((hook) =>
    `chain ${hook} {
       type filter hook ${hook} priority filter; policy drop;
       ct state established,related accept
       ${hook === "input" ? "iif" : "oif"} lo accept
       meta l4proto { icmp, ipv6-icmp } accept
       tcp dport { ${ports} } accept
       udp dport { ${ports} } accept
     }`
  );
  return `table inet bench {\n${chains.join("\n")}\n}\n`;
}
