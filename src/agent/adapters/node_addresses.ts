/** Addresses of this network namespace's interfaces: the node's, where the agent shares its network. */
import type { AddressHex } from "../../domain/ebpf_programs.ts";
import type { NodeAddresses } from "../ports.ts";
import { answer } from "./firewall.ts";

export class InterfaceAddresses implements NodeAddresses {
  list(): Promise<readonly AddressHex[]> {
    return answer(() => {
      const addresses = Deno.networkInterfaces()
        .filter(({ address }) => !isLoopback(address))
        .map(({ address }) => addressHex(address));
      return [...new Set(addresses)].sort();
    });
  }
}

const isLoopback = (address: string) => address.startsWith("127.") || address === "::1";

/** Pure. @param address as the system prints it: dotted, or groups of hex digits. */
export function addressHex(address: string): AddressHex {
  const text = address.split("%")[0] ?? "";
  const dotted = /^(.*:)?(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [, before, ...parts] = dotted;
    const v4 = parts.map((part) => Number(part).toString(16).padStart(2, "0")).join("");
    if (before === undefined) return `${"0".repeat(20)}ffff${v4}`;
    return addressHex(`${before}${v4.slice(0, 4)}:${v4.slice(4)}`);
  }
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => part === "" ? [] : part.split(":");
  const [first, last] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => "0");
  const all = tail === undefined ? first : [...first, ...zeros, ...last];
  return all.map((group) => group.padStart(4, "0")).join("").toLowerCase();
}
