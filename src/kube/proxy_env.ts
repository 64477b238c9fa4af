/** Proxies from the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), by the rules of Go's net/http. Pure. */
import { BlockList, isIP } from "node:net";

/** The proxy for `server`, undefined for none. An unreadable value counts as none is set: like Go's, it is the caller's to check. */
export function proxyFromEnvironment(
  server: URL,
  env: (name: string) => string | undefined,
): string | undefined {
  const get = (name: string) => env(name) || env(name.toLowerCase()) || undefined;
  const proxy = get(server.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY");
  if (proxy === undefined) return undefined;
  const host = server.hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (host === "localhost" || host === "::1" || /^127\./.test(host)) return undefined;
  const port = server.port || (server.protocol === "https:" ? "443" : "80");
  if (isExcluded(host, port, get("NO_PROXY") ?? "")) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

/** Entries: `*`, a name (and what is below it), `.name` (only below), an address, a network, each with `:port` or not. */
function isExcluded(host: string, port: string, list: string): boolean {
  return list.split(",").some((item) => {
    const entry = item.trim().toLowerCase();
    if (entry === "") return false;
    if (entry === "*") return true;
    if (entry.includes("/")) return inNetwork(host, entry);
    const withPort = isIP(entry) ? null : /^(.+):(\d+)$/.exec(entry);
    if (withPort && withPort[2] !== port) return false;
    const name = (withPort?.[1] ?? entry).replace(/^\[(.*)\]$/, "$1").replace(/^\*(?=\.)/, "");
    if (name.startsWith(".")) return host.endsWith(name);
    return host === name || (!isIP(name) && host.endsWith(`.${name}`));
  });
}

function inNetwork(host: string, network: string): boolean {
  const [address = "", bits = ""] = network.split("/");
  const family = isIP(address);
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(address, Number(bits), type);
  return list.check(host, type);
}
