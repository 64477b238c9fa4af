/** A change of the pins' layout, there and back: what is counted is counted once, what is blocked stays blocked. */
import assert from "node:assert/strict";
import { BpfMap, makeDirectory, MapType, removeDirectory, renameFile } from "../../ffi/mod.ts";
import { CarryPin } from "../../src/agent/adapters/carry.ts";
import { namesIn, removeTree } from "../../src/agent/adapters/pins.ts";
import { EbpfError } from "../../src/agent/ports.ts";
import { eventually } from "../support/eventually.ts";
import { PEER_V4, POD_V4 } from "./support/actor.ts";
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
import { refuses } from "./support/faults.ts";
import { makePod } from "./support/kubelet.ts";
import { bringUp, CALLS, CLOSED, connectedPod, RULES } from "./support/layouts.ts";
import { kernelTest } from "./support/sandbox.ts";

const UDP = 9002;
const [READ, CLOSE] = syscallSpec(["read", "close"]).numbers;
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

kernelTest("what is under way at a change is known after it", async (sandbox) => {
  const folder = folderOf(sandbox);
  await using scene = await connectedPod(sandbox);
  const { pod, cgroup, inside, peer } = scene;
  const udp = [await inside.server(4, "dgram", UDP), await peer.server(4, "dgram", UDP)] as const;
  const tcp = await peer.socket(4, "stream");
  {
    await using loader = await openLoader(folder, 8, "v1");
    await bringUp(loader, pod, cgroup);
    await inside.do("send_to", { id: udp[0], data: "question", host: PEER_V4, port: UDP });
    await peer.do("receive", { id: udp[1] });
    const connect = { id: tcp, host: POD_V4, port: CLOSED, timeout: 0.01 };
    assert.equal(await peer.try("connect", connect), "TIMEOUT");
  }
  await using loader = await openLoader(folder, 8, "v2");
  await bringUp(loader, pod, cgroup);
  // The answer to what was sent before is let in, though the port is closed.
  await peer.do("send_to", { id: udp[1], data: "answer", host: POD_V4, port: UDP });
  const { data } = await inside.do("receive", { id: udp[0] }) as { data: string };
  assert.equal(data, "answer");
  await eventually("the connection is tried by another packet", async () => {
    const text = await peer.do("shell", { line: "cat /proc/net/snmp" }) as string;
    const [names = [], values = []] = text.split("\n").filter((line) => line.startsWith("Tcp:"))
      .map((line) => line.split(" "));
    assert.ok(Number(values[names.indexOf("RetransSegs")]) > 0, text);
    return true;
  }, { timeoutMs: 10_000 });
  const counted = verdicts(await loader.firewall.counts(pod.query.podUid));
  assert.equal(counted["ingress tcp ipv4 blocked"], 1);
});

kernelTest("a change that fails leaves the rules and counts of before", async (sandbox) => {
  const folder = folderOf(sandbox);
  await using scene = await connectedPod(sandbox);
  const { pod, cgroup, peer, worker } = scene;
  const { podUid } = pod.query;
  const tryIt = async () => {
    const id = await peer.socket(4, "stream");
    const connect = { id, host: POD_V4, port: CLOSED, timeout: 0.01 };
    assert.equal(await peer.try("connect", connect), "TIMEOUT");
    await peer.do("close", { id });
  };
  {
    await using loader = await openLoader(folder, 8, "v1");
    await bringUp(loader, pod, cgroup);
    await tryIt();
  }
  // Hooks that the first one does not have are refused, as by a program of somebody else.
  const more = firewallSpec({ ingress: plane("block"), egress: plane("block") });
  await using loader = await openLoader(folder, 8, "v2");
  for (let attempt = 0; attempt < 2; attempt++) {
    const refused = refuses("bpf_link_create", () => loader.firewall.apply(podUid, cgroup, more));
    await assert.rejects(refused, (error) => {
      assert.ok(error instanceof EbpfError);
      assert.equal(error.reason, "AttachConflict");
      return true;
    });
    await tryIt();
    assert.equal((await loader.firewall.inspect(podUid))?.complete, false);
    assert.deepEqual(namesIn(`${folder}/v2/pods`), [], "taken down altogether");
    assert.ok(namesIn(`${folder}/v1/pods/${podUid}`).includes("in"));
  }
  // In the middle of the exchange: what is shared already is not detached.
  await assert.rejects(
    refuses("bpf_link_update", () => loader.firewall.apply(podUid, cgroup, more)),
    EbpfError,
  );
  await tryIt();
  await worker.do("work", { cgroup: pod.container, steps: [["read", 3]] });
  await loader.firewall.apply(podUid, cgroup, more);
  await tryIt();
  assert.deepEqual(namesIn(folder), ["v2"]);
  assert.equal(verdicts(await loader.firewall.counts(podUid))["ingress tcp ipv4 blocked"], 5);
  const [counts] = await loader.syscalls.counts([await bringUp(loader, pod, cgroup)]);
  assert.equal(calls(counts?.calls).read, 3);
});

/** Pins instead of the map one with longer values, and the same in their beginning. */
function widen(path: string, type: number, change: (value: Uint8Array) => void): void {
  using narrow = BpfMap.openPinned(path);
  const { keySize, valueSize, maxEntries } = narrow.info;
  const name = "wide";
  using wide = BpfMap.create({ type, name, keySize, valueSize: valueSize + 800, maxEntries });
  for (const { key, value } of narrow.entries()) {
    const longer = new Uint8Array(wide.valueBytes);
    const sums = type === MapType.ARRAY ? new Uint8Array(narrow.sumU64(value).buffer) : value;
    longer.set(sums);
    change(longer);
    wide.update(key, longer);
  }
  wide.pin(`${path}_wide`);
  renameFile(`${path}_wide`, path);
}

kernelTest("maps of a newer layout that hold more are read, the rest is kept", async (sandbox) => {
  const folder = folderOf(sandbox);
  await using scene = await connectedPod(sandbox);
  const { pod, cgroup, worker } = scene;
  const { podUid } = pod.query;
  {
    await using loader = await openLoader(folder, 3, "v7");
    await bringUp(loader, pod, cgroup);
  }
  await worker.do("work", { cgroup: pod.container, steps: [["read", 20]] });
  const put = (at: number, count: bigint) => (value: Uint8Array) => {
    new DataView(value.buffer).setBigUint64(at * 8, count, true);
  };
  widen(`${folder}/v7/maps/sys_counts`, MapType.ARRAY, put(600, 5n));
  widen(`${folder}/v7/maps/sys_cgroups`, MapType.HASH, () => {});
  widen(`${folder}/v7/pods/${podUid}/counters`, MapType.ARRAY, put(1, 4n));
  await using loader = await openLoader(folder, 8, "v1");
  const row = await bringUp(loader, pod, cgroup);
  await worker.do("work", { cgroup: pod.container, steps: [["read", 1]] });
  const [counts] = await loader.syscalls.counts([row]);
  assert.equal(calls(counts?.calls).read, 21);
  assert.equal(new CarryPin(`${folder}/v1/maps/sys_carry`).read().of(row).get("c600"), 5n);
  const counted = verdicts(await loader.firewall.counts(podUid));
  assert.deepEqual(counted, { "ingress tcp ipv4 blocked": 4 });
  assert.deepEqual(namesIn(folder), ["v1"]);
});

kernelTest(
  "a layout that does not keep to the form is replaced, and counts begin",
  async (sandbox) => {
    const folder = folderOf(sandbox);
    await using scene = await connectedPod(sandbox);
    const { pod, cgroup, worker } = scene;
    {
      await using loader = await openLoader(folder, 3, "v7");
      await bringUp(loader, pod, cgroup);
      removeDirectory(`${folder}/v7/carry-1`);
      makeDirectory(`${folder}/v7/carry-2`);
    }
    await worker.do("work", { cgroup: pod.container, steps: [["read", 20]] });
    await using loader = await openLoader(folder, 8, "v1");
    assert.deepEqual(namesIn(folder), ["v1", "v7"], "until this one holds");
    const row = await bringUp(loader, pod, cgroup);
    await worker.do("work", { cgroup: pod.container, steps: [["read", 2]] });
    const [counts] = await loader.syscalls.counts([row]);
    assert.equal(calls(counts?.calls).read, 2);
    assert.deepEqual(namesIn(folder), ["v1"]);
    await loader.firewall.apply(pod.query.podUid, cgroup, RULES);
    removeTree(`${folder}/v1/pods/${pod.query.podUid}`);
  },
);
