/**
 * Reads the JUnit report of `deno test`.
 *
 * Counts are of tests, not of their steps: a failed step fails its test. A step that was skipped
 * counts, because a skip must never go unseen.
 */

export interface TestCounts {
  passed: number;
  failed: number;
  /** Names, with what was missing. */
  skipped: string[];
}

interface TestCase {
  name: string;
  outcome: "passed" | "failed" | "skipped";
}

/** @throws Error when the text is not a complete report. */
export function readJunit(xml: string): TestCounts {
  if (!xml.trimEnd().endsWith("</testsuites>")) {
    throw new Error("Cannot read the test report: it is not complete");
  }
  const counts: TestCounts = { passed: 0, failed: 0, skipped: [] };
  for (const suite of xml.split("<testsuite ").slice(1)) {
    const cases = suite.split("<testcase ").slice(1).map(readTestCase);
    const names = new Set(cases.map((testCase) => testCase.name));
    for (const { name, outcome } of cases) {
      if (outcome === "skipped") counts.skipped.push(name);
      else if (!isStep(name, names)) counts[outcome]++;
    }
  }
  return counts;
}

function readTestCase(text: string): TestCase {
  const name = unescapeXml(/name="([^"]*)"/.exec(text)?.[1] ?? "");
  const outcome = text.includes("<skipped/>")
    ? "skipped"
    : /<(failure|error)[ >/]/.test(text)
    ? "failed"
    : "passed";
  return { name, outcome };
}

/** A step is called `<test> > <step>`. */
function isStep(name: string, names: ReadonlySet<string>): boolean {
  for (let at = name.indexOf(" > "); at >= 0; at = name.indexOf(" > ", at + 1)) {
    if (names.has(name.slice(0, at))) return true;
  }
  return false;
}

function unescapeXml(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'").replaceAll("&amp;", "&");
}
