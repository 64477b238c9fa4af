/** A change of the pins' layout, there and back: what is counted is counted once, what is blocked stays blocked. */
import assert from "node:assert/strict";
import { namesIn } from "../../src/agent/adapters/pins.ts";
import type { BpfLoader, PodCgroup } from "../../src/agent/ports.ts";
import { Actor, connectNetworks, POD_V4 } from "./support/actor.ts";
import {
  calls,
  firewallSpec,
  folderOf,
  openLoader,
  plane,
  resolverOf,
  syscallSpec,
  verdicts,
} from "./support/agent.ts";
import { diesAt } from "./support/faults.ts";
import { type FakePod, makePod } from "./support/kubelet.ts";
import { kernelTest, type Sandbox } from "./support/sandbox.ts";

const CLOSED = 9001;
const RULES = firewallSpec({ ingress: plane("block") });
const CALLS = syscallSpec(["read", "close"], { errors: true, latency: true, pids: true });
const [READ, CLOSE] = syscallSpec(["read", "close"]).numbers;

/** A Pod with a closed port, and somebody who tries it. */
async function connectedPod(sandbox: Sandbox) {
  const pod = makePod(sandbox);
  const cgroup = await resolverOf(sandbox).resolve(pod.query);
  const owned = new AsyncDisposableStack();
  const inside = owned.use(await Actor.start({ cgroup: pod.container, network: true }));
  const peer = owned.use(await Actor.start({ network: true }));
  const worker = owned.use(await Actor.start());
  await connectNetworks(inside, peer);
  await inside.server(4, "stream", CLOSED);
  return { pod, cgroup, peer, worker, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What an agent does for a Pod: it looks, and acts on what it finds. @returns the row. */
async function bringUp(loader: BpfLoader, pod: FakePod, cgroup: PodCgroup): Promise<number> {
  const { podUid } = pod.query;
  if (!(await loader.firewall.inspect(podUid))?.complete) {
    await loader.firewall.apply(podUid, cgroup, RULES);
  }
  const { rows, attached } = await loader.syscalls.inspect();
  const known = rows.find(({ cgroupIds }) => cgroupIds.includes(cgroup.id));
  return attached && known ? known.row : await loader.syscalls.put(cgroup, CALLS);
}

const sum = (values: readonly bigint[]) => Number(values.reduce((all, one) => all + one, 0n));

kernelTest("v1, v2, v1: calls and connections under way are counted once", async (sandbox) => {
  const folder = folderOf(sandbox);
  const quiet = makePod(sandbox);
  const quietCgroup = await resolverOf(sandbox).resolve(quiet.query);
  await using scene = await connectedPod(sandbox);
  const { pod, cgroup, peer, worker } = scene;
  const workers = ["one", "two"];
  let [row, quietRow] = [-1, -1];
  {
    await using loader = await openLoader(folder, 8, "v1");
    row = await bringUp(loader, pod, cgroup);
    quietRow = await loader.syscalls.put(quietCgroup, CALLS);
    await worker.do("work", { cgroup: quiet.container, steps: [["read", 50]] });
  }
  for (const id of workers) await worker.do("churn_calls", { id, cgroup: pod.container });
  await peer.do("churn_connects", { id: "tries", host: POD_V4, port: CLOSED });
  const callsBy = async (op: "churn_tally" | "churn_stop") => {
    let all = 0;
    for (const id of workers) all += (await worker.do(op, { id }) as number[])[0] ?? 0;
    return all;
  };
  // With other numbers of rows wanted: the one in use stays.
  for (const [index, layout] of ["v2", "v1", "v3", "v2", "v1"].entries()) {
    const before = await callsBy("churn_tally");
    await using loader = await openLoader(folder, 9 + index, layout);
    assert.equal(await bringUp(loader, pod, cgroup), row);
    assert.deepEqual(namesIn(folder), [layout], "nothing is left of the other one");
    const [counts] = await loader.syscalls.counts([row]);
    assert.ok((calls(counts?.calls).read ?? 0) >= before, layout);
  }
  const done = await callsBy("churn_stop");
  const [tried, through] = await peer.do("churn_stop", { id: "tries" }) as number[];
  assert.ok(done > 10_000 && tried !== undefined && tried > 50, `${done} calls, ${tried} tries`);
  assert.equal(through, 0);

  await using loader = await openLoader(folder, 8, "v1");
  const [counts, others] = await loader.syscalls.counts([row, quietRow]);
  // Each worker, once inside, also closes the file by which it moved itself.
  const expected = { read: done, close: done + workers.length };
  assert.deepEqual(calls(counts?.calls), expected);
  assert.deepEqual(calls(counts?.errors), { close: done });
  const timed = new Map(counts?.latencies?.map(({ number, buckets }) => [number, sum(buckets)]));
  assert.deepEqual([timed.get(READ ?? -1), timed.get(CLOSE ?? -1)], [
    expected.read,
    expected.close,
  ]);
  const byPid = (number: number | undefined) =>
    sum(counts?.pids?.filter((one) => one.number === number).map(({ count }) => count) ?? []);
  assert.deepEqual([byPid(READ), byPid(CLOSE)], [expected.read, expected.close]);
  assert.deepEqual(calls(others?.calls), { read: 50, close: 2 });
  assert.deepEqual(verdicts(await loader.firewall.counts(pod.query.podUid)), {
    "ingress tcp ipv4 blocked": tried,
  });

  // A row that is given again begins at nothing.
  await loader.syscalls.remove(row);
  assert.equal(await loader.syscalls.put(cgroup, CALLS), row);
  assert.deepEqual(calls((await loader.syscalls.counts([row]))[0]?.calls), {});
  await loader.syscalls.remove(quietRow);
  assert.deepEqual(namesIn(`${folder}/v1/maps`).filter((name) => /carry/.test(name)), []);
});

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
