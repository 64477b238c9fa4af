/**
 * What a test needs beyond Deno. A test whose requirement is missing is registered, named with
 * what is missing, and counted as skipped: never passed over in silence.
 */

/** Names of environment variables that point at what a test needs. */
export type Requirement = "KUBEBUILDER_ASSETS" | "DENORT_BIN";

export interface NeedingOptions {
  needs: readonly Requirement[];
  name: string;
  fn: (t: Deno.TestContext) => void | Promise<void>;
}

/** `Deno.test` for tests that cannot run everywhere. */
export function testNeeding(options: NeedingOptions): void {
  const missing = options.needs.filter((name) => !Deno.env.get(name));
  Deno.test({
    name: missing.length === 0 ? options.name : `${options.name} [needs ${missing.join(", ")}]`,
    ignore: missing.length > 0,
    fn: options.fn,
  });
}
