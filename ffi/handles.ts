/**
 * Owners of file descriptors: each is closed exactly once, and what is never closed can be named.
 *
 * `using` closes at the end of the block. A registry, off by default, remembers where each live
 * handle was made; a test turns it on and finds the list empty at its end.
 */
import { BpfError } from "./errors.ts";
import { lastErrno, libc } from "./library.ts";

const F_DUPFD_CLOEXEC = 1030;
/** Below are the standard streams. */
const LOWEST_FD = 3;

export interface LiveHandle {
  /** Such as "map counts". */
  readonly what: string;
  /** Where it was made. */
  readonly stack: string;
}

let registry: Map<object, LiveHandle> | undefined;

/** From now on, remember where handles are made. Turning it off forgets them. */
export function trackHandles(on: boolean): void {
  registry = on ? registry ?? new Map() : undefined;
}

/** Handles made since tracking was turned on, and not closed. */
export function liveHandles(): LiveHandle[] {
  return [...registry?.values() ?? []];
}

export function registerHandle(owner: object, what: string): void {
  registry?.set(owner, { what, stack: new Error(what).stack ?? "" });
}

export function forgetHandle(owner: object): void {
  registry?.delete(owner);
}

/** A file descriptor that belongs to this object. */
export class OwnedFd implements Disposable {
  readonly #what: string;
  #fd: number;

  constructor(fd: number, what: string) {
    this.#fd = fd;
    this.#what = what;
    registerHandle(this, what);
  }

  /** @throws {TypeError} once closed. */
  get fd(): number {
    if (this.#fd < 0) throw new TypeError(`Cannot use ${this.#what}: it is closed`);
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Again: no effect. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    forgetHandle(this);
    libc().close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** @returns a second descriptor for the same thing, closed on exec. */
export function duplicateFd(fd: number, what: string): number {
  const copy = libc().fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);
  if (copy < 0) throw new BpfError(`duplicate ${what}`, lastErrno());
  return copy;
}
