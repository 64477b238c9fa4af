/** SHA-256 of text, synchronous: names and digests are worked out inside pure functions. */
import { createHash } from "node:crypto";

/** Lower-case hex digits of the SHA-256 of `text` as UTF-8; the first `digits` of 64. */
export function sha256Hex(text: string, digits = 64): string {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}
