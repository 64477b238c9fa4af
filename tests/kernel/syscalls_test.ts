/**
 * The syscall counter: exact numbers of calls that real processes make in real cgroups.
 */
import assert from "node:assert/strict";
import { SYS_LAYOUT } from "../../bpf/layout.ts";
import { CgroupDirectory } from "../../ffi/mod.ts";
import { Actor } from "./support/actor.ts";
import { SysFlag } from "./support/programs.ts";
import { kernelTest, lackOf, type Sandbox } from "./support/sandbox.ts";
import { kernelFlags, loadCounter, NUMBERS, SyscallCounter } from "./support/syscalls.ts";

const { sys_latency, sys_latency_key, sys_pid_key } = SYS_LAYOUT.structs;
const MANY = 100_000;

/** The ways a kernel may find a Pod, 5.4's included: all of them run here. */
const VARIANTS = {
  "ancestors and task BTF": { object: "syscalls", flags: undefined },
  "leaf cgroups only": { object: "syscalls", flags: 0 },
  "legacy object": { object: "syscalls_legacy", flags: 0 },
} as const;

for (const [variant, { object, flags }] of Object.entries(VARIANTS)) {
  kernelTest(`counts are exact, by Pod and filter (${variant})`, async (sandbox) => {
    const [one, two, other] = ["one", "two", "other"].map((name) => sandbox.cgroup(name));
    assert.ok(one && two && other);
    await using actor = await Actor.start();
    using counter = await SyscallCounter.attach({
      object,
      ...(flags === undefined ? {} : { flags }),
    });
    counter.want(one, { row: 1, calls: ["read", "getppid"] });
    counter.want(two, { row: 2, calls: ["getppid", "getuid"] });
    const steps = [["read", MANY], ["getppid", 1_000], ["getuid", 500]];
    await Promise.all([
      actor.do("work", { cgroup: one, steps }),
      (async () => {
        await using second = await Actor.start();
        await second.do("work", { cgroup: two, steps: [["getppid", 2_000], ["getuid", MANY]] });
      })(),
    ]);
    await actor.do("work", { cgroup: other, steps });
    assert.deepEqual(counter.row(1), { read: MANY, getppid: 1_000 });
    assert.deepEqual(counter.row(2), { getppid: 2_000, getuid: MANY });
    assert.equal(counter.total(), MANY + 1_000 + 2_000 + MANY, "no other row");
  });
}

kernelTest("threads that preempt each other on the same CPU lose no count", async (sandbox) => {
  const cgroup = sandbox.cgroup("pod");
  await using actor = await Actor.start();
  using counter = await SyscallCounter.attach();
  counter.want(cgroup, { row: 0, calls: ["read"] });
  await actor.do("work", { cgroup, steps: [["read", MANY]], threads: 8 });
  assert.deepEqual(counter.row(0), { read: MANY });
});

kernelTest(
  "a cgroup inside of the Pod's counts as the Pod, made before or after",
  async (sandbox) => {
    const pod = sandbox.cgroup("pod");
    const before = sandbox.cgroup("pod/before");
    await using actor = await Actor.start();
    using counter = await SyscallCounter.attach();
    counter.want(pod, { row: 0, calls: ["getppid"] });
    const after = sandbox.cgroup("pod/after/deep");
    await actor.do("work", { cgroup: before, steps: [["getppid", 10]] });
    await actor.do("work", { cgroup: after, steps: [["getppid", 20]] });
    assert.deepEqual(counter.row(0), { getppid: 30 });
  },
  lackOf("ancestorCgroup"),
);

kernelTest("calls after a move count for the new cgroup", async (sandbox) => {
  const [one, two] = [sandbox.cgroup("one"), sandbox.cgroup("two")];
  await using actor = await Actor.start();
  using counter = await SyscallCounter.attach();
  counter.want(one, { row: 1, calls: ["getppid"] });
  counter.want(two, { row: 2, calls: ["getppid"] });
  const steps = [["getppid", 1_000], ["move", two], ["getppid", 500]];
  await actor.do("work", { cgroup: one, steps });
  assert.deepEqual(counter.row(1), { getppid: 1_000 });
  assert.deepEqual(counter.row(2), { getppid: 500 });
});

/** What the program keeps of cgroups for each CPU. */
const CACHE_SLOTS = 64n;

function twoOfOneSlot(sandbox: Sandbox): [string, string] {
  const bySlot = new Map<bigint, string>();
  for (let index = 0n; index <= CACHE_SLOTS; index++) {
    const path = sandbox.cgroup(`slot-${index}`);
    using directory = CgroupDirectory.open(path);
    const other = bySlot.get(directory.id % CACHE_SLOTS);
    if (other !== undefined) return [other, path];
    bySlot.set(directory.id % CACHE_SLOTS, path);
  }
  throw new Error("Cannot find two cgroups of one slot");
}

kernelTest("cgroups that share a place in the cache are told apart", async (sandbox) => {
  const [one, two] = twoOfOneSlot(sandbox);
  await using actor = await Actor.start();
  using counter = await SyscallCounter.attach();
  counter.want(one, { row: 1, calls: ["getppid"] });
  counter.want(two, { row: 2, calls: ["getppid"] });
  const moves = [["getppid", 10], ["move", two], ["getppid", 20], ["move", one], ["getppid", 30]];
  await actor.do("work", { cgroup: one, steps: moves });
  assert.deepEqual(counter.row(1), { getppid: 40 });
  assert.deepEqual(counter.row(2), { getppid: 20 });
});

kernelTest("a changed filter holds from the next call on", async (sandbox) => {
  const cgroup = sandbox.cgroup("pod");
  await using actor = await Actor.start();
  using counter = await SyscallCounter.attach();
  const steps = [["getppid", 100], ["getuid", 100]];
  counter.want(cgroup, { row: 0, calls: ["getppid"] });
  await actor.do("work", { cgroup, steps });
  counter.want(cgroup, { row: 0, calls: ["getuid"] });
  await actor.do("work", { cgroup, steps });
  counter.forget(cgroup);
  await actor.do("work", { cgroup, steps });
  assert.deepEqual(counter.row(0), { getppid: 100, getuid: 100 });
});

for (const [variant, { object, flags }] of Object.entries(VARIANTS)) {
  kernelTest(
    `errors, latencies and processes are counted where wanted (${variant})`,
    async (sandbox) => {
      const [all, none] = [sandbox.cgroup("all"), sandbox.cgroup("none")];
      const extras = SysFlag.SYS_FLAG_ERRORS | SysFlag.SYS_FLAG_LATENCY | SysFlag.SYS_FLAG_PIDS;
      await using actor = await Actor.start();
      using counter = await SyscallCounter.attach({
        object,
        flags: extras | (flags ?? kernelFlags()),
      });
      counter.want(all, { row: 1, calls: ["close", "getppid"], flags: extras });
      counter.want(none, { row: 2, calls: ["close", "getppid"] });
      const steps = [["failing_close", 300], ["getppid", 200]];
      const pid = await actor.do("work", { cgroup: all, steps }) as number;
      await actor.do("work", { cgroup: none, steps });

      assert.deepEqual(counter.row(1, "errors"), { close: 300 });
      assert.deepEqual(counter.row(2, "errors"), {});

      const latencies = counter.maps.latencies.entries().map(({ key, value }) => {
        const [row, number] = new Uint32Array(key.buffer);
        const buckets = new BigUint64Array(value.buffer).subarray(0, 32);
        const sum = new BigUint64Array(value.buffer).at(32) ?? 0n;
        assert.equal(value.length, sys_latency.size);
        assert.ok(sum > 0n && sum < 1_000_000_000n, `${sum} ns`);
        return [row, number, Number(buckets.reduce((a, b) => a + b, 0n))];
      });
      assert.equal(sys_latency_key.size, 8);
      const closes = counter.row(1)["close"];
      assert.ok(closes !== undefined && closes >= 300);
      const expected = [[1, NUMBERS["close"], closes], [1, NUMBERS["getppid"], 200]];
      const byNumber = (a: unknown[], b: unknown[]) => Number(a[1]) - Number(b[1]);
      assert.deepEqual(latencies.sort(byNumber), expected.sort(byNumber));

      const pids = counter.maps.pids.entries().map(({ key, value }) => {
        const [row, tgid, number] = new Uint32Array(key.buffer);
        return [row, tgid, number, Number(counter.maps.pids.sumU64(value)[0])];
      });
      assert.equal(sys_pid_key.size, 12);
      assert.ok(pids.every(([row, tgid]) => row === 1 && tgid === pid), JSON.stringify(pids));
      assert.deepEqual(pids.find(([, , number]) => number === NUMBERS["getppid"])?.[3], 200);
      const lost = counter.maps.lost.lookup(new Uint8Array(4));
      assert.deepEqual([...counter.maps.lost.sumU64(lost ?? new Uint8Array())], [0n, 0n, 0n]);
    },
  );
}

const I386 = { getpid: 20, waitpid: 7 };

for (const [variant, { object, flags }] of Object.entries(VARIANTS)) {
  kernelTest(`32-bit calls are told apart (${variant})`, async (sandbox) => {
    if (Deno.build.arch !== "x86_64") return;
    const cgroup = sandbox.cgroup("pod");
    await using actor = await Actor.start();
    using counter = await SyscallCounter.attach({
      object,
      compat: { [I386.getpid]: 39 },
      ...(flags === undefined ? {} : { flags }),
    });
    const compat = [I386.getpid, I386.waitpid];
    // 64-bit 20 is writev, 7 is poll: neither may be counted for what 32-bit programs call.
    counter.want(cgroup, { row: 0, calls: ["getpid"], compat });
    const steps = [[`compat:${I386.getpid}`, 40], [`compat:${I386.waitpid}`, 7]];
    await actor.do("work", { cgroup, steps });
    assert.deepEqual(counter.row(0), { getpid: 40 });
    const value = counter.maps.compat.lookup(new Uint8Array(4));
    assert.ok(value);
    assert.deepEqual([...counter.maps.compat.sumU64(value)], [40n, 7n]);
  });
}

kernelTest("exchanging the program under load loses and doubles nothing", async (sandbox) => {
  const cgroup = sandbox.cgroup("pod");
  await using actor = await Actor.start();
  using counter = await SyscallCounter.attach();
  counter.want(cgroup, { row: 0, calls: ["getppid"] });
  using object = await loadCounter({}, counter.shared);
  using count = object.program("sys_count");
  using finish = object.program("sys_finish");
  let [exchanges, calls] = [0, 0];
  // A slow machine may give the one side all the time there is.
  while (exchanges < 10) {
    const work = actor.do("work", { cgroup, steps: [["getppid", MANY]] });
    let working = true;
    void work.finally(() => working = false);
    while (working) {
      for (const next of [[count, finish], counter.installed] as const) counter.install(...next);
      exchanges += 2;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await work;
    calls += MANY;
  }
  assert.deepEqual(counter.row(0), { getppid: calls });
});
