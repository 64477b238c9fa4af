/** docs/compared-to-the-original.md names tests that exist, and what the documents tell users to type does, too. */
import assert from "node:assert/strict";

const read = (path: string) => Deno.readTextFileSync(new URL(`../${path}`, import.meta.url));
const DOCUMENT = "docs/compared-to-the-original.md";
/** The original's claims, those about eBPF included. */
const ROWS = 40;

Deno.test("every row of the comparison names tests, and each of them exists", () => {
  const text = read(DOCUMENT);
  const rows = text.split("\n").filter((line) => /^\| \d+ \|/.test(line));
  assert.deepEqual(
    rows.map((row) => Number(row.split("|")[1])),
    Array.from({ length: ROWS }, (_, index) => index + 1),
  );
  const missing: string[] = [];
  for (const line of text.split("\n")) {
    const named = [...line.matchAll(/`([^`]+)` \(([\w/.]+\.ts)\)/g)];
    if (rows.includes(line)) assert.ok(named.length > 0, line);
    for (const [, name = "", path = ""] of named) {
      if (!definesTest(path, name)) missing.push(`${path}: ${name}`);
    }
  }
  assert.deepEqual(missing, []);
});

Deno.test("a test that does not exist would be missed", () => {
  assert.equal(definesTest("tests/docs_test.ts", "no such test"), false);
  assert.equal(definesTest("tests/no_such_file.ts", "a test"), false);
});

Deno.test("every make target that the documents name exists, and the licence is there", () => {
  const targets = new Set([...read("Makefile").matchAll(/^([a-z]+):/gm)].map(([, name]) => name));
  const documents = ["README.md", ...markdown("docs"), ...markdown("docs/decisions")];
  const named = documents.flatMap((path) =>
    [...read(path).matchAll(/(?:^|`)make ([a-z]+)/gm)].map(([, target]) => ({ path, target }))
  );
  assert.ok(named.length > 0);
  assert.deepEqual(named.filter(({ target }) => !targets.has(target)), []);
  assert.match(read("LICENSE"), /Apache License\s+Version 2\.0/);
});

/** Whether the file has the name as a whole string literal that is not a mere mention in a comment. */
function definesTest(path: string, name: string): boolean {
  try {
    const literals = ['"', "`"].map((quote) => `${quote}${name}${quote}`);
    return read(path).split("\n")
      .filter((line) => !/^\s*(\/\/|\*)/.test(line))
      .some((line) => literals.some((literal) => line.includes(literal)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function markdown(folder: string): string[] {
  return [...Deno.readDirSync(new URL(`../${folder}`, import.meta.url))]
    .filter(({ name }) => name.endsWith(".md"))
    .map(({ name }) => `${folder}/${name}`);
}
