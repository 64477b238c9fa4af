/**
 * Label and field selectors in the text form of the `labelSelector` and `fieldSelector` parameters.
 *
 * Guarantees: the grammar, the limits and, as near as practical, the error sentences of
 * apimachinery's parsers. Matching allocates nothing.
 */

/** A selector the server refuses with 400 BadRequest; `message` is the Status's message. */
export class SelectorError extends Error {
  override readonly name = "SelectorError";
}

export type Labels = Readonly<Record<string, string>>;
export type LabelMatcher = (labels: Labels | undefined) => boolean;

/** Empty text selects everything. @throws {SelectorError} */
export function parseLabelSelector(text: string): LabelMatcher {
  const requirements = new LabelParser(text).parse();
  return (labels = {}) => requirements.every((matches) => matches(labels));
}

type Requirement = (labels: Labels) => boolean;

/** `)`, `(`, `,`, `!`, `=`, `==`, `!=`, `>`, `<`, or a run of other characters; "" at the end. */
class LabelParser {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = text.match(/==|!=|[(),!=<>]|[^\s(),!=<>]+/g) ?? [];
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    if (this.#tokens.length === 0) return requirements;
    if (!isWord(this.#peek()) && this.#peek() !== "!") {
      throw new SelectorError(
        `found '${this.#peek()}', expected: !, identifier, or 'end of string'`,
      );
    }
    for (;;) {
      try {
        requirements.push(this.#requirement());
      } catch (error) {
        if (!(error instanceof SelectorError)) throw error;
        throw new SelectorError(`unable to parse requirement: ${error.message}`, { cause: error });
      }
      const separator = this.#next();
      if (separator === "") return requirements;
      if (separator !== ",") {
        throw new SelectorError(`found '${separator}', expected: ',' or 'end of string'`);
      }
      if (!isWord(this.#peek()) && this.#peek() !== "!") {
        throw new SelectorError(`found '${this.#peek()}', expected: identifier after ','`);
      }
    }
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? "";
  }

  #next(): string {
    return this.#tokens[this.#at++] ?? "";
  }

  #requirement(): Requirement {
    const negated = this.#peek() === "!";
    if (negated) this.#at++;
    const key = this.#next();
    if (!isWord(key)) throw new SelectorError(`found '${key}', expected: identifier`);
    refuse(keyProblems(key));
    if (negated) return (labels) => !Object.hasOwn(labels, key);
    const operator = this.#peek();
    if (operator === "" || operator === ",") return (labels) => Object.hasOwn(labels, key);
    this.#at++;
    return this.#comparison(key, operator);
  }

  #comparison(key: string, operator: string): Requirement {
    switch (operator) {
      case "in":
      case "notin": {
        const list = this.#valueList();
        refuse(valueProblems(key, list));
        const values = new Set(list);
        return operator === "in"
          ? (labels) => Object.hasOwn(labels, key) && values.has(labels[key] ?? "")
          : (labels) => !Object.hasOwn(labels, key) || !values.has(labels[key] ?? "");
      }
      case "=":
      case "==":
      case "!=": {
        const value = this.#exactValue();
        refuse(valueProblems(key, [value]));
        return operator === "!="
          ? (labels) => !Object.hasOwn(labels, key) || labels[key] !== value
          : (labels) => Object.hasOwn(labels, key) && labels[key] === value;
      }
      case ">":
      case "<": {
        const text = this.#exactValue();
        const integer = INTEGER.test(text) ? [] : [
          `values[0]: Invalid value: "${text}": for 'Gt', 'Lt' operators, the value must be an integer`,
        ];
        refuse([...integer, ...valueProblems(key, [text])]);
        const bound = BigInt(text);
        return (labels) => {
          const value = labels[key];
          if (value === undefined || !INTEGER.test(value)) return false;
          return operator === ">" ? BigInt(value) > bound : BigInt(value) < bound;
        };
      }
      default:
        throw new SelectorError(
          `found '${operator}', expected: in, notin, =, ==, !=, gt, lt`,
        );
    }
  }

  /** `(a, b)`; an empty place between commas is the empty value. */
  #valueList(): string[] {
    const open = this.#next();
    if (open !== "(") throw new SelectorError(`found '${open}' expected: '('`);
    const values: string[] = [];
    for (;;) {
      const token = this.#next();
      if (token === ")") {
        values.push("");
        return values;
      }
      if (token === ",") {
        values.push("");
        continue;
      }
      if (!isWord(token)) {
        throw new SelectorError(`found '${token}', expected: ',', or ')'`);
      }
      values.push(token);
      const after = this.#next();
      if (after === ")") return values;
      if (after !== ",") throw new SelectorError(`found '${after}', expected: ',' or ')'`);
    }
  }

  #exactValue(): string {
    if (this.#peek() === "" || this.#peek() === ",") return "";
    const value = this.#next();
    if (!isWord(value)) throw new SelectorError(`found '${value}', expected: identifier`);
    return value;
  }
}

const INTEGER = /^[+-]?[0-9]{1,18}$/;

function isWord(token: string): boolean {
  return token !== "" && !/^[(),!=<>]/.test(token);
}

const NAME = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** @throws {SelectorError} naming all problems of a requirement, when there are any. */
function refuse(problems: readonly string[]): void {
  if (problems.length === 0) return;
  throw new SelectorError(problems.length === 1 ? problems[0] : `[${problems.join(", ")}]`);
}

function keyProblems(key: string): string[] {
  const slash = key.indexOf("/");
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  const reason = name.includes("/")
    ? "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    : prefix !== undefined && (prefix.length > 253 || !DNS_SUBDOMAIN.test(prefix))
    ? "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    : name.length > 63
    ? "name part must be no more than 63 bytes"
    : !NAME.test(name)
    ? "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    : undefined;
  return reason ? [`<nil>: Invalid value: "${key}": ${reason}`] : [];
}

function valueProblems(key: string, values: readonly string[]): string[] {
  return values.flatMap((value, index) => {
    const reason = value.length > 63
      ? "must be no more than 63 bytes"
      : value !== "" && !NAME.test(value)
      ? "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
      : undefined;
    return reason ? [`values[${index}][${key}]: Invalid value: "${value}": ${reason}`] : [];
  });
}

export interface FieldRequirement {
  readonly field: string;
  readonly equal: boolean;
  readonly value: string;
}

export interface FieldSelector {
  readonly requirements: readonly FieldRequirement[];
  /** `valueOf` gives a field's value; an absent field is "". */
  matches(valueOf: (field: string) => string | undefined): boolean;
}

/** Empty text selects everything. Fields are not checked: see {@link checkFields}. @throws {SelectorError} */
export function parseFieldSelector(text: string): FieldSelector {
  const requirements = splitTerms(text).filter((term) => term !== "").map((term) => {
    const match = term.match(/^([^=!]*)(==|!=|=)(.*)$/s);
    if (!match) {
      throw new SelectorError(`invalid selector: '${text}'; can't understand '${term}'`);
    }
    const [, field = "", operator, raw = ""] = match;
    return { field, equal: operator !== "!=", value: unescapeValue(raw) };
  });
  return {
    requirements,
    matches: (valueOf) =>
      requirements.every(({ field, equal, value }) => ((valueOf(field) ?? "") === value) === equal),
  };
}

/** Splits at commas that no backslash precedes. */
function splitTerms(text: string): string[] {
  return text.match(/(?:\\.|[^,\\])+|\\$/gs) ?? [];
}

function unescapeValue(raw: string): string {
  return raw.replace(/\\(.?)|[,=]/gs, (found, escaped: string | undefined) => {
    if (escaped === undefined) {
      // The server prints the character as Go's %v of a byte slice element: a decimal code.
      throw new SelectorError(
        `invalid field selector: unescaped character in value: ${found.codePointAt(0)}`,
      );
    }
    if (/^[\\,=]$/.test(escaped)) return escaped;
    throw new SelectorError(`invalid field selector: invalid escape sequence: \\${escaped}`);
  });
}

const METADATA_FIELDS = ["metadata.name", "metadata.namespace"];

/** Beyond name and namespace, per `group/plural`; types that are not here know those two alone. */
const SELECTABLE: Readonly<Record<string, readonly string[]>> = {
  "/pods": [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
  ],
  "/namespaces": ["status.phase"],
  "/nodes": ["spec.unschedulable"],
  "/secrets": ["type"],
  "/events": [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
  ],
  "events.k8s.io/events": [
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
  ],
};

/**
 * Refuses fields that a type cannot be selected by. `custom` names the `selectableFields` of a custom
 * resource (paths without the leading dot), undefined for a built-in type.
 * @throws {SelectorError}
 */
export function checkFields(
  selector: FieldSelector,
  type: { group: string; plural: string },
  custom?: readonly string[],
): void {
  const extra = custom ?? SELECTABLE[`${type.group}/${type.plural}`];
  for (const { field } of selector.requirements) {
    if (METADATA_FIELDS.includes(field) || extra?.includes(field)) continue;
    throw new SelectorError(
      extra === undefined
        ? `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`
        : `field label not supported: ${field}`,
    );
  }
}
