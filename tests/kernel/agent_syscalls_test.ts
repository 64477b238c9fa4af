/** The agent's syscall adapter: exact counts by Pod, over every change of programs and rows. */
import assert from "node:assert/strict";
import { BpfMap, Link, makeDirectory, removeDirectory } from "../../ffi/mod.ts";
import { namesIn } from "../../src/agent/adapters/pins.ts";
import { EbpfError } from "../../src/agent/ports.ts";
import { sameSyscalls } from "../../src/domain/ebpf_programs.ts";
import { Actor } from "./support/actor.ts";
import { calls, folderOf, openLoader, resolverOf, syscallSpec } from "./support/agent.ts";
import { makePod } from "./support/kubelet.ts";
import { kernelTest } from "./support/sandbox.ts";

const MANY = 100_000;

kernelTest("counts are exact, and end with the last row", async (sandbox) => {
  const [one, two] = [makePod(sandbox), makePod(sandbox, { qosClass: "Guaranteed" })];
  const resolver = resolverOf(sandbox);
  const [first, second] = [await resolver.resolve(one.query), await resolver.resolve(two.query)];
  await using actor = await Actor.start();
  await using loader = await openLoader(folderOf(sandbox));
  const { syscalls } = loader;
  assert.deepEqual(await syscalls.inspect(), {
    attached: false,
    present: false,
    rows: [],
    capacity: 8,
  });
  const specs = [syscallSpec(["read", "getppid"]), syscallSpec(["getppid", "getuid"])] as const;
  const rows = [await syscalls.put(first, specs[0]), await syscalls.put(second, specs[1])];
  assert.deepEqual(rows, [0, 1]);
  const state = await syscalls.inspect();
  assert.ok(state.attached && state.present);
  assert.deepEqual(state.rows.map(({ cgroupIds }) => cgroupIds), [
    [first.id, ...first.descendants],
    [second.id, ...second.descendants],
  ]);
  assert.ok(state.rows.every(({ spec }, index) => sameSyscalls(spec, specs[index] ?? specs[0])));

  const steps = [["read", MANY], ["getppid", 1_000], ["getuid", 500]];
  await actor.do("work", { cgroup: one.container, steps });
  await actor.do("work", { cgroup: two.container, steps });
  await actor.do("work", { cgroup: sandbox.cgroup("other"), steps });
  const [a, b] = await syscalls.counts(rows);
  assert.deepEqual(calls(a?.calls), { read: MANY, getppid: 1_000 });
  assert.deepEqual(calls(b?.calls), { getppid: 1_000, getuid: 500 });
  assert.equal(a?.errors, undefined);

  // The row keeps what was counted when the Pod wants other calls.
  assert.equal(await syscalls.put(first, syscallSpec(["getuid"])), 0);
  await actor.do("work", { cgroup: one.container, steps: [["getuid", 7], ["getppid", 7]] });
  const [changed] = await syscalls.counts([0]);
  assert.deepEqual(calls(changed?.calls), { read: MANY, getppid: 1_000, getuid: 7 });

  await syscalls.remove(0);
  assert.deepEqual(await syscalls.counts([0]), []);
  assert.deepEqual((await loader.mapUsage()).find(({ map }) => map === "rows"), {
    map: "rows",
    entries: 1,
    capacity: 8,
  });
  await syscalls.remove(1);
  assert.equal((await syscalls.inspect()).present, false);
  await syscalls.remove(1);
  await syscalls.detachUnused();
});

kernelTest(
  "errors, latency and processes come with the Pod that asks, at no other's cost",
  async (sandbox) => {
    const [one, two] = [makePod(sandbox), makePod(sandbox)];
    const resolver = resolverOf(sandbox);
    const [first, second] = [await resolver.resolve(one.query), await resolver.resolve(two.query)];
    await using actor = await Actor.start();
    await using loader = await openLoader(folderOf(sandbox));
    const { syscalls } = loader;
    const plain = await syscalls.put(first, syscallSpec(["close"]));
    const pin = (name: string) => `${folderOf(sandbox)}/v1/${name}`;
    const sizes = () =>
      ["sys_errors", "sys_pids", "sys_latencies"].map((name) => {
        using map = BpfMap.openPinned(pin(`maps/${name}`));
        return map.info.maxEntries > 1;
      });
    assert.deepEqual(sizes(), [false, false, false]);
    assert.throws(() => Link.openPinned(pin("sys/exit")), { errno: "ENOENT" });
    await actor.do("work", { cgroup: one.container, steps: [["failing_close", 30]] });

    const full = syscallSpec(["close", "getppid"], { errors: true, latency: true, pids: true });
    const row = await syscalls.put(second, full);
    assert.deepEqual(sizes(), [true, true, true]);
    const pid = await actor.do("work", {
      cgroup: two.container,
      steps: [["failing_close", 40], ["getppid", 50]],
    });
    await actor.do("work", { cgroup: one.container, steps: [["failing_close", 3]] });
    const [own, others] = [await syscalls.counts([row]), await syscalls.counts([plain])];
    // Each worker, once inside, also closes the file by which it moved itself.
    assert.deepEqual(calls(others[0]?.calls), { close: 33 + 2 });
    const [counts] = own;
    assert.deepEqual(calls(counts?.calls), { close: 40 + 1, getppid: 50 });
    assert.deepEqual(calls(counts?.errors), { close: 40 });
    const timed = counts?.latencies?.reduce(
      (sum, { buckets }) => sum + buckets.reduce((a, b) => a + b, 0n),
      0n,
    );
    assert.equal(timed, 91n);
    assert.ok(counts?.latencies?.every(({ sumNs }) => sumNs > 0n));
    assert.ok(counts?.pids?.every((one) => one.pid === pid));
    const byPid = counts?.pids?.map(({ count }) => Number(count)).sort((one, other) => one - other);
    assert.deepEqual(byPid, [40 + 1, 50]);
    await syscalls.remove(row);
    await syscalls.remove(plain);
  },
);

kernelTest("without a free row a Pod is refused, and the others go on", async (sandbox) => {
  const pods = [1, 2, 3].map(() => makePod(sandbox));
  const resolver = resolverOf(sandbox);
  await using loader = await openLoader(folderOf(sandbox), 2);
  const { syscalls } = loader;
  const spec = syscallSpec(["getppid"]);
  const [one, two, three] = await Promise.all(pods.map(({ query }) => resolver.resolve(query)));
  assert.ok(one && two && three);
  await syscalls.put(one, spec);
  await syscalls.put(two, spec);
  await assert.rejects(syscalls.put(three, spec), (error) => {
    assert.ok(error instanceof EbpfError);
    assert.equal(error.reason, "CapacityExceeded");
    return true;
  });
  assert.deepEqual((await syscalls.inspect()).rows.map(({ row }) => row), [0, 1]);
  // A row that is taken again begins at zero.
  await using actor = await Actor.start();
  await actor.do("work", { cgroup: pods[0]?.container, steps: [["getppid", 5]] });
  await syscalls.remove(0);
  assert.equal(await syscalls.put(three, spec), 0);
  const [counts] = await syscalls.counts([0]);
  assert.deepEqual(calls(counts?.calls), {});
  await actor.do("work", { cgroup: pods[2]?.container, steps: [["getppid", 6]] });
  assert.deepEqual(calls((await syscalls.counts([0]))[0]?.calls), { getppid: 6 });
  for (const row of [0, 1]) await syscalls.remove(row);
});

kernelTest("descendants lead to the row as long as they are named", async (sandbox) => {
  const pod = makePod(sandbox);
  await using loader = await openLoader(folderOf(sandbox));
  const { syscalls } = loader;
  const cgroup = await resolverOf(sandbox).resolve(pod.query);
  const spec = syscallSpec(["getppid"]);
  const more = { ...cgroup, descendants: [5n, 7n] };
  const row = await syscalls.put(more, spec);
  const ids = async () => (await syscalls.inspect()).rows[0]?.cgroupIds;
  assert.deepEqual(await ids(), [5n, 7n, cgroup.id].sort((a, b) => a < b ? -1 : 1));
  assert.equal(await syscalls.put({ ...cgroup, descendants: [7n] }, spec), row);
  assert.deepEqual(await ids(), [7n, cgroup.id]);
  await syscalls.remove(row);
});

kernelTest("programs of another build are replaced, features and counts kept", async (sandbox) => {
  const [one, two] = [makePod(sandbox), makePod(sandbox)];
  const resolver = resolverOf(sandbox);
  const [first, second] = [await resolver.resolve(one.query), await resolver.resolve(two.query)];
  await using actor = await Actor.start();
  await using loader = await openLoader(folderOf(sandbox));
  const { syscalls } = loader;
  const spec = syscallSpec(["close", "getppid"], { errors: true });
  await syscalls.put(first, spec);
  const steps = [["failing_close", 20], ["getppid", 30]];
  await actor.do("work", { cgroup: one.container, steps });
  // As the program of another build leaves it.
  const sys = `${folderOf(sandbox)}/v1/sys`;
  const mark = namesIn(sys).find((name) => name.startsWith("build-"));
  assert.ok(mark);
  removeDirectory(`${sys}/${mark}`);
  makeDirectory(`${sys}/build-other`);
  assert.equal((await syscalls.inspect()).attached, false);
  assert.equal(await syscalls.put(second, syscallSpec(["getppid"])), 1);
  assert.equal((await syscalls.inspect()).attached, true);
  assert.deepEqual(namesIn(sys), [mark, "enter", "exit"]);
  await actor.do("work", { cgroup: one.container, steps });
  const [counts] = await syscalls.counts([0]);
  assert.deepEqual(calls(counts?.calls), { close: 2 * (20 + 1), getppid: 60 });
  assert.deepEqual(calls(counts?.errors), { close: 40 });
  for (const row of [0, 1]) await syscalls.remove(row);
  assert.deepEqual(await loader.mapUsage(), []);
  assert.deepEqual(await loader.programUsage(), []);
});
