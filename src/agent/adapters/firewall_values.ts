/** A firewall's specification, counts and log as the bytes that its maps hold. Pure. */
import { FW_LAYOUT } from "../../../bpf/layout.ts";
import { StructCodec } from "../../../ffi/mod.ts";
import {
  type AddressHex,
  DIRECTIONS,
  FAMILIES,
  type FirewallSpec,
  PROTOCOLS,
  VERDICTS,
} from "../../domain/ebpf_programs.ts";
import type { FirewallCounts, VerdictEvent } from "../ports.ts";
import type { Totals } from "./carry.ts";

const { fw_flag, fw_limit } = FW_LAYOUT.enums;
const settings = new StructCodec(FW_LAYOUT.structs.fw_settings);
const config = new StructCodec(FW_LAYOUT.structs.fw_config);
const counters = new StructCodec(FW_LAYOUT.structs.fw_counters);
const event = new StructCodec(FW_LAYOUT.structs.fw_event);

export const PLANES = fw_limit.FW_PLANES;
const ADDRESS_BYTES = 16;

/** Hooks by the name of their pin: program, and what the specification must ask for. */
export const HOOKS = {
  in: { program: "fw_in", type: "CGROUP_INET_INGRESS" },
  out: { program: "fw_out", type: "CGROUP_INET_EGRESS" },
  c4: { program: "fw_c4", type: "CGROUP_INET4_CONNECT" },
  c6: { program: "fw_c6", type: "CGROUP_INET6_CONNECT" },
  m4: { program: "fw_m4", type: "CGROUP_UDP4_SENDMSG" },
  m6: { program: "fw_m6", type: "CGROUP_UDP6_SENDMSG" },
} as const;
export type Hook = keyof typeof HOOKS;
export const ALL_HOOKS = Object.keys(HOOKS) as readonly Hook[];

/**
 * Ingress needs the sending hooks too: they remember flows whose answers come in. Egress needs
 * the receiving one: it remembers flows that are answered to.
 */
export function hooksOf(spec: FirewallSpec): Hook[] {
  const hooks: Hook[] = [];
  if (spec.ingress || spec.egress) hooks.push("in", "m4", "m6");
  if (spec.egress) hooks.push("c4", "c6");
  if (spec.egress && spec.otherEgress !== "allow") hooks.push("out");
  return hooks;
}

/** Flags of the specification, without those that the kernel decides. */
export function specFlags(spec: FirewallSpec): number {
  return (spec.ingress ? fw_flag.FW_FLAG_INGRESS : 0) |
    (spec.egress ? fw_flag.FW_FLAG_EGRESS : 0) |
    (spec.hostNetwork ? fw_flag.FW_FLAG_HOST_NETWORK : 0) |
    (spec.otherEgress === "block" ? fw_flag.FW_FLAG_OTHER_BLOCK : 0) |
    (spec.otherEgress === "audit" ? fw_flag.FW_FLAG_OTHER_AUDIT : 0);
}

export const KERNEL_FLAGS = fw_flag.FW_FLAG_COARSE_CLOCK | fw_flag.FW_FLAG_EVENTS;
export const FwFlag = fw_flag;

export function encodeSettings(
  values: { podId: bigint; flags: number; hashSeed: bigint },
): Uint8Array<ArrayBuffer> {
  return settings.encode({
    pod_id: values.podId,
    flags: values.flags,
    hash_seed: values.hashSeed,
  });
}

export function decodeSettings(
  bytes: Uint8Array,
): { podId: bigint; flags: number; hashSeed: bigint } {
  return {
    podId: settings.read(bytes, "pod_id")[0] ?? 0n,
    flags: settings.readNumber(bytes, "flags"),
    hashSeed: settings.read(bytes, "hash_seed")[0] ?? 0n,
  };
}

export const SETTINGS_BYTES = FW_LAYOUT.structs.fw_settings.size;

export function encodeConfig(spec: FirewallSpec): Uint8Array<ArrayBuffer> {
  return config.encode({
    log_per_second: spec.logPerSecond,
    self_count: spec.selfAddresses.length,
    self: spec.selfAddresses.flatMap(addressWords),
    probe_count: spec.probePorts.length,
    probe_ports: spec.probePorts,
  });
}

/** @param planes as the map `rules` holds them, by key. */
export function decodeSpec(
  from: { flags: number; config: Uint8Array; planes: readonly Uint8Array<ArrayBuffer>[] },
): FirewallSpec {
  const { flags, planes } = from;
  const has = (flag: number) => (flags & flag) !== 0;
  const selfBytes = config.read(from.config, "self");
  const ports = config.read(from.config, "probe_ports").map(Number);
  return {
    planes,
    ingress: has(fw_flag.FW_FLAG_INGRESS),
    egress: has(fw_flag.FW_FLAG_EGRESS),
    hostNetwork: has(fw_flag.FW_FLAG_HOST_NETWORK),
    otherEgress: has(fw_flag.FW_FLAG_OTHER_BLOCK)
      ? "block"
      : has(fw_flag.FW_FLAG_OTHER_AUDIT)
      ? "audit"
      : "allow",
    probePorts: ports.slice(0, config.readNumber(from.config, "probe_count")),
    selfAddresses: Array.from(
      { length: config.readNumber(from.config, "self_count") },
      (_, index) => wordsToAddress(selfBytes.slice(index * 4, index * 4 + 4)),
    ),
    logPerSecond: config.readNumber(from.config, "log_per_second"),
  };
}

/** @param counted sums of all CPUs. @param carried what was counted before, by the keys of `carry.ts`. */
export function decodeCounts(
  counted: BigUint64Array<ArrayBuffer>,
  carried: Totals = new Map(),
): FirewallCounts {
  const sums = counted.map((count, index) => count + (carried.get(`f${index}`) ?? 0n));
  const bytes = new Uint8Array(sums.buffer, sums.byteOffset, sums.byteLength);
  const totals = counters.read(bytes, "verdicts");
  let index = 0;
  const verdicts = DIRECTIONS.flatMap((direction) =>
    PROTOCOLS.flatMap((protocol) =>
      FAMILIES.flatMap((family) =>
        VERDICTS.map((verdict) => {
          const count = totals[index++] ?? 0n;
          return { direction, protocol, family, verdict, count };
        })
      )
    )
  );
  const one = (name: "probes" | "log_lost" | "flows_opened" | "flows_failed") =>
    counters.read(bytes, name)[0] ?? 0n;
  return {
    verdicts,
    probes: one("probes"),
    logLost: one("log_lost"),
    flowsOpened: one("flows_opened"),
    flowsFailed: one("flows_failed"),
  };
}

/** @returns undefined for what no program of this layout writes. */
export function decodeEvent(bytes: Uint8Array): VerdictEvent | undefined {
  if (bytes.length < FW_LAYOUT.structs.fw_event.size) return undefined;
  const sample = bytes.subarray(0, FW_LAYOUT.structs.fw_event.size);
  const number = (name: keyof typeof FW_LAYOUT.structs.fw_event.fields) =>
    event.readNumber(sample, name);
  const direction = DIRECTIONS[number("direction")];
  const protocol = PROTOCOLS[number("protocol")];
  const family = FAMILIES[number("family")];
  const verdict = VERDICTS[number("verdict")];
  if (!direction || !protocol || !family || !verdict) return undefined;
  return {
    cgroupId: event.read(sample, "pod_id")[0] ?? 0n,
    direction,
    protocol,
    family,
    verdict,
    remote: wordsToAddress(event.read(sample, "remote")),
    remotePort: number("remote_port"),
    localPort: number("local_port"),
  };
}

export function addressBytes(address: AddressHex): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    { length: ADDRESS_BYTES },
    (_, index) => parseInt(address.slice(index * 2, index * 2 + 2), 16),
  );
}

export function bytesToAddress(bytes: Uint8Array): AddressHex {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function addressWords(address: AddressHex): number[] {
  const view = new DataView(addressBytes(address).buffer);
  return [0, 4, 8, 12].map((offset) => view.getUint32(offset, true));
}

function wordsToAddress(words: readonly bigint[]): AddressHex {
  const view = new DataView(new ArrayBuffer(ADDRESS_BYTES));
  words.forEach((word, index) => view.setUint32(index * 4, Number(word), true));
  return bytesToAddress(new Uint8Array(view.buffer));
}
