/**
 * The part of a PodConfigMapConfig that eBPF programs depend on, and which of them are at work on a
 * Pod. Controller and agent share it, so that both mean the same by a revision. Pure.
 */
import type { EbpfConfig } from "../api/spec_schema.ts";
import { decodeEbpfPart } from "../api/decode.ts";
import { sha256Hex } from "../lib/hash.ts";
import { compileSelector, type LabelMatcher } from "./selector.ts";

/**
 * - `none`: no program is wanted
 * - `wanted`: programs are wanted for the Pods that are selected
 * - `invalid`: nobody can tell what is wanted
 */
export type EbpfPart =
  | { readonly kind: "none" }
  | { readonly kind: "wanted"; readonly selects: LabelMatcher; readonly config: EbpfConfig }
  | { readonly kind: "invalid" };

/** A PodConfigMapConfig, as far as eBPF goes. */
export interface EbpfSource {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly terminating: boolean;
  readonly ebpf: EbpfPart;
}

const NONE: EbpfPart = { kind: "none" };

/** `spec`: as the API server sends it. */
export function ebpfPart(spec: unknown): EbpfPart {
  if ((spec as { ebpfConfig?: unknown } | undefined)?.ebpfConfig === undefined) return NONE;
  const decoded = decodeEbpfPart(spec);
  if (!decoded.ok) return { kind: "invalid" };
  const { podSelector, ebpfConfig: config } = decoded.value;
  if (!config?.syscallMonitoring?.enabled && !config?.l4Firewall?.enabled) return NONE;
  return { kind: "wanted", selects: compileSelector(podSelector), config };
}

export interface EbpfAtWork {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly config: EbpfConfig;
}

/** Those of a namespace's configs that want programs for a Pod with such labels, by name. */
export function ebpfAtWork(
  sources: Iterable<EbpfSource>,
  labels: Readonly<Record<string, string>>,
): EbpfAtWork[] {
  const found: EbpfAtWork[] = [];
  for (const { name, uid, generation, terminating, ebpf } of sources) {
    if (terminating || ebpf.kind !== "wanted" || !ebpf.selects(labels)) continue;
    found.push({ name, uid, generation, config: ebpf.config });
  }
  return found.sort((one, other) => one.name < other.name ? -1 : 1);
}

/** Tells one state of the configs at work from every other: 12 hex digits. */
export function ebpfRevision(
  atWork: readonly Pick<EbpfAtWork, "uid" | "generation">[],
): string {
  const parts = atWork.map(({ uid, generation }) => `${uid}:${generation}`).sort();
  return sha256Hex(parts.join(" "), 12);
}
