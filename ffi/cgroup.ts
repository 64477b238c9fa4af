/**
 * Cgroups (version 2) as the kernel names them: a directory to attach to, and its 64-bit id.
 *
 * The id comes from name_to_handle_at, which is right on every kernel: the inode number is not on 5.4.
 * Container runtimes forbid that call by default: then it is the inode number.
 */
import { BpfError } from "./errors.ts";
import { OwnedFd } from "./handles.ts";
import { kernelVersion } from "./features.ts";
import { inodeOf } from "./files.ts";
import { cString, lastErrno, libc } from "./library.ts";

const O_RDONLY_DIRECTORY_CLOEXEC = 0o2200000;
const O_DIRECTORY_ARM64 = 0o40000;
const O_DIRECTORY_X86 = 0o200000;
const AT_FDCWD = -100;
const HANDLE_BYTES = 8;

export class CgroupDirectory implements Disposable {
  readonly path: string;
  readonly id: bigint;
  readonly #fd: OwnedFd;

  private constructor(fd: number, path: string, id: bigint) {
    this.#fd = new OwnedFd(fd, `cgroup ${path}`);
    this.path = path;
    this.id = id;
  }

  /** @throws {BpfError} ENOENT when it is gone. */
  static open(path: string): CgroupDirectory {
    const id = cgroupId(path);
    // O_DIRECTORY is another bit on arm64.
    const flags = Deno.build.arch === "aarch64"
      ? O_RDONLY_DIRECTORY_CLOEXEC - O_DIRECTORY_X86 + O_DIRECTORY_ARM64
      : O_RDONLY_DIRECTORY_CLOEXEC;
    const fd = libc().open(cString(path), flags);
    if (fd < 0) throw new BpfError(`open the cgroup ${path}`, lastErrno());
    return new CgroupDirectory(fd, path, id);
  }

  get fd(): number {
    return this.#fd.fd;
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/** @returns the id that bpf_get_current_cgroup_id gives for tasks of this cgroup. */
export function cgroupId(path: string): bigint {
  // struct file_handle { unsigned int handle_bytes; int handle_type; unsigned char f_handle[]; }
  const handle = new Uint8Array(8 + HANDLE_BYTES);
  const view = new DataView(handle.buffer);
  view.setUint32(0, HANDLE_BYTES, true);
  const mount = new Int32Array(1);
  if (libc().name_to_handle_at(AT_FDCWD, cString(path), handle, mount, 0) !== 0) {
    const errno = lastErrno();
    if ((errno === "EPERM" || errno === "ENOSYS") && inodesAreIds()) return inodeOf(path);
    throw new BpfError(`read the id of the cgroup ${path}`, errno);
  }
  return view.getBigUint64(8, true);
}

/** From Linux 5.5 on, on 64-bit machines. */
function inodesAreIds(): boolean {
  const { major, minor } = kernelVersion();
  return major > 5 || (major === 5 && minor >= 5);
}
