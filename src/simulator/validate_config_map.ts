/** What kube-apiserver checks of a ConfigMap (and, for `immutable`, of a Secret). Pure. */
import { isRecord, type KubeObject, sameJson } from "./objects.ts";
import { type FieldCause, fieldForbidden, fieldInvalid, fieldTooLong } from "./status.ts";
import { byteLength, SUBDOMAIN_MAX } from "./validate_meta.ts";

/** Keys are not counted. */
const DATA_BYTES_MAX = 1024 * 1024;
const KEY = /^[-._a-zA-Z0-9]+$/;
const KEY_WHY =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. " +
  "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

function keyProblems(key: string): string[] {
  const problems: string[] = [];
  if (key.length > SUBDOMAIN_MAX) {
    problems.push(`must be no more than ${SUBDOMAIN_MAX} characters`);
  }
  if (!KEY.test(key)) problems.push(KEY_WHY);
  if (key === ".") problems.push("must not be '.'");
  else if (key === "..") problems.push("must not be '..'");
  else if (key.startsWith("..")) problems.push("must not start with '..'");
  return problems;
}

export function validateConfigMap(object: KubeObject): FieldCause[] {
  const causes: FieldCause[] = [];
  const data = isRecord(object["data"]) ? object["data"] : {};
  const binary = isRecord(object["binaryData"]) ? object["binaryData"] : {};
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    for (const why of keyProblems(key)) causes.push(fieldInvalid(`data[${key}]`, key, why));
    if (Object.hasOwn(binary, key)) {
      causes.push(fieldInvalid(`data[${key}]`, key, "duplicate of key present in binaryData"));
    }
    bytes += byteLength(String(value));
  }
  for (const [key, value] of Object.entries(binary)) {
    for (const why of keyProblems(key)) causes.push(fieldInvalid(`binaryData[${key}]`, key, why));
    const base64 = String(value);
    bytes += Math.floor(base64.replace(/=+$/, "").length * 3 / 4);
  }
  if (bytes > DATA_BYTES_MAX) causes.push(fieldTooLong("[]", DATA_BYTES_MAX));
  return causes;
}

export function validateConfigMapUpdate(object: KubeObject, old: KubeObject): FieldCause[] {
  if (old["immutable"] !== true) return [];
  const why = "field is immutable when `immutable` is set";
  const causes: FieldCause[] = [];
  if (object["immutable"] !== true) causes.push(fieldForbidden("immutable", why));
  for (const field of ["data", "binaryData"]) {
    if (!sameJson(object[field] ?? {}, old[field] ?? {})) causes.push(fieldForbidden(field, why));
  }
  return causes;
}
