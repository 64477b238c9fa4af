/** Errors of the binding as the agent's closed set of reasons. */
import {
  BpfError,
  LayoutError,
  LibraryError,
  UnsupportedFeature,
  VerifierError,
} from "../../../ffi/mod.ts";
import { EbpfError, type FailureReason } from "../ports.ts";

/** What was being done: it decides what an errno means. */
export type Step = "bpffs" | "load" | "attach" | "map";

const MESSAGE_MAX = 400;

const BY_STEP: Readonly<Record<Step, Readonly<Record<string, FailureReason>>>> = {
  bpffs: {
    ENOENT: "BpffsUnavailable",
    EROFS: "BpffsUnavailable",
    EACCES: "BpffsUnavailable",
    EPERM: "BpffsUnavailable",
    ENOTDIR: "BpffsUnavailable",
  },
  load: { EPERM: "NotPermitted", EACCES: "NotPermitted" },
  attach: {
    // Capabilities were looked at before: what is left is a cgroup above that allows no other program.
    EPERM: "AttachConflict",
    EACCES: "NotPermitted",
    ENOENT: "CgroupNotFound",
    ENODEV: "CgroupNotFound",
    ENOLINK: "CgroupNotFound",
    E2BIG: "AttachConflict",
  },
  map: { EPERM: "NotPermitted", EACCES: "NotPermitted", E2BIG: "CapacityExceeded" },
};

const ELSE: Readonly<Record<Step, FailureReason>> = {
  bpffs: "BpffsUnavailable",
  load: "LoadFailed",
  attach: "AttachFailed",
  map: "InternalError",
};

const OUT_OF: ReadonlySet<string> = new Set(["ENOMEM", "ENOSPC", "EMFILE", "ENFILE"]);

/** @returns the error itself where it has a reason already. */
export function toEbpfError(error: unknown, step: Step): EbpfError {
  if (error instanceof EbpfError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new EbpfError(reasonOf(error, step), message.slice(0, MESSAGE_MAX), { cause: error });
}

function reasonOf(error: unknown, step: Step): FailureReason {
  if (error instanceof LibraryError) return "LibraryMissing";
  if (error instanceof UnsupportedFeature) return "UnsupportedKernel";
  if (error instanceof LayoutError) return "LoadFailed";
  // The verifier says EACCES of a wrong program, too.
  if (error instanceof VerifierError) return "LoadFailed";
  if (!(error instanceof BpfError)) return "InternalError";
  if (OUT_OF.has(error.errno)) return "CapacityExceeded";
  return BY_STEP[step][error.errno] ?? ELSE[step];
}

/** Runs one step; what it throws becomes an {@link EbpfError}. */
export function during<T>(step: Step, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toEbpfError(error, step);
  }
}

export async function duringAsync<T>(step: Step, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toEbpfError(error, step);
  }
}

/** Runs `undo` when `work` fails; a failure of `undo` itself does not hide the first one. */
export async function orUndo<T>(work: () => Promise<T>, undo: () => void): Promise<T> {
  try {
    return await work();
  } catch (error) {
    try {
      undo();
    } catch {
      // The next call finds what is left, and takes it down then.
    }
    throw error;
  }
}
