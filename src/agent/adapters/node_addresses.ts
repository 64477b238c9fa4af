/** Addresses of this network namespace's interfaces: the node's, where the agent shares its network. */
import { addressHex } from "../../domain/address_hex.ts";
import type { AddressHex } from "../../domain/ebpf_programs.ts";
import type { NodeAddresses } from "../ports.ts";
import { answer } from "./firewall.ts";

export class InterfaceAddresses implements NodeAddresses {
  list(): Promise<readonly AddressHex[]> {
    return answer(() => {
      const addresses = Deno.networkInterfaces()
        .filter(({ address }) => !isLoopback(address))
        .flatMap(({ address }) => addressHex(address) ?? []);
      return [...new Set(addresses)].sort();
    });
  }
}

const isLoopback = (address: string) => address.startsWith("127.") || address === "::1";
