/**
 * Data of the ConfigMap for one Pod. Pure; the same Pod and spec give the same data.
 *
 * Only the API's limits refuse a value: data that is too large is a result, not an exception.
 */
import { Buffer } from "node:buffer";
import type { CompiledSpec, ListedKey } from "./compiled_spec.ts";
import type { EbpfStatus } from "./ebpf_status.ts";
import type { PodFacts } from "./model.ts";
import { fromJson, TemplateError } from "./template/mod.ts";

/** Bytes of all values together that the API server accepts in one ConfigMap; keys do not count. */
export const CONFIG_MAP_BYTES_MAX = 1024 * 1024;

export type Rendered =
  | { readonly kind: "data"; readonly data: Readonly<Record<string, string>> }
  | { readonly kind: "too-large"; readonly bytes: number; readonly limit: number }
  /** A template failed on this Pod; `message` is Go's, with data key, line and column. */
  | { readonly kind: "template-failed"; readonly dataKey: string; readonly message: string };

export interface RenderInput {
  readonly pcmcName: string;
  readonly spec: CompiledSpec;
  readonly pod: PodFacts;
  /** The Pod's JSON, at least what the templates can reach of it; only needed where there are templates. */
  readonly document?: unknown;
  /** Written where the spec has ebpfConfig. */
  readonly ebpfStatus: EbpfStatus;
}

export function renderData(input: RenderInput): Rendered {
  const { pcmcName, spec, pod, ebpfStatus } = input;
  const data: Record<string, string> = {
    podName: pod.name,
    namespace: pod.namespace,
    nodeName: pod.nodeName,
    phase: pod.phase,
    pcmcName,
  };
  copyListed(spec.labels, pod.labels, data);
  copyListed(spec.annotations, pod.annotations, data);
  if (spec.ebpfData !== undefined) {
    Object.assign(data, spec.ebpfData);
    data["ebpf_status"] = ebpfStatus;
  }
  for (const { dataKey, template } of spec.templates) {
    try {
      data[dataKey] = template.execute(fromJson(input.document));
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      return { kind: "template-failed", dataKey, message: error.message };
    }
  }
  const bytes = sizeOf(data);
  return bytes > CONFIG_MAP_BYTES_MAX
    ? { kind: "too-large", bytes, limit: CONFIG_MAP_BYTES_MAX }
    : { kind: "data", data };
}

function copyListed(
  listed: readonly ListedKey[],
  from: Readonly<Record<string, string>>,
  to: Record<string, string>,
): void {
  for (const { key, dataKey } of listed) {
    // Own properties only: `constructor` is a possible label key.
    if (Object.hasOwn(from, key)) to[dataKey] = from[key] as string;
  }
}

/** Bytes in UTF-8, as the API server counts. */
function sizeOf(data: Readonly<Record<string, string>>): number {
  let units = 0;
  for (const key in data) units += (data[key] as string).length;
  // A UTF-16 unit is at most three bytes of UTF-8: nearly all data needs no exact count.
  if (units * 3 <= CONFIG_MAP_BYTES_MAX) return units;
  return Object.values(data).reduce((bytes, value) => bytes + Buffer.byteLength(value), 0);
}
