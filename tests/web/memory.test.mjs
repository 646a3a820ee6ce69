// What the page keeps: nothing of what it no longer shows.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway, logins } from "./support/gateway.mjs";
import { kept } from "./support/memory.mjs";
import { View, setHidden } from "./support/page.mjs";

/** How often all is done that a person does. */
const ROUNDS_TO_WARM = 3;
const ROUNDS = 9;

let browser;

before(async () => {
  browser = await launch();
});

test("what is opened, filtered, paused and left leaves nothing behind", async () => {
  const gateway = await Gateway.start(["--merkle"]);
  gateway.emit(logins(1, 300));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  let emitted = 300;
  const round = async () => {
    await view.live();
    await view.filter("user:user-1");
    await page.waitForFunction(() => {
      const rows = [...document.querySelectorAll('[data-testid="record"]')];
      return rows.length > 0 && rows.every((row) => row.textContent.includes("user-1"));
    });
    await view.record((await view.sequences())[0]);
    for (const tab of ["json", "raw", "session", "proof", "fields"]) await view.at(`tab-${tab}`).click();
    await view.at("field").first().waitFor();
    await page.keyboard.press("Escape");
    await view.at("filter-clear").click();
    await view.live();
    await view.at("pause").click();
    gateway.emit(logins(emitted + 1, emitted + 50));
    emitted += 50;
    await view.at("new-records").waitFor();
    await view.at("pause").click();
    await view.newest(emitted);
    await view.at("view-status").click();
    await view.at("card-log").waitFor();
    await view.at("view-events").click();
    await view.at("cel-toggle").click();
    await view.at("cel-input").waitFor();
    await view.at("cel-toggle").click();
    await setHidden(page, true);
    await setHidden(page, false);
  };
  for (let number = 0; number < ROUNDS_TO_WARM; number++) await round();
  const before = await kept(page);
  for (let number = 0; number < ROUNDS; number++) await round();
  const after = await kept(page);
  // Compiled code comes with use; 450 records of 100 bytes came, too.
  const grown = { heap: after.heap - before.heap, nodes: after.nodes - before.nodes, listeners: after.listeners - before.listeners };
  assert.ok(grown.heap < 1_500_000, JSON.stringify({ before, after }));
  assert.ok(grown.nodes < 300, JSON.stringify({ before, after }));
  assert.ok(grown.listeners < 30, JSON.stringify({ before, after }));
  assert.equal(gateway.subscribers(), 1);
  assertClean(faults);
});
