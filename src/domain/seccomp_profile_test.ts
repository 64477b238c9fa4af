import assert from "node:assert/strict";
import { SYSCALL_NUMBERS } from "./ebpf_programs.ts";
import {
  type ProfileOptions,
  RUNTIME_CALLS,
  seccompProfile,
  seenCalls,
  type SyscallsSeen,
} from "./seccomp_profile.ts";
import { ARCHITECTURES, syscallTable } from "./syscall_table.ts";

const OPTIONS: ProfileOptions = { defaultAction: "errno", allow: [], deny: [], skipUnknown: false };
const EVERY = [...Array(SYSCALL_NUMBERS).keys()];
/** No call has it, and none will for a while. */
const UNNAMED = 511;

function seen(
  calls: Readonly<Record<string, number>>,
  more: Partial<SyscallsSeen> = {},
): SyscallsSeen {
  const { architecture = "x86_64" } = more;
  const counts = new BigUint64Array(SYSCALL_NUMBERS);
  for (const [name, count] of Object.entries(calls)) {
    counts[syscallTable(architecture).number(name) ?? Number(name)] = BigInt(count);
  }
  return { architecture, calls: counts, counted: EVERY, compat: 0n, ...more };
}

function profile(from: SyscallsSeen, options: Partial<ProfileOptions> = {}) {
  const result = seccompProfile(from, { ...OPTIONS, ...options });
  assert.ok("profile" in result, JSON.stringify(result));
  return result;
}

function problems(from: SyscallsSeen, options: Partial<ProfileOptions> = {}): string {
  const result = seccompProfile(from, { ...OPTIONS, ...options });
  assert.ok("problems" in result);
  return result.problems.join("\n");
}

Deno.test("a profile allows what was seen and what a runtime needs, and nothing else", () => {
  const { profile: made, warnings } = profile(seen({ listen: 1, accept4: 700, read: 2 }));
  assert.deepEqual(made.syscalls[0], {
    names: [...new Set([...RUNTIME_CALLS, "accept4", "listen", "read"])].sort(),
    action: "SCMP_ACT_ALLOW",
  });
  assert.equal(made.defaultAction, "SCMP_ACT_ERRNO");
  assert.equal(made.defaultErrnoRet, 1);
  assert.deepEqual(made.architectures, ["SCMP_ARCH_X86_64"]);
  assert.deepEqual(warnings, []);
});

Deno.test("clone3 seems to be missing where it was not seen, so that clone is used", () => {
  const rules = (calls: Record<string, number>) => profile(seen(calls)).profile.syscalls.slice(1);
  const rule = { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 };
  assert.deepEqual(rules({ read: 1 }), [rule]);
  assert.deepEqual(rules({ read: 1, clone3: 1 }), []);
});

Deno.test("the action decides what a call that is not allowed meets", () => {
  for (const [name, action] of [["log", "LOG"], ["kill", "KILL_PROCESS"]] as const) {
    const { profile: made } = profile(seen({ read: 1 }), { defaultAction: name });
    assert.equal(made.defaultAction, `SCMP_ACT_${action}`);
    // An errno beside another action is refused by runtimes.
    assert.equal("defaultErrnoRet" in made, false);
    assert.equal(made.syscalls.length, 1);
  }
});

Deno.test("names that are given are allowed too; one that is none is a problem", () => {
  const { profile: made } = profile(seen({ read: 1 }), { allow: ["ptrace"] });
  assert.ok(made.syscalls[0]?.names.includes("ptrace"));
  assert.match(problems(seen({ read: 1 }), { allow: ["ptrase"] }), /no system call ptrase/);
});

Deno.test("what a runtime may have called is pointed out, and left out on demand", () => {
  const calls = { read: 1, mount: 1, unshare: 2, accept4: 1 };
  const { profile: made, warnings } = profile(seen(calls));
  assert.match(warnings.join(), /mount,unshare;/);
  assert.ok(made.syscalls[0]?.names.includes("mount"));
  const denied = profile(seen(calls), { deny: ["mount", "unshare", "accept4"] });
  assert.deepEqual(denied.warnings, []);
  assert.deepEqual(denied.profile.syscalls[0]?.names, [...RUNTIME_CALLS].sort());
  assert.deepEqual(profile(seen(calls), { allow: ["mount", "unshare"] }).warnings, []);
});

Deno.test("names to be left out are checked", () => {
  assert.match(problems(seen({ read: 1 }), { deny: ["mounte"] }), /no system call mounte/);
  assert.match(problems(seen({ read: 1 }), { deny: ["execve"] }), /no container starts without/);
  assert.match(
    problems(seen({ read: 1 }), { allow: ["mount"], deny: ["mount"] }),
    /allowed and denied/,
  );
});

Deno.test("each architecture gets its own names", () => {
  for (const architecture of ARCHITECTURES) {
    const { profile: made } = profile(seen({ read: 1 }, { architecture }));
    const names = made.syscalls[0]?.names ?? [];
    assert.ok(names.includes("execve"));
    assert.equal(names.includes("arch_prctl"), architecture === "x86_64");
    for (const name of names) assert.notEqual(syscallTable(architecture).number(name), undefined);
  }
  const { profile: made } = profile(seen({ read: 1 }, { architecture: "aarch64" }));
  assert.deepEqual(made.architectures, ["SCMP_ARCH_AARCH64"]);
});

Deno.test("every call that a runtime needs is known", () => {
  for (const name of RUNTIME_CALLS) {
    assert.notEqual(syscallTable("x86_64").number(name), undefined, name);
  }
  assert.equal(new Set(RUNTIME_CALLS).size, RUNTIME_CALLS.length);
});

Deno.test("there is no profile of a Pod of which only a list of calls is counted", () => {
  const text = problems(seen({ read: 1 }, { counted: [0, 1, 2] }));
  assert.match(text, /only 3 of 512 system calls .*leave syscallMonitoring.syscallNames empty/);
});

Deno.test("there is no profile of a Pod that was not seen to do anything", () => {
  assert.match(problems(seen({})), /no system call of the Pod was seen yet/);
});

Deno.test("there is no profile of a Pod with 32-bit programs", () => {
  assert.match(problems(seen({ read: 1 }, { compat: 3n })), /3 calls came from 32-bit programs/);
});

Deno.test("a call without a name is a problem, or left out when that is wanted", () => {
  const strange = seen({ read: 1, [UNNAMED]: 4 });
  assert.match(problems(strange), /number 511 have no name/);
  const { profile: made, warnings } = profile(strange, { skipUnknown: true });
  assert.match(warnings.join(), /number 511/);
  assert.ok(made.syscalls[0]?.names.every((name) => !name.startsWith("syscall_")));
});

Deno.test("what was seen is told by how often it was called", () => {
  assert.deepEqual(seenCalls(seen({ write: 5, accept4: 9, brk: 5, [UNNAMED]: 1 })), [
    { name: "accept4", count: 9n },
    { name: "brk", count: 5n },
    { name: "write", count: 5n },
    { name: "syscall_511", count: 1n },
  ]);
});
