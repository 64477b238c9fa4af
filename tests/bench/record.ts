/** The page of recorded measurements: results are added to it, newest first. */
const PAGE = "docs/performance.md";

/**
 * @param table begins with its heading, of two or three `#`.
 * @param under a heading of the page; results go before the first section below it that has their
 *   level. Default: the page's title.
 */
export async function addRecord(
  results: { table: string; json: string; under?: string },
): Promise<void> {
  const page = await Deno.readTextFile(PAGE);
  await Deno.writeTextFile(PAGE, withRecord(page, results));
}

/** @throws Error where the page has no such heading. */
export function withRecord(
  page: string,
  { table, json, under = "# Performance" }: { table: string; json: string; under?: string },
): string {
  const start = `\n${page}`.indexOf(`\n${under}\n`);
  if (start < 0) throw new Error(`Cannot record: ${PAGE} has no heading "${under}"`);
  const level = table.slice(0, table.indexOf(" "));
  const next = page.indexOf(`\n${level} `, start);
  const at = next < 0 ? page.length : next + 1;
  const gap = next < 0 ? "\n" : "";
  const block =
    `${table}\n<details><summary>JSON</summary>\n\n\`\`\`json\n${json}\n\`\`\`\n\n</details>\n`;
  return page.slice(0, at) + gap + block + (next < 0 ? "" : "\n") + page.slice(at);
}
