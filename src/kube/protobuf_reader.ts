/**
 * A skipping protobuf reader: takes from a message the fields that a descriptor lists, in the shape
 * the same object has in JSON, and passes over everything else. Pure.
 *
 * Descriptors are tables: field number of the `.proto` file -> name in JSON and kind. To read more of
 * an object, add rows (`{ ...podSpec, 3: text("restartPolicy") }`).
 *
 * Guarantees: whatever the bytes, only a `SyntaxError` is thrown, and nothing outside of the given
 * bounds is read. As in Go's JSON (`omitempty`), empty strings, zeros and false are left out, except
 * in fields marked `always`. A message field that occurs twice is not merged: the last one counts.
 */
import { Buffer } from "node:buffer";

export type Scalar = "string" | "bool" | "int" | "time";
/** `keys`: the values are passed over, and read as empty strings. */
export type MapValue = "string" | "keys";

export type Field =
  | { readonly json: string; readonly kind: Scalar; readonly always?: boolean }
  | { readonly json: string; readonly kind: "strings" }
  | { readonly json: string; readonly kind: "map"; readonly value: MapValue }
  | { readonly json: string; readonly kind: "message"; readonly of: Message }
  | { readonly json: string; readonly kind: "messages"; readonly of: Message }
  /** The undecoded bytes: a view. */
  | { readonly json: string; readonly kind: "raw" };

export type Message = Readonly<Record<number, Field>>;

export const text = (json: string): Field => ({ json, kind: "string" });
export const bool = (json: string): Field => ({ json, kind: "bool" });
export const int = (json: string): Field => ({ json, kind: "int" });
export const time = (json: string): Field => ({ json, kind: "time" });
export const raw = (json: string): Field => ({ json, kind: "raw" });
export const texts = (json: string): Field => ({ json, kind: "strings" });
export const map = (json: string, value: MapValue = "string"): Field => ({
  json,
  kind: "map",
  value,
});
export const one = (json: string, of: Message): Field => ({ json, kind: "message", of });
export const many = (json: string, of: Message): Field => ({ json, kind: "messages", of });
/** Kept also when empty, zero or false: Go's type is a pointer, or its JSON has no `omitempty`. */
export const always = (field: Field): Field => ({ ...field, always: true } as Field);

/** The fields that a descriptor listed and the bytes held. */
export type Partial = { [name: string]: unknown };

const timeFields: Message = { 1: always(int("seconds")), 2: int("nanos") };

/** @throws {SyntaxError} */
export function decodeMessage(bytes: Uint8Array, message: Message): Partial {
  const reader = new Reader(bytes);
  return reader.message(message, bytes.length);
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  message(message: Message, end: number): Partial {
    const out: Partial = {};
    while (this.#at < end) {
      const tag = this.#varint(end);
      const field = message[Math.floor(tag / 8)];
      if (field === undefined) this.#skip(tag, end);
      else this.#field(field, tag % 8, end, out);
    }
    return out;
  }

  #field(field: Field, wireType: number, end: number, out: Partial): void {
    if (field.kind === "bool" || field.kind === "int") {
      if (wireType !== 0) throw malformed(`field ${field.json} is not a number`);
      const value = this.#varint(end);
      if (value === 0 && !field.always) return;
      out[field.json] = field.kind === "bool" ? value !== 0 : value;
      return;
    }
    if (wireType !== 2) throw malformed(`field ${field.json} has no length`);
    const fieldEnd = this.#length(end);
    switch (field.kind) {
      case "string":
        if (fieldEnd > this.#at || field.always) out[field.json] = this.#text(fieldEnd);
        break;
      case "time":
        out[field.json] = this.#time(fieldEnd);
        break;
      case "message":
        out[field.json] = this.message(field.of, fieldEnd);
        break;
      case "messages":
        append(out, field.json, this.message(field.of, fieldEnd));
        break;
      case "strings":
        append(out, field.json, this.#text(fieldEnd));
        break;
      case "map":
        this.#mapEntry(field.value, fieldEnd, (out[field.json] ??= {}) as Record<string, string>);
        break;
      case "raw":
        out[field.json] = this.#bytes.subarray(this.#at, fieldEnd);
        break;
    }
    this.#at = fieldEnd;
  }

  /** A map is a repeated message of key (1) and value (2). */
  #mapEntry(kind: MapValue, end: number, into: Record<string, string>): void {
    let key = "";
    let value = "";
    while (this.#at < end) {
      const tag = this.#varint(end);
      if (tag !== 10 && tag !== 18) {
        this.#skip(tag, end);
        continue;
      }
      const fieldEnd = this.#length(end);
      if (tag === 10) key = this.#text(fieldEnd);
      else if (kind === "string") value = this.#text(fieldEnd);
      this.#at = fieldEnd;
    }
    if (key === "__proto__") {
      // A legal data key; assigning it would set the prototype.
      Object.defineProperty(into, key, { value, enumerable: true, writable: true });
    } else {
      into[key] = value;
    }
  }

  #time(end: number): string {
    const { seconds = 0, nanos = 0 } = this.message(timeFields, end) as Record<string, number>;
    const date = new Date(seconds * 1000);
    if (Number.isNaN(date.getTime())) throw malformed("a time out of range");
    const whole = date.toISOString().slice(0, -5);
    const micros = Math.floor(nanos / 1000);
    return micros === 0 ? `${whole}Z` : `${whole}.${String(micros).padStart(6, "0")}Z`;
  }

  #text(end: number): string {
    const start = this.#at;
    this.#at = end;
    return this.#bytes.toString("utf8", start, end);
  }

  /** Reads a length; where its bytes end. */
  #length(end: number): number {
    const length = this.#varint(end);
    if (length < 0 || length > end - this.#at) throw malformed("a length past the end");
    return this.#at + length;
  }

  /** A varint as a signed 64-bit number; beyond 2^53 it loses its low bits. */
  #varint(end: number): number {
    const bytes = this.#bytes;
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.#at >= end) throw malformed("it ends within a number");
      const byte = bytes[this.#at++] as number;
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return low;
    }
    let high = 0n;
    for (let shift = 0n; shift < 42n; shift += 7n) {
      if (this.#at >= end) throw malformed("it ends within a number");
      const byte = bytes[this.#at++] as number;
      high |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, (high << 28n) | BigInt(low)));
    }
    throw malformed("a number of more than ten bytes");
  }

  #skip(tag: number, end: number): void {
    if (tag < 8) throw malformed("field number 0");
    switch (tag % 8) {
      case 0:
        this.#varint(end);
        return;
      case 1:
        this.#at += 8;
        break;
      case 2:
        this.#at = this.#length(end);
        return;
      case 5:
        this.#at += 4;
        break;
      default:
        throw malformed(`wire type ${tag % 8}`);
    }
    if (this.#at > end) throw malformed("it ends within a field");
  }
}

function append(out: Partial, name: string, value: unknown): void {
  const list = out[name] as unknown[] | undefined;
  if (list) list.push(value);
  else out[name] = [value];
}

function malformed(reason: string): SyntaxError {
  return new SyntaxError(`Cannot read protobuf: ${reason}`);
}
