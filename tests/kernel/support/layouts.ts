/** Agents of several layouts of pins, and a Pod that they care for one after the other. */
import type { BpfLoader, PodCgroup } from "../../../src/agent/ports.ts";
import { Actor, connectNetworks } from "./actor.ts";
import { firewallSpec, plane, resolverOf, syscallSpec } from "./agent.ts";
import { type FakePod, makePod } from "./kubelet.ts";
import type { Sandbox } from "./sandbox.ts";

export const CLOSED = 9001;
export const RULES = firewallSpec({ ingress: plane("block") });
export const CALLS = syscallSpec(["read", "close"], { errors: true, latency: true, pids: true });

/** A Pod with a closed port, somebody who tries it, and somebody who works in the Pod. */
export async function connectedPod(sandbox: Sandbox) {
  const pod = makePod(sandbox);
  const cgroup = await resolverOf(sandbox).resolve(pod.query);
  const owned = new AsyncDisposableStack();
  const inside = owned.use(await Actor.start({ cgroup: pod.container, network: true }));
  const peer = owned.use(await Actor.start({ network: true }));
  const worker = owned.use(await Actor.start());
  await connectNetworks(inside, peer);
  await inside.server(4, "stream", CLOSED);
  return { pod, cgroup, inside, peer, worker, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What an agent does for a Pod: it looks, and acts on what it finds. @returns the row. */
export async function bringUp(
  loader: BpfLoader,
  pod: FakePod,
  cgroup: PodCgroup,
): Promise<number> {
  const { podUid } = pod.query;
  if (!(await loader.firewall.inspect(podUid))?.complete) {
    await loader.firewall.apply(podUid, cgroup, RULES);
  }
  const { rows, attached } = await loader.syscalls.inspect();
  const known = rows.find(({ cgroupIds }) => cgroupIds.includes(cgroup.id));
  return attached && known ? known.row : await loader.syscalls.put(cgroup, CALLS);
}
