// How much memory a page takes.

import { readFileSync } from "node:fs";

/** What is alive in a page after its garbage was collected. */
export async function kept(page) {
  const session = await page.context().newCDPSession(page);
  // What is freed by one collection may be what held the next.
  for (let time = 0; time < 3; time++) await session.send("HeapProfiler.collectGarbage");
  const { usedSize, backingStorageSize = 0 } = await session.send("Runtime.getHeapUsage");
  const { nodes, jsEventListeners } = await session.send("Memory.getDOMCounters");
  await session.detach();
  return { heap: usedSize + backingStorageSize, nodes, listeners: jsEventListeners };
}

/** What the renderer that takes most has for itself alone, in bytes: not what it shares with the rest of the browser. */
export async function rendererBytes(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const sizes = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => ownBytes(id));
  return Math.max(0, ...sizes);
}

function ownBytes(pid) {
  try {
    const lines = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").matchAll(/^Private_(?:Clean|Dirty): *(\d+) kB$/gm);
    return [...lines].reduce((sum, [, size]) => sum + Number(size) * 1024, 0);
  } catch {
    return 0;
  }
}
