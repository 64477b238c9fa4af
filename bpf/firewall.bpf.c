// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * L4 firewall of one Pod: one instance of this object for each, attached to the Pod's cgroup.
 *
 * The socket is the connection tracker. An established TCP connection is a socket of that state, so
 * only packets that reach a listener are asked about; a connected UDP socket receives from its peer
 * alone. What is left, unconnected UDP, has a flow map. What passes without being asked, and is not
 * counted: established connections, replies, loopback, ICMP.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "firewall.h"

#define PASS 1
#define DROP 0

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define LOOPBACK_IFINDEX 1
#define NS_PER_SECOND 1000000000ULL
/* A tick of the seen table is 2^30 ns; a SYN is repeated for two minutes, at most 64 s apart. */
#define TICK_SHIFT 30
#define SEEN_UDP_TICKS 56
#define SEEN_TCP_TICKS 120
/* More than any sender needs; each one multiplies what the verifier looks at. */
#define IPV6_EXTENSIONS_MAX 4

const volatile struct fw_settings settings = {};
const volatile struct fw_enums enums = {};

/* One of each a Pod. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FW_PLANES);
	__type(key, __u32);
	__type(value, struct fw_plane);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fw_config);
} config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fw_counters);
} counters SEC(".maps");

/* Shared by all Pods of the node. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FW_FLOWS_MAX);
	__type(key, struct fw_flow_key);
	__type(value, struct fw_flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FW_SEEN_SETS);
	__type(key, __u32);
	__type(value, struct fw_seen);
} seen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FW_NODE_ADDRESSES_MAX);
	__type(key, struct fw_address);
	__type(value, __u32);
} node_addresses SEC(".maps");

#if !PCM_LEGACY
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FW_EVENTS_BYTES);
} events SEC(".maps");
#endif

/* One connection, or what may become one, as seen from the Pod. */
struct attempt {
	__u32 remote[4];
	__u16 remote_port;
	__u16 local_port;
	__u32 direction;
	__u32 protocol;
	__u32 family;
	/* Tells a repeated SYN from a new one. */
	__u32 sequence;
};

INLINE __u64 now_ns(void)
{
#if !PCM_LEGACY
	if (settings.flags & FW_FLAG_COARSE_CLOCK)
		return bpf_ktime_get_coarse_ns();
#endif
	return bpf_ktime_get_ns();
}

INLINE __u32 rule_of(__u32 direction, __u32 protocol, __u32 port)
{
	__u32 key = direction * 2 + protocol;
	struct fw_plane *plane = bpf_map_lookup_elem(&rules, &key);

	if (!plane)
		return FW_RULE_ALLOW;
	return (plane->rules[BOUNDED(port >> 2, FW_PLANE_BYTES)] >> ((port & 3) * 2)) & 3;
}

INLINE void map_v4(__u32 *address, __u32 v4)
{
	address[0] = 0;
	address[1] = 0;
	address[2] = bpf_htonl(0xffff);
	address[3] = v4;
}

INLINE int is_mapped(const __u32 *address)
{
	return address[0] == 0 && address[1] == 0 && address[2] == bpf_htonl(0xffff);
}

/* 127/8 and ::1; also the unspecified addresses, which connect to loopback. */
INLINE int is_loopback(const __u32 *address)
{
	if (is_mapped(address))
		return (address[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000) || address[3] == 0;
	return address[0] == 0 && address[1] == 0 && address[2] == 0 &&
	       (address[3] == bpf_htonl(1) || address[3] == 0);
}

INLINE struct fw_config *own_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}

INLINE struct fw_counters *own_counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

INLINE __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 29);
}

/*
 * Whether this attempt was not seen with this verdict lately; remembers it. A set-associative table instead of a hash
 * map: no allocation, no lock, two cache lines. With more than 32,768 live connections, some are
 * counted again.
 */
INLINE int is_new(const struct attempt *a, __u32 verdict, __u64 now)
{
	__u64 tick = (now >> TICK_SHIFT) & 0xffff, hash = settings.hash_seed ^ settings.pod_id, entry;
	__u32 limit = a->protocol == FW_TCP ? SEEN_TCP_TICKS : SEEN_UDP_TICKS;
	__u32 key, oldest = 0, oldest_age = 0;
	struct fw_seen *set;
	int i;

	hash = mix(hash, ((__u64)a->remote[0] << 32) | a->remote[1]);
	hash = mix(hash, ((__u64)a->remote[2] << 32) | a->remote[3]);
	hash = mix(hash, ((__u64)a->remote_port << 48) | ((__u64)a->local_port << 32) | a->sequence);
	hash = mix(hash, (verdict << 16) | (a->direction << 8) | a->protocol);
	key = hash & (FW_SEEN_SETS - 1);
	set = bpf_map_lookup_elem(&seen, &key);
	if (!set)
		return 1;
	/* Never 0, the empty entry. */
	entry = (hash & ~0xffffULL) | (1ULL << 63) | tick;
#pragma unroll
	for (i = 0; i < FW_SEEN_WAYS; i++) {
		__u64 way = set->ways[i];
		__u32 age = (tick - way) & 0xffff;

		if (way && !((way ^ entry) >> 16)) {
			if (age)
				set->ways[i] = entry;
			return age > limit;
		}
		if (!way)
			age = 0x10000;
		if (age >= oldest_age) {
			oldest_age = age;
			oldest = i;
		}
	}
	set->ways[BOUNDED(oldest, FW_SEEN_WAYS)] = entry;
	return 1;
}

INLINE void log_verdict(const struct attempt *a, __u32 verdict, struct fw_counters *own)
{
#if !PCM_LEGACY
	struct fw_config *c = own_config();
	struct fw_event event = {};
	__u32 second;
	__u64 now;

	if (!(settings.flags & FW_FLAG_EVENTS) || !c || !c->log_per_second)
		return;
	now = bpf_ktime_get_ns();
	second = now / NS_PER_SECOND;
	/* Races between CPUs let a few more through; the limit is for the reader's sake. */
	if (c->log_second != second) {
		c->log_second = second;
		c->log_used = 0;
	}
	if (c->log_used >= c->log_per_second) {
		own->log_lost++;
		return;
	}
	c->log_used++;
	event.pod_id = settings.pod_id;
	event.time = now;
	__builtin_memcpy(event.remote, a->remote, sizeof(event.remote));
	event.remote_port = a->remote_port;
	event.local_port = a->local_port;
	event.direction = a->direction;
	event.protocol = a->protocol;
	event.family = a->family;
	event.verdict = verdict;
	/* The reader polls: no wake-up. */
	if (bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP))
		own->log_lost++;
#endif
}

INLINE void count(const struct attempt *a, __u32 verdict)
{
	struct fw_counters *own = own_counters();
	__u64 cell = ((a->direction * FW_PROTOCOLS + a->protocol) * FW_FAMILIES + a->family) *
			     FW_VERDICTS + verdict;

	barrier_var(cell);
	if (!own || cell >= sizeof(own->verdicts) / sizeof(__u64))
		return;
	((__u64 *)own->verdicts)[cell]++;
	if (verdict != FW_ALLOWED)
		log_verdict(a, verdict, own);
}

INLINE __u32 verdict_of(__u32 rule)
{
	if (rule == FW_RULE_ALLOW)
		return FW_ALLOWED;
	return rule == FW_RULE_AUDIT ? FW_AUDITED : FW_BLOCKED;
}

INLINE void flow_key(struct fw_flow_key *key, const struct attempt *a)
{
	key->pod_id = settings.pod_id;
	__builtin_memcpy(key->remote, a->remote, sizeof(key->remote));
	key->remote_port = a->remote_port;
	key->local_port = a->local_port;
	key->reserved = 0;
}

INLINE int flow_is_live(const struct attempt *a, __u64 now)
{
	struct fw_flow_key key;
	struct fw_flow *flow;

	flow_key(&key, a);
	flow = bpf_map_lookup_elem(&flows, &key);
	/* Clocks of two CPUs may differ a little: signed. */
	return flow && (__s64)(now - flow->time) < (__s64)(FW_FLOW_SECONDS * NS_PER_SECOND);
}

INLINE void flow_refresh(const struct attempt *a, __u64 now)
{
	struct fw_counters *own;
	struct fw_flow_key key;
	struct fw_flow *flow, fresh = { .time = now };
	long error;

	flow_key(&key, a);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (flow) {
		flow->time = now;
		return;
	}
	error = bpf_map_update_elem(&flows, &key, &fresh, BPF_ANY);
	own = own_counters();
	if (!own)
		return;
	if (error)
		own->flows_failed++;
	else
		own->flows_opened++;
}

/* ---- packets ---- */

struct packet {
	__u32 family;
	__u32 protocol;
	__u32 offset;
	__u32 source[4];
	__u32 fragment;
};

INLINE int is_extension(__u32 header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS ||
	       header == IPPROTO_FRAGMENT || header == IPPROTO_AH;
}

/* Extension headers are rare: copied instead of accessed, which keeps the verifier's work small. */
INLINE int skip_extensions(struct __sk_buff *skb, struct packet *p)
{
	__u8 head[4];
	int i;

#pragma unroll
	for (i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
		if (!is_extension(p->protocol))
			return 1;
		if (bpf_skb_load_bytes(skb, p->offset, head, sizeof(head)))
			return 0;
		if (p->protocol == IPPROTO_FRAGMENT)
			p->fragment = ((head[2] << 8) | head[3]) & 0xfff8;
		/* The second byte of a fragment header is 0: 8 bytes, by the common rule. */
		p->offset += p->protocol == IPPROTO_AH ? (head[1] + 2) * 4 : (head[1] + 1) * 8;
		p->protocol = head[0];
	}
	return !is_extension(p->protocol);
}

/* In a cgroup hook the packet begins with its network header. */
INLINE int parse_network(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	p->fragment = 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data;

		if ((void *)(ip + 1) > end)
			return 0;
		p->family = FW_IPV4;
		p->protocol = ip->protocol;
		p->offset = (*(__u8 *)data & 0xf) * 4;
		p->fragment = bpf_ntohs(ip->frag_off) & 0x1fff;
		map_v4(p->source, ip->saddr);
		return p->offset >= sizeof(*ip);
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data;

		if ((void *)(ip + 1) > end)
			return 0;
		p->family = FW_IPV6;
		p->protocol = ip->nexthdr;
		p->offset = sizeof(*ip);
		__builtin_memcpy(p->source, &ip->saddr, sizeof(p->source));
		return is_extension(p->protocol) ? skip_extensions(skb, p) : 1;
	}
	return 0;
}

/* The first 8 bytes of the transport header: ports, and TCP's sequence number. */
struct transport {
	__be16 source;
	__be16 dest;
	__be32 sequence;
};

INLINE int load_transport(struct __sk_buff *skb, const struct packet *p, struct transport *t)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct transport *there = data + (p->offset & 0xff);

	if (p->offset < 0x100 && (void *)(there + 1) <= end) {
		*t = *there;
		return 1;
	}
	return !bpf_skb_load_bytes(skb, p->offset, t, sizeof(*t));
}

INLINE int is_syn(struct __sk_buff *skb, const struct packet *p)
{
	__u8 flags;

	if (bpf_skb_load_bytes(skb, p->offset + 13, &flags, sizeof(flags)))
		return 0;
	return (flags & 0x12) == 0x02;
}

INLINE int skb_is_loopback(struct __sk_buff *skb)
{
	if (settings.flags & FW_FLAG_FILTER_LOOPBACK)
		return 0;
	if (!(settings.flags & FW_FLAG_HOST_NETWORK))
		return skb->ifindex == LOOPBACK_IFINDEX;
	return 0;
}

/* On the node's network everything local comes through loopback: only the addresses tell. */
INLINE int from_loopback_address(const __u32 *source)
{
	return (settings.flags & (FW_FLAG_HOST_NETWORK | FW_FLAG_FILTER_LOOPBACK)) ==
		       FW_FLAG_HOST_NETWORK &&
	       is_loopback(source);
}

INLINE int is_probe(const struct attempt *a)
{
	struct fw_config *c = own_config();
	struct fw_address source;
	__u32 i;

	if (!c || !c->probe_count)
		return 0;
	__builtin_memcpy(source.bytes, a->remote, sizeof(source.bytes));
	if (!bpf_map_lookup_elem(&node_addresses, &source))
		return 0;
	for (i = 0; i < FW_PROBE_PORTS_MAX; i++) {
		if (i >= c->probe_count)
			return 0;
		if (c->probe_ports[i] == a->local_port)
			return 1;
	}
	return 0;
}

INLINE void count_probe(void)
{
	struct fw_counters *own = own_counters();

	if (own)
		own->probes++;
}

/* A packet for a listener: SYN, the last ACK of a handshake, with SYN cookies too. */
INLINE int tcp_ingress(struct __sk_buff *skb, __u32 port)
{
	__u32 verdict = verdict_of(rule_of(FW_INGRESS, FW_TCP, port));
	struct attempt a = { .direction = FW_INGRESS, .protocol = FW_TCP, .local_port = port };
	struct transport t;
	struct packet p;
	int probe = 0;

	if (!parse_network(skb, &p) || p.protocol != IPPROTO_TCP || !load_transport(skb, &p, &t))
		return verdict == FW_BLOCKED ? DROP : PASS;
	if (from_loopback_address(p.source))
		return PASS;
	__builtin_memcpy(a.remote, p.source, sizeof(a.remote));
	a.family = p.family;
	a.remote_port = bpf_ntohs(t.source);
	a.sequence = t.sequence;
	if (verdict != FW_ALLOWED && is_probe(&a)) {
		verdict = FW_ALLOWED;
		probe = 1;
	}
	if (is_syn(skb, &p) && is_new(&a, verdict, now_ns())) {
		count(&a, verdict);
		if (probe)
			count_probe();
	}
	return verdict == FW_BLOCKED ? DROP : PASS;
}

/* A datagram for a socket that is not connected. */
INLINE int udp_ingress(struct __sk_buff *skb, __u32 port)
{
	__u32 rule = rule_of(FW_INGRESS, FW_UDP, port), verdict = verdict_of(rule);
	struct attempt a = { .direction = FW_INGRESS, .protocol = FW_UDP, .local_port = port };
	struct transport t;
	struct packet p;
	__u64 now;

	if (!parse_network(skb, &p) || !load_transport(skb, &p, &t))
		return verdict == FW_BLOCKED ? DROP : PASS;
	if (from_loopback_address(p.source))
		return PASS;
	__builtin_memcpy(a.remote, p.source, sizeof(a.remote));
	a.family = p.family;
	a.remote_port = bpf_ntohs(t.source);
	now = now_ns();
	if (verdict != FW_ALLOWED && flow_is_live(&a, now))
		return PASS;
	if (is_new(&a, verdict, now))
		count(&a, verdict);
	if (verdict == FW_BLOCKED)
		return DROP;
	/* The answer must pass though its port is not one that the Pod may call. */
	if ((settings.flags & FW_FLAG_EGRESS) &&
	    rule_of(FW_EGRESS, FW_UDP, a.remote_port) != FW_RULE_ALLOW)
		flow_refresh(&a, now);
	return PASS;
}

SEC("cgroup_skb/ingress")
int fw_in(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	__u32 state;

	if (!sk)
		return PASS;
	state = sk->state;
	/* Connected UDP sockets have this state too, and hear their peer only. */
	if (state == BPF_TCP_ESTABLISHED)
		return PASS;
	if (state != BPF_TCP_LISTEN && state != BPF_TCP_CLOSE)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk || skb_is_loopback(skb))
		return PASS;
	if (sk->type == SOCK_RAW)
		return PASS;
	if (sk->protocol == IPPROTO_TCP)
		return state == BPF_TCP_LISTEN ? tcp_ingress(skb, sk->src_port) : PASS;
	if (sk->protocol == IPPROTO_UDP || sk->protocol == IPPROTO_UDPLITE)
		return udp_ingress(skb, sk->src_port);
	return PASS;
}

/* ---- calls ---- */

INLINE int is_self(const __u32 *address)
{
	struct fw_config *c = own_config();
	int i;

	if (!c)
		return 0;
#pragma unroll
	for (i = 0; i < FW_SELF_ADDRESSES_MAX; i++) {
		if (i < c->self_count && c->self[i][0] == address[0] && c->self[i][1] == address[1] &&
		    c->self[i][2] == address[2] && c->self[i][3] == address[3])
			return 1;
	}
	return 0;
}

/* Whether a call to this address may go on. Counted: each connect, the first datagram of a flow. */
INLINE int egress_allowed(const struct attempt *a, __u64 now)
{
	__u32 verdict = verdict_of(rule_of(FW_EGRESS, a->protocol, a->remote_port));

	if (verdict != FW_ALLOWED) {
		if (is_self(a->remote))
			return 1;
		if (a->protocol == FW_UDP && flow_is_live(a, now))
			return 1;
	}
	if (a->protocol == FW_TCP || is_new(a, verdict, now))
		count(a, verdict);
	return verdict != FW_BLOCKED;
}

INLINE int egress_call(struct bpf_sock_addr *ctx, struct attempt *a, int is_send)
{
	__u32 protocol = ctx->protocol;
	struct bpf_sock *sk = ctx->sk;
	__u64 now;

	if (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP)
		a->protocol = FW_TCP;
	else if (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE)
		a->protocol = FW_UDP;
	else
		return PASS;
	if (is_loopback(a->remote) && !(settings.flags & FW_FLAG_FILTER_LOOPBACK))
		return PASS;
	a->direction = FW_EGRESS;
	a->family = is_mapped(a->remote) ? FW_IPV4 : FW_IPV6;
	a->remote_port = bpf_ntohs(ctx->user_port);
	a->local_port = sk ? sk->src_port : 0;
	now = now_ns();
	if ((settings.flags & FW_FLAG_EGRESS) && !egress_allowed(a, now))
		return DROP;
	/* An unconnected socket is about to be answered on a port that is closed otherwise. */
	if (is_send && (settings.flags & FW_FLAG_INGRESS) && a->local_port &&
	    rule_of(FW_INGRESS, FW_UDP, a->local_port) != FW_RULE_ALLOW)
		flow_refresh(a, now);
	return PASS;
}

INLINE int egress_call4(struct bpf_sock_addr *ctx, int is_send)
{
	struct attempt a = {};

	map_v4(a.remote, ctx->user_ip4);
	return egress_call(ctx, &a, is_send);
}

INLINE int egress_call6(struct bpf_sock_addr *ctx, int is_send)
{
	struct attempt a = {};

	a.remote[0] = ctx->user_ip6[0];
	a.remote[1] = ctx->user_ip6[1];
	a.remote[2] = ctx->user_ip6[2];
	a.remote[3] = ctx->user_ip6[3];
	return egress_call(ctx, &a, is_send);
}

SEC("cgroup/connect4")
int fw_c4(struct bpf_sock_addr *ctx)
{
	return egress_call4(ctx, 0);
}

SEC("cgroup/connect6")
int fw_c6(struct bpf_sock_addr *ctx)
{
	return egress_call6(ctx, 0);
}

SEC("cgroup/sendmsg4")
int fw_m4(struct bpf_sock_addr *ctx)
{
	return egress_call4(ctx, 1);
}

SEC("cgroup/sendmsg6")
int fw_m6(struct bpf_sock_addr *ctx)
{
	return egress_call6(ctx, 1);
}

/* ---- strict egress ---- */

/* Sockets whose calls the hooks above have seen. */
INLINE int is_checked_socket(struct bpf_sock *sk)
{
	if (sk->type == SOCK_STREAM)
		return sk->protocol == IPPROTO_TCP;
	return sk->type == SOCK_DGRAM &&
	       (sk->protocol == IPPROTO_UDP || sk->protocol == IPPROTO_UDPLITE ||
		sk->protocol == IPPROTO_ICMP || sk->protocol == IPPROTO_ICMPV6);
}

INLINE void load_destination(struct __sk_buff *skb, struct attempt *a, const struct packet *p)
{
	__u32 v4 = 0;

	if (p->family == FW_IPV4) {
		bpf_skb_load_bytes(skb, 16, &v4, sizeof(v4));
		map_v4(a->remote, v4);
	} else {
		bpf_skb_load_bytes(skb, 24, a->remote, sizeof(a->remote));
	}
}

INLINE int crafted_egress(struct __sk_buff *skb, const struct packet *p)
{
	struct attempt a = { .direction = FW_EGRESS, .family = p->family };
	__u32 rule = FW_RULE_ALLOW, verdict;
	struct transport t;

	load_destination(skb, &a, p);
	if (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP ||
	    p->protocol == IPPROTO_UDPLITE) {
		/* A later fragment does nothing without its first. */
		if (p->fragment)
			return PASS;
		if (!load_transport(skb, p, &t))
			return settings.flags & FW_FLAG_OTHER_BLOCK ? DROP : PASS;
		a.protocol = p->protocol == IPPROTO_TCP ? FW_TCP : FW_UDP;
		a.remote_port = bpf_ntohs(t.dest);
		a.local_port = bpf_ntohs(t.source);
		rule = rule_of(FW_EGRESS, a.protocol, a.remote_port);
	} else {
		a.protocol = FW_OTHER;
		if (settings.flags & FW_FLAG_OTHER_BLOCK)
			rule = FW_RULE_BLOCK;
		else if (settings.flags & FW_FLAG_OTHER_AUDIT)
			rule = FW_RULE_AUDIT;
	}
	verdict = verdict_of(rule);
	if (is_new(&a, verdict, now_ns()))
		count(&a, verdict);
	return verdict == FW_BLOCKED ? DROP : PASS;
}

/* What raw sockets craft, and protocols without ports of ours (SCTP, DCCP). */
SEC("cgroup_skb/egress")
int fw_out(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct packet p;

	if (!sk)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk || is_checked_socket(sk) || skb_is_loopback(skb))
		return PASS;
	if (!parse_network(skb, &p))
		return settings.flags & FW_FLAG_OTHER_BLOCK ? DROP : PASS;
	if (p.protocol == IPPROTO_ICMP || p.protocol == IPPROTO_ICMPV6 || p.protocol == IPPROTO_IGMP)
		return PASS;
	if (from_loopback_address(p.source))
		return PASS;
	return crafted_egress(skb, &p);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
