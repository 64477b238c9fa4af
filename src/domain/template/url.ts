/** sprig's urlParse: Go's net/url.Parse as a map. */
import { CallError } from "./errors.ts";
import { percentEncode } from "./function.ts";
import { checkIpv6 } from "./ip_literal.ts";
import { quote } from "./quote.ts";
import { fromBinary, toBinary } from "./utf8.ts";
import { type MutableMap, newMap } from "./value.ts";

class UrlFault extends Error {}

interface Url {
  scheme: string;
  opaque: string;
  userinfo: string;
  host: string;
  path: string;
  query: string;
  fragment: string;
}

export function parseUrl(text: string): MutableMap {
  const hash = text.indexOf("#");
  const before = hash < 0 ? text : text.slice(0, hash);
  const url = attempt(before, () => parse(toBinary(before)));
  if (hash >= 0) {
    url.fragment = attempt(text, () => unescape(toBinary(text.slice(hash + 1)), "fragment"));
  }
  const map = newMap();
  map["hostname"] = fromBinary(hostname(url.host));
  for (const [name, part] of Object.entries(url)) map[name] = fromBinary(part);
  return map;
}

function attempt<T>(text: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof UrlFault)) throw error;
    throw new CallError(`unable to parse url: parse ${quote(text)}: ${error.message}`);
  }
}

/** `text` is binary: one unit a byte. */
function parse(text: string): Url {
  const url: Url = {
    scheme: "",
    opaque: "",
    userinfo: "",
    host: "",
    path: "",
    query: "",
    fragment: "",
  };
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) {
      throw new UrlFault("net/url: invalid control character in URL");
    }
  }
  if (text === "*") return { ...url, path: "*" };
  let rest = readScheme(url, text);
  const question = rest.indexOf("?");
  if (question >= 0) {
    url.query = rest.slice(question + 1);
    rest = rest.slice(0, question);
  }
  if (!rest.startsWith("/")) {
    if (url.scheme !== "") return { ...url, opaque: rest };
    if ((rest.split("/")[0] ?? "").includes(":")) {
      throw new UrlFault("first path segment in URL cannot contain colon");
    }
  }
  if (rest.startsWith("//") && (url.scheme !== "" || !rest.startsWith("///"))) {
    const slash = rest.indexOf("/", 2);
    const authority = slash < 0 ? rest.slice(2) : rest.slice(2, slash);
    rest = slash < 0 ? "" : rest.slice(slash);
    readAuthority(url, authority);
  }
  url.path = unescape(rest, "path");
  return url;
}

/** Returns what follows the scheme. */
function readScheme(url: Url, text: string): string {
  if (text.startsWith(":")) throw new UrlFault("missing protocol scheme");
  const match = /^([A-Za-z][A-Za-z0-9+\-.]*):/.exec(text);
  if (match === null) return text;
  url.scheme = (match[1] ?? "").toLowerCase();
  return text.slice(match[0].length);
}

function readAuthority(url: Url, authority: string): void {
  const at = authority.lastIndexOf("@");
  url.host = readHost(url.scheme, authority.slice(at + 1));
  if (at < 0) return;
  const userinfo = authority.slice(0, at);
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(userinfo)) {
    throw new UrlFault("net/url: invalid userinfo");
  }
  const colon = userinfo.indexOf(":");
  const name = unescape(colon < 0 ? userinfo : userinfo.slice(0, colon), "user");
  const encode = (part: string) => percentEncode(fromBinary(part), /^[A-Za-z0-9\-_.~$&+,;=]$/, "");
  url.userinfo = encode(name);
  if (colon >= 0) url.userinfo += `:${encode(unescape(userinfo.slice(colon + 1), "user"))}`;
}

function checkPort(port: string): void {
  if (!/^(?::[0-9]*)?$/.test(port)) throw new UrlFault(`invalid port ${quote(port)} after host`);
}

function readHost(scheme: string, host: string): string {
  const open = host.lastIndexOf("[");
  if (open > 0) throw new UrlFault("invalid IP-literal");
  if (open === 0) return readIpLiteral(host);
  let colon = host.indexOf(":");
  if (colon >= 0) {
    // Databases list hosts with ports, with commas between: only http is strict.
    if (scheme !== "http" && scheme !== "https") colon = host.lastIndexOf(":");
    checkPort(host.slice(colon));
  }
  return unescape(host, "host");
}

function readIpLiteral(host: string): string {
  const close = host.lastIndexOf("]");
  if (close < 0) throw new UrlFault("missing ']' in host");
  const port = host.slice(close + 1);
  checkPort(port);
  const literal = host.slice(1, close);
  const zone = literal.indexOf("%25");
  const name = zone < 0
    ? unescape(literal, "host")
    : unescape(literal.slice(0, zone), "host") + unescape(literal.slice(zone), "zone");
  const fault = checkIpv6(name);
  if (fault !== undefined) throw new UrlFault(fault);
  return `[${name}]${port}`;
}

type Part = "path" | "fragment" | "user" | "host" | "zone";

const HOST_PLAIN = /[A-Za-z0-9!"$&'()*+,\-.:;<=>[\]_~\x80-\xff]/;

function unescape(text: string, part: Part): string {
  const isHost = part === "host" || part === "zone";
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char !== "%") {
      if (isHost && !HOST_PLAIN.test(char)) {
        throw new UrlFault(`invalid character ${quote(char)} in host name`);
      }
      out += char;
      continue;
    }
    const escape = text.slice(i, i + 3);
    const byte = /^%[0-9a-fA-F]{2}$/.test(escape) ? Number.parseInt(escape.slice(1), 16) : -1;
    if (byte < 0 || !mayEscape(byte, part)) {
      throw new UrlFault(`invalid URL escape ${quote(fromBinary(escape))}`);
    }
    out += String.fromCharCode(byte);
    i += 2;
  }
  return out;
}

/** In hosts only what is not ASCII may be escaped, and the percent sign before a zone. */
function mayEscape(byte: number, part: Part): boolean {
  if (part === "host") return byte >= 0x80 || byte === 0x25;
  if (part !== "zone") return true;
  return byte === 0x25 || byte === 0x20 ||
    (byte < 0x80 && HOST_PLAIN.test(String.fromCharCode(byte)));
}

function hostname(host: string): string {
  const name = host.replace(/:[0-9]*$/, "");
  return name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name;
}
