/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The ABI between the firewall and user space. `bpf/layout.ts` is generated from it through BTF.
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Ports are in host order.
 */
#ifndef PCM_FIREWALL_H
#define PCM_FIREWALL_H

#include "pcm_common.h"

enum fw_direction { FW_INGRESS = 0, FW_EGRESS = 1, FW_DIRECTIONS = 2 };
enum fw_protocol { FW_TCP = 0, FW_UDP = 1, FW_OTHER = 2, FW_PROTOCOLS = 3 };
enum fw_family { FW_IPV4 = 0, FW_IPV6 = 1, FW_FAMILIES = 2 };
enum fw_verdict { FW_ALLOWED = 0, FW_BLOCKED = 1, FW_AUDITED = 2, FW_VERDICTS = 3 };

/* What the rules say of a port: two bits, so that one byte holds it and no reader sees half of a change. */
enum fw_rule { FW_RULE_ALLOW = 0, FW_RULE_BLOCK = 1, FW_RULE_AUDIT = 2 };

enum fw_flag {
	/* Directions that the rules speak of. */
	FW_FLAG_INGRESS = 1,
	FW_FLAG_EGRESS = 2,
	/* The Pod shares the node's network: loopback is known by address, not by interface. */
	FW_FLAG_HOST_NETWORK = 4,
	/* Loopback is filtered like the rest: the canary. */
	FW_FLAG_FILTER_LOOPBACK = 8,
	/* Protocols other than TCP, UDP and ICMP, as the strict egress program meets them. */
	FW_FLAG_OTHER_BLOCK = 16,
	FW_FLAG_OTHER_AUDIT = 32,
	/* bpf_ktime_get_coarse_ns exists (5.11). */
	FW_FLAG_COARSE_CLOCK = 64,
	/* The ring buffer for verdicts exists. */
	FW_FLAG_EVENTS = 128,
};

enum fw_limit {
	FW_PLANE_BYTES = 16384,
	FW_PLANES = 4,
	FW_SELF_ADDRESSES_MAX = 4,
	FW_PROBE_PORTS_MAX = 64,
	FW_NODE_ADDRESSES_MAX = 256,
	FW_FLOWS_MAX = 65536,
	FW_FLOW_SECONDS = 60,
	FW_SEEN_SETS = 8192,
	FW_SEEN_WAYS = 4,
	FW_EVENTS_BYTES = 262144,
};

/* Constants of one instance, in .rodata. */
struct fw_settings {
	/* Id of the Pod's cgroup: tells the Pods apart in shared maps. */
	__u64 pod_id;
	__u64 hash_seed;
	/* fw_flag */
	__u32 flags;
	__u32 reserved;
};

/* Rules of one direction and protocol: port p is bits 2*(p%4) of byte p/4. Map key: direction * 2 + protocol. */
struct fw_plane {
	__u8 rules[FW_PLANE_BYTES];
};

/* What may change while the instance runs. */
struct fw_config {
	/* Verdicts logged a second, at most; 0 logs nothing. */
	__u32 log_per_second;
	__u32 self_count;
	/* The Pod's own addresses: connections to them are loopback. */
	__u32 self[FW_SELF_ADDRESSES_MAX][4];
	__u32 probe_count;
	/* Ports that node addresses reach whatever the rules say (TCP, ingress). */
	__u16 probe_ports[FW_PROBE_PORTS_MAX];
	/* Written by the programs only. */
	__u32 log_second;
	__u32 log_used;
	__u32 reserved;
};

/* Per CPU. New connections: a TCP SYN or connect, the first datagram of a UDP flow. */
struct fw_counters {
	__u64 verdicts[FW_DIRECTIONS][FW_PROTOCOLS][FW_FAMILIES][FW_VERDICTS];
	/* Of the allowed ones, those that only the probe exemption let in or kept out of the audit. */
	__u64 probes;
	/* Verdicts that the rate limit or a full buffer kept out of the log. */
	__u64 log_lost;
	/* UDP flows remembered, and those that could not be. */
	__u64 flows_opened;
	__u64 flows_failed;
};

struct fw_address {
	__u32 bytes[4];
};

struct fw_flow_key {
	__u64 pod_id;
	__u32 remote[4];
	__u16 remote_port;
	__u16 local_port;
	__u32 reserved;
};

/* When traffic that the rules allow was last sent, in ns of the monotonic clock. */
struct fw_flow {
	__u64 time;
};

/* One set of the table of connections already counted: 48 bits of a hash, 16 bits of time. */
struct fw_seen {
	__u64 ways[FW_SEEN_WAYS];
};

struct fw_event {
	__u64 pod_id;
	__u64 time;
	__u32 remote[4];
	__u16 remote_port;
	__u16 local_port;
	__u8 direction;
	__u8 protocol;
	__u8 family;
	__u8 verdict;
};

/* Keeps the enums in BTF. */
struct fw_enums {
	enum fw_direction direction;
	enum fw_protocol protocol;
	enum fw_family family;
	enum fw_verdict verdict;
	enum fw_rule rule;
	enum fw_flag flag;
	enum fw_limit limit;
	struct fw_event event[0];
};

#endif
