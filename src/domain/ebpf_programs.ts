/** What the eBPF programs of one Pod are told: plain values that compare, made from specs elsewhere. Pure. */

export const DIRECTIONS = ["ingress", "egress"] as const;
export type Direction = (typeof DIRECTIONS)[number];
export const PROTOCOLS = ["tcp", "udp", "other"] as const;
export type Protocol = (typeof PROTOCOLS)[number];
export const FAMILIES = ["ipv4", "ipv6"] as const;
export type Family = (typeof FAMILIES)[number];
export const VERDICTS = ["allowed", "blocked", "audited"] as const;
export type Verdict = (typeof VERDICTS)[number];

/** Bytes of a plane: two bits for each of 65,536 ports. */
export const PLANE_BYTES = 16_384;
/** Rules of a port, as the program reads them. */
export const RULE = { allow: 0, block: 1, audit: 2 } as const;
/** Most probe ports and own addresses that the program holds. */
export const PROBE_PORTS_MAX = 64;
export const SELF_ADDRESSES_MAX = 4;

/** An address as 32 lower-case hex digits: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. */
export type AddressHex = string;

/** Everything that decides what the firewall of a Pod does. */
export interface FirewallSpec {
  /**
   * Rules by `direction * 2 + protocol` (ingress 0, egress 1; TCP 0, UDP 1): port p is bits
   * 2 * (p % 4) of byte p / 4, a value of {@link RULE}. Four planes, which may be one object; never
   * written to. A direction that is off has a plane of zeros.
   */
  readonly planes: readonly Uint8Array<ArrayBuffer>[];
  readonly ingress: boolean;
  readonly egress: boolean;
  /** The Pod shares the node's network. */
  readonly hostNetwork: boolean;
  /** Of outgoing traffic that is neither TCP, UDP nor ICMP. */
  readonly otherEgress: "allow" | "block" | "audit";
  /** TCP ports that the node's addresses reach whatever the rules say; ascending, at most PROBE_PORTS_MAX. */
  readonly probePorts: readonly number[];
  /** The Pod's own addresses, ascending, at most SELF_ADDRESSES_MAX. */
  readonly selfAddresses: readonly AddressHex[];
  /** Verdicts other than allowed that are logged a second, at most; 0 logs nothing. */
  readonly logPerSecond: number;
}

/** Call numbers that can be counted: below this. */
export const SYSCALL_NUMBERS = 512;

/** What is counted of a Pod's system calls. */
export interface SyscallSpec {
  /** Numbers on this node's architecture; ascending, each below SYSCALL_NUMBERS. */
  readonly numbers: readonly number[];
  readonly errors: boolean;
  readonly latency: boolean;
  readonly pids: boolean;
}

export function sameSyscalls(one: SyscallSpec, other: SyscallSpec): boolean {
  return one.errors === other.errors && one.latency === other.latency &&
    one.pids === other.pids && sameList(one.numbers, other.numbers);
}

export function sameFirewall(one: FirewallSpec, other: FirewallSpec): boolean {
  return one.ingress === other.ingress && one.egress === other.egress &&
    one.hostNetwork === other.hostNetwork && one.otherEgress === other.otherEgress &&
    one.logPerSecond === other.logPerSecond && sameList(one.probePorts, other.probePorts) &&
    sameList(one.selfAddresses, other.selfAddresses) &&
    one.planes.length === other.planes.length &&
    one.planes.every((plane, index) => sameBytes(plane, other.planes[index]));
}

function sameList<T>(one: readonly T[], other: readonly T[]): boolean {
  return one.length === other.length && one.every((item, index) => item === other[index]);
}

function sameBytes(one: Uint8Array, other: Uint8Array | undefined): boolean {
  if (one === other) return true;
  return one.length === other?.length && one.every((byte, index) => byte === other[index]);
}
