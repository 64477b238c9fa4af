/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What every program shares. Only UAPI headers: no vmlinux.h, so that an object without CO-RE
 * relocations loads where the kernel has no BTF (5.4).
 *
 * PCM_LEGACY builds the variant for kernels before 5.8, where constants in .rodata are not known to
 * the verifier (5.5), so that code behind a switch must still be valid there.
 */
#ifndef PCM_COMMON_H
#define PCM_COMMON_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#ifndef PCM_LEGACY
#define PCM_LEGACY 0
#endif

#define INLINE static __always_inline

/*
 * An index below `size`, a power of two, in a way that the verifier of every kernel follows: the
 * compiler, which knows the range by other ways, would drop the mask that an old verifier needs.
 */
#define BOUNDED(index, size) \
	({ \
		__u64 bounded_index = (index); \
		barrier_var(bounded_index); \
		bounded_index & ((size) - 1); \
	})

#endif
