// What is in events is shown as text, whatever it is, and the page goes on.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway } from "./support/gateway.mjs";
import { View, until } from "./support/page.mjs";

let browser;
let gateway;

/** The 64 levels of messages that an event may have: a level of JSON is three of them. */
const nested = (depth) => (depth === 0 ? "end" : { inner: nested(depth - 1) });
const CORPUS = [
  "<script>window.pwned = 1</script>",
  "<img src=x onerror='window.pwned = 1'>",
  "\"><svg onload=window.pwned=1>",
  "javascript:window.pwned=1",
  "{{constructor.constructor('window.pwned=1')()}}",
  "${window.pwned=1}",
  "</script><script>window.pwned=1</script>",
  "<a href='https://evil.example'>click</a> https://evil.example/",
  "user\u202Egnp.exe\u202C and \u2066more\u2069",
  "\u200B\u200E\u200Fhidden\u2060\uFEFF",
  "a\r\nb\u0000c\u0007d\u001b[31mred\u001b[0m\u009b1m",
  "\u0430dmin \u0391dmin",
  "Z\u0351\u0348\u0353a\u0331l\u0489g\u0321o".repeat(50),
  "\u{1F600}".repeat(200),
  "=cmd|'/c calc'!A1",
  "x".repeat(10_000),
];

before(async () => {
  browser = await launch();
  gateway = await Gateway.start();
  gateway.emit(
    CORPUS.map((text, number) => ({
      id: `h-${number}`,
      user: { name: text, login: text },
      session: { id: text.slice(0, 200) },
      source: { name: text.slice(0, 200) },
      labels: { [text.slice(0, 60)]: text },
      connection: { user_agent: text, remote_address: text.slice(0, 100) },
      outcome: { success: false, error: text },
      custom: { name: "hostile", data: { [text.slice(0, 60)]: text } },
    })),
  );
  gateway.emit([
    { id: "large", user: { name: "y".repeat(900_000) }, user_login: {} },
    { id: "deep", custom: { name: "deep", data: nested(19) } },
    { id: "wide", labels: Object.fromEntries(Array.from({ length: 2_000 }, (_, number) => [`k-${number}`, "v"])), user_login: {} },
  ]);
});

/** Nothing of an event became anything but text. */
async function assertInert(page) {
  const found = await page.evaluate(() => ({
    pwned: window.pwned ?? null,
    scripts: document.querySelectorAll("script").length,
    links: [...document.querySelectorAll("a[href]")].map((link) => link.getAttribute("href")).filter((href) => !href.startsWith("#")),
    foreign: [...document.querySelectorAll("#app img, #app iframe, #app object, #app embed, #app form[action]")].length,
    handlers: [...document.querySelectorAll("*")].filter((one) => [...one.attributes].some(({ name }) => name.startsWith("on"))).length,
  }));
  assert.deepEqual(found, { pwned: null, scripts: 1, links: [], foreign: 0, handlers: 0 });
}

/** No character of these is in a text of the page as it is. */
async function assertEscaped(page) {
  const raw = await page.evaluate(() => {
    const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/;
    const walker = document.createTreeWalker(document.getElementById("app"), NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) if (hidden.test(walker.currentNode.data)) found.push(walker.currentNode.data.slice(0, 80));
    for (const one of document.querySelectorAll("#app [title], #app [aria-label]")) {
      for (const name of ["title", "aria-label"]) {
        const value = one.getAttribute(name) ?? "";
        if (hidden.test(value.replaceAll("\n", ""))) found.push(`${name}: ${value.slice(0, 80)}`);
      }
    }
    return found;
  });
  assert.deepEqual(raw, []);
}

test("the list and the facets show hostile text as text", async () => {
  const { page, faults } = await open(browser);
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  const view = await View.open(page, gateway);
  await view.searched();
  await view.at("facet-user").waitFor();
  await assertInert(page);
  await assertEscaped(page);
  assert.ok(requests.every((url) => url.startsWith(gateway.url)), requests.join());
  assertClean(faults);
});

test("each hostile record is shown in the drawer, in every tab", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.searched();
  for (let sequence = 1; sequence <= CORPUS.length; sequence++) {
    await page.goto(`${gateway.url}/#q=&r=${sequence}`);
    await until(`record ${sequence}`, async () => (await view.at("drawer").textContent()).includes("hostile"));
    for (const tab of ["json", "raw", "session", "proof", "fields"]) {
      const button = view.at(`tab-${tab}`);
      if ((await button.count()) > 0) await button.click();
      await assertInert(page);
      await assertEscaped(page);
    }
  }
  assertClean(faults);
});

test("large, deep and wide records open, and the page goes on", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.searched();
  for (const sequence of [1, 2, 3].map((number) => CORPUS.length + number)) {
    await page.goto(`${gateway.url}/#q=&r=${sequence}`);
    await until(`record ${sequence}`, async () => (await view.at("drawer").textContent()).includes(`Record ${sequence}`));
    await view.at("tab-fields").click();
    await view.at("drawer").locator('[data-testid="field"]').first().waitFor();
    await view.at("tab-json").click();
    await view.at("json").first().waitFor();
    await assertInert(page);
  }
  await page.keyboard.press("Escape");
  gateway.emit([{ id: "after", user: { name: "alice" }, user_login: {} }]);
  await until("the next record", async () => {
    await page.keyboard.press("g");
    return (await view.sequences())[0] === CORPUS.length + 4;
  });
  assertClean(faults);
});

test("a hostile value can be filtered by, and linked", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  for (const number of [0, 2, 8, 10, 14]) {
    await page.goto(`${gateway.url}/#q=&r=${number + 1}`);
    await view.at("drawer").locator('[data-path="event.user.name"]').getByTestId("only-this").click();
    await until(`only ${number + 1}`, async () => (await view.sequences()).join() === `${number + 1}`);
    await page.reload();
    await until(`only ${number + 1} after a reload`, async () => (await view.sequences()).join() === `${number + 1}`);
    await assertInert(page);
    await assertEscaped(page);
  }
  // Through the address alone.
  await page.goto(`${gateway.url}/#q=${encodeURIComponent('user:"<img src=x onerror=window.pwned=1>"')}&r=1&id=%3Cscript%3E&around=0&view=%3Cscript%3E`);
  await page.reload();
  await view.at("view-events").waitFor();
  await assertInert(page);
  assertClean(faults);
});
