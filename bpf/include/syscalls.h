/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ABI between the syscall counter and user space. `bpf/layout.ts` is generated from it through BTF. */
#ifndef PCM_SYSCALLS_H
#define PCM_SYSCALLS_H

#include "pcm_common.h"

enum sys_limit {
	/* Numbers at or above are not counted: x86_64 ends at 470, arm64 likewise. */
	SYS_NUMBERS = 512,
	SYS_WORDS = 8,
	/* Rows; a row is 4 KiB per CPU. User space may set another capacity before loading. */
	SYS_PODS_MAX = 256,
	/* Cgroups that lead to a row: the Pods, or on old kernels their containers. */
	SYS_CGROUPS_MAX = 4096,
	SYS_LEVELS_MAX = 16,
	SYS_PIDS_MAX = 10240,
	SYS_LATENCIES_MAX = 4096,
	SYS_THREADS_MAX = 16384,
	SYS_BUCKETS = 32,
	SYS_NO_NUMBER = 0xffff,
	SYS_NO_ROW = 0xffffffff,
};

/* Index in the map `programs`, which the attached stubs jump through. */
enum sys_program { SYS_PROGRAM_ENTER = 0, SYS_PROGRAM_EXIT = 1, SYS_PROGRAMS = 2 };

enum sys_flag {
	SYS_FLAG_PIDS = 1,
	SYS_FLAG_LATENCY = 2,
	SYS_FLAG_ERRORS = 4,
	/* bpf_get_current_ancestor_cgroup_id exists in tracing programs (6.1, at the latest). */
	SYS_FLAG_ANCESTORS = 8,
	/* bpf_get_current_task_btf and task storage exist in tracing programs (5.11). */
	SYS_FLAG_TASK_BTF = 16,
};

/* Constants of one loaded object, in .rodata. */
struct sys_settings {
	/* sys_flag: what no Pod wants is cut out of the program by the verifier. */
	__u32 flags;
	/*
	 * Where the legacy object, which has no BTF to ask, finds things. In task_struct: the word
	 * with the bit of 32-bit calls, and that bit (x86_64: 2 at 8, from 5.11 at 16; arm64: 1 << 22
	 * at 0). In pt_regs: the call's number (x86_64: 120, arm64: 280). Mask 0: not told apart.
	 */
	__u32 status_offset;
	__u32 status_mask;
	__u32 number_offset;
	/* 32-bit call number -> the number of that call for 64-bit programs, or SYS_NO_NUMBER. */
	__u16 compat_numbers[SYS_NUMBERS];
};

/* One of each node; user space changes it while the programs run. */
struct sys_control {
	/* Numbers that any Pod wants, as 64-bit and 32-bit programs make them: all others return at once. */
	__u64 wanted[SYS_WORDS];
	/* To be raised after each change of `cgroups`: the caches forget. */
	__u32 generation;
	/* Bit n: Pod cgroups may be n levels below the root of the hierarchy. */
	__u32 levels;
};

/* What is wanted of the cgroup with the key's id. */
struct sys_pod {
	__u64 wanted[SYS_WORDS];
	__u32 row;
	/* sys_flag: PIDS, LATENCY, ERRORS. */
	__u32 flags;
};

/* Per CPU and slot. A cgroup that this CPU ran a wanted call of. */
struct sys_cache {
	__u64 cgroup_id;
	__u32 generation;
	__u32 reserved;
	struct sys_pod pod;
};

struct sys_row {
	__u64 counts[SYS_NUMBERS];
};

/* Per CPU and row. Calls of 32-bit programs: those also in `counts`, and those without a 64-bit number. */
struct sys_compat {
	__u64 known;
	__u64 unknown;
};

struct sys_pid_key {
	__u32 row;
	__u32 tgid;
	__u32 number;
};

struct sys_latency_key {
	__u32 row;
	__u32 number;
};

/* Bucket n: calls that took less than 2^n ns, and no less than 2^(n-1). The last one takes the rest. */
struct sys_latency {
	__u64 buckets[SYS_BUCKETS];
	__u64 sum_ns;
};

/* A call under way, of a thread. */
struct sys_start {
	__u64 time;
	__u32 row;
	/* Plus 1; 0: none. */
	__u32 number;
};

/* Per CPU: what did not fit. */
struct sys_lost {
	__u64 latencies;
	__u64 starts;
	__u64 pids;
};

/* Keeps the enums in BTF. */
struct sys_enums {
	enum sys_limit limit;
	enum sys_program program;
	enum sys_flag flag;
};

#endif
