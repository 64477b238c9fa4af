/**
 * Listen addresses in Go's syntax: `:8080`, `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`. Pure.
 *
 * Stricter than Go where Go would fail later: names of ports (`:http`), zones and unbracketed IPv6 are
 * refused with a word on what to write instead. Whether a host exists is not looked up.
 */

export interface ListenAddress {
  /** An IPv4 or IPv6 address without brackets, or a name; empty: every address of the machine. */
  readonly hostname: string;
  /** 0: any free port. */
  readonly port: number;
}

/** `address: undefined` is "do not listen", written `0` or `off`. */
export type ParsedAddress =
  | { readonly address: ListenAddress | undefined }
  | { readonly error: string };

/** The address, or what is wrong with `text` as the end of "… must be an address: …". */
export function parseListenAddress(text: string): ParsedAddress {
  if (text === "0" || text === "off") return { address: undefined };
  const quoted = JSON.stringify(text);
  if (/^\d+$/.test(text)) {
    return { error: `${quoted} lacks a colon; for a port alone write ":${text}"` };
  }
  if (/^[a-z]+:\/\//i.test(text)) return { error: `${quoted} is a URL; write host:port` };
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(text);
  if (parts === null) {
    const hint = text.split(":").length > 2 ? "; write IPv6 as [::1]:8080" : "";
    return { error: `${quoted} is not host:port${hint}` };
  }
  const [, v6, name = "", port = ""] = parts;
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    return {
      error: `${quoted} has the port ${JSON.stringify(port)}, not a number from 0 to 65535`,
    };
  }
  if (v6 !== undefined ? !isIpv6(v6) : name !== "" && !isIpv4(name) && !isHostName(name)) {
    return { error: `${quoted} has the host ${JSON.stringify(v6 ?? name)}, no IP address or name` };
  }
  return { address: { hostname: v6 ?? name, port: Number(port) } };
}

/** The inverse: `:8080`, `[::1]:8080`; `off` for undefined. */
export function formatListenAddress(address: ListenAddress | undefined): string {
  if (address === undefined) return "off";
  const { hostname, port } = address;
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 &&
    parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

function isIpv6(text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2 || !/^[0-9a-fA-F:.]+$/.test(text)) return false;
  const groups = halves.flatMap((half) => half === "" ? [] : half.split(":"));
  const last = groups.at(-1) ?? "";
  // An embedded IPv4 address stands for two groups.
  const embedded = last.includes(".") ? (isIpv4(last) ? 1 : NaN) : 0;
  const plain = embedded === 1 ? groups.slice(0, -1) : groups;
  if (!plain.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  const count = groups.length + embedded;
  return halves.length === 2 ? count <= 7 : count === 8;
}

function isHostName(text: string): boolean {
  // Digits and dots alone are an IPv4 address gone wrong.
  return text.length <= 253 && !/^[\d.]+$/.test(text) &&
    text.split(".").every((label) => /^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/.test(label));
}
