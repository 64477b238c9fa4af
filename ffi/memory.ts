/**
 * Memory whose address C keeps beyond one call.
 *
 * A small typed array may live on V8's heap and move, and an address alone keeps nothing alive: so
 * the bytes are allocated outside of it, and held until `release`.
 */

const held = new Set<PinnedBytes>();

export class PinnedBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly pointer: Deno.PointerObject;

  constructor(length: number) {
    // An explicit ArrayBuffer is never on the heap; one byte more, for an empty one has no address.
    this.bytes = new Uint8Array(new ArrayBuffer(length + 1), 0, length);
    const pointer = Deno.UnsafePointer.of(new Uint8Array(this.bytes.buffer));
    if (pointer === null) throw new TypeError("Cannot take the address of a buffer");
    this.pointer = pointer;
    held.add(this);
  }

  get address(): bigint {
    return BigInt(Deno.UnsafePointer.value(this.pointer));
  }

  /** From now on C must not use the address. */
  release(): void {
    held.delete(this);
  }
}
