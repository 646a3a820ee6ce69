// What a program can check of WCAG 2.2 AA.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

export async function assertAccessible(page, what) {
  // By the debugger, which the page's policy does not concern.
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const violations = await page.evaluate(async (tags) => {
    const { violations: found } = await window.axe.run(document, { runOnly: { type: "tag", values: tags } });
    return found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
  }, TAGS);
  assert.deepEqual(violations, [], what);
}

/** Nothing of the page lies beyond the window's right edge, where nobody scrolls to. */
export async function assertFits(page, what) {
  const width = await page.evaluate(() => [document.scrollingElement.scrollWidth, window.innerWidth]);
  assert.ok(width[0] <= width[1], `${what}: ${width[0]} wide in a window of ${width[1]}`);
}
