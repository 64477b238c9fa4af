/**
 * What a test needs beyond Deno. A test whose requirement is missing is registered, named with
 * what is missing, and counted as skipped: never passed over in silence.
 */

/** Names of environment variables that point at what a test needs, and programs on the PATH. */
export type Requirement = "KUBEBUILDER_ASSETS" | "DENORT_BIN" | "NODE_VM" | Program;
type Program = (typeof PROGRAMS)[number];

const PROGRAMS = [
  "helm",
  "buildah",
  "umoci",
  "runc",
  "pyspdxtools",
  "prometheus",
  "promtool",
  "actionlint",
] as const;

export interface NeedingOptions {
  needs: readonly Requirement[];
  name: string;
  /** Skipped for a reason that `name` tells. */
  ignore?: boolean;
  fn: (t: Deno.TestContext) => void | Promise<void>;
}

/** `Deno.test` for tests that cannot run everywhere. */
export function testNeeding(options: NeedingOptions): void {
  const missing = options.needs.filter((name) =>
    isProgram(name) ? !isOnPath(name) : !Deno.env.get(name)
  );
  Deno.test({
    name: missing.length === 0 ? options.name : `${options.name} [needs ${missing.join(", ")}]`,
    ignore: missing.length > 0 || options.ignore === true,
    fn: options.fn,
  });
}

function isProgram(name: Requirement): name is Program {
  return (PROGRAMS as readonly string[]).includes(name);
}

function isOnPath(program: Program): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((folder) => {
    try {
      return Deno.statSync(`${folder}/${program}`).isFile;
    } catch {
      return false;
    }
  });
}
