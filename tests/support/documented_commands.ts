/**
 * The commands that the documents tell users to type, and what runs each of them.
 *
 * A block of commands is fenced as `sh`; or as `sh cluster` where it needs a cluster, `sh node` where
 * it is for a node, `sh registry` and the like where it needs that. Every line of the first kind is in
 * {@link RUN_BY}.
 */

export interface CommandBlock {
  /** Relative to the root. */
  readonly path: string;
  /** What it needs; empty: nothing but this checkout. */
  readonly needs: string;
  /** Without comments; lines that end in a backslash joined. */
  readonly commands: readonly string[];
}

const ROOT = new URL("../../", import.meta.url);
/** What else a fence may call a shell. */
const SHELLS = /^(sh|bash|shell|console|zsh|shell-session)\b/;
const NEEDS = ["", "cluster", "node", "registry", "buildah", "docker", "arm64"];

/**
 * How a command is run that needs no cluster: `walk` is tests/e2e/docs_test.ts, `ci` is .ci/run itself,
 * anything else the file of the test that runs it, or what it stands for.
 */
export const RUN_BY: Readonly<Record<string, string>> = {
  "make demo": "walk",
  "make test": "ci",
  "make check": "ci",
  "make build": "walk",
  "dist/podconfigmap-controller validate -f config.yaml": "walk",
  "dist/podconfigmap-controller render -f config.yaml -f pod.yaml": "walk",
  "promtool check rules deploy/observability/rules.yaml": "tests/observability_test.ts",
  "promtool test rules deploy/observability/rules_test.yaml": "tests/observability_test.ts",
};

/** README.md, CONTRIBUTING.md, SECURITY.md and the pages of docs/. */
export function documents(): string[] {
  const pages = [...Deno.readDirSync(new URL("docs", ROOT))]
    .filter(({ name }) => name.endsWith(".md"))
    .map(({ name }) => `docs/${name}`);
  return ["README.md", "CONTRIBUTING.md", "SECURITY.md", ...pages.sort()];
}

export const readDocument = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));

/** @throws Error where a fence says something that is not known. */
export function commandBlocks(path: string, text: string = readDocument(path)): CommandBlock[] {
  const blocks: CommandBlock[] = [];
  for (const { info, body } of fences(text)) {
    if (!SHELLS.test(info)) continue;
    const [shell, needs = ""] = info.split(/\s+/);
    if (shell !== "sh" || !NEEDS.includes(needs)) {
      throw new Error(`Cannot tell what the block "${info}" of ${path} needs`);
    }
    const lines = body.replaceAll(/\\\n\s*/g, "").split("\n");
    const commands = lines.map((line) => line.replace(/(^|\s)#.*$/, "").trim()).filter(Boolean);
    blocks.push({ path, needs, commands });
  }
  return blocks;
}

/** Fenced blocks with what follows their opening fence. */
export function fences(text: string): { info: string; body: string }[] {
  return [...text.matchAll(/^ *```([^\n`]*)\n(.*?)^ *```$/gms)]
    .map(([, info = "", body = ""]) => ({ info: info.trim(), body }));
}
