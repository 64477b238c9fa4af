/**
 * Writes tar archives (POSIX pax) whose bytes depend on nothing but what is put in: sorted, owned by
 * root, with one time.
 */

export interface TarFile {
  /** Without a `/` in front; at most 100 bytes. */
  readonly path: string;
  readonly content: Uint8Array;
  /** Default 0o644. */
  readonly mode?: number;
  /** File capabilities, as the kernel keeps them: see {@link fileCapabilities}. */
  readonly capabilities?: Uint8Array;
}

const BLOCK = 512;
const PATH_BYTES = 100;
const encoder = new TextEncoder();

/**
 * The folders above the files are made as well, mode 0755.
 * @param mtime of every entry, in seconds.
 */
export function tarArchive(files: readonly TarFile[], mtime: number): Uint8Array<ArrayBuffer> {
  const folders = new Set(files.flatMap(({ path }) => foldersAbove(path)));
  const entries = [
    ...[...folders].map((path) => ({ path: `${path}/`, mode: 0o755, content: new Uint8Array() })),
    ...files,
  ].sort((one, other) => one.path < other.path ? -1 : 1);
  const blocks = entries.flatMap((entry) => entryBlocks(entry, mtime));
  return concatenate([...blocks, new Uint8Array(2 * BLOCK)]);
}

function foldersAbove(path: string): string[] {
  const names = path.split("/").slice(0, -1);
  return names.map((_, index) => names.slice(0, index + 1).join("/"));
}

function entryBlocks({ path, content, mode, capabilities }: TarFile, mtime: number): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  if (capabilities !== undefined) {
    const record = paxRecord("SCHILY.xattr.security.capability", capabilities);
    const name = `PaxHeaders/${path.split("/").at(-1)}`;
    blocks.push(header({ path: name, size: record.length, mode: 0o644, mtime, type: "x" }));
    blocks.push(padded(record));
  }
  const type = path.endsWith("/") ? "5" : "0";
  blocks.push(header({ path, size: content.length, mode: mode ?? 0o644, mtime, type }));
  blocks.push(padded(content));
  return blocks;
}

interface Header {
  path: string;
  size: number;
  mode: number;
  mtime: number;
  type: string;
}

function header({ path, size, mode, mtime, type }: Header): Uint8Array {
  const name = encoder.encode(path);
  if (name.length > PATH_BYTES) throw new Error(`Cannot archive ${path}: the name is too long`);
  const block = new Uint8Array(BLOCK);
  const put = (offset: number, text: string) => block.set(encoder.encode(text), offset);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  block.set(name);
  put(100, octal(mode, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(mtime, 11));
  // The sum counts its own field as blanks.
  put(148, " ".repeat(8));
  put(156, type);
  put(257, "ustar\0" + "00");
  put(265, "root");
  put(297, "root");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${octal(sum, 6)}\0 `);
  return block;
}

/** `<length> <key>=<value>\n`, where the length counts its own digits. */
function paxRecord(key: string, value: Uint8Array): Uint8Array {
  const rest = concatenate([encoder.encode(` ${key}=`), value, encoder.encode("\n")]);
  let length = rest.length;
  while (length !== rest.length + String(length).length) {
    length = rest.length + String(length).length;
  }
  return concatenate([encoder.encode(String(length)), rest]);
}

function padded(content: Uint8Array): Uint8Array {
  const missing = (BLOCK - content.length % BLOCK) % BLOCK;
  return missing === 0 ? content : concatenate([content, new Uint8Array(missing)]);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

/**
 * `struct vfs_cap_data`, revision 2: `+ep` of the given capabilities.
 * @param numbers of <linux/capability.h>.
 */
export function fileCapabilities(numbers: readonly number[]): Uint8Array {
  const REVISION_2 = 0x02000000;
  const EFFECTIVE = 1;
  const view = new DataView(new ArrayBuffer(20));
  view.setUint32(0, REVISION_2 | EFFECTIVE, true);
  for (const number of numbers) {
    // Permitted 0-31, inheritable 0-31, permitted 32-63, inheritable 32-63.
    const offset = number < 32 ? 4 : 12;
    view.setUint32(offset, (view.getUint32(offset, true) | 1 << number % 32) >>> 0, true);
  }
  return new Uint8Array(view.buffer);
}
