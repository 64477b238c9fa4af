/** A decoded spec, made ready once for use with many Pods. */
import { ANNOTATION_DATA_PREFIX, dataKey, LABEL_DATA_PREFIX } from "../api/data_keys.ts";
import type { EbpfConfig, PcmcSpec } from "../api/spec_schema.ts";
import { compileSelector, type LabelMatcher } from "./selector.ts";

export interface ListedKey {
  /** As listed: the label's or annotation's key. */
  readonly key: string;
  readonly dataKey: string;
}

export interface CompiledSpec {
  readonly decoded: PcmcSpec;
  readonly selects: LabelMatcher;
  readonly labels: readonly ListedKey[];
  readonly annotations: readonly ListedKey[];
  /** Data that ebpfConfig adds for every Pod, `ebpf_status` apart; undefined without ebpfConfig. */
  readonly ebpfData: Readonly<Record<string, string>> | undefined;
  /** Whether any eBPF program is wanted for a selected Pod. */
  readonly wantsEbpf: boolean;
}

export function compileSpec(spec: PcmcSpec): CompiledSpec {
  const { ebpfConfig } = spec;
  return {
    decoded: spec,
    selects: compileSelector(spec.podSelector),
    labels: listed(spec.labelsToInclude, LABEL_DATA_PREFIX),
    annotations: listed(spec.annotationsToInclude, ANNOTATION_DATA_PREFIX),
    ebpfData: ebpfConfig && ebpfData(ebpfConfig),
    wantsEbpf: Boolean(ebpfConfig?.syscallMonitoring?.enabled || ebpfConfig?.l4Firewall?.enabled),
  };
}

function listed(
  keys: readonly string[] | undefined,
  prefix: Parameters<typeof dataKey>[0],
): ListedKey[] {
  return (keys ?? []).map((key) => ({ key, dataKey: dataKey(prefix, key) }));
}

/** A part that the spec does not mention has no key, as in the original program. */
function ebpfData({ syscallMonitoring, l4Firewall, metricsExport }: EbpfConfig) {
  return {
    ebpf_enabled: "true",
    ...(syscallMonitoring && { ebpf_syscall_monitoring: String(syscallMonitoring.enabled) }),
    ...(l4Firewall && {
      ebpf_l4_firewall: String(l4Firewall.enabled),
      ebpf_l4_firewall_default_action: l4Firewall.defaultAction,
    }),
    ...(metricsExport && { ebpf_metrics_export: String(metricsExport.enabled) }),
  };
}
