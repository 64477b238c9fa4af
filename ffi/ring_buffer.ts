/**
 * Reads a BPF_MAP_TYPE_RINGBUF by polling: no thread, no wake-up, no wait.
 */
import { checked } from "./errors.ts";
import { forgetHandle, registerHandle } from "./handles.ts";
import { checkedPointer, libbpf, takeMessages } from "./library.ts";
import type { BpfMap } from "./map.ts";

// int (*ring_buffer_sample_fn)(void *ctx, void *data, size_t size)
const SAMPLE = {
  parameters: ["pointer", "pointer", "usize"],
  result: "i32",
} as const satisfies Deno.UnsafeCallbackDefinition;

export class RingBuffer implements Disposable {
  readonly #callback: Deno.UnsafeCallback<typeof SAMPLE>;
  #pointer: Deno.PointerObject | undefined;
  #samples: Uint8Array<ArrayBuffer>[] = [];

  /** The map may be closed after. */
  constructor(map: BpfMap) {
    this.#callback = new Deno.UnsafeCallback(SAMPLE, (_context, data, size) => {
      if (data !== null) {
        const bytes = Deno.UnsafePointerView.getArrayBuffer(data, Number(size)).slice(0);
        this.#samples.push(new Uint8Array(bytes));
      }
      return 0;
    });
    takeMessages();
    try {
      this.#pointer = checkedPointer(
        libbpf().ring_buffer__new(map.fd, this.#callback.pointer, null, null),
        `read the ring buffer ${map.info.name}`,
      );
    } catch (error) {
      this.#callback.close();
      throw error;
    }
    registerHandle(this, `ring buffer ${map.info.name}`);
  }

  /** @returns what was written since the last time, oldest first. */
  consume(): Uint8Array<ArrayBuffer>[] {
    if (this.#pointer === undefined) throw new TypeError("Cannot read a ring buffer: it is closed");
    checked(libbpf().ring_buffer__consume(this.#pointer), "read a ring buffer");
    const samples = this.#samples;
    this.#samples = [];
    return samples;
  }

  [Symbol.dispose](): void {
    if (this.#pointer === undefined) return;
    libbpf().ring_buffer__free(this.#pointer);
    this.#pointer = undefined;
    this.#callback.close();
    forgetHandle(this);
  }
}
