/**
 * A seccomp profile, as the OCI runtime specification has it, of the system calls that were seen of
 * a Pod. Pure.
 *
 * It allows what was seen, what a runtime needs between setting the filter and executing the
 * program ({@link RUNTIME_CALLS}), and what the caller adds. Where what was seen is not all that can be
 * seen, or cannot be named, there is no profile but a list of problems. Arguments of calls are not looked at.
 */
import { SYSCALL_NUMBERS } from "./ebpf_programs.ts";
import { type Architecture, syscallTable } from "./syscall_table.ts";

/** What the counter knows of a Pod. */
export interface SyscallsSeen {
  readonly architecture: Architecture;
  /** By call number, SYSCALL_NUMBERS long. */
  readonly calls: ArrayLike<bigint>;
  /** Numbers that are counted for the Pod. */
  readonly counted: readonly number[];
  /** Calls of 32-bit programs, counted by name or not. */
  readonly compat: bigint;
}

export interface ProfileOptions {
  readonly defaultAction: DefaultAction;
  /** Further names. */
  readonly allow: readonly string[];
  /** Names to leave out although they were seen. */
  readonly deny: readonly string[];
  /** Leave out calls that have no name, instead of refusing. */
  readonly skipUnknown: boolean;
}

/** What happens to a call that is not allowed. */
export const DEFAULT_ACTIONS = {
  errno: "SCMP_ACT_ERRNO",
  log: "SCMP_ACT_LOG",
  kill: "SCMP_ACT_KILL_PROCESS",
} as const;
export type DefaultAction = keyof typeof DEFAULT_ACTIONS;

/** `LinuxSeccomp` of the OCI runtime specification. */
export interface SeccompProfile {
  readonly defaultAction: typeof DEFAULT_ACTIONS[DefaultAction];
  readonly defaultErrnoRet?: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  readonly errnoRet?: number;
}

export type ProfileResult =
  | { readonly profile: SeccompProfile; readonly warnings: readonly string[] }
  | { readonly problems: readonly string[] };

/**
 * What container runtimes do under the filter before they execute the container's program. It is set after the
 * capabilities are dropped where `noNewPrivileges` is on, before that where it is off; both are covered.
 *
 * Read from runc's `libcontainer/standard_init_linux.go` (`Init` after `InitSeccomp`, `finalizeNamespace`),
 * with what the runtime of Go and the C library do at any time. crun, which does the same in fewer calls,
 * adds two. Tried with runc 1.1.5 and 1.2.6 and crun 1.8.1. Names that an architecture lacks are left out there.
 */
export const RUNTIME_CALLS: readonly string[] = [
  // The runtime of Go, and threads of the C library.
  ...["arch_prctl", "brk", "clock_gettime", "clone", "epoll_create1", "epoll_ctl", "epoll_pwait"],
  ...["eventfd2", "exit", "exit_group", "futex", "getpid", "getrandom", "gettid", "madvise"],
  ...["mmap", "mprotect", "munmap", "nanosleep", "prlimit64", "restart_syscall", "rseq"],
  ...["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_yield"],
  ...["set_robust_list", "sigaltstack", "tgkill"],
  // User, groups, capabilities, working directory.
  ...["capget", "capset", "chdir", "fchown", "getcwd", "getegid", "geteuid", "getgid", "getuid"],
  ...["personality", "prctl", "setgid", "setgroups", "setresgid", "setresuid", "setuid"],
  // Looking for the program, the pipes to its parent, closing what is not handed on.
  ...["close", "close_range", "faccessat", "faccessat2", "fcntl", "fstat", "fstatfs"],
  ...["getdents64", "getppid", "kill", "lseek", "newfstatat", "openat", "openat2", "read"],
  ...["readlinkat", "statx", "write"],
  ...["execve", "execveat"],
];

/**
 * What runtimes call while they set up a container, in its cgroup and before the filter is set, so that it
 * counts as the Pod's; and what few programs call themselves.
 */
const SETUP_CALLS: ReadonlySet<string> = new Set([
  ...["chroot", "fsconfig", "fsmount", "fsopen", "keyctl", "mknodat", "mount", "mount_setattr"],
  ...["move_mount", "open_tree", "pivot_root", "seccomp", "setdomainname", "sethostname", "setns"],
  ...["umount2", "unshare"],
]);

const ARCHITECTURE_NAMES: Readonly<Record<Architecture, string>> = {
  x86_64: "SCMP_ARCH_X86_64",
  aarch64: "SCMP_ARCH_AARCH64",
};
const EPERM = 1;
const ENOSYS = 38;

export function seccompProfile(seen: SyscallsSeen, options: ProfileOptions): ProfileResult {
  const table = syscallTable(seen.architecture);
  const numbers = seenNumbers(seen);
  const named = new Set(table.numbers);
  const unnamed = numbers.filter((number) => !named.has(number));
  const isKnown = (name: string) => table.number(name) !== undefined;
  const problems = [...unseenProblems(seen, numbers), ...namesProblems(seen, options)];
  if (unnamed.length > 0 && !options.skipUnknown) {
    problems.push(
      `the calls of number ${unnamed.join(", ")} have no name here, and a profile takes names: ` +
        `a newer version may know them; --skip-unknown leaves them out, so that they fail`,
    );
  }
  if (problems.length > 0) return { problems };
  const names = new Set([
    ...RUNTIME_CALLS.filter(isKnown),
    ...numbers.filter((number) => named.has(number)).map((number) => table.name(number)),
    ...options.allow,
  ]);
  for (const name of options.deny) names.delete(name);
  const warnings: string[] = [];
  if (unnamed.length > 0) {
    warnings.push(`left out, as they have no name here: the calls of number ${unnamed.join(", ")}`);
  }
  const setup = [...names].filter((name) => SETUP_CALLS.has(name) && !options.allow.includes(name));
  if (setup.length > 0) {
    warnings.push(
      `a runtime that set up a container may have called, and not the Pod's programs: ${
        setup.sort().join(",")
      }; --deny takes a list to leave out`,
    );
  }
  return { profile: profileOf(names, seen.architecture, options.defaultAction), warnings };
}

/** Names of what was seen, most often called first; calls without a name as `syscall_<number>`. */
export function seenCalls(seen: SyscallsSeen): { name: string; count: bigint }[] {
  const table = syscallTable(seen.architecture);
  return seenNumbers(seen)
    .map((number) => ({ name: table.name(number), count: seen.calls[number] ?? 0n }))
    .sort((one, other) =>
      one.count === other.count
        ? (one.name < other.name ? -1 : 1)
        : one.count > other.count
        ? -1
        : 1
    );
}

function seenNumbers({ calls }: SyscallsSeen): number[] {
  return Array.from({ length: SYSCALL_NUMBERS }, (_, number) => number)
    .filter((number) => (calls[number] ?? 0n) > 0n);
}

/** Why what was seen is not what the Pod does. */
function unseenProblems(seen: SyscallsSeen, numbers: readonly number[]): string[] {
  const problems: string[] = [];
  if (seen.counted.length < SYSCALL_NUMBERS) {
    problems.push(
      `only ${seen.counted.length} of ${SYSCALL_NUMBERS} system calls of the Pod are counted, those that its ` +
        `PodConfigMapConfigs list: leave syscallMonitoring.syscallNames empty in one of them`,
    );
  }
  if (numbers.length === 0) problems.push("no system call of the Pod was seen yet");
  if (seen.compat > 0n) {
    problems.push(
      `${seen.compat} calls came from 32-bit programs, which a profile of 64-bit calls would kill`,
    );
  }
  return problems;
}

/** What is wrong with the names that the caller gave. */
function namesProblems({ architecture }: SyscallsSeen, { allow, deny }: ProfileOptions): string[] {
  const table = syscallTable(architecture);
  return [...allow, ...deny].flatMap((name) => {
    if (table.number(name) === undefined) return [`${architecture} has no system call ${name}`];
    if (!deny.includes(name)) return [];
    if (allow.includes(name)) return [`${name} is to be allowed and denied`];
    if (RUNTIME_CALLS.includes(name)) return [`no container starts without ${name}`];
    return [];
  });
}

function profileOf(
  names: ReadonlySet<string>,
  architecture: Architecture,
  action: DefaultAction,
): SeccompProfile {
  const syscalls: SeccompRule[] = [{ names: [...names].sort(), action: "SCMP_ACT_ALLOW" }];
  // C libraries take another way (clone) only where the kernel seems to lack this one.
  if (action === "errno" && !names.has("clone3")) {
    syscalls.push({ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS });
  }
  return {
    defaultAction: DEFAULT_ACTIONS[action],
    ...(action === "errno" ? { defaultErrnoRet: EPERM } : {}),
    architectures: [ARCHITECTURE_NAMES[architecture]],
    syscalls,
  };
}
