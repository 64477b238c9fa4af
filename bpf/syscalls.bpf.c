// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Counts system calls by Pod and number, one instance a node.
 *
 * While it is attached every process pays, so the order is by cost: the bitmap of all wanted
 * numbers, the CPU's cache of cgroups, the Pod's own bitmap, a slot of the Pod's row. A cgroup is
 * never remembered by task: a task may be moved.
 *
 * What is attached are two stubs that jump through the map `programs`: links of raw tracepoints
 * cannot be updated, an entry of that map can, and no call is counted twice or not at all.
 *
 * Plain additions on memory of this CPU are exact: syscall tracepoints run their programs with
 * preemption off, and no interrupt makes a system call.
 */
#include <linux/errno.h>

#include "syscalls.h"

#if !PCM_LEGACY
#include <bpf/bpf_core_read.h>

/* Only what is read, by CO-RE. x86 has `status`, arm64 does not. */
struct thread_info {
	unsigned long flags;
	__u32 status;
} __attribute__((preserve_access_index));

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	struct kernfs_node *kn;
} __attribute__((preserve_access_index));

struct css_set {
	struct cgroup *dfl_cgrp;
} __attribute__((preserve_access_index));

struct task_struct {
	struct thread_info thread_info;
	struct css_set *cgroups;
} __attribute__((preserve_access_index));

struct pt_regs___x86 {
	unsigned long orig_ax;
} __attribute__((preserve_access_index));

struct pt_regs___arm64 {
	__s32 syscallno;
} __attribute__((preserve_access_index));
#endif

#define TS_COMPAT 0x0002
#define ARM64_TIF_32BIT (1UL << 22)
#define MAX_ERRNO 4095
/* Of cgroups that a CPU knows, a power of two: their ids follow each other, so that few meet. */
#define CACHE_SLOTS 64

const volatile struct sys_settings settings = {};
const volatile struct sys_enums enums = {};

struct sys_control control = {};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SYS_PROGRAMS);
	__type(key, __u32);
	__type(value, __u32);
} programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SYS_CGROUPS_MAX);
	__type(key, __u64);
	__type(value, struct sys_pod);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CACHE_SLOTS);
	__type(key, __u32);
	__type(value, struct sys_cache);
} cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SYS_PODS_MAX);
	__type(key, __u32);
	__type(value, struct sys_row);
} counts SEC(".maps");

/* Created with one row unless errors are wanted. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SYS_PODS_MAX);
	__type(key, __u32);
	__type(value, struct sys_row);
} errors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SYS_PODS_MAX);
	__type(key, __u32);
	__type(value, struct sys_compat);
} compat SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, SYS_PIDS_MAX);
	__type(key, struct sys_pid_key);
	__type(value, __u64);
} pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SYS_LATENCIES_MAX);
	__type(key, struct sys_latency_key);
	__type(value, struct sys_latency);
} latencies SEC(".maps");

#if !PCM_LEGACY
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sys_start);
} starts SEC(".maps");
#endif

/* By thread, where there is no task storage. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SYS_THREADS_MAX);
	__type(key, __u64);
	__type(value, struct sys_start);
} thread_starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sys_lost);
} lost SEC(".maps");

INLINE struct sys_lost *own_lost(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&lost, &zero);
}

INLINE int is_set(const __u64 *words, __u32 number)
{
	return (words[BOUNDED(number >> 6, SYS_WORDS)] >> (number & 63)) & 1;
}

/* Whether the call under way came through the 32-bit entry. */
INLINE int is_compat(void)
{
#if PCM_LEGACY
	__u32 status = 0;

	bpf_probe_read(&status, sizeof(status),
		       (void *)bpf_get_current_task() + settings.status_offset);
	return !!(status & settings.status_mask);
#else
	struct task_struct *task;

	if (settings.flags & SYS_FLAG_TASK_BTF) {
		task = bpf_get_current_task_btf();
		if (bpf_core_field_exists(task->thread_info.status))
			return task->thread_info.status & TS_COMPAT;
		return !!(task->thread_info.flags & ARM64_TIF_32BIT);
	}
	task = (void *)bpf_get_current_task();
	if (bpf_core_field_exists(task->thread_info.status))
		return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
	return !!(BPF_CORE_READ(task, thread_info.flags) & ARM64_TIF_32BIT);
#endif
}

/* SYS_NUMBERS or more: none that is counted. */
INLINE __u64 number_at_exit(struct bpf_raw_tracepoint_args *ctx)
{
#if PCM_LEGACY
	__u32 number = SYS_NUMBERS;

	bpf_probe_read(&number, sizeof(number), (void *)ctx->args[0] + settings.number_offset);
	return number;
#else
	struct pt_regs___x86 *x86 = (void *)ctx->args[0];
	struct pt_regs___arm64 *arm64 = (void *)ctx->args[0];

	if (bpf_core_field_exists(x86->orig_ax))
		return BPF_CORE_READ(x86, orig_ax);
	if (bpf_core_field_exists(arm64->syscallno))
		return (__u32)BPF_CORE_READ(arm64, syscallno);
	return SYS_NUMBERS;
#endif
}

INLINE void count_in(struct sys_row *row, __u32 number)
{
	row->counts[BOUNDED(number, SYS_NUMBERS)]++;
}

/* The entry of this cgroup or of the Pod it is in. */
INLINE struct sys_pod *find_pod(__u64 cgroup_id)
{
	struct sys_pod *pod = bpf_map_lookup_elem(&cgroups, &cgroup_id);
#if !PCM_LEGACY
	__u32 levels = control.levels;
	__u64 ancestor;
	int level;

	if (pod || !(settings.flags & SYS_FLAG_ANCESTORS))
		return pod;
	for (level = 1; level < SYS_LEVELS_MAX; level++) {
		if (!(levels & (1U << level)))
			continue;
		ancestor = bpf_get_current_ancestor_cgroup_id(level);
		if (!ancestor)
			return 0;
		pod = bpf_map_lookup_elem(&cgroups, &ancestor);
		if (pod)
			return pod;
	}
	return 0;
#else
	return pod;
#endif
}

INLINE __u64 own_cgroup_id(void)
{
#if !PCM_LEGACY
	/*
	 * 20 ns less than the helper. What is walked through is freed after an RCU grace period, and
	 * tracing programs run in a read-side section.
	 */
	if ((settings.flags & SYS_FLAG_TASK_BTF) && bpf_core_field_exists(struct task_struct, cgroups) &&
	    bpf_core_field_exists(struct css_set, dfl_cgrp) &&
	    bpf_core_field_exists(struct cgroup, kn) && bpf_core_field_exists(struct kernfs_node, id))
		return bpf_get_current_task_btf()->cgroups->dfl_cgrp->kn->id;
#endif
	return bpf_get_current_cgroup_id();
}

/* What is wanted of the current task's Pod; row SYS_NO_ROW: nothing. */
INLINE struct sys_pod *current_pod(void)
{
	__u64 cgroup_id = own_cgroup_id();
	/* Before the look-up: a change during it makes this entry stale, never wrong for long. */
	__u32 generation = *(volatile __u32 *)&control.generation, slot = cgroup_id % CACHE_SLOTS;
	struct sys_cache *last = bpf_map_lookup_elem(&cache, &slot);
	struct sys_pod *pod;

	if (!last)
		return 0;
	if (last->cgroup_id == cgroup_id && last->generation == generation)
		return &last->pod;
	pod = find_pod(cgroup_id);
	if (pod)
		last->pod = *pod;
	else
		__builtin_memset(&last->pod, 0, sizeof(last->pod));
	if (!pod)
		last->pod.row = SYS_NO_ROW;
	last->cgroup_id = cgroup_id;
	last->generation = generation;
	return &last->pod;
}

INLINE void count_pid(__u32 row, __u32 number)
{
	struct sys_pid_key key = { .row = row, .number = number };
	__u64 one = 1, *count;

	key.tgid = bpf_get_current_pid_tgid() >> 32;
	count = bpf_map_lookup_elem(&pids, &key);
	if (count)
		(*count)++;
	else if (bpf_map_update_elem(&pids, &key, &one, BPF_NOEXIST)) {
		struct sys_lost *own = own_lost();

		/* Another thread of the process was first: its entry has a slot for this CPU. */
		count = bpf_map_lookup_elem(&pids, &key);
		if (count)
			(*count)++;
		else if (own)
			own->pids++;
	}
}

INLINE struct sys_start *own_start(int create)
{
#if !PCM_LEGACY
	if (settings.flags & SYS_FLAG_TASK_BTF)
		return bpf_task_storage_get(&starts, bpf_get_current_task_btf(), 0,
					    create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
#endif
	__u64 thread = bpf_get_current_pid_tgid();
	struct sys_start empty = {};

	if (create)
		bpf_map_update_elem(&thread_starts, &thread, &empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(&thread_starts, &thread);
}

INLINE void start_clock(__u32 row, __u32 number)
{
	struct sys_start *start = own_start(1);
	struct sys_lost *own;

	if (!start) {
		own = own_lost();
		if (own)
			own->starts++;
		return;
	}
	start->row = row;
	start->number = number + 1;
	start->time = bpf_ktime_get_ns();
}

INLINE void count_compat(__u32 row, int known)
{
	struct sys_compat *own = bpf_map_lookup_elem(&compat, &row);

	if (!own)
		return;
	if (known)
		own->known++;
	else
		own->unknown++;
}

/* 64-bit number of a 32-bit one, or SYS_NUMBERS. */
INLINE __u32 translate(__u32 number)
{
	__u32 known = settings.compat_numbers[BOUNDED(number, SYS_NUMBERS)];

	return known < SYS_NUMBERS ? known : SYS_NUMBERS;
}

SEC("raw_tp")
int sys_count(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 id = ctx->args[1];
	struct sys_pod *pod;
	struct sys_row *row;
	__u32 number = id;
	int is_32;

	if (id >= SYS_NUMBERS || !is_set(control.wanted, number))
		return 0;
	pod = current_pod();
	if (!pod || pod->row == SYS_NO_ROW)
		return 0;
	is_32 = is_compat();
	if (is_32) {
		number = translate(number);
		if (number >= SYS_NUMBERS) {
			count_compat(pod->row, 0);
			return 0;
		}
	}
	if (!is_set(pod->wanted, number))
		return 0;
	if (is_32)
		count_compat(pod->row, 1);
	row = bpf_map_lookup_elem(&counts, &pod->row);
	if (!row)
		return 0;
	count_in(row, number);
	if ((settings.flags & SYS_FLAG_PIDS) && (pod->flags & SYS_FLAG_PIDS))
		count_pid(pod->row, number);
	if ((settings.flags & SYS_FLAG_LATENCY) && (pod->flags & SYS_FLAG_LATENCY))
		start_clock(pod->row, number);
	return 0;
}

INLINE __u32 log2_of(__u64 value)
{
	__u32 result = 0, shift;

	shift = (value > 0xffffffff) << 5; value >>= shift; result |= shift;
	shift = (value > 0xffff) << 4; value >>= shift; result |= shift;
	shift = (value > 0xff) << 3; value >>= shift; result |= shift;
	shift = (value > 0xf) << 2; value >>= shift; result |= shift;
	shift = (value > 0x3) << 1; value >>= shift; result |= shift;
	return result | (value >> 1);
}

INLINE void stop_clock(void)
{
	struct sys_start *start = own_start(0);
	struct sys_latency_key key = {};
	struct sys_latency empty = {}, *latency;
	struct sys_lost *own;
	__u64 took;
	__u32 bucket;

	if (!start || !start->number)
		return;
	took = bpf_ktime_get_ns() - start->time;
	key.row = start->row;
	key.number = start->number - 1;
	start->number = 0;
	latency = bpf_map_lookup_elem(&latencies, &key);
	if (!latency) {
		bpf_map_update_elem(&latencies, &key, &empty, BPF_NOEXIST);
		latency = bpf_map_lookup_elem(&latencies, &key);
	}
	if (!latency) {
		own = own_lost();
		if (own)
			own->latencies++;
		return;
	}
	bucket = took ? log2_of(took) + 1 : 0;
	if (bucket >= SYS_BUCKETS)
		bucket = SYS_BUCKETS - 1;
	__sync_fetch_and_add(&latency->buckets[BOUNDED(bucket, SYS_BUCKETS)], 1);
	__sync_fetch_and_add(&latency->sum_ns, took);
}

INLINE void count_error(struct bpf_raw_tracepoint_args *ctx)
{
	__s64 result = ctx->args[1];
	struct sys_pod *pod;
	struct sys_row *row;
	__u32 number;
	__u64 id;

	if (result >= 0 || result < -MAX_ERRNO)
		return;
	id = number_at_exit(ctx);
	number = id;
	if (id >= SYS_NUMBERS || !is_set(control.wanted, number))
		return;
	pod = current_pod();
	if (!pod || pod->row == SYS_NO_ROW || !(pod->flags & SYS_FLAG_ERRORS))
		return;
	if (is_compat()) {
		number = translate(number);
		if (number >= SYS_NUMBERS)
			return;
	}
	if (!is_set(pod->wanted, number))
		return;
	row = bpf_map_lookup_elem(&errors, &pod->row);
	if (row)
		count_in(row, number);
}

/* Calls that never return (exit_group) do not come by. */
SEC("raw_tp")
int sys_finish(struct bpf_raw_tracepoint_args *ctx)
{
	if (settings.flags & SYS_FLAG_LATENCY)
		stop_clock();
	if (settings.flags & SYS_FLAG_ERRORS)
		count_error(ctx);
	return 0;
}

SEC("raw_tp/sys_enter")
int sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	bpf_tail_call(ctx, &programs, SYS_PROGRAM_ENTER);
	return 0;
}

SEC("raw_tp/sys_exit")
int sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	bpf_tail_call(ctx, &programs, SYS_PROGRAM_EXIT);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
