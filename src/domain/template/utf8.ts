/**
 * Go's strings are bytes, these are UTF-16. A byte that is not part of valid UTF-8 (a slice through a
 * character, a "\xff" literal) is kept as the lone surrogate U+DC00 + byte, so that nothing is lost
 * and every such byte counts as one character, as in Go. Text that comes from outside must be well
 * formed (see `fromOutside`); what `joined` and `fromBytes` return is in canonical form.
 */

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

/** As Go's JSON decoder does it: a lone surrogate in the source becomes U+FFFD. */
export function fromOutside(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed();
}

/** Text for the world: every byte that is not UTF-8 becomes U+FFFD. */
export function toOutside(text: string): string {
  return text.isWellFormed() ? text : joined(text).toWellFormed();
}

export function byteLength(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (unit < 0xd800 || unit > 0xdfff) bytes += 2;
    else if (unit < 0xdc00) {
      // A pair has four bytes for its two units; a lone byte has one for its one.
      bytes += 2;
      i++;
    }
  }
  return bytes;
}

export function toBytes(text: string): Uint8Array {
  if (text.isWellFormed()) return encoder.encode(text);
  const bytes: number[] = [];
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else for (const byte of encoder.encode(char)) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

export function fromBytes(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return decodeLoosely(bytes);
  }
}

function decodeLoosely(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length;) {
    const size = sequenceLength(bytes, i);
    if (size === 0) {
      text += String.fromCharCode(0xdc00 + (bytes[i] ?? 0));
      i++;
    } else {
      text += strictDecoder.decode(bytes.subarray(i, i + size));
      i += size;
    }
  }
  return text;
}

/** Bytes of the valid sequence that starts here, 0 when there is none. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  const size = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : 4;
  if (lead < 0xc2 || lead > 0xf4 || at + size > bytes.length) return 0;
  const second = bytes[at + 1] ?? 0;
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let i = 2; i < size; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  return size;
}

/** The canonical form of text put together from parts: bytes that now make a character become one. */
export function joined(text: string): string {
  return text.isWellFormed() ? text : fromBytes(toBytes(text));
}

/** One UTF-16 unit a byte. */
export function toBinary(text: string): string {
  if (isAscii(text)) return text;
  let binary = "";
  for (const byte of toBytes(text)) binary += String.fromCharCode(byte);
  return binary;
}

export function fromBinary(binary: string): string {
  if (isAscii(binary)) return binary;
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return fromBytes(bytes);
}

/** Bytes `from` up to `to`, which must lie in the string. */
export function sliceBytes(text: string, from: number, to: number): string {
  if (isAscii(text)) return text.slice(from, to);
  return fromBytes(toBytes(text).subarray(from, to));
}

/** Go's order of strings, by bytes. */
export function compareStrings(a: string, b: string): number {
  if (a === b) return 0;
  if (!a.isWellFormed() || !b.isWellFormed()) {
    a = toBinary(a);
    b = toBinary(b);
    return a < b ? -1 : a > b ? 1 : 0;
  }
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogate pairs stand for characters beyond U+FFFF, and sort behind U+E000 to U+FFFF. */
function rank(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit;
}

export function sortStrings(texts: string[]): string[] {
  texts.sort();
  // The engine's own order is by UTF-16 units, and faster.
  for (const text of texts) {
    for (let i = 0; i < text.length; i++) {
      if (text.charCodeAt(i) >= 0xd800) return texts.sort(compareStrings);
    }
  }
  return texts;
}

export function runeCount(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit <= 0xdbff) {
      count--;
      i++;
    }
  }
  return count;
}
