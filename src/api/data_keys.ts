/**
 * Keys of a generated ConfigMap's data.
 *
 * A data key depends on the listed key alone, and is always one that Kubernetes accepts.
 */
import { sha256Hex } from "../lib/hash.ts";
import { DATA_KEY_CHARS_MAX } from "./limits.ts";

/** Keys that every generated ConfigMap may hold besides the listed ones; templates cannot take them. */
export const FIXED_DATA_KEYS = [
  "podName",
  "namespace",
  "nodeName",
  "phase",
  "pcmcName",
  "ebpf_enabled",
  "ebpf_syscall_monitoring",
  "ebpf_l4_firewall",
  "ebpf_l4_firewall_default_action",
  "ebpf_metrics_export",
  "ebpf_status",
] as const;

export const LABEL_DATA_PREFIX = "label_";
export const ANNOTATION_DATA_PREFIX = "annotation_";

const SHORTENED_CHARS = 242;
const HASH_DIGITS = 10;

/**
 * The data key of a listed label or annotation key: `prefix` and the key with `/` as `_`; where
 * that passes 253 characters, its first 242, `-` and 10 hex digits of SHA-256 of the listed key.
 */
export function dataKey(
  prefix: typeof LABEL_DATA_PREFIX | typeof ANNOTATION_DATA_PREFIX,
  key: string,
): string {
  const plain = prefix + key.replaceAll("/", "_");
  if (plain.length <= DATA_KEY_CHARS_MAX) return plain;
  return `${plain.slice(0, SHORTENED_CHARS)}-${sha256Hex(key, HASH_DIGITS)}`;
}
