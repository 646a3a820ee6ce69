// History and live view: nothing is missing or double, whatever happens to the connection or the gateway.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";

import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway, logins, scratch } from "./support/gateway.mjs";
import { View, setHidden, until } from "./support/page.mjs";

let browser;

before(async () => {
  browser = await launch();
});

const range = (from, to) => Array.from({ length: from - to + 1 }, (_, step) => from - step);

test("history and live records join without a gap", async () => {
  const gateway = await Gateway.start();
  gateway.emit(logins(1, 10));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.live();
  assert.deepEqual(await view.sequences(), range(10, 1));
  gateway.emit(logins(11, 14));
  await view.newest(14);
  assert.deepEqual(await view.sequences(), range(14, 1));
  assertClean(faults);
});

test("records that come while the page is open in a storm are all there", async () => {
  const gateway = await Gateway.start();
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.live();
  for (let batch = 0; batch < 5; batch++) gateway.flood(batch * 400 + 1, batch * 400 + 400);
  await view.newest(2_000);
  // From the newest to the oldest by keyboard, and each row once.
  const seen = new Set();
  await view.at("list").focus();
  for (let step = 0; step < 400 && !seen.has(1); step++) {
    (await view.sequences()).forEach((sequence) => seen.add(sequence));
    await page.keyboard.press("PageDown");
    await painted(page);
  }
  assert.equal(seen.size, 2_000);
  assertClean(faults);
});

test("paused, the list stands still and counts; resumed, it has all", async () => {
  const gateway = await Gateway.start();
  gateway.emit(logins(1, 5));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.live();
  await view.at("pause").click();
  gateway.emit(logins(6, 25));
  await page.waitForFunction(() => document.querySelector('[data-testid="new-records"]')?.textContent.startsWith("20 new"));
  assert.deepEqual(await view.sequences(), range(5, 1));
  await view.at("pause").click();
  await view.newest(25);
  assert.equal(await view.at("new-records").count(), 0);
  // By keyboard.
  await view.at("list").focus();
  await page.keyboard.press("Space");
  gateway.emit(logins(26, 27));
  await view.at("new-records").waitFor();
  await page.keyboard.press("g");
  await view.newest(27);
  assertClean(faults);
});

test("after a row was looked at, another filter is live again; with a record open it stands still", async () => {
  const gateway = await Gateway.start();
  gateway.emit(logins(1, 10));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.live();
  await view.at("list").focus();
  await page.keyboard.press("j");
  gateway.emit(logins(11, 11));
  await view.at("new-records").waitFor();
  await page.keyboard.press("o");
  await until("the filter", async () => (await view.tokens()).length === 1);
  await view.newest(11);
  // Scrolled away and back again: the row of before counts for nothing.
  await view.at("list-scroller").evaluate((element) => element.scrollTo(0, 100));
  await painted(page);
  await view.at("list-scroller").evaluate((element) => element.scrollTo(0, 0));
  gateway.emit(logins(12, 12));
  await view.newest(12);
  await view.record(12);
  await view.at("drawer").getByTestId("field").first().waitFor();
  await view.filter("user:user-2");
  await view.newest(12);
  gateway.emit([{ id: "e-13", user: { name: "user-2" }, user_login: {} }]);
  await view.at("new-records").waitFor();
  await view.at("drawer-close").click();
  await view.newest(13);
  assertClean(faults);
});

test("a gateway that stops and starts on the same data goes on where it was", async () => {
  const data = join(scratch(), "log");
  let gateway = await Gateway.start(["--data-dir", data]);
  gateway.emit(logins(1, 5));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.live();
  const web = gateway.web;
  await gateway.stop();
  await view.state("lost");
  await view.at("lost").first().waitFor();
  gateway = await Gateway.start(["--data-dir", data], { web });
  gateway.emit(logins(6, 9));
  await view.newest(9);
  await view.live();
  assert.deepEqual(await view.sequences(), range(9, 1));
  assert.equal(await view.at("gap").count(), 0);
  assertClean(faults);
});

test("records that a small ring dropped while nobody looked are a row of their own", async () => {
  const gateway = await Gateway.start(["--ring-records", "64"]);
  gateway.emit(logins(1, 10));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.live();
  await setHidden(page, true);
  await view.state("hidden");
  gateway.flood(11, 2_000);
  await setHidden(page, false);
  await view.newest(2_000);
  await view.at("list").focus();
  await page.keyboard.press("j");
  await page.keyboard.press("G");
  const gap = view.at("gap").first();
  await gap.waitFor();
  const [first, last] = await Promise.all(["first", "last"].map((name) => gap.getAttribute(`data-${name}`)));
  assert.equal(first, "11");
  assert.ok(Number(last) > 1_000 && Number(last) < 2_000, last);
  assertClean(faults);
});

test("another log in the same place is told, and nothing of the old one is taken for it", async () => {
  let gateway = await Gateway.start();
  gateway.emit(logins(1, 8));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.live();
  const web = gateway.web;
  await gateway.stop();
  await view.state("lost");
  gateway = await Gateway.start([], { web });
  gateway.emit(logins(101, 103));
  const gap = view.at("gap").first();
  await gap.waitFor();
  assert.match(await gap.textContent(), /log/i);
  gateway.emit(logins(104, 104));
  await view.newest(4);
  assertClean(faults);
});

test("seven windows: four are live, and another one may take over", async () => {
  const gateway = await Gateway.start();
  gateway.emit(logins(1, 3));
  const { context, page, faults } = await open(browser);
  const views = [await View.open(page, gateway)];
  while (views.length < 7) views.push(await View.open(await context.newPage(), gateway));
  // Only a window that is seen is live: a browser without a screen shows all of them.
  const states = () => Promise.all(views.map((view) => view.at("live-state").getAttribute("data-state")));
  await until("four live windows", async () => (await states()).filter((state) => state === "live").length === 4);
  for (const view of views) assert.deepEqual(await view.sequences(), range(3, 1), "each shows the history");
  await until("three without a place", async () => (await states()).filter((state) => state === "crowded").length === 3);
  assert.equal(gateway.subscribers(), 4);
  const late = views[(await states()).indexOf("crowded")];
  await late.page.bringToFront();
  await late.at("crowded").getByRole("button").click();
  await late.live();
  await until("still four", async () => (await states()).filter((state) => state === "live").length === 4);
  gateway.emit(logins(4, 4));
  await late.newest(4);
  // Six connections are all that a browser opens to a gateway without TLS: four hold streams, and calls of all
  // windows share the rest.
  await Promise.all(
    views.map(async (view) => {
      await view.at("filter-input").fill("user:user-1");
      await view.at("filter-input").press("Enter");
      await view.page.waitForFunction(() => document.querySelectorAll('[data-testid="token"]').length === 1);
      await view.searched();
      assert.deepEqual(await view.sequences(), [1]);
    }),
  );
  await until("still four", async () => (await states()).filter((state) => state === "live").length === 4);
  assertClean(faults);
});

test("a window that is hidden closes its stream, and has all when it is seen again", async () => {
  const gateway = await Gateway.start();
  gateway.emit(logins(1, 3));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.live();
  await setHidden(page, true);
  await until("no subscription", () => gateway.subscribers() === 0);
  await view.state("hidden");
  gateway.emit(logins(4, 6));
  await setHidden(page, false);
  await view.newest(6);
  assert.deepEqual(await view.sequences(), range(6, 1));
  assertClean(faults);
});

/** Waits until what was done is on the screen. */
function painted(page) {
  return page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}
