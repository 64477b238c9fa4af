/**
 * Names: of ConfigMaps, and label values that stand for names.
 *
 * Guarantees: a name depends on its two parts alone and is always one that Kubernetes accepts. No two pairs
 * of names share a plain name; a hashed one is told apart by 40 bits of SHA-256, and where someone
 * builds a clash on purpose, `ownership.ts` makes it a conflict, never an overwrite.
 */
import { sha256Hex } from "../lib/hash.ts";

export { LABEL_GENERATED_BY } from "../api/well_known.ts";

const NAME_CHARS_MAX = 253;
const LABEL_VALUE_CHARS_MAX = 63;
const HASH_DIGITS = 10;
/** Characters of each of the two names that a hashed name keeps. */
const HASHED_PART_CHARS = 100;
const SEPARATOR = "-from-";

/** The ConfigMap's name for a Pod and a PodConfigMapConfig of the same namespace. */
export function configMapName(pod: string, pcmc: string): string {
  const pair = `${pod}${SEPARATOR}${pcmc}`;
  const plain = `pod-${pair}-cfg`;
  // Overlaps count: `a-from` + `b` and `a` + `from-b` both hold `-from-from-`.
  const first = pair.indexOf(SEPARATOR);
  if (pair.indexOf(SEPARATOR, first + 1) === -1 && plain.length <= NAME_CHARS_MAX) return plain;
  const hash = sha256Hex(`${pod}/${pcmc}`, HASH_DIGITS);
  return `pod-${head(pod)}${SEPARATOR}${head(pcmc)}-${hash}-cfg`;
}

function head(name: string): string {
  return name.slice(0, HASHED_PART_CHARS).replace(/[-.]+$/, "");
}

/** `name` itself, or where a label value cannot hold it, its first 52 characters, `-` and 10 hex digits. */
export function labelValue(name: string): string {
  if (name.length <= LABEL_VALUE_CHARS_MAX) return name;
  const kept = LABEL_VALUE_CHARS_MAX - HASH_DIGITS - 1;
  return `${name.slice(0, kept)}-${sha256Hex(name, HASH_DIGITS)}`;
}
