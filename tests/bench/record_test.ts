import assert from "node:assert/strict";
import { withRecord } from "./record.ts";

const block = (heading: string) =>
  `${heading}\n<details><summary>JSON</summary>\n\n\`\`\`json\n{}\n\`\`\`\n\n</details>\n`;

Deno.test("withRecord() puts the newest results below the introduction", () => {
  const page = "# Performance\n\nWords.\n\n## Old\n\n## Other\n\nMore.\n";
  assert.equal(
    withRecord(page, { table: "## New", json: "{}" }),
    `# Performance\n\nWords.\n\n${block("## New")}\n## Old\n\n## Other\n\nMore.\n`,
  );
  const first = withRecord(page, { table: "### New", json: "{}", under: "## Other" });
  assert.equal(first, `${page}\n${block("### New")}`);
  assert.equal(
    withRecord(first, { table: "### Newer", json: "{}", under: "## Other" }),
    `${page}\n${block("### Newer")}\n${block("### New")}`,
  );
});

Deno.test("withRecord() refuses a page without the heading", () => {
  assert.throws(() => withRecord("# Performance\n", { table: "### New", json: "", under: "## X" }));
});
