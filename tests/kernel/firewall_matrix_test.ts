/**
 * The firewall, one step a cell: {TCP, UDP} x {v4, v6, v4-mapped} x {ingress, egress} x {allowed,
 * blocked, default allow, default block} x {enforce, audit}, with real sockets over a cable between
 * two networks. Each cell checks what the sockets see and what the counters say.
 */
import assert from "node:assert/strict";
import {
  Actor,
  connectNetworks,
  type Family,
  PEER_V4,
  PEER_V6,
  POD_V4,
  POD_V6,
} from "./support/actor.ts";
import { type Direction, Firewall, type Protocol, type Rule } from "./support/programs.ts";
import { kernelTest } from "./support/sandbox.ts";

/** What is blocked is not answered; what is not, as soon as there is a processor for it. */
const SILENCE_S = 0.12;
const PATIENCE_S = 5;

type Addressing = "v4" | "v6" | "v4-mapped";
type Policy = "allowed" | "blocked" | "default allow" | "default block";
type Mode = "enforce" | "audit";

interface Cell {
  protocol: Protocol;
  addressing: Addressing;
  direction: Direction;
  policy: Policy;
  mode: Mode;
  port: number;
}

function cells(): Cell[] {
  const all: Cell[] = [];
  for (const protocol of ["tcp", "udp"] as const) {
    for (const addressing of ["v4", "v6", "v4-mapped"] as const) {
      for (const direction of ["ingress", "egress"] as const) {
        for (const policy of ["allowed", "blocked", "default allow", "default block"] as const) {
          for (const mode of ["enforce", "audit"] as const) {
            all.push({ protocol, addressing, direction, policy, mode, port: 20_000 + all.length });
          }
        }
      }
    }
  }
  return all;
}

/** What the policy says of a port that it lists, or does not. */
function rulesOf({ policy, mode, port }: Cell): { otherwise: Rule; ports: Record<number, Rule> } {
  const no: Rule = mode === "enforce" ? "block" : "audit";
  switch (policy) {
    case "allowed":
      return { otherwise: no, ports: { [port]: "allow" } };
    case "blocked":
      return { otherwise: "allow", ports: { [port]: no } };
    case "default allow":
      return { otherwise: "allow", ports: {} };
    case "default block":
      return { otherwise: no, ports: {} };
  }
}

const refuses = ({ policy }: Cell) => policy === "blocked" || policy === "default block";
const typeOf = ({ protocol }: Cell) => protocol === "tcp" ? "stream" : "dgram";

/** As the Pod's socket sees it. */
const podFamily = ({ addressing }: Cell): Family => addressing === "v4" ? 4 : 6;
/** As it is on the wire. */
const wireFamily = ({ addressing }: Cell): Family => addressing === "v6" ? 6 : 4;

/** A peer calls a server in the Pod. @returns whether it got through. */
async function callIn(pod: Actor, peer: Actor, cell: Cell): Promise<string> {
  const server = await pod.server(podFamily(cell), typeOf(cell), cell.port);
  const client = await peer.socket(wireFamily(cell), typeOf(cell));
  const target = { host: wireFamily(cell) === 4 ? POD_V4 : POD_V6, port: cell.port };
  const patience = { timeout: refuses(cell) && cell.mode === "enforce" ? SILENCE_S : PATIENCE_S };
  if (cell.protocol === "tcp") {
    return await peer.try("connect", { id: client, ...target, ...patience });
  }
  await peer.do("send_to", { id: client, data: "x", ...target });
  return await pod.try("receive", { id: server, ...patience });
}

/** The Pod calls a server at its peer. */
async function callOut(pod: Actor, peer: Actor, cell: Cell): Promise<string> {
  const server = await peer.server(wireFamily(cell), typeOf(cell), cell.port);
  const client = await pod.socket(podFamily(cell), typeOf(cell));
  const host = { "v4": PEER_V4, "v6": PEER_V6, "v4-mapped": `::ffff:${PEER_V4}` }[cell.addressing];
  const target = { id: client, host, port: cell.port };
  if (cell.protocol === "tcp") return await pod.try("connect", { ...target, timeout: PATIENCE_S });
  const sent = await pod.try("send_to", { ...target, data: "x" });
  return sent === "ok" ? await peer.try("receive", { id: server, timeout: PATIENCE_S }) : sent;
}

async function check(firewall: Firewall, pod: Actor, peer: Actor, cell: Cell): Promise<void> {
  firewall.setAll("allow");
  firewall.setRules(cell.direction, cell.protocol, rulesOf(cell));
  const before = firewall.counts();
  const result = cell.direction === "ingress"
    ? await callIn(pod, peer, cell)
    : await callOut(pod, peer, cell);
  const silent = cell.direction === "ingress" ? "TIMEOUT" : "EPERM";
  assert.equal(result, refuses(cell) && cell.mode === "enforce" ? silent : "ok");
  const verdict = !refuses(cell) ? "allowed" : cell.mode === "enforce" ? "blocked" : "audited";
  assert.deepEqual(firewall.changes(before), {
    [`${cell.direction} ${cell.protocol} v${wireFamily(cell)} ${verdict}`]: 1,
  });
  await pod.do("close_all");
  await peer.do("close_all");
}

for (const object of ["firewall", "firewall_legacy"] as const) {
  kernelTest(`${object} decides and counts every cell of the matrix`, async (sandbox, t) => {
    const cgroup = sandbox.cgroup("pod");
    await using pod = await Actor.start({ cgroup, network: true });
    await using peer = await Actor.start({ network: true });
    await connectNetworks(pod, peer);
    using firewall = await Firewall.attach(cgroup, { object });
    assert.equal(cells().length, 96);
    for (const cell of cells()) {
      const { protocol, addressing, direction, policy, mode } = cell;
      await t.step(
        `${protocol} ${addressing} ${direction} ${policy} ${mode}`,
        () => check(firewall, pod, peer, cell),
      );
    }
  });
}
