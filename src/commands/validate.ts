/** `validate`: checks PodConfigMapConfig manifests offline, with every problem and its field path. */
import { decodePcmc, formatProblem, type Problem } from "../api/decode.ts";
import { API_GROUP, API_GROUP_VERSION, PCMC_KIND } from "../api/well_known.ts";
import type { PcmcSpec } from "../api/spec_schema.ts";
import { compileSpec } from "../domain/compiled_spec.ts";
import { ARCHITECTURES, syscallTable } from "../domain/syscall_table.ts";
import type { OptionsOf } from "../ops/options/table.ts";
import { type Manifest, ManifestError, metadataProblems, readManifests } from "./manifests.ts";
import { EXIT, type Shell } from "./shell.ts";

interface Finding {
  readonly file: string;
  readonly document: number;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** `skipped`: not a PodConfigMapConfig. */
  readonly result: "valid" | "invalid" | "skipped";
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export async function validate(options: OptionsOf<"validate">, shell: Shell): Promise<number> {
  let manifests: Manifest[];
  try {
    manifests = await readManifests(options.files, shell);
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    for (const problem of error.problems) shell.printError(`error: ${problem}\n`);
    return EXIT.failed;
  }
  const findings = manifests.map(check);
  if (options.output === "json") shell.print(`${JSON.stringify(findings, undefined, 2)}\n`);
  else for (const finding of findings) shell.print(describe(finding, shell.colour));
  if (findings.every(({ result }) => result === "skipped")) {
    const files = options.files.map((file) => file === "-" ? "stdin" : file);
    shell.printError(`error: no ${PCMC_KIND} in ${files.join(", ")}\n`);
    return EXIT.failed;
  }
  return findings.some(({ result }) => result === "invalid") ? EXIT.failed : EXIT.ok;
}

function check(manifest: Manifest): Finding {
  const { file, document, kind, namespace, name, apiVersion } = manifest;
  const about = { file, document, kind, namespace, name };
  const group = apiVersion.split("/")[0];
  if (kind !== PCMC_KIND || group !== API_GROUP) {
    return { ...about, result: "skipped", problems: [], warnings: [] };
  }
  const decoded = decodePcmc(manifest.object);
  const compiled = decoded.ok ? compileSpec(decoded.value.spec) : decoded;
  const problems = [...(compiled.ok ? [] : compiled.problems)];
  if (apiVersion !== API_GROUP_VERSION && !problems.some(({ path }) => path === "apiVersion")) {
    problems.push({ path: "apiVersion", message: `must be ${API_GROUP_VERSION}` });
  }
  if (!problems.some(({ path }) => path.startsWith("metadata"))) {
    problems.push(...metadataProblems(manifest));
  }
  const result = problems.length === 0 ? "valid" : "invalid";
  const unknown = decoded.ok ? unknownSyscalls(decoded.value.spec) : [];
  return { ...about, result, problems, warnings: [...decoded.warnings, ...unknown] };
}

/** No error: the node's kernel and architecture decide, and its Pods' conditions say so. */
function unknownSyscalls({ ebpfConfig }: PcmcSpec): Problem[] {
  const names = ebpfConfig?.syscallMonitoring?.syscallNames ?? [];
  const tables = ARCHITECTURES.map(syscallTable);
  return names.flatMap((name, index) =>
    tables.some((table) => table.number(name) !== undefined) ? [] : [{
      path: `spec.ebpfConfig.syscallMonitoring.syscallNames[${index}]`,
      message: `no system call of ${ARCHITECTURES.join(" or ")} has the name ${
        JSON.stringify(name)
      }`,
    }]
  );
}

const COLOURS = { valid: "\x1b[32m", invalid: "\x1b[31m", skipped: "\x1b[2m" } as const;

function describe(finding: Finding, colour: boolean): string {
  const { file, kind, namespace, name, result } = finding;
  const label = colour ? `${COLOURS[result]}${result}\x1b[0m` : result;
  const object = `${kind} ${namespace === "" ? "" : `${namespace}/`}${name || "(no name)"}`;
  const lines = [`${file}: ${object}: ${label}`];
  for (const problem of finding.problems) lines.push(`  error: ${formatProblem(problem)}`);
  for (const warning of finding.warnings) lines.push(`  warning: ${formatProblem(warning)}`);
  return `${lines.join("\n")}\n`;
}
