/** A decoded spec, made ready once for use with many Pods. */
import { ANNOTATION_DATA_PREFIX, dataKey, LABEL_DATA_PREFIX } from "../api/data_keys.ts";
import type { EbpfConfig, PcmcSpec } from "../api/spec_schema.ts";
import { formatPath, type Problem } from "../api/decode.ts";
import { compileSelector, type LabelMatcher } from "./selector.ts";
import { parseTemplate, type Template, TemplateError } from "./template/mod.ts";
import { type PodFields, unionOfFields } from "./pod_fields.ts";

export interface ListedKey {
  /** As listed: the label's or annotation's key. */
  readonly key: string;
  readonly dataKey: string;
}

export interface CompiledTemplate {
  readonly dataKey: string;
  readonly template: Template;
}

export interface CompiledSpec {
  readonly decoded: PcmcSpec;
  readonly selects: LabelMatcher;
  readonly labels: readonly ListedKey[];
  readonly annotations: readonly ListedKey[];
  /** Data that ebpfConfig adds for every Pod, `ebpf_status` apart; undefined without ebpfConfig. */
  readonly ebpfData: Readonly<Record<string, string>> | undefined;
  /** In order of their data keys. */
  readonly templates: readonly CompiledTemplate[];
  /** Fields of the Pod that the templates can reach; undefined without templates. */
  readonly templateFields: PodFields | undefined;
  /** Whether any eBPF program is wanted for a selected Pod. */
  readonly wantsEbpf: boolean;
}

export type Compilation =
  | { readonly ok: true; readonly spec: CompiledSpec }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Fails where a template does not parse, with every one that does not. */
export function compileSpec(spec: PcmcSpec): Compilation {
  const { ebpfConfig } = spec;
  const problems: Problem[] = [];
  const templates = compileTemplates(spec.configMapDataTemplate ?? {}, problems);
  if (problems.length > 0) return { ok: false, problems };
  const fields = templates.map(({ template }) => template.fields());
  const compiled: CompiledSpec = {
    decoded: spec,
    selects: compileSelector(spec.podSelector),
    labels: listed(spec.labelsToInclude, LABEL_DATA_PREFIX),
    annotations: listed(spec.annotationsToInclude, ANNOTATION_DATA_PREFIX),
    ebpfData: ebpfConfig && ebpfData(ebpfConfig),
    templates,
    templateFields: fields.length === 0 ? undefined : fields.reduce(unionOfFields),
    wantsEbpf: Boolean(ebpfConfig?.syscallMonitoring?.enabled || ebpfConfig?.l4Firewall?.enabled),
  };
  return { ok: true, spec: compiled };
}

function compileTemplates(
  texts: Readonly<Record<string, string>>,
  problems: Problem[],
): CompiledTemplate[] {
  const templates: CompiledTemplate[] = [];
  for (const dataKey of Object.keys(texts).sort()) {
    try {
      templates.push({ dataKey, template: parseTemplate(dataKey, texts[dataKey] as string) });
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      const path = formatPath(["spec", "configMapDataTemplate", dataKey]);
      problems.push({ path, message: describeTemplateError(error) });
    }
  }
  return templates;
}

/** Go's text, and the column where Go's text has only the line. */
export function describeTemplateError(error: TemplateError): string {
  const { phase, column, message } = error;
  return phase === "parse" && column !== undefined ? `${message} (column ${column})` : message;
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
