/**
 * Errors of the binding, one family: what the kernel or libbpf said, by name.
 *
 * Callers branch on `errno` and on the class, never on the text.
 */

/** Linux numbers, the same on x86_64 and arm64. */
const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  7: "E2BIG",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  28: "ENOSPC",
  30: "EROFS",
  34: "ERANGE",
  36: "ENAMETOOLONG",
  38: "ENOSYS",
  39: "ENOTEMPTY",
  40: "ELOOP",
  61: "ENODATA",
  67: "ENOLINK",
  75: "EOVERFLOW",
  92: "ENOPROTOOPT",
  95: "EOPNOTSUPP",
  110: "ETIMEDOUT",
  116: "ESTALE",
  524: "ENOTSUPP",
};

/** @returns the symbol of a positive error number, such as "EPERM"; "E999" for one without a name here. */
export function errnoName(number: number): string {
  return ERRNO_NAMES[number] ?? `E${number}`;
}

/** A call that the kernel or libbpf refused. */
export class BpfError extends Error {
  override readonly name: string = "BpfError";
  /** Such as "EPERM". */
  readonly errno: string;
  /** What libbpf printed on the way, oldest line first; may be empty. */
  readonly details: readonly string[];

  constructor(
    action: string,
    errno: string,
    options: { details?: readonly string[]; cause?: unknown } = {},
  ) {
    const last = options.details?.at(-1);
    super(
      `Cannot ${action}: ${errno}${last === undefined ? "" : ` (${last})`}`,
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.errno = errno;
    this.details = options.details ?? [];
  }
}

/** The kernel's verifier rejected a program. */
export class VerifierError extends BpfError {
  override readonly name = "VerifierError";
  /** The whole log: it ends with the reason. */
  readonly log: string;

  constructor(
    action: string,
    errno: string,
    options: { log: string; details?: readonly string[] },
  ) {
    const lines = options.log.trimEnd().split("\n");
    const reason = lines.findLast((line) => !line.startsWith("processed ")) ?? "";
    super(action, errno, { details: [...options.details ?? [], reason] });
    this.log = options.log;
  }
}

/** The kernel is too old, or was built without something: another outcome than a failure. */
export class UnsupportedFeature extends Error {
  override readonly name = "UnsupportedFeature";
  /** Such as "cgroup links". */
  readonly feature: string;
  /** The first mainline version that has it, such as "5.7". */
  readonly minimumKernel: string;

  constructor(feature: string, minimumKernel: string, cause?: unknown) {
    super(
      `Cannot use ${feature}: the kernel lacks it (in mainline since ${minimumKernel})`,
      cause === undefined ? {} : { cause },
    );
    this.feature = feature;
    this.minimumKernel = minimumKernel;
  }
}

/** libbpf or libc cannot be opened. */
export class LibraryError extends Error {
  override readonly name = "LibraryError";
}

/** The layout of shared structs is not the one this program was built with. */
export class LayoutError extends Error {
  override readonly name = "LayoutError";
  readonly differences: readonly string[];

  constructor(object: string, differences: readonly string[]) {
    super(`Cannot use ${object}: its layout differs: ${differences.join("; ")}`);
    this.differences = differences;
  }
}

/**
 * @param result negative errno, as libbpf 1.x returns it.
 * @returns the result when it is no error.
 */
export function checked(result: number, action: string, details?: readonly string[]): number {
  if (result >= 0) return result;
  throw new BpfError(action, errnoName(-result), details === undefined ? {} : { details });
}
