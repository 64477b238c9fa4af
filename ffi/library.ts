/**
 * Opens libbpf and libc, on first use and once a process, by absolute path: no search path decides
 * what is loaded. `--allow-ffi=PATH` is not enough: Deno grants pointers without a path only.
 *
 * LIBBPF_PATH overrides where libbpf is looked for. libbpf's own messages go into the error of the
 * call that made them, never to standard error.
 */
import { BpfError, errnoName, LibraryError } from "./errors.ts";
import { LIBBPF_SYMBOLS, LIBC_SYMBOLS } from "./symbols.ts";

/** Tried in this order; the first that exists is taken. */
export const LIBBPF_CANDIDATES: readonly string[] = [
  "/usr/lib/x86_64-linux-gnu/libbpf.so.1",
  "/usr/lib/aarch64-linux-gnu/libbpf.so.1",
  "/usr/lib64/libbpf.so.1",
  "/usr/lib/libbpf.so.1",
];

export const LIBC_CANDIDATES: readonly string[] = [
  "/lib/x86_64-linux-gnu/libc.so.6",
  "/lib/aarch64-linux-gnu/libc.so.6",
  "/lib64/libc.so.6",
  "/usr/lib/libc.so.6",
];

const LIBBPF_MAJOR = 1;
const MESSAGE_BYTES = 1024;
const MESSAGES_MAX = 100;
/** libbpf's levels: 0 warning, 1 info, 2 debug. */
const WARNING = 0;

const PRINT = {
  parameters: ["i32", "pointer", "pointer"],
  result: "i32",
} as const satisfies Deno.UnsafeCallbackDefinition;

type Libbpf = Deno.DynamicLibrary<typeof LIBBPF_SYMBOLS>["symbols"];
type Libc = Deno.DynamicLibrary<typeof LIBC_SYMBOLS>["symbols"];

let opened: { path: string; libbpf: Libbpf; print: Deno.UnsafeCallback<typeof PRINT> } | undefined;
let openedLibc: Libc | undefined;
let messages: string[] = [];

/** @throws {LibraryError} when there is none, or not of major version 1. */
export function libbpf(): Libbpf {
  return open().libbpf;
}

/** @returns where libbpf was found, and its version, such as "v1.1.2". */
export function libraryInfo(): { path: string; version: string } {
  const { path, libbpf } = open();
  return { path, version: text(libbpf.libbpf_version_string()) };
}

export function libc(): Libc {
  openedLibc ??= dlopen("libc", LIBC_CANDIDATES, LIBC_SYMBOLS).symbols;
  return openedLibc;
}

function open() {
  if (opened !== undefined) return opened;
  const override = Deno.env.get("LIBBPF_PATH");
  const { symbols, path } = dlopen(
    "libbpf",
    override ? [override] : LIBBPF_CANDIDATES,
    LIBBPF_SYMBOLS,
  );
  const major = symbols.libbpf_major_version();
  if (major !== LIBBPF_MAJOR) {
    throw new LibraryError(`Cannot use ${path}: libbpf ${major}.x, need ${LIBBPF_MAJOR}.x`);
  }
  // Messages are formatted by libc, on whatever thread they come up.
  libc();
  const print = new Deno.UnsafeCallback(PRINT, keepMessage);
  symbols.libbpf_set_print(print.pointer);
  opened = { path, libbpf: symbols, print };
  return opened;
}

function dlopen<S extends Deno.ForeignLibraryInterface>(
  what: string,
  candidates: readonly string[],
  symbols: S,
): { symbols: Deno.DynamicLibrary<S>["symbols"]; path: string } {
  const path = candidates.find(exists);
  if (path === undefined) {
    throw new LibraryError(`Cannot open ${what}: none of ${candidates.join(", ")} exists`);
  }
  try {
    return { symbols: Deno.dlopen(path, symbols).symbols, path };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LibraryError(`Cannot open ${path}: ${reason}`, { cause });
  }
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** libbpf_print_fn_t. On the thread of the call: for a load, not this one, which then waits for us. */
function keepMessage(level: number, format: Deno.PointerValue, args: Deno.PointerValue): number {
  if (level !== WARNING) return 0;
  const buffer = new Uint8Array(MESSAGE_BYTES);
  libc().vsnprintf(buffer, BigInt(buffer.length), format, args);
  const line = textOf(buffer).trim();
  if (line !== "" && messages.length < MESSAGES_MAX) messages.push(line);
  return 0;
}

/** Loads under way on other threads, by whether their messages are heard. */
const loads = { heard: 0, unheard: 0 };

/**
 * Does what happens on another thread. Each of its messages waits for this one: there are hundreds, and
 * this one may be busy.
 */
export async function onOtherThread<T>(work: () => Promise<T>, heard: boolean): Promise<T> {
  const { libbpf, print } = open();
  // Taken away only where no other thread can be about to call it.
  const kind = heard || loads.heard > 0 ? "heard" : "unheard";
  if (loads[kind]++ === 0 && kind === "unheard") libbpf.libbpf_set_print(null);
  try {
    return await work();
  } finally {
    if (--loads[kind] === 0 && kind === "unheard") libbpf.libbpf_set_print(print.pointer);
  }
}

/** @returns what libbpf printed since the last time, and forgets it. */
export function takeMessages(): string[] {
  const taken = messages;
  messages = [];
  return taken;
}

/** A pointer that libbpf returned: NULL is an error. To be called at once after. */
export function checkedPointer(pointer: Deno.PointerValue, action: string): Deno.PointerObject {
  if (pointer !== null) return pointer;
  const error = Number(libbpf().libbpf_get_error(null));
  throw new BpfError(action, errnoName(-error || 22), { details: takeMessages() });
}

/** errno of the libc call just made by this thread. */
export function lastErrno(): string {
  const location = libc().__errno_location();
  return location === null ? "E0" : errnoName(new Deno.UnsafePointerView(location).getInt32());
}

/** NUL-terminated, for a `const char *`. @throws {TypeError} when the text holds a NUL. */
export function cString(value: string): Uint8Array<ArrayBuffer> {
  if (value.includes("\0")) throw new TypeError("Cannot pass a text with a NUL character to C");
  const bytes = new TextEncoder().encode(value);
  const result = new Uint8Array(bytes.length + 1);
  result.set(bytes);
  return result;
}

/** The text before the first NUL. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** The C string at `pointer`; empty for NULL. */
export function text(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : new Deno.UnsafePointerView(pointer).getCString();
}
