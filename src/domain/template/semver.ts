/** Semantic versions and constraints, as sprig's semver and semverCompare know them. */
import { CallError } from "./errors.ts";
import { parseUint } from "./number_text.ts";
import { quote } from "./quote.ts";
import { compareStrings } from "./utf8.ts";
import { Boxed, type GoValue, Int, narrow } from "./value.ts";

interface Parts {
  readonly major: bigint;
  readonly minor: bigint;
  readonly patch: bigint;
  readonly pre: string;
  readonly metadata: string;
  readonly original: string;
}

export class Version extends Boxed implements Parts {
  readonly kind: "ptr" | "struct";
  readonly typeName: string;
  readonly major: bigint;
  readonly minor: bigint;
  readonly patch: bigint;
  readonly pre: string;
  readonly metadata: string;
  readonly original: string;

  /** `isPointer`: what semver gives; its methods give structs. */
  constructor(parts: Parts, readonly isPointer: boolean) {
    super();
    this.kind = isPointer ? "ptr" : "struct";
    this.typeName = isPointer ? "*semver.Version" : "semver.Version";
    this.major = parts.major;
    this.minor = parts.minor;
    this.patch = parts.patch;
    this.pre = parts.pre;
    this.metadata = parts.metadata;
    this.original = parts.original;
  }

  override toString(): string {
    const numbers = `${this.major}.${this.minor}.${this.patch}`;
    const pre = this.pre === "" ? "" : `-${this.pre}`;
    return numbers + pre + (this.metadata === "" ? "" : `+${this.metadata}`);
  }

  /** The struct's fields, in order. */
  fields(): Record<string, GoValue> {
    return {
      major: uint64(this.major),
      minor: uint64(this.minor),
      patch: uint64(this.patch),
      pre: this.pre,
      metadata: this.metadata,
      original: this.original,
    };
  }

  next(part: "major" | "minor" | "patch"): Version {
    // A pre-release comes before its version: the next patch is that version itself.
    const patch = part !== "patch" ? 0n : this.pre === "" ? this.patch + 1n : this.patch;
    const minor = part === "major" ? 0n : part === "minor" ? this.minor + 1n : this.minor;
    const major = part === "major" ? this.major + 1n : this.major;
    const bare = { major, minor, patch, pre: "", metadata: "", original: "" };
    const text = new Version(bare, false).toString();
    const original = (this.original.startsWith("v") ? "v" : "") + text;
    return new Version({ ...bare, original }, false);
  }
}

export function uint64(value: bigint): Int {
  return new Int("uint64", narrow(BigInt.asUintN(64, value)));
}

const EXTRA =
  "(-([0-9A-Za-z\\-]+(?:\\.[0-9A-Za-z\\-]+)*))?(\\+([0-9A-Za-z\\-]+(?:\\.[0-9A-Za-z\\-]+)*))?";
const VERSION = new RegExp(`^v?([0-9]+)(\\.[0-9]+)?(\\.[0-9]+)?${EXTRA}$`);

export function parseVersion(text: string): Version {
  const match = VERSION.exec(text);
  if (match === null) throw new CallError("Invalid Semantic Version");
  const segment = (part: string | undefined) => {
    if (part === undefined) return 0n;
    const digits = part.replace(".", "");
    const value = parseUint(digits, 10);
    if (typeof value === "bigint") return value;
    const fault = `strconv.ParseUint: parsing ${quote(digits)}: value out of range`;
    throw new CallError(`Error parsing version segment: ${fault}`);
  };
  const [major, minor, patch] = [segment(match[1]), segment(match[2]), segment(match[3])];
  const pre = match[5] ?? "";
  for (const part of pre.split(".")) {
    if (/^0[0-9]+$/.test(part)) throw new CallError("Version segment starts with 0");
  }
  return new Version(
    { major, minor, patch, pre, metadata: match[7] ?? "", original: text },
    true,
  );
}

export function compareVersions(a: Version, b: Version): number {
  for (const part of ["major", "minor", "patch"] as const) {
    if (a[part] !== b[part]) return a[part] < b[part] ? -1 : 1;
  }
  if (a.pre === b.pre) return 0;
  if (a.pre === "") return 1;
  return b.pre === "" ? -1 : comparePre(a.pre, b.pre);
}

function comparePre(a: string, b: string): number {
  const left = a.split(".");
  const right = b.split(".");
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const order = comparePart(left[i] ?? "", right[i] ?? "");
    if (order !== 0) return order;
  }
  return 0;
}

function comparePart(a: string, b: string): number {
  if (a === b) return 0;
  if (a === "") return -1;
  if (b === "") return 1;
  const x = parseUint(a, 10);
  const y = parseUint(b, 10);
  if (typeof x === "string" && typeof y === "string") return compareStrings(a, b) > 0 ? 1 : -1;
  if (typeof y === "string") return -1;
  if (typeof x === "string") return 1;
  return x > y ? 1 : -1;
}

interface Constraint {
  readonly version: Version;
  readonly operator: string;
  /** Parts left out or given as x. */
  readonly dirty: boolean;
  readonly minorDirty: boolean;
  readonly patchDirty: boolean;
}

const OPERATOR = "=||!=|>|<|>=|=>|<=|=<|~|~>|\\^";
const LOOSE = `v?([0-9|x|X|\\*]+)(\\.[0-9|x|X|\\*]+)?(\\.[0-9|x|X|\\*]+)?${EXTRA}`;
// JavaScript takes the first alternative that fits, as Go does here.
const ONE = new RegExp(`^[\\t\\n\\f\\r ]*(${OPERATOR})[\\t\\n\\f\\r ]*(${LOOSE})[\\t\\n\\f\\r ]*$`);
const RANGE = new RegExp(
  `[\\t\\n\\f\\r ]*(${LOOSE})[\\t\\n\\f\\r ]+-[\\t\\n\\f\\r ]+(${LOOSE})[\\t\\n\\f\\r ]*`,
  "g",
);
const FIND = new RegExp(`(?:${OPERATOR})[\\t\\n\\f\\r ]*(?:${LOOSE})`, "g");

/** Longer constraints are refused: no sensible one is, and the patterns above are not linear. */
const CONSTRAINT_MAX = 256;

export function parseConstraints(text: string): Constraint[][] {
  if (text.length > CONSTRAINT_MAX) throw new CallError(`improper constraint: ${text}`);
  let rewritten = text;
  for (const match of text.matchAll(RANGE)) {
    const range = `>= ${match[1]}, <= ${match[9]} `;
    rewritten = rewritten.replace(match[0], () => range);
  }
  return rewritten.split("||").map((group) => {
    if (!isValidGroup(group)) throw new CallError(`improper constraint: ${group}`);
    return (group.match(FIND) ?? [group]).map(parseConstraint);
  });
}

/** One or more constraints, with a blank or a comma between them. */
function isValidGroup(group: string): boolean {
  const part = new RegExp(
    `[\\t\\n\\f\\r ]*(?:${OPERATOR})[\\t\\n\\f\\r ]*(?:${LOOSE})[\\t\\n\\f\\r ]*`,
    "y",
  );
  let first = true;
  let at = 0;
  while (at < group.length || first) {
    if (!first) {
      const before = /[\t\n\f\r ]/.test(group.charAt(at - 1));
      if (group[at] === ",") at++;
      else if (!before) return false;
    }
    part.lastIndex = at;
    const match = part.exec(group);
    if (match === null) return false;
    at += match[0].length;
    first = false;
  }
  return true;
}

function parseConstraint(text: string): Constraint {
  const match = ONE.exec(text);
  if (match === null) throw new CallError(`improper constraint: ${text}`);
  const isX = (part: string | undefined) => part === undefined || /^\.?[xX*]$/.test(part);
  const [, operator = "", full = "", major = "", minor, patch, pre = ""] = match;
  const dirty = { dirty: true, minorDirty: false, patchDirty: false };
  let source = full;
  let flags = { dirty: false, minorDirty: false, patchDirty: false };
  if (isX(major)) {
    source = `0.0.0${pre}`;
    flags = dirty;
  } else if (isX(minor)) {
    source = `${major}.0.0${pre}`;
    flags = { ...dirty, minorDirty: true };
  } else if (isX(patch)) {
    source = `${major}${minor}.0${pre}`;
    flags = { ...dirty, patchDirty: true };
  }
  try {
    return { version: parseVersion(source), operator, ...flags };
  } catch {
    throw new CallError("constraint Parser Error");
  }
}

export function satisfies(version: Version, groups: readonly Constraint[][]): boolean {
  return groups.some((group) => group.every((constraint) => meets(version, constraint)));
}

function meets(version: Version, constraint: Constraint): boolean {
  const { operator, version: wanted, dirty, minorDirty } = constraint;
  if (operator === "!=") return differs(version, constraint);
  // Who does not ask for pre-releases does not get them.
  if (version.pre !== "" && wanted.pre === "") return false;
  const order = compareVersions(version, wanted);
  switch (operator) {
    case ">":
      return isAbove(version, constraint);
    case "<":
      return order < 0;
    case ">=":
    case "=>":
      return order >= 0;
    case "<=":
    case "=<":
      if (!dirty) return order <= 0;
      if (version.major > wanted.major) return false;
      return version.major !== wanted.major || version.minor <= wanted.minor || minorDirty;
    case "~":
    case "~>":
      return isNear(version, constraint);
    case "^":
      return isCompatible(version, constraint);
    default:
      return dirty ? isNear(version, constraint) : order === 0;
  }
}

function differs(version: Version, { version: other, dirty, minorDirty, patchDirty }: Constraint) {
  if (!dirty) return compareVersions(version, other) !== 0;
  if (version.pre !== "" && other.pre === "") return false;
  if (other.major !== version.major) return true;
  if (minorDirty) return false;
  if (other.minor !== version.minor) return true;
  if (patchDirty) return comparePre(version.pre, other.pre) !== 0;
  return other.patch !== version.patch || compareVersions(version, other) !== 0;
}

function isAbove(version: Version, { version: other, dirty, minorDirty, patchDirty }: Constraint) {
  if (!dirty) return compareVersions(version, other) > 0;
  if (version.major !== other.major) return version.major > other.major;
  if (minorDirty) return false;
  return patchDirty ? version.minor > other.minor : compareVersions(version, other) > 0;
}

function isNear(version: Version, { version: other, minorDirty, patchDirty }: Constraint) {
  if (compareVersions(version, other) < 0) return false;
  const zero = other.major === 0n && other.minor === 0n && other.patch === 0n;
  if (zero && !minorDirty && !patchDirty) return true;
  return version.major === other.major && (version.minor === other.minor || minorDirty);
}

function isCompatible(version: Version, { version: other, minorDirty, patchDirty }: Constraint) {
  if (compareVersions(version, other) < 0) return false;
  if (other.major > 0n || minorDirty) return version.major === other.major;
  if (version.major > 0n) return false;
  if (other.minor > 0n || patchDirty) return version.minor === other.minor;
  return version.minor === 0n && other.patch === version.patch;
}
