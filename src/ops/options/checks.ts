/**
 * Checks that look at several options at once, and the two options that are short forms of others.
 * Pure; a value that could not be read is absent here and is not complained of twice.
 */
import { formatGoDuration } from "../../lib/duration.ts";
import type { Command } from "./definition.ts";
import type { Source } from "./parse.ts";
import type { OptionValue } from "./value.ts";

type Values = Record<string, OptionValue>;
type Sources = Readonly<Record<string, Source>>;

/** Settles `values` and returns what is wrong with them together. */
export function checkOptions(command: Command, values: Values, sources: Sources): string[] {
  applyShortForm(values, sources, { switch: "debug", target: "logLevel", value: "debug" });
  applyShortForm(values, sources, { switch: "logJsonFormat", target: "logFormat", value: "json" });
  switch (command) {
    case "controller":
      return checkElection(values);
    case "run":
      return [...checkElection(values), ...checkPaths(values)];
    case "demo":
      return values["once"] === true && values["noStory"] === true
        ? ["--once and --no-story: without a story there is no end of it"]
        : [];
    case "render":
      return checkFiles(values, values["live"] === true);
    case "validate":
      return checkFiles(values, false);
    case "agent":
    case "cleanup":
    case "prepare-node":
    case "selftest":
      return checkPaths(values);
    case "seccomp":
      return [
        ...(values["pod"] === "" ? ["no Pod given; name one as NAMESPACE/POD"] : []),
        ...checkPaths(values),
      ];
    case "version":
      return [];
  }
}

const RANK: Readonly<Record<Source, number>> = { default: 0, environment: 1, flag: 2 };

/** `DEBUG=true` sets the level, unless the level itself was given by something that ranks higher. */
function applyShortForm(
  values: Values,
  sources: Sources,
  form: { switch: string; target: string; value: string },
): void {
  if (values[form.switch] !== true) return;
  const rank = (key: string) => RANK[sources[key] ?? "default"];
  if (rank(form.switch) >= rank(form.target)) values[form.target] = form.value;
}

/** client-go's rules: lease > renew > 1.2 * retry. */
function checkElection(values: Values): string[] {
  if (values["leaderElectionEnabled"] !== true) return [];
  const lease = values["leaseDurationMs"];
  const renew = values["renewDeadlineMs"];
  const retry = values["retryPeriodMs"];
  const problems: string[] = [];
  const text = (ms: OptionValue) => formatGoDuration(ms as number);
  if (typeof lease === "number" && lease % 1000 !== 0) {
    problems.push(`the lease duration ${text(lease)} is not whole seconds, as the Lease needs it`);
  }
  if (typeof lease === "number" && typeof renew === "number" && !(lease > renew)) {
    problems.push(
      `the lease duration ${text(lease)} is not longer than the renew deadline ${text(renew)}`,
    );
  }
  if (typeof renew === "number" && typeof retry === "number" && !(renew > retry * 1.2)) {
    problems.push(
      `the renew deadline ${text(renew)} is not longer than 1.2 times the retry period ${
        text(retry)
      }`,
    );
  }
  for (const key of ["lockName", "lockNamespace"]) {
    if (values[key] === "") problems.push(`the ${key.replace("N", " n")} of the Lease is empty`);
  }
  return problems;
}

function checkFiles(values: Values, live: boolean): string[] {
  const files = values["files"];
  if (!Array.isArray(files)) return [];
  return files.length > 0 || live
    ? []
    : ["no manifest given; name one with -f FILE, or - for stdin"];
}

/** Paths on a node mean the same whatever the working directory is. */
function checkPaths(values: Values): string[] {
  const paths = { "--bpffs-folder": values["bpffsFolder"], "--cgroup-root": values["cgroupRoot"] };
  return Object.entries(paths).flatMap(([name, path]) =>
    typeof path !== "string" || path === "" && name === "--cgroup-root" || /^\/.+/.test(path)
      ? []
      : [`${name}: ${JSON.stringify(path)} is not an absolute path`]
  );
}
