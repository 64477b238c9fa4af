import assert from "node:assert/strict";
import { syscallTable } from "../domain/syscall_table.ts";
import { FirewallDeltas, PID_SERIES_MAX, SyscallDeltas } from "./counter_deltas.ts";
import type { FirewallCounts, SyscallCounts } from "./ports.ts";

const counts = (read: bigint, pids: SyscallCounts["pids"] = []): SyscallCounts => {
  const calls = new BigUint64Array(512);
  calls[0] = read;
  return { row: 0, calls, pids, compatUnknown: 0n };
};

Deno.test("totals become what is new, and a total that fell is all new", () => {
  const deltas = new SyscallDeltas(syscallTable("x86_64"));
  const read = (total: bigint) => deltas.take(counts(total)).calls.map(({ count }) => count);
  assert.deepEqual([100n, 100n, 111n, 5n, 6n].map(read), [[100], [], [11], [5], [1]]);
});

Deno.test("calls by process and those of no process add up to the Pod's total, also when processes are read ahead of it", () => {
  const deltas = new SyscallDeltas(syscallTable("x86_64"));
  let sum = 0;
  const take = (total: bigint, ofPid: bigint) => {
    const { calls } = deltas.take(counts(total, [{ pid: 7, number: 0, count: ofPid }]));
    for (const { count } of calls) sum += count;
    return calls;
  };
  assert.deepEqual(take(10n, 4n), [
    { syscall: "read", pid: 7, count: 4 },
    { syscall: "read", count: 6 },
  ]);
  // The process made two more after the Pod's total was read.
  take(14n, 10n);
  assert.equal(sum, 16);
  take(20n, 10n);
  assert.equal(sum, 20);
});

Deno.test("series by process are bounded, and nothing is lost beyond the bound", () => {
  const deltas = new SyscallDeltas(syscallTable("x86_64"));
  const pids = Array.from(
    { length: PID_SERIES_MAX + 5 },
    (_, pid) => ({ pid, number: 0, count: 1n }),
  );
  const { calls } = deltas.take(counts(BigInt(pids.length), pids));
  assert.equal(calls.length, PID_SERIES_MAX + 1);
  assert.deepEqual(calls.at(-1), { syscall: "read", count: 5 });
});

Deno.test("durations come as what is new of each bucket", () => {
  const deltas = new SyscallDeltas(syscallTable("x86_64"));
  const take = (bucket: bigint, sumNs: bigint) =>
    deltas.take({ ...counts(0n), latencies: [{ number: 1, buckets: [0n, bucket], sumNs }] })
      .latencies;
  assert.deepEqual(take(2n, 500n), [{ syscall: "write", buckets: [0, 2], sumSeconds: 5e-7 }]);
  assert.deepEqual(take(3n, 750n), [{ syscall: "write", buckets: [0, 1], sumSeconds: 2.5e-7 }]);
  assert.deepEqual(take(3n, 750n), []);
});

Deno.test("verdicts come as what is new of each kind", () => {
  const deltas = new FirewallDeltas();
  const take = (blocked: bigint, probes: bigint) => {
    const kind = { direction: "ingress", protocol: "tcp", family: "ipv6" } as const;
    const rest = { logLost: 0n, flowsOpened: 9n, flowsFailed: 1n };
    const all: FirewallCounts = {
      verdicts: [{ ...kind, verdict: "blocked", count: blocked }],
      probes,
      ...rest,
    };
    const { verdicts, ...others } = deltas.take(all);
    return [verdicts.map(({ count }) => count), others];
  };
  assert.deepEqual(take(3n, 2n), [[3], { probes: 2, logLost: 0, flowsFailed: 1 }]);
  assert.deepEqual(take(3n, 5n), [[], { probes: 3, logLost: 0, flowsFailed: 0 }]);
});
