/** Bounds of the API. They bound the cost of the CRD's CEL rules and the memory of one object. */

/** Entries of labelsToInclude and of annotationsToInclude. */
export const INCLUDED_KEYS_MAX = 128;
/** Characters of a qualified name: prefix of 253, `/`, name of 63. */
export const QUALIFIED_NAME_CHARS_MAX = 317;
export const QUALIFIED_NAME_PREFIX_CHARS_MAX = 253;
export const LABEL_VALUE_CHARS_MAX = 63;

export const MATCH_LABELS_MAX = 64;
export const MATCH_EXPRESSIONS_MAX = 64;
export const MATCH_VALUES_MAX = 128;

export const TEMPLATES_MAX = 64;
export const TEMPLATE_CHARS_MAX = 32 * 1024;
/** Characters of a key of ConfigMap data. */
export const DATA_KEY_CHARS_MAX = 253;

/** Entries of allowedPorts and of blockedPorts. */
export const PORTS_MAX = 1024;
export const PORT_MAX = 65_535;
export const SYSCALLS_MAX = 512;
export const SYSCALL_CHARS_MAX = 64;

export const DURATION_CHARS_MAX = 32;
export const UPDATE_INTERVAL_MIN_MS = 1000;
export const UPDATE_INTERVAL_MAX_MS = 24 * 3_600_000;

export const CONDITIONS_MAX = 16;
/** Characters of a condition's message, as in metav1.Condition. */
export const CONDITION_MESSAGE_CHARS_MAX = 32_768;
export const CONDITION_REASON_CHARS_MAX = 1024;
export const CONDITION_TYPE_CHARS_MAX = 316;
