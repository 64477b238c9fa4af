/**
 * Building blocks of the schema: each says a bound once, and it becomes a TypeScript type, a check
 * at run time and a part of the CRD.
 *
 * Guarantees: lengths of text count code points, as the API server does (a JavaScript string's
 * length does not); a {@link Rule} holds its CEL text and its TypeScript check side by side.
 */
import { z } from "zod";
import { INCLUDED_KEYS_MAX, QUALIFIED_NAME_PREFIX_CHARS_MAX } from "./limits.ts";

export interface RuleFailure {
  readonly path?: readonly (string | number)[];
  readonly message: string;
}

/** A constraint that OpenAPI cannot express. */
export interface Rule<T> {
  /** CEL, true when the value is acceptable. */
  readonly cel: string;
  /** What the API server answers; `messageCel` can name the offending value. */
  readonly message: string;
  readonly messageCel?: string;
  /**
   * The same in TypeScript: every failure, each with its path below the value. Parts of the value may
   * be of a wrong type, reported elsewhere.
   */
  readonly check: (value: T) => readonly RuleFailure[];
}

/**
 * Adds a check that runs also where a part of the value is wrong already: a reader gets all problems at
 * once. The check therefore sees a value of the right kind (list, map, text), its parts unchecked.
 */
function always<S extends z.ZodType>(
  schema: S,
  check: (value: z.output<S>) => readonly RuleFailure[],
): S {
  const example = kindOf(schema);
  return schema.superRefine((value, context) => {
    for (const { path = [], message } of check(value as z.output<S>)) {
      context.issues.push({ code: "custom", input: value, path: [...path], message });
    }
  }, { when: ({ value }) => isKind(value, example) }) as S;
}

type Kind = "list" | "map" | "text";

function kindOf(schema: z.ZodType): Kind {
  if (schema instanceof z.ZodArray) return "list";
  return schema instanceof z.ZodString ? "text" : "map";
}

function isKind(value: unknown, kind: Kind): boolean {
  if (kind === "text") return typeof value === "string";
  if (kind === "list") return Array.isArray(value);
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function withRules<S extends z.ZodType>(schema: S, rules: readonly Rule<z.output<S>>[]): S {
  const checked = rules.reduce((built: S, rule) => always(built, rule.check), schema);
  const before = (schema.meta() ?? {}) as { "x-kubernetes-validations"?: unknown[] };
  return checked.meta({
    ...before,
    "x-kubernetes-validations": [
      ...before["x-kubernetes-validations"] ?? [],
      ...rules.map(({ cel, message, messageCel }) => ({
        rule: cel,
        message,
        ...(messageCel === undefined ? {} : { messageExpression: messageCel }),
      })),
    ],
  });
}

/** A string of at most `max` code points. */
export function text(max: number): z.ZodString {
  return always(z.string(), (value) => {
    // Code points never outnumber UTF-16 units: counting is only needed for long text.
    if (value.length <= max) return [];
    const length = [...value].length;
    return length <= max ? [] : [{ message: `must have at most ${max} characters, has ${length}` }];
  }).meta({ maxLength: max });
}

/** A whole number within bounds; the CRD knows it as int32 or int64. */
export function integer(min: number, max: number): z.ZodNumber {
  const format = max > 2 ** 31 - 1 ? "int64" : "int32";
  return z.number().int().min(min).max(max).meta({ format });
}

/** A list in which order means nothing and nothing may appear twice. */
export function setOf<S extends z.ZodType<string | number>>(
  item: S,
  max: number,
): z.ZodArray<S> {
  return always(z.array(item).max(max), (values) => {
    const first = new Map<unknown, number>();
    const failures: RuleFailure[] = [];
    for (const [index, value] of values.entries()) {
      const seen = first.get(value);
      if (seen === undefined) first.set(value, index);
      else {
        const message = `must not repeat ${JSON.stringify(value)}, listed at [${seen}] already`;
        failures.push({ path: [index], message });
      }
    }
    return failures;
  }).meta({ "x-kubernetes-list-type": "set" });
}

/** A list that is replaced as a whole. */
export function atomicListOf<S extends z.ZodType>(item: S, max: number): z.ZodArray<S> {
  return z.array(item).max(max).meta({ "x-kubernetes-list-type": "atomic" });
}

/** A map from text to `value`; rules judge the keys. */
export function mapOf<S extends z.ZodType>(value: S, max: number): z.ZodRecord<z.ZodString, S> {
  return always(z.record(z.string(), value), (entries) => {
    const size = Object.keys(entries).length;
    return size <= max ? [] : [{ message: `must have at most ${max} entries, has ${size}` }];
  }).meta({ maxProperties: max });
}

const DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
/** Annotation keys may have capitals in their prefix: the API server checks them in lower case. */
const ANY_CASE_DNS_LABEL = "[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?";
const QUALIFIED_PART = "([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]";

export const LABEL_KEY_PATTERN = `^(${DNS_LABEL}(\\.${DNS_LABEL})*/)?${QUALIFIED_PART}$`;
export const ANNOTATION_KEY_PATTERN =
  `^(${ANY_CASE_DNS_LABEL}(\\.${ANY_CASE_DNS_LABEL})*/)?${QUALIFIED_PART}$`;
export const LABEL_VALUE_PATTERN = `^(${QUALIFIED_PART})?$`;

/** The prefix of a qualified name has a limit of its own, which no RE2 pattern can state. */
export const PREFIX_LENGTH_RULE: Rule<string> = {
  cel: `self.indexOf('/') <= ${QUALIFIED_NAME_PREFIX_CHARS_MAX}`,
  message: `the part before / must have at most ${QUALIFIED_NAME_PREFIX_CHARS_MAX} characters`,
  check: (key) =>
    key.indexOf("/") <= QUALIFIED_NAME_PREFIX_CHARS_MAX ? [] : [{
      message: `must have at most ${QUALIFIED_NAME_PREFIX_CHARS_MAX} characters before the /, has ${
        key.indexOf("/")
      }`,
    }],
};

/**
 * Two listed keys must not meet in one data key. A prefix holds no `_`, so only a key with `/` and
 * one without can meet. CEL's cost is linear in the list: a pairwise rule passes the run time budget at
 * the list's limit.
 */
export const KEYS_MEET_RULE: Rule<readonly string[]> = {
  cel: `self.all(k, !k.contains('/') || !(k.replace('/', '_') in self))`,
  message: "two keys would become one data key (a / of a key becomes _)",
  messageCel: `'keys that would become one data key: ' + ` +
    `self.filter(k, k.contains('/') && k.replace('/', '_') in self)[0] + ' and its form with _'`,
  check: (keys) => {
    const listed = new Map(keys.slice(0, INCLUDED_KEYS_MAX).map((key, index) => [key, index]));
    return keys.flatMap((key: unknown, index) => {
      if (typeof key !== "string" || !key.includes("/")) return [];
      const other = key.replaceAll("/", "_");
      const met = listed.get(other);
      if (met === undefined) return [];
      const message = `must not meet ${JSON.stringify(other)} at [${met}]: ` +
        `${JSON.stringify(key)} becomes the same data key`;
      return [{ path: [index], message }];
    });
  },
};
