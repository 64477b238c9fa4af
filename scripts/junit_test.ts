import assert from "node:assert/strict";
import { readJunit } from "./junit.ts";

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="7" failures="2" errors="0" time="0.011">
  <testsuite name="./a_test.ts" tests="5" disabled="1" errors="0" failures="2">
    <testcase name="a &lt;b&gt; &gt; c" classname="./a_test.ts" time="0.004" line="1" col="6">
    </testcase>
    <testcase name="bad" classname="./a_test.ts" time="0.001" line="2" col="6">
      <failure message="1 test step failed">1 test step failed.</failure>
    </testcase>
    <testcase name="needs more [needs &quot;X&quot;]" time="0.000" line="4" col="6">
      <skipped/>
    </testcase>
    <testcase name="bad &gt; good step" time="0.001" line="1" col="85">
    </testcase>
    <testcase name="bad &gt; bad step" time="0.000" line="2" col="41">
      <failure message="Uncaught Error: boo">Error: &lt;skipped/&gt;</failure>
    </testcase>
  </testsuite>
  <testsuite name="./b_test.ts" tests="2" disabled="1" errors="0" failures="0">
    <testcase name="ok" time="0.000" line="1" col="1">
    </testcase>
    <testcase name="ok &gt; step" time="0.000" line="1" col="1">
      <skipped/>
    </testcase>
    <testcase name="late" time="0.000" line="1" col="1">
      <failure message="after its steps">after its steps</failure>
    </testcase>
    <testcase name="a &lt;b&gt; &gt; c &gt; step of the test in a_test.ts" time="0.000">
    </testcase>
    <testcase name="late &gt; good step" time="0.000" line="1" col="1">
    </testcase>
  </testsuite>
</testsuites>
`;

Deno.test("readJunit() counts steps instead of their tests, loses no failure and names every skip", () => {
  assert.deepEqual(readJunit(REPORT), {
    passed: 3,
    failed: 2,
    skipped: ['needs more [needs "X"]', "ok > step"],
  });
});

Deno.test("readJunit() refuses a report that was cut off", () => {
  assert.throws(() => readJunit(REPORT.slice(0, 400)), /not complete/);
});
