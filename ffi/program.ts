/**
 * Loaded programs, and what attaches them: links, or the attachment without a link that kernels
 * before 5.7 have.
 *
 * A link holds its program until its last descriptor and pin are gone. An attachment without one
 * survives the process and stacks: who made it must find it (`queryCgroup`) and detach it.
 */
import { BpfError, checked, errnoName, UnsupportedFeature } from "./errors.ts";
import { OwnedFd } from "./handles.ts";
import { PinnedBytes } from "./memory.ts";
import { cString, libbpf, textOf } from "./library.ts";
import type { CgroupDirectory } from "./cgroup.ts";

const PROGRAM_INFO_BYTES = 232;
const LINK_INFO_BYTES = 64;
const TEST_RUN_BYTES = 80;
const QUERY_MAX = 64;
const ALLOW_MULTI = 2;
/** Of the packet and more: what a program may have grown it to. */
const TEST_OUTPUT_BYTES = 65_536;

/** enum bpf_attach_type: of cgroups. */
export const AttachType = {
  CGROUP_INET_INGRESS: 0,
  CGROUP_INET_EGRESS: 1,
  CGROUP_INET4_CONNECT: 10,
  CGROUP_INET6_CONNECT: 11,
  CGROUP_UDP4_SENDMSG: 14,
  CGROUP_UDP6_SENDMSG: 15,
} as const;
export type AttachType = typeof AttachType[keyof typeof AttachType];

export interface ProgramInfo {
  readonly type: number;
  readonly id: number;
  /** Hash of the instructions, as hex. */
  readonly tag: string;
  readonly name: string;
  /** While the sysctl kernel.bpf_stats_enabled is on. */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
  /** Runs that did not happen because the program was running on that CPU already. */
  readonly recursionMisses: bigint;
  /** Instructions that the verifier looked at (kernels from 5.16). */
  readonly verifiedInstructions: number;
}

export class Program implements Disposable {
  readonly #fd: OwnedFd;
  readonly name: string;

  /** Takes over the descriptor. */
  constructor(fd: number, name?: string) {
    this.#fd = new OwnedFd(fd, `program ${name ?? ""}`);
    try {
      this.name = name ?? this.info().name;
    } catch (error) {
      this.#fd.close();
      throw error;
    }
  }

  static openPinned(path: string): Program {
    return new Program(checked(libbpf().bpf_obj_get(cString(path)), `open the program ${path}`));
  }

  /** Needs CAP_SYS_ADMIN. */
  static openById(id: number): Program {
    return new Program(
      checked(libbpf().bpf_prog_get_fd_by_id(id), `open the program with id ${id}`),
    );
  }

  get fd(): number {
    return this.#fd.fd;
  }

  /** struct bpf_prog_info */
  info(): ProgramInfo {
    const view = describe(this.fd, PROGRAM_INFO_BYTES);
    const bytes = new Uint8Array(view.buffer);
    return {
      type: view.getUint32(0, true),
      id: view.getUint32(4, true),
      tag: [...bytes.subarray(8, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
      name: textOf(bytes.subarray(64, 80)),
      runTimeNs: view.getBigUint64(192, true),
      runCount: view.getBigUint64(200, true),
      recursionMisses: view.getBigUint64(208, true),
      verifiedInstructions: view.getUint32(216, true),
    };
  }

  pin(path: string): void {
    checked(libbpf().bpf_obj_pin(this.fd, cString(path)), `pin the program ${this.name}`);
  }

  /**
   * Next to whatever is attached there already.
   *
   * @throws {UnsupportedFeature} before Linux 5.7: `attachWithoutLink` then.
   * @throws {BpfError} EPERM also where a parent cgroup allows no other program.
   */
  attachCgroup(cgroup: CgroupDirectory, type: AttachType): Link {
    const result = libbpf().bpf_link_create(this.fd, cgroup.fd, type, null);
    if (result === -22 && !supportsCgroupLinks()) {
      throw new UnsupportedFeature("links to cgroups", "5.7");
    }
    return new Link(checked(result, `attach ${this.name} to ${cgroup.path}`), this.name);
  }

  /** Any kernel. The attachment outlives the process. */
  attachWithoutLink(cgroup: CgroupDirectory, type: AttachType): void {
    checked(
      libbpf().bpf_prog_attach(this.fd, cgroup.fd, type, ALLOW_MULTI),
      `attach ${this.name} to ${cgroup.path}`,
    );
  }

  /** @returns whether it was attached there without a link. */
  detachWithoutLink(cgroup: CgroupDirectory, type: AttachType): boolean {
    const result = libbpf().bpf_prog_detach2(this.fd, cgroup.fd, type);
    if (result === -2) return false;
    checked(result, `detach ${this.name} from ${cgroup.path}`);
    return true;
  }

  attachRawTracepoint(tracepoint: string): Link {
    return new Link(
      checked(
        libbpf().bpf_raw_tracepoint_open(cString(tracepoint), this.fd),
        `attach ${this.name} to the tracepoint ${tracepoint}`,
      ),
      this.name,
    );
  }

  /**
   * Runs the program on a packet, without attaching it.
   *
   * @param repeat runs; the duration is their mean.
   */
  testRun(
    packet: Uint8Array<ArrayBuffer>,
    repeat = 1,
  ): { returned: number; meanNs: number } {
    const options = new DataView(new ArrayBuffer(TEST_RUN_BYTES));
    const input = new PinnedBytes(packet.length);
    input.bytes.set(packet);
    const output = new PinnedBytes(TEST_OUTPUT_BYTES);
    options.setBigUint64(0, BigInt(TEST_RUN_BYTES), true);
    options.setBigUint64(8, input.address, true);
    options.setBigUint64(16, output.address, true);
    options.setUint32(24, input.bytes.length, true);
    options.setUint32(28, output.bytes.length, true);
    options.setInt32(60, repeat, true);
    const result = libbpf().bpf_prog_test_run_opts(this.fd, new Uint8Array(options.buffer));
    input.release();
    output.release();
    checked(result, `test-run ${this.name}`);
    return { returned: options.getUint32(56, true), meanNs: options.getUint32(64, true) };
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

export interface LinkInfo {
  readonly type: number;
  readonly id: number;
  readonly programId: number;
  /** Of links to cgroups; 0n once that cgroup is gone. */
  readonly cgroupId: bigint;
  /** Of links to cgroups: an `AttachType`. */
  readonly attachType: number;
}

export class Link implements Disposable {
  readonly #fd: OwnedFd;

  /** Takes over the descriptor. */
  constructor(fd: number, what = "") {
    this.#fd = new OwnedFd(fd, `link ${what}`);
  }

  /** @throws {BpfError} ENOENT when nothing is pinned there. */
  static openPinned(path: string): Link {
    return new Link(checked(libbpf().bpf_obj_get(cString(path)), `open the link ${path}`), path);
  }

  get fd(): number {
    return this.#fd.fd;
  }

  /** struct bpf_link_info */
  info(): LinkInfo {
    const view = describe(this.fd, LINK_INFO_BYTES);
    return {
      type: view.getUint32(0, true),
      id: view.getUint32(4, true),
      programId: view.getUint32(8, true),
      cgroupId: view.getBigUint64(16, true),
      attachType: view.getUint32(24, true),
    };
  }

  /**
   * Replaces the program at once: no packet passes between. Links of raw tracepoints cannot.
   *
   * @throws {BpfError} ENOLINK when the cgroup is gone.
   */
  update(program: Program): void {
    checked(
      libbpf().bpf_link_update(this.fd, program.fd, null),
      `replace a program by ${program.name}`,
    );
  }

  /** Survives the process from here on. */
  pin(path: string): void {
    checked(libbpf().bpf_obj_pin(this.fd, cString(path)), `pin a link at ${path}`);
  }

  /** Detaches although others may hold the link (Linux 5.9). Closing the last holder does so too. */
  detach(): void {
    checked(libbpf().bpf_link_detach(this.fd), "detach a link");
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/** Ids of the programs attached to exactly this cgroup, first run first. */
export function queryCgroup(
  cgroup: CgroupDirectory,
  type: AttachType,
): { programIds: number[]; flags: number } {
  const flags = new Uint32Array(1);
  const ids = new Uint32Array(QUERY_MAX);
  const count = new Uint32Array([ids.length]);
  const result = libbpf().bpf_prog_query(cgroup.fd, type, 0, flags, ids, count);
  checked(result, `list the programs of ${cgroup.path}`);
  return { programIds: [...ids.subarray(0, count[0] ?? 0)], flags: flags[0] ?? 0 };
}

/** Without the command the kernel says EINVAL, with it EBADF: there is no descriptor -1. */
export function supportsCgroupLinks(): boolean {
  const result = libbpf().bpf_link_create(-1, -1, AttachType.CGROUP_INET_INGRESS, null);
  return errnoName(-result) === "EBADF";
}

function describe(fd: number, size: number): DataView<ArrayBuffer> {
  const info = new Uint8Array(size);
  const length = new Uint32Array([size]);
  const result = libbpf().bpf_obj_get_info_by_fd(fd, info, length);
  if (result < 0) throw new BpfError("read a description", errnoName(-result));
  return new DataView(info.buffer);
}
