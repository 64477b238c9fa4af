import { deepStrictEqual as deepEqual, match, strictEqual as equal } from "node:assert/strict";
import fc from "fast-check";
import { formatGoDuration, parseGoDuration } from "./duration.ts";

Deno.test("parseGoDuration() reads what Go reads", () => {
  const cases: [string, number][] = [
    ["0", 0],
    ["+0", 0],
    ["-0", 0],
    ["5s", 5000],
    ["1m30s", 90_000],
    ["1h15m30.918s", 4_530_918],
    ["-1.5h", -5_400_000],
    [".5s", 500],
    ["1.s", 1000],
    ["+5m", 300_000],
    ["39h9m14.425s", 140_954_425],
    ["10ns", 1e-5],
    ["11us", 0.011],
    ["12µs", 0.012],
    ["12μs", 0.012],
    ["13ms", 13],
    ["3s3s", 6000],
  ];
  for (const [text, ms] of cases) {
    const parsed = parseGoDuration(text);
    equal("ms" in parsed && Number(parsed.ms.toFixed(9)) + 0, ms, text);
  }
});

Deno.test("parseGoDuration() says what is wrong", () => {
  const cases: [string, RegExp][] = [
    ["", /^"" is no duration/],
    ["3", /lacks a unit after 3/],
    ["-", /is no duration/],
    ["s", /is no duration/],
    [".", /is no duration/],
    ["-.", /is no duration/],
    [".s", /is no duration/],
    ["1d", /unknown unit "d"/],
    ["1toString", /unknown unit "toString"/],
    [" 5s", /is no duration/],
    ["5 s", /unknown unit " s"/],
    ["--5s", /is no duration/],
    ["1m30", /lacks a unit after 30/],
    ["3000000h", /out of range/],
    ["9223372037s", /out of range/],
  ];
  for (const [text, expected] of cases) {
    const parsed = parseGoDuration(text);
    match("error" in parsed ? parsed.error : "accepted", expected, text);
  }
  deepEqual(parseGoDuration("2540400h"), { ms: 2540400 * 3_600_000 });
});

Deno.test("formatGoDuration() prints as Go does", () => {
  const cases: [number, string][] = [
    [0, "0s"],
    [1e-6, "1ns"],
    [0.0011, "1.1µs"],
    [2.2, "2.2ms"],
    [3300, "3.3s"],
    [245_000, "4m5s"],
    [245_001, "4m5.001s"],
    [18_367_001, "5h6m7.001s"],
    [3_600_000, "1h0m0s"],
    [-90_000, "-1m30s"],
  ];
  for (const [ms, text] of cases) equal(formatGoDuration(ms), text);
});

Deno.test("formatted durations read back as they were", () => {
  fc.assert(
    fc.property(fc.integer({ min: -1e12, max: 1e12 }), (ms) => {
      deepEqual(parseGoDuration(formatGoDuration(ms)), { ms });
    }),
    { seed: 2 },
  );
});
