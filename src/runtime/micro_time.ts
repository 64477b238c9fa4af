/** Kubernetes' MicroTime. Pure. */

/** RFC 3339 with exactly six fractional digits: the only form that Go's MicroTime parses. */
export function microTime(msSinceEpoch: number): string {
  return new Date(msSinceEpoch).toISOString().replace("Z", "000Z");
}
