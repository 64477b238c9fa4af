/** What templates can call on a version: `(semver "1.2.3").Major`, `$a.Compare $b`. */
import { CallError } from "./errors.ts";
import { define, type FunctionDef } from "./function.ts";
import { compareVersions, uint64, type Version } from "./semver.ts";
import { type GoValue, int } from "./value.ts";

type Comparison = (order: number) => GoValue;

export function versionMethod(version: Version, name: string): FunctionDef | undefined {
  const method = VALUE_METHODS.get(name);
  if (method !== undefined) return define("", () => method(version));
  if (!version.isPointer) return undefined;
  if (name === "Original") return define("", () => version.original);
  const compare = COMPARISONS.get(name);
  if (compare === undefined) return undefined;
  return define("version", ([other]) => {
    if (other !== undefined) return compare(compareVersions(version, other));
    if (name === "Equal") return false;
    throw new CallError("runtime error: invalid memory address or nil pointer dereference");
  });
}

/** The struct's fields: they are there, but not for templates. */
export function isVersionField(name: string): boolean {
  return ["major", "minor", "patch", "pre", "metadata", "original"].includes(name);
}

const VALUE_METHODS: ReadonlyMap<string, (version: Version) => GoValue> = new Map([
  ["Major", (version: Version): GoValue => uint64(version.major)],
  ["Minor", (version) => uint64(version.minor)],
  ["Patch", (version) => uint64(version.patch)],
  ["Prerelease", (version) => version.pre],
  ["Metadata", (version) => version.metadata],
  ["String", (version) => version.toString()],
  ["IncMajor", (version) => version.next("major")],
  ["IncMinor", (version) => version.next("minor")],
  ["IncPatch", (version) => version.next("patch")],
]);

const COMPARISONS: ReadonlyMap<string, Comparison> = new Map<string, Comparison>([
  ["Compare", (order) => int(order)],
  ["Equal", (order) => order === 0],
  ["LessThan", (order) => order < 0],
  ["LessThanEqual", (order) => order <= 0],
  ["GreaterThan", (order) => order > 0],
  ["GreaterThanEqual", (order) => order >= 0],
]);
