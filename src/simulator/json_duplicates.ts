/** Which members a JSON text gives more than once: JSON.parse keeps the last and says nothing. */

const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},]|[^\s[\]{},:"]+/g;

interface Level {
  /** Path of the object or array. */
  readonly path: string;
  /** Members so far; undefined for arrays. */
  readonly seen: Set<string> | undefined;
  /** The member or index whose value comes next. */
  at: string;
  index: number;
  /** The next string is a member's name. */
  expectsKey: boolean;
}

/** Paths of repeated members, such as `data.k`, each once. `text` must be valid JSON. */
export function duplicateFields(text: string): string[] {
  const found = new Set<string>();
  const levels: Level[] = [];
  for (const [token] of text.matchAll(TOKEN)) {
    const level = levels.at(-1);
    if (token === "{" || token === "[") {
      const isObject = token === "{";
      levels.push({
        path: level?.at ?? "",
        seen: isObject ? new Set() : undefined,
        at: `${level?.at ?? ""}[0]`,
        index: 0,
        expectsKey: isObject,
      });
    } else if (token === "}" || token === "]") {
      levels.pop();
    } else if (level !== undefined && token === ",") {
      level.expectsKey = level.seen !== undefined;
      if (!level.seen) level.at = `${level.path}[${++level.index}]`;
    } else if (level?.seen && level.expectsKey) {
      level.expectsKey = false;
      const key: string = JSON.parse(token);
      level.at = level.path === "" ? key : `${level.path}.${key}`;
      if (level.seen.has(key)) found.add(level.at);
      level.seen.add(key);
    }
  }
  return [...found];
}
