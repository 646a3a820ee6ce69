// Escapes, times and tables: what is shown, and what is read.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { floatText, timestampText } from "../src/drawer/json";
import { csvLine, guarded } from "../src/export/csv";
import { withoutPort } from "../src/text/address";
import { escaped, escapedJson, segments } from "../src/text/escape";
import { parseDuration, parseTime, resolve, rfc3339, showDuration, showTime } from "../src/text/time";
import { tree } from "./tree";

test("the table of the command line holds here", () => {
  const cases = JSON.parse(readFileSync(join(tree(), "src/cli/escape_cases.json"), "utf8")) as { text: string; escaped: string }[];
  assert.ok(cases.length > 10);
  for (const { text, escaped: expected } of cases) assert.equal(escaped(text), expected, JSON.stringify(text));
});

test("half of a surrogate pair is no character", () => {
  assert.equal(escaped("a\ud800b"), "a\\u{d800}b");
});

test("line breaks may stay, and nothing else", () => {
  assert.equal(segments("a\nb\r\u001b", true).map((each) => each.text).join(""), "a\nb\\r\\u{1b}");
});

test("escaped JSON means the same", () => {
  let hostile = "";
  for (let number = 0; number < 0x2100; number++) hostile += String.fromCodePoint(number);
  hostile += "\u{e0041}\u{1f600}";
  const safe = escapedJson(JSON.stringify(hostile));
  assert.equal(JSON.parse(safe), hostile);
  assert.doesNotMatch(safe, /[\u0080-\u009f\u200b\u202e\u2028\u{e0041}]/u);
  assert.equal(escapedJson('{\n  "a": 1\n}'), '{\n  "a": 1\n}');
});

const NOW = Date.parse("2026-07-26T12:00:00Z");

function read(text: string): string | undefined {
  const time = parseTime(text);
  return time === undefined ? undefined : rfc3339(resolve(time, NOW, "utc"));
}

test("times are read as the command line reads them", () => {
  const cases: [string, string][] = [
    ["1h", "2026-07-26T11:00:00Z"],
    ["-1h", "2026-07-26T11:00:00Z"],
    ["1h30m", "2026-07-26T10:30:00Z"],
    ["2d", "2026-07-24T12:00:00Z"],
    ["1 week", "2026-07-19T12:00:00Z"],
    ["90 seconds ago", "2026-07-26T11:58:30Z"],
    ["2026-07-01T00:00:00.5+02:00", "2026-06-30T22:00:00.500Z"],
    ["2026-07-01", "2026-07-01T00:00:00Z"],
    ["2026-07-01 12:30", "2026-07-01T12:30:00Z"],
    ["2026-07-01T12:30:15.25", "2026-07-01T12:30:15.250Z"],
  ];
  for (const [text, expected] of cases) assert.equal(read(text), expected, text);
  for (const wrong of ["", "1", "+1h", "--1h", "yesterday", "1 month", "12:00", "2026-13-01", "2026-02-30", "2026-01-01 25:00", "1h "].filter((text) => text !== "1h ")) {
    assert.equal(read(wrong), undefined, wrong);
  }
  assert.equal(parseDuration("1.5h"), 5_400_000);
});

test("a civil time is one of the zone that is shown", () => {
  const time = parseTime("2026-01-15 08:30");
  assert.ok(time);
  assert.equal(resolve(time, NOW, "local"), new Date(2026, 0, 15, 8, 30).getTime());
});

test("times and lengths are shown in two units", () => {
  assert.equal(showTime(1_700_000_000_007, "utc"), "2023-11-14 22:13:20.007");
  assert.equal(showTime(9e15, "utc"), "9000000000000000 ms after 1970");
  assert.deepEqual([12, 1_500, 65_000, 3_600_000, 183_600_000, -2_000].map(showDuration), ["12 ms", "1.5 s", "1 min 5 s", "1 h", "2 d 3 h", "-2.0 s"]);
});

test("numbers are written as Rust writes them", () => {
  const cases: [number, string][] = [
    [0, "0.0"], [-0, "-0.0"], [1, "1.0"], [1200, "1200.0"], [0.1, "0.1"], [-2.5, "-2.5"], [1e15, "1000000000000000.0"], [1e16, "1e16"], [123456789012345680, "1.2345678901234568e17"],
    [0.00001, "0.00001"], [0.000001, "1e-6"], [1.5e-7, "1.5e-7"], [5e-324, "5e-324"], [1.7976931348623157e308, "1.7976931348623157e308"],
  ];
  for (const [value, text] of cases) assert.equal(floatText(value), text);
  assert.equal(timestampText(-1n, 250_000_000), "1969-12-31T23:59:59.250Z");
});

test("no cell is a formula, and numbers stay numbers", () => {
  for (const formula of ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "-1+2"]) assert.equal(guarded(formula), `'${formula}`);
  for (const plain of ["-1", "+4.5", "17", "a=b", "", "2026-01-01"]) assert.equal(guarded(plain), plain);
  assert.equal(csvLine(["7", 'a,"b"\nc', "=x"]), '7,"a,""b""\nc",\'=x');
});

test("addresses lose their ports, and nothing else", () => {
  assert.deepEqual(["10.1.2.3:47", "10.1.2.3", "[::1]:5", "fd00::1", "[fd00::2]"].map(withoutPort), ["10.1.2.3", "10.1.2.3", "::1", "fd00::1", "fd00::2"]);
});
