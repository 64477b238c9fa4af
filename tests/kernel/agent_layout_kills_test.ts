/** An agent that is killed in the middle of a change of the pins' layout: whichever version starts next goes on. */
import assert from "node:assert/strict";
import { namesIn } from "../../src/agent/adapters/pins.ts";
import { POD_V4 } from "./support/actor.ts";
import { calls, folderOf, openLoader, verdicts } from "./support/agent.ts";
import { diesAt } from "./support/faults.ts";
import { bringUp, CLOSED, connectedPod } from "./support/layouts.ts";
import { kernelTest } from "./support/sandbox.ts";

kernelTest("killed at each step of a change, either version goes on exactly", async (sandbox) => {
  const folder = folderOf(sandbox);
  await using scene = await connectedPod(sandbox);
  const { pod, cgroup, peer, worker } = scene;
  const done = { calls: 0, connects: 0 };
  const act = async () => {
    const id = await peer.socket(4, "stream");
    const tried = await peer.try("connect", { id, host: POD_V4, port: CLOSED, timeout: 0.005 });
    assert.equal(tried, "TIMEOUT");
    await peer.do("close", { id });
    done.connects++;
    await worker.do("work", { cgroup: pod.container, steps: [["read", 7]] });
    done.calls += 7;
  };
  const start = async (layout: string) => {
    await using loader = await openLoader(folder, 4, layout);
    await bringUp(loader, pod, cgroup);
  };
  const check = async (layout: string, when: string) => {
    await using loader = await openLoader(folder, 4, layout);
    const row = await bringUp(loader, pod, cgroup);
    assert.deepEqual(namesIn(folder), [layout], when);
    const [counts] = await loader.syscalls.counts([row]);
    assert.equal(calls(counts?.calls).read, done.calls, when);
    const blocked = { "ingress tcp ipv4 blocked": done.connects };
    assert.deepEqual(verdicts(await loader.firewall.counts(pod.query.podUid)), blocked, when);
  };
  let [current, next] = ["v1", "v2"];
  await start(current);
  let step = 0;
  for (let died = true; died; step++) {
    await act();
    died = await diesAt(step, () => start(next));
    await act();
    const successor = step % 2 === 0 ? next : current;
    const when = `${current} to ${next}, killed at step ${step}, ${successor} goes on`;
    await check(successor, when);
    await act();
    await check(successor, `${when} and again`);
    if (successor === next) [current, next] = [next, current];
  }
  assert.ok(step > 50, `${step} steps`);
});
