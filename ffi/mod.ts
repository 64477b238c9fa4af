/**
 * libbpf for Deno: load BPF objects, read and write maps, attach to cgroups and raw tracepoints.
 *
 * Needs libbpf 1.x on the machine and `--allow-ffi`; see README.md for an example.
 */
export {
  Btf,
  type FieldLayout,
  type GlobalVariable,
  layoutDifferences,
  type ObjectLayout,
  type StructLayout,
} from "./btf.ts";
export { CgroupDirectory, cgroupId } from "./cgroup.ts";
export { type Scalar, StructCodec } from "./codec.ts";
export {
  BpfError,
  errnoName,
  LayoutError,
  LibraryError,
  UnsupportedFeature,
  VerifierError,
} from "./errors.ts";
export {
  type Feature,
  FEATURES,
  hasFeature,
  type KernelVersion,
  kernelVersion,
  minimumKernel,
  ProgramType,
  requireFeature,
} from "./features.ts";
export {
  changeMode,
  changeOwner,
  type DirectoryEntry,
  fileExists,
  FileSystem,
  fileSystemOf,
  inodeOf,
  isWritableFolder,
  listDirectory,
  makeDirectory,
  readFile,
  readTextFile,
  removeDirectory,
  removeFile,
  renameFile,
  tryLock,
} from "./files.ts";
export { type LiveHandle, liveHandles, OwnedFd, trackHandles } from "./handles.ts";
export { listIds } from "./ids.ts";
export { LIBBPF_CANDIDATES, LIBC_CANDIDATES, libraryInfo } from "./library.ts";
export {
  BpfMap,
  type MapEntry,
  type MapInfo,
  MapType,
  type NewMap,
  possibleCpus,
  UpdateFlag,
  waitForPrograms,
} from "./map.ts";
export { BpfObject } from "./object.ts";
export {
  AttachType,
  Link,
  type LinkInfo,
  Program,
  type ProgramInfo,
  queryCgroup,
} from "./program.ts";
export { RingBuffer } from "./ring_buffer.ts";
