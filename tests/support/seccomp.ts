/**
 * A seccomp profile that refuses what container runtimes' default profiles (`RuntimeDefault`) refuse
 * by name, as their documentation lists it.
 *
 * Theirs are lists of what is allowed: a call that is on neither list passes here and fails there.
 * The tests on a real node run with the real one.
 */

/** Each with the capability that, granted, lets it through; empty: never. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  CAP_BPF: ["bpf"],
  CAP_PERFMON: ["perf_event_open"],
  CAP_SYS_ADMIN: [
    ...["fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount"],
    ...["mount_setattr", "move_mount", "open_tree", "pivot_root", "quotactl", "quotactl_fd"],
    ...[
      "setdomainname",
      "sethostname",
      "setns",
      "swapoff",
      "swapon",
      "umount",
      "umount2",
      "unshare",
    ],
  ],
  CAP_SYS_BOOT: ["kexec_file_load", "kexec_load", "reboot"],
  CAP_SYS_CHROOT: ["chroot"],
  CAP_SYS_MODULE: ["create_module", "delete_module", "finit_module", "init_module", "query_module"],
  CAP_SYS_NICE: ["get_mempolicy", "mbind", "move_pages", "migrate_pages", "set_mempolicy"],
  CAP_SYS_PACCT: ["acct"],
  CAP_SYS_PTRACE: ["kcmp", "process_madvise", "process_vm_readv", "process_vm_writev"],
  CAP_SYS_RAWIO: ["ioperm", "iopl"],
  CAP_SYS_TIME: ["clock_adjtime", "clock_settime", "settimeofday"],
  CAP_SYSLOG: ["syslog"],
  CAP_DAC_READ_SEARCH: ["open_by_handle_at"],
  "": [
    ...["add_key", "io_uring_enter", "io_uring_register", "io_uring_setup", "keyctl", "nfsservctl"],
    ...["request_key", "sysfs", "userfaultfd", "uselib", "ustat", "vhangup", "vmsplice"],
  ],
};

/** CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET. */
const NAMESPACE_FLAGS = [
  ...[0x00020000, 0x02000000, 0x04000000, 0x08000000],
  ...[0x10000000, 0x20000000, 0x40000000],
];
const EPERM = 1;
const ENOSYS = 38;

/** For the OCI runtime configuration of a container with these capabilities. */
export function defaultSeccomp(capabilities: readonly string[]) {
  const refuse = (names: readonly string[], errnoRet = EPERM) => {
    return { names, action: "SCMP_ACT_ERRNO", errnoRet };
  };
  const names = Object.entries(REFUSED)
    .filter(([capability]) => !capabilities.includes(capability))
    .flatMap(([, names]) => names);
  return {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [
      refuse(names),
      // Its flags are in memory, where no filter looks; C libraries then take clone.
      refuse(["clone3"], ENOSYS),
      ...NAMESPACE_FLAGS.map((flag) => ({
        ...refuse(["clone"]),
        args: [{ index: 0, value: flag, valueTwo: flag, op: "SCMP_CMP_MASKED_EQ" }],
      })),
    ],
  };
}
