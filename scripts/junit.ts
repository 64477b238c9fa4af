/**
 * Reads the JUnit report of `deno test`.
 *
 * A test with steps counts by its steps, not once more by itself; one that fails although none of
 * its steps did counts as failed, too. Every skip is named, because none must go unseen.
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
  const cases = xml.split("<testcase ").slice(1).map(readTestCase);
  // A step stands under the file that defines it, which may not be its test's.
  const withSteps = new Set(cases.flatMap((each) => parents(each.name)));
  const withFailedSteps = new Set(
    cases.filter((each) => each.outcome === "failed").flatMap((each) => parents(each.name)),
  );
  for (const { name, outcome } of cases) {
    if (outcome === "skipped") counts.skipped.push(name);
    else if (!withSteps.has(name)) counts[outcome]++;
    else if (outcome === "failed" && !withFailedSteps.has(name)) counts.failed++;
  }
  return counts;
}

/** A step is called `<test> > <step>`. */
function parents(name: string): string[] {
  const found: string[] = [];
  for (let at = name.indexOf(" > "); at >= 0; at = name.indexOf(" > ", at + 1)) {
    found.push(name.slice(0, at));
  }
  return found;
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

function unescapeXml(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'").replaceAll("&amp;", "&");
}
