// What is in events is shown as text, whatever it is, and the page goes on.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway } from "./support/gateway.mjs";
import { View, until } from "./support/page.mjs";

let browser;
let gateway;

/** A level of JSON is three messages. */
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
  // The largest, the deepest and the widest event that the gateway takes: one step more is refused.
  LIMITS.forEach(({ event, from, to }, number) => {
    const most = largest(from, to, (size) => taken(event(size, `probe-${number}-${size}`)));
    gateway.emit([event(most, `limit-${number}`)]);
  });
  limits = gateway.search().filter(({ event }) => event.id.startsWith("limit-")).map(({ sequence }) => Number(sequence)).reverse();
  assert.equal(limits.length, LIMITS.length);
});

/** Events by a size that has a limit, which lies between two values. */
const LIMITS = [
  { event: (size, id) => ({ id, user: { name: "y".repeat(size) }, user_login: {} }), from: 1_048_500, to: 1_048_576 },
  { event: (size, id) => ({ id, user: { name: "\u202e\u2066".repeat(size) }, user_login: {} }), from: 174_740, to: 174_763 },
  { event: (size, id) => ({ id, custom: { name: "deep", data: nested(size) } }), from: 18, to: 24 },
  { event: (size, id) => ({ id, labels: Object.fromEntries(Array.from({ length: size }, (_, number) => [`k-${number}`, "v"])), user_login: {} }), from: 75_500, to: 75_800 },
];
let limits = [];

/** Whether the gateway takes an event. */
function taken(event) {
  try {
    gateway.emit([event]);
    return true;
  } catch {
    return false;
  }
}

/** The largest number that holds, where the first does and the second does not. */
function largest(holds, fails, test) {
  assert.ok(test(holds), `${holds} is refused`);
  assert.ok(!test(fails), `${fails} is taken`);
  let [low, high] = [holds, fails];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (test(middle)) low = middle;
    else high = middle;
  }
  return low;
}

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

/** However large a record is, the page has few elements. */
async function assertFew(page, what) {
  const count = await page.evaluate(() => document.querySelectorAll("*").length);
  assert.ok(count < 20_000, `${what}: ${count} elements`);
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

test("records at the limits of the gateway open in every tab, and the page goes on", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.at("record").first().waitFor();
  for (const sequence of limits) {
    await page.goto(`${gateway.url}/#q=&r=${sequence}`);
    await until(`record ${sequence}`, async () => (await view.at("drawer").textContent()).includes(`Record ${sequence}`));
    for (const tab of ["fields", "json", "raw"]) {
      await view.at(`tab-${tab}`).click();
      await view.at({ fields: "field", json: "json", raw: "hex" }[tab]).first().waitFor();
      await assertInert(page);
      await assertEscaped(page);
      await assertFew(page, `record ${sequence}, ${tab}`);
    }
  }
  // What is not shown at first can be.
  await page.goto(`${gateway.url}/#q=&r=${limits[1]}`);
  await until("the hidden ones", async () => (await view.at("drawer").textContent()).includes(`Record ${limits[1]}`));
  await view.at("tab-fields").click();
  await view.at("drawer").getByRole("button", { name: /Show more of 349,516 characters/ }).click();
  await page.waitForFunction(() => document.querySelector('[data-path="event.user.name"] .field-value').textContent.length > 1_000_000);
  await assertEscaped(page);
  await assertFew(page, "hidden characters");
  await page.goto(`${gateway.url}/#q=&r=${limits[3]}`);
  await until("the widest", async () => (await view.at("drawer").textContent()).includes(`Record ${limits[3]}`));
  await view.at("tab-fields").click();
  const before = await view.at("field").count();
  await view.at("more-fields").first().click();
  await until("more fields", async () => (await view.at("field").count()) > before);
  await page.keyboard.press("Escape");
  gateway.emit([{ id: "after", user: { name: "alice" }, user_login: {} }]);
  const newest = Number(gateway.search(["--id", "after"])[0].sequence);
  await until("the next record", async () => {
    await page.keyboard.press("g");
    return (await view.sequences())[0] === newest;
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
  await assertEscaped(page);
  assertClean(faults);
});

test("commands, expressions and links made of hostile values show what they have, and find the record", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway, "#q=&r=9&id=%E2%80%AEevil");
  await view.at("permalink-warning").waitFor();
  await assertEscaped(page);
  // A value that an expression selects by.
  await view.at("drawer").locator('[data-path="event.user.login"]').getByTestId("only-this").click();
  await until("only record 9", async () => (await view.sequences()).join() === "9");
  await view.at("cel-toggle").click();
  assert.match(await view.at("cel-input").inputValue(), /\\u202e/);
  await assertEscaped(page);
  await view.at("cel-toggle").click();
  await view.at("drawer-close").click();
  await view.filter("user:\"user\u202Egnp.exe\u202C and \u2066more\u2069\"");
  await view.searched();
  assert.deepEqual(await view.sequences(), [9]);
  await view.at("copy-menu").click();
  await page.locator("dialog[open]").waitFor();
  await assertEscaped(page);
  const command = await view.at("copy-cli").textContent();
  await page.keyboard.press("Escape");
  await view.at("filter-clear").click();
  await view.filter(command);
  await view.searched();
  assert.deepEqual(await view.sequences(), [9], command);
  // An expression of the gateway, with the hidden characters by their numbers.
  await view.filter("-user:alice");
  await view.filter('cel:"event.user.name == \'user\\\\u202egnp.exe\\\\u202c and \\\\u2066more\\\\u2069\'"');
  await view.searched();
  assert.deepEqual(await view.sequences(), [9]);
  await view.at("cel-toggle").click();
  await view.at("cel-input").waitFor();
  await assertEscaped(page);
  assertClean(faults);
});
