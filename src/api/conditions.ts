/**
 * `metav1.Condition`: at most one of a type, and lastTransitionTime moves only with status. Pure.
 */
import type { Condition } from "./status_schema.ts";

export type NewCondition = Omit<Condition, "lastTransitionTime">;

/**
 * `conditions` with `next` in the place of the one of its type, or at the end.
 * `nowMs`: wall clock, milliseconds since the epoch.
 */
export function setCondition(
  conditions: readonly Condition[],
  next: NewCondition,
  nowMs: number,
): Condition[] {
  const before = conditions.find(({ type }) => type === next.type);
  const lastTransitionTime = before?.status === next.status
    ? before.lastTransitionTime
    : formatTime(nowMs);
  const condition = { ...next, lastTransitionTime };
  return before === undefined
    ? [...conditions, condition]
    : conditions.map((existing) => existing === before ? condition : existing);
}

export function removeCondition(conditions: readonly Condition[], type: string): Condition[] {
  return conditions.filter((condition) => condition.type !== type);
}

export function findCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** `metav1.Time`: RFC 3339 in UTC, whole seconds. */
export function formatTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d+Z$/, "Z");
}
