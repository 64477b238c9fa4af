/**
 * Reads the types that clang described in an object file (BTF, inside ELF): the layout of structs,
 * the values of enums, and where global variables lie. Pure: bytes in, plain data out.
 *
 * Only what those need: 64-bit little-endian ELF, and the kinds of BTF that C of that sort has.
 */

export interface FieldLayout {
  /** Bytes from the beginning of the struct. */
  readonly offset: number;
  /** Bytes, of all elements for an array. */
  readonly size: number;
  /** C type, such as "__u64[3]"; typedefs by their name. */
  readonly type: string;
}

export interface StructLayout {
  readonly size: number;
  readonly fields: Readonly<Record<string, FieldLayout>>;
}

export interface ObjectLayout {
  readonly structs: Readonly<Record<string, StructLayout>>;
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface GlobalVariable {
  /** ELF section, such as ".rodata": also the name of its map. */
  readonly section: string;
  readonly offset: number;
  readonly size: number;
}

interface BtfType {
  readonly kind: number;
  readonly name: string;
  readonly vlen: number;
  /** Size, or id of another type. */
  readonly sizeOrType: number;
  /** Where the kind's own data begins. */
  readonly at: number;
}

const Kind = {
  INT: 1,
  POINTER: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  DECL_TAG: 17,
  ENUM64: 19,
} as const;

/** Bytes after the common part of a type: fixed, and for each of its `vlen` members. */
const EXTRA: Readonly<Record<number, readonly [number, number]>> = {
  [Kind.INT]: [4, 0],
  [Kind.ARRAY]: [12, 0],
  [Kind.STRUCT]: [0, 12],
  [Kind.UNION]: [0, 12],
  [Kind.ENUM]: [0, 8],
  [Kind.FUNC_PROTO]: [0, 8],
  [Kind.VAR]: [4, 0],
  [Kind.DATASEC]: [0, 12],
  [Kind.DECL_TAG]: [4, 0],
  [Kind.ENUM64]: [0, 12],
};

const POINTER_BYTES = 8;
const BTF_MAGIC = 0xeb9f;
const ELF_MAGIC = 0x464c457f;

export class Btf {
  readonly #view: DataView;
  readonly #strings: number;
  /** By id; 0 is void. */
  readonly #types: (BtfType | undefined)[] = [undefined];

  /** @param object bytes of an ELF object. @throws {TypeError} when it holds no BTF. */
  constructor(object: Uint8Array) {
    const section = elfSection(object, ".BTF");
    if (section === undefined) throw new TypeError("Cannot read types: the object has no .BTF");
    this.#view = new DataView(section.buffer, section.byteOffset, section.byteLength);
    if (this.#u16(0) !== BTF_MAGIC) throw new TypeError("Cannot read types: not BTF");
    const header = this.#u32(4);
    const types = header + this.#u32(8);
    this.#strings = header + this.#u32(16);
    for (let at = types; at < types + this.#u32(12);) {
      const type = this.#readType(at);
      const [fixed, each] = EXTRA[type.kind] ?? [0, 0];
      this.#types.push(type);
      at = type.at + fixed + each * type.vlen;
    }
  }

  /** Structs and enums whose name begins with `prefix`. */
  layout(prefix: string): ObjectLayout {
    const structs: Record<string, StructLayout> = {};
    const enums: Record<string, Record<string, number>> = {};
    for (const type of this.#types) {
      if (!type?.name.startsWith(prefix)) continue;
      if (type.kind === Kind.STRUCT) structs[type.name] = this.#struct(type);
      if (type.kind === Kind.ENUM) enums[type.name] = this.#enum(type);
    }
    return { structs: sorted(structs), enums: sorted(enums) };
  }

  /** Global variables of data sections (.rodata, .data, .bss), by name. */
  globals(): Readonly<Record<string, GlobalVariable>> {
    const globals: Record<string, GlobalVariable> = {};
    for (const section of this.#types) {
      if (section?.kind !== Kind.DATASEC || !/^\.(rodata|data|bss)/.test(section.name)) continue;
      for (let index = 0; index < section.vlen; index++) {
        const at = section.at + index * 12;
        const variable = this.#type(this.#u32(at));
        globals[variable.name] = {
          section: section.name,
          offset: this.#u32(at + 4),
          size: this.#u32(at + 8),
        };
      }
    }
    return globals;
  }

  #readType(at: number): BtfType {
    const info = this.#u32(at + 4);
    return {
      name: this.#string(this.#u32(at)),
      kind: (info >>> 24) & 0x1f,
      vlen: info & 0xffff,
      sizeOrType: this.#u32(at + 8),
      at: at + 12,
    };
  }

  #struct(type: BtfType): StructLayout {
    const fields: Record<string, FieldLayout> = {};
    for (let index = 0; index < type.vlen; index++) {
      const at = type.at + index * 12;
      const id = this.#u32(at + 4);
      // Bitfields would have a size in the upper byte: there are none of ours.
      const offset = (this.#u32(at + 8) & 0xffffff) / 8;
      fields[this.#string(this.#u32(at))] = { offset, size: this.#size(id), type: this.#name(id) };
    }
    return { size: type.sizeOrType, fields };
  }

  #enum(type: BtfType): Record<string, number> {
    const values: Record<string, number> = {};
    for (let index = 0; index < type.vlen; index++) {
      const at = type.at + index * 8;
      values[this.#string(this.#u32(at))] = this.#u32(at + 4);
    }
    return values;
  }

  #size(id: number): number {
    const type = this.#type(id);
    switch (type.kind) {
      case Kind.POINTER:
        return POINTER_BYTES;
      case Kind.ARRAY:
        return this.#size(this.#u32(type.at)) * this.#u32(type.at + 8);
      case Kind.TYPEDEF:
      case Kind.VOLATILE:
      case Kind.CONST:
      case Kind.RESTRICT:
        return this.#size(type.sizeOrType);
      default:
        return type.sizeOrType;
    }
  }

  #name(id: number): string {
    const type = this.#type(id);
    if (type.kind === Kind.POINTER) return "pointer";
    if (type.kind === Kind.ARRAY) {
      // int[2][3] is an array of 2 of an array of 3.
      const [, element, rest] = /^([^[]*)(.*)$/.exec(this.#name(this.#u32(type.at))) ?? [];
      return `${element}[${this.#u32(type.at + 8)}]${rest}`;
    }
    if (type.kind === Kind.VOLATILE || type.kind === Kind.CONST) return this.#name(type.sizeOrType);
    return type.name;
  }

  #type(id: number): BtfType {
    const type = this.#types[id];
    if (type === undefined) throw new TypeError(`Cannot read types: no type ${id}`);
    return type;
  }

  #string(offset: number): string {
    const start = this.#strings + offset;
    let end = start;
    while (this.#view.getUint8(end) !== 0) end++;
    const bytes = new Uint8Array(this.#view.buffer, this.#view.byteOffset + start, end - start);
    return new TextDecoder().decode(bytes);
  }

  #u16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, true);
  }
}

/** @returns where the object differs from what was expected, one line each; empty: nowhere. */
export function layoutDifferences(expected: ObjectLayout, actual: ObjectLayout): string[] {
  const wanted = flatten(expected);
  const found = flatten(actual);
  return [...new Set([...wanted.keys(), ...found.keys()])].flatMap((key) => {
    const [want = "absent", have = "absent"] = [wanted.get(key), found.get(key)];
    return want === have ? [] : [`${key}: expected ${want}, found ${have}`];
  });
}

function flatten(layout: ObjectLayout): Map<string, string> {
  const lines = new Map<string, string>();
  for (const [name, { size, fields }] of Object.entries(layout.structs)) {
    lines.set(name, `${size} bytes`);
    for (const [field, { offset, size, type }] of Object.entries(fields)) {
      lines.set(`${name}.${field}`, `${type} at ${offset}, ${size} bytes`);
    }
  }
  for (const [name, values] of Object.entries(layout.enums)) {
    for (const [key, value] of Object.entries(values)) lines.set(`${name}.${key}`, String(value));
  }
  return lines;
}

function sorted<T>(record: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1));
}

function elfSection(object: Uint8Array, wanted: string): Uint8Array | undefined {
  const view = new DataView(object.buffer, object.byteOffset, object.byteLength);
  if (object.length < 64 || view.getUint32(0, true) !== ELF_MAGIC) {
    throw new TypeError("Cannot read types: not an ELF object");
  }
  const headers = Number(view.getBigUint64(0x28, true));
  const [entrySize, count, namesIndex] = [0x3a, 0x3c, 0x3e].map((at) => view.getUint16(at, true));
  const section = (index: number) => {
    const at = headers + index * (entrySize ?? 0);
    const offset = Number(view.getBigUint64(at + 0x18, true));
    const size = Number(view.getBigUint64(at + 0x20, true));
    return { name: view.getUint32(at, true), bytes: object.subarray(offset, offset + size) };
  };
  const names = section(namesIndex ?? 0).bytes;
  for (let index = 0; index < (count ?? 0); index++) {
    const { name, bytes } = section(index);
    const end = names.indexOf(0, name);
    if (new TextDecoder().decode(names.subarray(name, end)) === wanted) return bytes;
  }
  return undefined;
}
