/** Addresses as the eBPF programs hold them: 16 bytes, IPv4 as ::ffff:a.b.c.d, in hex. Pure. */
import type { AddressHex } from "./ebpf_programs.ts";

const V4_PREFIX = "00000000000000000000ffff";

/** Undefined for what is no address. A zone (`fe80::1%eth0`) is left out. */
export function addressHex(text: string): AddressHex | undefined {
  const [plain = ""] = text.split("%");
  if (!plain.includes(":")) {
    const v4 = v4Hex(plain);
    return v4 === undefined ? undefined : V4_PREFIX + v4;
  }
  const embedded = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(plain);
  if (embedded === null) return v6Hex(plain);
  const tail = v4Hex(embedded[2] as string);
  if (tail === undefined) return undefined;
  return v6Hex(`${embedded[1]}${tail.slice(0, 4)}:${tail.slice(4)}`);
}

function v4Hex(text: string): string | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return parts.map((part) => Number(part).toString(16).padStart(2, "0")).join("");
}

function v6Hex(text: string): string | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const groups = halves.map((half) => half === "" ? [] : half.split(":"));
  const given = groups.flat();
  if (!given.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const missing = 8 - given.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const [head = [], tail = []] = groups;
  return [...head, ...Array<string>(halves.length === 1 ? 0 : missing).fill("0"), ...tail]
    .map((group) => group.toLowerCase().padStart(4, "0")).join("");
}

/** As people write it: dotted for IPv4; IPv6 with its longest row of zero groups left out. */
export function formatAddress(hex: AddressHex): string {
  if (hex.startsWith(V4_PREFIX)) {
    const bytes = hex.slice(V4_PREFIX.length).match(/../g) ?? [];
    return bytes.map((byte) => parseInt(byte, 16)).join(".");
  }
  const groups = (hex.match(/.{4}/g) ?? []).map((group) => parseInt(group, 16).toString(16));
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === "0") end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  if (best.length < 2) return groups.join(":");
  const head = groups.slice(0, best.start).join(":");
  return `${head}::${groups.slice(best.start + best.length).join(":")}`;
}
