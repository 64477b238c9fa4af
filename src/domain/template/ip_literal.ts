/** Whether a host between brackets is an IPv6 address: Go's netip.ParseAddr with its messages. */
import { quote } from "./quote.ts";

class AddressFault extends Error {
  constructor(message: string, readonly at = "") {
    super(message);
  }
}

/** Undefined when it is one, else the reason why not. */
export function checkIpv6(text: string): string | undefined {
  try {
    return parseAddress(text) ? undefined : "invalid IP-literal";
  } catch (error) {
    if (!(error instanceof AddressFault)) throw error;
    const place = error.at === "" ? "" : ` (at ${quote(error.at)})`;
    return `invalid host: ParseAddr(${quote(text)}): ${error.message}${place}`;
  }
}

/** False for IPv4. */
function parseAddress(text: string): boolean {
  const mark = /[.:%]/.exec(text)?.[0];
  if (mark === undefined) throw new AddressFault("unable to parse IP");
  if (mark === "%") throw new AddressFault("missing IPv6 address");
  if (mark === ".") {
    parseIpv4(text);
    return false;
  }
  const percent = text.indexOf("%");
  if (percent >= 0 && percent === text.length - 1) {
    throw new AddressFault("zone must be a non-empty string");
  }
  parseIpv6(percent < 0 ? text : text.slice(0, percent));
  return true;
}

function parseIpv4(text: string): void {
  let fields = 0;
  let value = 0;
  let digits = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char >= "0" && char <= "9") {
      if (digits === 1 && value === 0) {
        throw new AddressFault("IPv4 field has octet with leading zero");
      }
      value = value * 10 + Number(char);
      digits++;
      if (value > 255) throw new AddressFault("IPv4 field has value >255");
    } else if (char === ".") {
      if (i === 0 || i === text.length - 1 || text[i - 1] === ".") {
        throw new AddressFault("IPv4 field must have at least one digit", text.slice(i));
      }
      if (fields === 3) throw new AddressFault("IPv4 address too long");
      fields++;
      value = digits = 0;
    } else throw new AddressFault("unexpected character", text.slice(i));
  }
  if (fields < 3) throw new AddressFault("IPv4 address too short");
}

function parseIpv6(text: string): void {
  let rest = text;
  let ellipsis = rest.startsWith("::");
  if (ellipsis) rest = rest.slice(2);
  if (ellipsis && rest === "") return;
  let bytes = 0;
  while (bytes < 16) {
    const digits = hexGroup(rest);
    if (rest[digits.length] === ".") {
      checkEmbedded(rest, bytes, ellipsis);
      bytes += 4;
      rest = "";
      break;
    }
    bytes += 2;
    rest = rest.slice(digits.length);
    if (rest === "") break;
    if (rest[0] !== ":") throw new AddressFault("unexpected character, want colon", rest);
    if (rest.length === 1) {
      throw new AddressFault("colon must be followed by more characters", rest);
    }
    rest = rest.slice(1);
    if (rest[0] !== ":") continue;
    if (ellipsis) throw new AddressFault("multiple :: in address", rest);
    ellipsis = true;
    rest = rest.slice(1);
    if (rest === "") break;
  }
  if (rest !== "") throw new AddressFault("trailing garbage after address", rest);
  if (bytes < 16 && !ellipsis) throw new AddressFault("address string too short");
  if (bytes >= 16 && ellipsis) {
    throw new AddressFault("the :: must expand to at least one field of zeros");
  }
}

function hexGroup(rest: string): string {
  const digits = /^[0-9a-fA-F]*/.exec(rest)?.[0] ?? "";
  if (digits.length > 4) throw new AddressFault("each group must have 4 or less digits", rest);
  if (digits !== "") return digits;
  throw new AddressFault("each colon-separated field must have at least one digit", rest);
}

function checkEmbedded(rest: string, bytes: number, ellipsis: boolean): void {
  if (!ellipsis && bytes !== 12) {
    const reason = "embedded IPv4 address must replace the final 2 fields of the address";
    throw new AddressFault(reason, rest);
  }
  if (bytes + 4 > 16) {
    const reason = "too many hex fields to fit an embedded IPv4 at the end of the address";
    throw new AddressFault(reason, rest);
  }
  parseIpv4(rest);
}
