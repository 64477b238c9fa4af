/** A digest of ConfigMap data, so that caches need not keep the data to tell whether it changed. */
import { sha256Hex } from "../lib/hash.ts";

/** Equal for equal data, whatever the order of the keys; 64 hex digits. Absent data is empty data. */
export function dataDigest(data: Readonly<Record<string, string>> | undefined): string {
  if (data === undefined) return EMPTY;
  const flat: string[] = [];
  for (const key of Object.keys(data).sort()) flat.push(key, data[key] as string);
  // JSON, because a plain concatenation would not tell where a key ends.
  return sha256Hex(JSON.stringify(flat));
}

const EMPTY = sha256Hex("[]");
