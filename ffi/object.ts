/**
 * A BPF object: open from bytes, configure, load once, take out programs and maps.
 *
 * - Loading does not block the event loop. Nothing is attached or pinned unless asked.
 * - Programs and maps taken out have descriptors of their own: close the object when done with it.
 * - What a failed load leaves is gone with the object; pins that it made stay, as libbpf leaves them.
 */
import { Btf, layoutDifferences, type ObjectLayout } from "./btf.ts";
import { BpfError, checked, errnoName, LayoutError, VerifierError } from "./errors.ts";
import { duplicateFd, forgetHandle, registerHandle } from "./handles.ts";
import {
  checkedPointer,
  cString,
  libbpf,
  onOtherThread,
  takeMessages,
  text,
  textOf,
} from "./library.ts";
import { BpfMap } from "./map.ts";
import { PinnedBytes } from "./memory.ts";
import { Program } from "./program.ts";

/** struct bpf_object_open_opts of libbpf 1.1; newer ones take it too. */
const OPEN_OPTIONS_BYTES = 80;
const LOG_BYTES = 1 << 20;

type State = "open" | "loading" | "loaded" | "failed" | "closed";

const parsed = new WeakMap<Uint8Array, Btf>();

/** Read once for all objects that are opened of the same bytes. */
function btfOf(bytes: Uint8Array<ArrayBuffer>): Btf {
  const known = parsed.get(bytes) ?? new Btf(bytes);
  parsed.set(bytes, known);
  return known;
}

export class BpfObject implements Disposable {
  readonly name: string;
  readonly #pointer: Deno.PointerObject;
  readonly #btf: Btf;
  readonly #log: PinnedBytes;
  readonly #nameBytes: PinnedBytes;
  #state: State = "open";
  #closeAfterLoad = false;

  private constructor(name: string, bytes: Uint8Array<ArrayBuffer>) {
    this.name = name;
    this.#btf = btfOf(bytes);
    this.#log = new PinnedBytes(LOG_BYTES);
    this.#nameBytes = new PinnedBytes(name.length + 1);
    this.#nameBytes.bytes.set(cString(name));
    const options = new DataView(new ArrayBuffer(OPEN_OPTIONS_BYTES));
    options.setBigUint64(0, BigInt(OPEN_OPTIONS_BYTES), true);
    options.setBigUint64(8, this.#nameBytes.address, true);
    options.setBigUint64(56, this.#log.address, true);
    options.setBigUint64(64, BigInt(LOG_BYTES), true);
    takeMessages();
    try {
      const pointer = libbpf().bpf_object__open_mem(
        bytes,
        BigInt(bytes.length),
        new Uint8Array(options.buffer),
      );
      this.#pointer = checkedPointer(pointer, `open the object ${name}`);
    } catch (error) {
      this.#release();
      throw error;
    }
    registerHandle(this, `object ${name}`);
  }

  /**
   * @param bytes an ELF object as clang makes it, with BTF.
   * @param name of up to 15 ASCII characters; names of data section maps begin with it.
   * @throws {BpfError} when it cannot be read.
   */
  static open(bytes: Uint8Array<ArrayBuffer>, name: string): BpfObject {
    return new BpfObject(name, bytes);
  }

  /** @throws {LayoutError} unless structs and enums with this prefix are exactly as expected. */
  checkLayout(prefix: string, expected: ObjectLayout): void {
    const differences = layoutDifferences(expected, this.#btf.layout(prefix));
    if (differences.length > 0) throw new LayoutError(this.name, differences);
  }

  get programNames(): string[] {
    return this.#walk("bpf_object__next_program").map((program) =>
      text(libbpf().bpf_program__name(program))
    );
  }

  get mapNames(): string[] {
    return this.#walk("bpf_object__next_map").map((map) => text(libbpf().bpf_map__name(map)));
  }

  /** Before loading. A program left out is not loaded. */
  setAutoload(program: string, on: boolean): void {
    const pointer = this.#program(program, "open");
    this.#check(libbpf().bpf_program__set_autoload(pointer, on), `configure ${program}`);
  }

  /** Before loading. A map left out is not made: code that uses it must be unreachable. */
  setAutocreate(map: string, on: boolean): void {
    const pointer = this.#map(map, "open");
    this.#check(libbpf().bpf_map__set_autocreate(pointer, on), `configure the map ${map}`);
  }

  setMaxEntries(map: string, entries: number): void {
    const pointer = this.#map(map, "open");
    this.#check(libbpf().bpf_map__set_max_entries(pointer, entries), `size the map ${map}`);
  }

  /**
   * Before loading. If something is pinned there, loading uses it, and fails (EINVAL) where its type
   * or sizes differ; else loading pins the new map there.
   */
  setPinPath(map: string, path: string): void {
    const pointer = this.#map(map, "open");
    this.#check(libbpf().bpf_map__set_pin_path(pointer, cString(path)), `pin the map ${map}`);
  }

  /** Before loading: takes this map instead of making one. */
  reuse(map: string, existing: BpfMap): void {
    const pointer = this.#map(map, "open");
    this.#check(libbpf().bpf_map__reuse_fd(pointer, existing.fd), `reuse the map ${map}`);
  }

  /** Before loading: the value of a global variable, of exactly its size. */
  setGlobal(variable: string, value: Uint8Array): void {
    const place = this.#btf.globals()[variable];
    if (place === undefined) {
      throw new TypeError(`Cannot set ${variable}: ${this.name} has no such variable`);
    }
    if (place.size !== value.length) {
      throw new RangeError(`Cannot set ${variable}: ${value.length} bytes, not ${place.size}`);
    }
    const map = this.#map(place.section, "open");
    const size = new BigUint64Array(1);
    const current = libbpf().bpf_map__initial_value(map, new Uint8Array(size.buffer));
    const pointer = checkedPointer(current, `read the section ${place.section}`);
    const section = new Uint8Array(
      Deno.UnsafePointerView.getArrayBuffer(pointer, Number(size[0] ?? 0n)).slice(0),
    );
    section.set(value, place.offset);
    this.#check(
      libbpf().bpf_map__set_initial_value(map, section, BigInt(section.length)),
      `set ${variable}`,
    );
  }

  /**
   * @param options `details`: keep what libbpf says, for which the load waits for the event loop
   * hundreds of times. Default: true.
   * @throws {VerifierError} with the log, when the kernel rejects a program.
   * @throws {BpfError} for all else, with what libbpf said.
   */
  async load({ details: heard = true }: { details?: boolean } = {}): Promise<void> {
    this.#expect("open");
    this.#state = "loading";
    takeMessages();
    const work = () => libbpf().bpf_object__load(this.#pointer);
    const result = await onOtherThread(work, heard);
    const details = takeMessages();
    this.#state = result === 0 ? "loaded" : "failed";
    const log = textOf(this.#log.bytes);
    if (this.#closeAfterLoad) this.close();
    if (result === 0) return;
    const action = `load the object ${this.name}`;
    const errno = errnoName(-result);
    throw log === ""
      ? new BpfError(action, errno, { details })
      : new VerifierError(action, errno, { log, details });
  }

  /** After loading: the map, with a descriptor of its own. */
  map(name: string): BpfMap {
    const fd = checked(libbpf().bpf_map__fd(this.#map(name, "loaded")), `take the map ${name}`);
    return new BpfMap(duplicateFd(fd, `the map ${name}`));
  }

  /** After loading: the map of the section that holds this variable, and where in it. */
  globalMap(variable: string): { map: BpfMap; offset: number; size: number } {
    const place = this.#btf.globals()[variable];
    if (place === undefined) {
      throw new TypeError(`Cannot find ${variable}: ${this.name} has no such variable`);
    }
    return { map: this.map(place.section), offset: place.offset, size: place.size };
  }

  /** After loading: the program, with a descriptor of its own. */
  program(name: string): Program {
    const pointer = this.#program(name, "loaded");
    const fd = checked(libbpf().bpf_program__fd(pointer), `take the program ${name}`);
    return new Program(duplicateFd(fd, `the program ${name}`), name);
  }

  /** While a load is under way: when that is over. */
  close(): void {
    if (this.#state === "closed") return;
    if (this.#state === "loading") {
      this.#closeAfterLoad = true;
      return;
    }
    this.#state = "closed";
    libbpf().bpf_object__close(this.#pointer);
    this.#release();
    forgetHandle(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #release(): void {
    this.#log.release();
    this.#nameBytes.release();
  }

  #expect(state: State): void {
    if (this.#state !== state) {
      throw new TypeError(`Cannot use ${this.name}: it is ${this.#state}, not ${state}`);
    }
  }

  #map(name: string, state: State): Deno.PointerObject {
    this.#expect(state);
    const pointer = libbpf().bpf_object__find_map_by_name(this.#pointer, cString(name));
    return checkedPointer(pointer, `find the map ${name} in ${this.name}`);
  }

  #program(name: string, state: State): Deno.PointerObject {
    this.#expect(state);
    const pointer = libbpf().bpf_object__find_program_by_name(this.#pointer, cString(name));
    return checkedPointer(pointer, `find the program ${name} in ${this.name}`);
  }

  #walk(next: "bpf_object__next_program" | "bpf_object__next_map"): Deno.PointerObject[] {
    if (this.#state === "closed") throw new TypeError(`Cannot use ${this.name}: it is closed`);
    const found: Deno.PointerObject[] = [];
    for (let item = libbpf()[next](this.#pointer, null); item !== null;) {
      found.push(item);
      item = libbpf()[next](this.#pointer, item);
    }
    return found;
  }

  #check(result: number, action: string): void {
    if (result < 0) {
      throw new BpfError(action, errnoName(-result), { details: takeMessages() });
    }
  }
}
