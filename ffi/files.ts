/**
 * Files below /proc, /sys and a bpffs, by libc: Deno grants those paths only together with every
 * other right, and a program that may open libbpf and libc needs no more than that.
 *
 * Synchronous: these file systems have no disk behind them. Paths are absolute.
 */
import { BpfError } from "./errors.ts";
import { OwnedFd } from "./handles.ts";
import { cString, lastErrno, libc } from "./library.ts";

const O_RDONLY_CLOEXEC = 0o2000000;
const F_OK = 0;
const W_OK_X_OK = 3;
const LOCK_EXCLUSIVE_NOW = 2 | 4;
const CHUNK_BYTES = 65_536;
const STATFS_BYTES = 256;
/** struct dirent of 64-bit glibc: d_ino at 0, d_type at 18, d_name from 19. */
const DIRENT_TYPE = 18;
const DIRENT_NAME = 19;
const DT_DIR = 4;

/** Magic numbers of statfs. */
export const FileSystem = { BPF: 0xcafe4a11, CGROUP2: 0x63677270 } as const;

export interface DirectoryEntry {
  readonly name: string;
  readonly isDirectory: boolean;
}

function succeeded(result: number | bigint, action: string): void {
  if (result < 0) throw new BpfError(action, lastErrno());
}

/** @throws {BpfError} such as ENOENT, EACCES. */
export function readFile(path: string): Uint8Array<ArrayBuffer> {
  const fd = libc().open(cString(path), O_RDONLY_CLOEXEC);
  succeeded(fd, `open ${path}`);
  try {
    const chunks: Uint8Array[] = [];
    for (;;) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const size = Number(libc().read(fd, chunk, BigInt(chunk.length)));
      succeeded(size, `read ${path}`);
      if (size === 0) break;
      chunks.push(chunk.subarray(0, size));
    }
    const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  } finally {
    libc().close(fd);
  }
}

export function readTextFile(path: string): string {
  return new TextDecoder().decode(readFile(path));
}

/** Whether there is something of that name that this process can see. */
export function fileExists(path: string): boolean {
  return libc().access(cString(path), F_OK) === 0;
}

/** Whether this process may make and remove things in the folder. */
export function isWritableFolder(path: string): boolean {
  return libc().access(cString(path), W_OK_X_OK) === 0;
}

/** Entries but for `.` and `..`, in no order. @throws {BpfError} such as ENOENT, ENOTDIR. */
export function listDirectory(path: string): DirectoryEntry[] {
  const directory = libc().opendir(cString(path));
  if (directory === null) throw new BpfError(`list ${path}`, lastErrno());
  const entries: DirectoryEntry[] = [];
  try {
    for (;;) {
      const entry = libc().readdir(directory);
      if (entry === null) return entries;
      const view = new Deno.UnsafePointerView(entry);
      const name = view.getCString(DIRENT_NAME);
      if (name === "." || name === "..") continue;
      entries.push({ name, isDirectory: view.getUint8(DIRENT_TYPE) === DT_DIR });
    }
  } finally {
    libc().closedir(directory);
  }
}

/** Inode number of a folder: what it says of itself, so that of a mount it is the mounted one's. */
export function inodeOf(path: string): bigint {
  const directory = libc().opendir(cString(path));
  if (directory === null) throw new BpfError(`list ${path}`, lastErrno());
  try {
    for (let entry = libc().readdir(directory); entry !== null;) {
      const view = new Deno.UnsafePointerView(entry);
      if (view.getCString(DIRENT_NAME) === ".") return view.getBigUint64(0);
      entry = libc().readdir(directory);
    }
  } finally {
    libc().closedir(directory);
  }
  throw new BpfError(`read the inode number of ${path}`, "ENOENT");
}

/** Its parent must exist. @throws {BpfError} EEXIST. @param mode less the umask. */
export function makeDirectory(path: string, mode = 0o700): void {
  succeeded(libc().mkdir(cString(path), mode), `make the folder ${path}`);
}

/** @throws {BpfError} ENOTEMPTY, ENOENT; EBUSY for a cgroup with processes. */
export function removeDirectory(path: string): void {
  succeeded(libc().rmdir(cString(path)), `remove the folder ${path}`);
}

/** @throws {BpfError} ENOENT. */
export function removeFile(path: string): void {
  succeeded(libc().unlink(cString(path)), `remove ${path}`);
}

/** What was at `to` is gone in the same instant. */
export function renameFile(from: string, to: string): void {
  succeeded(libc().rename(cString(from), cString(to)), `rename ${from} to ${to}`);
}

export function changeOwner(path: string, uid: number, gid: number): void {
  succeeded(libc().chown(cString(path), uid, gid), `give ${path} to ${uid}:${gid}`);
}

export function changeMode(path: string, mode: number): void {
  succeeded(libc().chmod(cString(path), mode), `set the mode of ${path}`);
}

/** The magic number of the file system that holds `path`: see `FileSystem`. */
export function fileSystemOf(path: string): number {
  // struct statfs begins with a long: the type.
  const buffer = new Uint8Array(STATFS_BYTES);
  succeeded(libc().statfs(cString(path), buffer), `ask for the file system of ${path}`);
  return new DataView(buffer.buffer).getUint32(0, true);
}

/**
 * Locks a file or folder for this process; the lock ends with the owner or the process.
 *
 * @returns undefined while another process, or another owner here, holds it.
 */
export function tryLock(path: string): OwnedFd | undefined {
  const fd = libc().open(cString(path), O_RDONLY_CLOEXEC);
  succeeded(fd, `open ${path}`);
  const lock = new OwnedFd(fd, `lock of ${path}`);
  if (libc().flock(fd, LOCK_EXCLUSIVE_NOW) === 0) return lock;
  const errno = lastErrno();
  lock.close();
  if (errno === "EAGAIN") return undefined;
  throw new BpfError(`lock ${path}`, errno);
}
