/**
 * What is running: the project's version, the commit it was built from, and the runtime below it.
 *
 * The build script sets the global `PODCONFIGMAP_BUILD` before the bundle's first statement
 * (`scripts/build.ts`); run from source, the version is that of deno.json and the commit `unknown`.
 */
import configuration from "../../deno.json" with { type: "json" };
import type { BuildInfo } from "./metrics/metrics.ts";

export interface VersionInfo extends BuildInfo {
  readonly v8: string;
  /** Such as `x86_64-unknown-linux-gnu`. */
  readonly target: string;
}

/** `stamp` is what the build left; anything but an object with text in it counts as none. */
export function versionInfo(
  stamp: unknown = Reflect.get(globalThis, "PODCONFIGMAP_BUILD"),
): VersionInfo {
  const build = (typeof stamp === "object" && stamp !== null ? stamp : {}) as Record<
    string,
    unknown
  >;
  const text = (name: string, fallback: string) => {
    const value = build[name];
    return typeof value === "string" && value !== "" ? value : fallback;
  };
  return {
    version: text("version", configuration.version),
    commit: text("commit", "unknown"),
    target: text("target", Deno.build.target),
    deno: Deno.version.deno,
    v8: Deno.version.v8,
  };
}
