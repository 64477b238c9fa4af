/**
 * Structs as bytes, by a layout: what C calls `__u64 a[2]; __u16 b;` is `{ a: [1n, 2n], b: 3 }`.
 *
 * u64 are bigint, smaller ones number; arrays, of any rank, are flat. Fields that are structs are left
 * to the caller.
 */
import type { FieldLayout, StructLayout } from "./btf.ts";

export type Scalar = number | bigint;

const WIDTHS: Readonly<Record<string, 1 | 2 | 4 | 8>> = {
  __u8: 1,
  __u16: 2,
  __u32: 4,
  __u64: 8,
};

export class StructCodec<S extends StructLayout> {
  readonly layout: S;

  constructor(layout: S) {
    this.layout = layout;
  }

  /** Fields not named are zero. @throws {RangeError} for a value that does not fit its field. */
  encode(
    values: { readonly [F in keyof S["fields"]]?: Scalar | ArrayLike<Scalar> },
  ): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.layout.size);
    const view = new DataView(bytes.buffer);
    for (const [name, value] of Object.entries(values)) {
      const { field, width } = this.#field(name);
      const items = isScalar(value) ? [value] : Array.from(value as ArrayLike<Scalar>);
      if (items.length * width > field.size) {
        throw new RangeError(`Cannot encode ${name}: ${items.length} values, too many`);
      }
      items.forEach((item, index) => put(view, field.offset + index * width, width, item, name));
    }
    return bytes;
  }

  /** One field of a struct's bytes: all elements of an array, one of a scalar. */
  read(bytes: Uint8Array, name: keyof S["fields"] & string): bigint[] {
    if (bytes.length !== this.layout.size) {
      throw new RangeError(`Cannot read ${name}: ${bytes.length} bytes, not ${this.layout.size}`);
    }
    const { field, width } = this.#field(name);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from(
      { length: field.size / width },
      (_, index) => get(view, field.offset + index * width, width),
    );
  }

  /** A field that fits a number. */
  readNumber(bytes: Uint8Array, name: keyof S["fields"] & string): number {
    return Number(this.read(bytes, name)[0] ?? 0n);
  }

  #field(name: string): { field: FieldLayout; width: 1 | 2 | 4 | 8 } {
    const field = this.layout.fields[name];
    const width = WIDTHS[field?.type.replace(/\[.*$/, "") ?? ""];
    if (field === undefined || width === undefined) {
      throw new TypeError(`Cannot use the field ${name}: there is none made of integers`);
    }
    return { field, width };
  }
}

function isScalar(value: unknown): value is Scalar {
  return typeof value === "number" || typeof value === "bigint";
}

function put(view: DataView, at: number, width: 1 | 2 | 4 | 8, value: Scalar, name: string): void {
  const wide = BigInt(value);
  if (wide < 0n || wide >= 1n << BigInt(width * 8)) {
    throw new RangeError(`Cannot encode ${name}: ${value} does not fit ${width} bytes`);
  }
  if (width === 1) view.setUint8(at, Number(wide));
  else if (width === 2) view.setUint16(at, Number(wide), true);
  else if (width === 4) view.setUint32(at, Number(wide), true);
  else view.setBigUint64(at, wide, true);
}

function get(view: DataView, at: number, width: 1 | 2 | 4 | 8): bigint {
  if (width === 1) return BigInt(view.getUint8(at));
  if (width === 2) return BigInt(view.getUint16(at, true));
  if (width === 4) return BigInt(view.getUint32(at, true));
  return view.getBigUint64(at, true);
}
