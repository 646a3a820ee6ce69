// The filter: in both directions with the command line, with errors where they are, and by mouse, keyboard and link.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";

import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway, logins } from "./support/gateway.mjs";
import { View, until } from "./support/page.mjs";

let browser;
let gateway;

before(async () => {
  browser = await launch();
  gateway = await Gateway.start();
  gateway.emit(logins(1, 40));
  gateway.emit([
    { id: "sudo", user: { name: "o'brien, \"root\"" }, labels: { team: "a b" }, exec: { command: { line: "sudo rm" } } },
    { id: "late", time: "2026-03-01T10:00:00Z", user: { name: "user-1" }, user_create: {} },
  ]);
});

/** The sequences that a command of `auditgate search` finds, the newest first. */
function searched(command) {
  const args = words(command).slice(2);
  return gateway.search(args).map((record) => Number(record.sequence));
}

/** The words of a command, as a shell splits it. */
function words(command) {
  const found = [];
  for (const [, part] of command.matchAll(/((?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+)/g)) {
    found.push(part.replace(/'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)/g, (_, single, double, bare) => single ?? double?.replace(/\\(.)/g, "$1") ?? bare));
  }
  return found;
}

test("what is written finds what the command line finds, and is copied as that command", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  for (const written of [
    "type:user.login",
    "user:user-1 -type:user.create",
    "failed",
    "failed session:s-1 user:user-4",
    'user:"o\'brien, \\"root\\""',
    'label:"team=a b"',
    "category:user severity:info",
    'text:"SUDO RM"',
    "-user:user-1",
    'cel:"event.user.name.startsWith(\'user-2\')"',
    "since:2026-03-01T09:00:00Z until:2026-03-01T11:00:00Z",
  ]) {
    await view.at("filter-clear").click({ timeout: 1_000 }).catch(() => {});
    await view.filter(written);
    await view.searched();
    await page.click('[data-testid="copy-menu"]');
    await page.locator("dialog[open]").waitFor();
    const command = await view.at("copy-cli").textContent();
    const grpcurl = await view.at("copy-grpcurl").textContent();
    assert.match(grpcurl, /^grpcurl .*auditgate\.v1\.AuditService/s);
    await page.keyboard.press("Escape");
    const expected = searched(command);
    assert.ok(expected.length > 0, `${written}: ${command} finds nothing`);
    const found = await view.sequences();
    // What is beyond the window is not there yet.
    assert.ok(found.length === expected.length || found.length > 20, `${written}: ${command}`);
    assert.deepEqual(found, expected.slice(0, found.length), `${written}: ${command}`);
    const tokens = await view.tokens();
    // The command is understood where it is written or pasted.
    await view.at("filter-clear").click();
    await view.filter(command);
    await view.searched();
    assert.deepEqual(await view.sequences(), found, command);
    // An exclusion may come back as the expression that says it.
    if (!written.startsWith("-user")) assert.deepEqual((await view.tokens()).sort(), tokens.sort(), command);
  }
  assertClean(faults);
});

test("a mistake is told with the nearest name, which a click puts right", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.filter("usre:alice");
  const problems = view.at("filter-problems");
  await problems.waitFor();
  assert.match(await problems.textContent(), /usre/);
  await problems.getByRole("button").first().click();
  assert.equal(await view.at("filter-input").inputValue(), "user:alice");
  await view.at("filter-input").fill("");
  // The gateway knows the types.
  await view.filter("type:user.lgin");
  await problems.waitFor();
  await page.keyboard.press("Escape");
  await problems.getByRole("button", { name: "user.login" }).first().click();
  await view.searched();
  assert.deepEqual(await view.tokens(), ["type:user.login"]);
  assert.equal((await view.sequences())[0], 40);
  assertClean(faults);
});

test("an expression with a mistake is underlined where the mistake is", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.at("cel-toggle").click();
  const input = view.at("cel-input");
  await input.fill("event.user.nmae == 'user-1'");
  const underlined = view.at("cel-error").first();
  await underlined.waitFor();
  assert.match(await underlined.textContent(), /nmae/);
  await view.at("cel-fix").first().click();
  assert.equal(await input.inputValue(), "event.user.name == 'user-1'");
  await until("no mistake", async () => (await view.at("cel-error").count()) === 0);
  await view.at("cel-apply").click();
  await view.searched();
  assert.equal((await view.sequences()).length, 9);
  assertClean(faults);
});

test("facets count, and narrow and widen the filter", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  const users = view.at("facet-user");
  await users.waitFor();
  const first = users.getByTestId("facet-value").filter({ hasText: "user-1" });
  assert.match(await first.textContent(), /user-1.*9/);
  await first.click();
  await view.searched();
  assert.deepEqual(await view.tokens(), ["user:user-1"]);
  assert.equal((await view.sequences()).length, 9);
  // Back and forth: the address has the filter.
  assert.match(page.url(), /#.*user/);
  await page.goBack();
  await until("no filter", async () => (await view.tokens()).length === 0);
  await page.goForward();
  await until("the filter again", async () => (await view.tokens()).length === 1);
  assertClean(faults);
});

test("the histogram narrows the time by mouse and by keyboard", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway, "#q=since%3A2026-03-01T00%3A00%3A00Z+until%3A2026-03-02T00%3A00%3A00Z");
  await view.searched();
  assert.equal((await view.sequences()).length, 1);
  const bars = view.at("histogram-bars");
  await bars.waitFor();
  const box = await bars.boundingBox();
  const across = async (from, to) => {
    await page.mouse.move(box.x + box.width * from, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * ((from + to) / 2), box.y + box.height / 2);
    await page.mouse.move(box.x + box.width * to, box.y + box.height / 2);
    await page.mouse.up();
  };
  await across(0.6, 0.9);
  await until("another range", async () => (await view.at("empty").count()) === 1);
  await page.goBack();
  await until("the record again", async () => (await view.sequences()).length === 1);
  await bars.focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("Enter");
  await until("the first two bars", async () => (await view.at("empty").count()) === 1);
  assertClean(faults);
});

test("a record is opened, shown, filtered by, and linked", async () => {
  const { page, context, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.searched();
  await view.record(40);
  const drawer = view.at("drawer");
  const user = drawer.locator('[data-testid="field"][data-path="event.user.name"]');
  await user.waitFor();
  assert.match(await user.textContent(), /user-0/);
  await drawer.getByTestId("tab-json").click();
  const json = JSON.parse(await view.at("json").first().textContent());
  assert.equal(json.event.id ?? json.event?.id, "e-40");
  await drawer.getByTestId("tab-raw").click();
  await view.at("hex").waitFor();
  // The link opens the same record in another window.
  const link = page.url();
  assert.match(link, /r=40/);
  const other = new View(await context.newPage());
  await other.page.goto(link);
  await other.at("drawer").waitFor();
  assert.match(await other.at("drawer").textContent(), /40/);
  await other.page.close();
  // Its session, as a timeline.
  await drawer.getByTestId("tab-session").click();
  await view.at("timeline").waitFor();
  assert.match(await view.at("timeline").textContent(), /user\.login/);
  // Records around it.
  await drawer.getByTestId("around").click();
  await view.at("around-banner").waitFor();
  await until("42 records", async () => (await view.sequences())[0] === 42);
  await page.goBack();
  await until("the filter again", async () => (await view.at("around-banner").count()) === 0);
  await page.keyboard.press("Escape");
  assertClean(faults);
});

test("the keyboard is enough", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway);
  await view.searched();
  await page.keyboard.press("/");
  await page.keyboard.type("user:user-3");
  await page.keyboard.press("Enter");
  await until("eight records", async () => (await view.sequences()).length === 8);
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await view.at("drawer").waitFor();
  await page.keyboard.press("Escape");
  await until("closed", async () => (await view.at("drawer").count()) === 0);
  // `s`: the session of the record.
  await page.keyboard.press("s");
  await until("its session", async () => (await view.tokens()).some((token) => token.startsWith("session:")));
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  await until("not this type", async () => (await view.tokens()).includes("-type:user.login"));
  const zone = await view.at("zone").textContent();
  await page.keyboard.press("t");
  assert.notEqual(await view.at("zone").textContent(), zone);
  await page.keyboard.press("?");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.press("Escape");
  await until("no dialog", async () => (await page.locator("dialog[open]").count()) === 0);
  assertClean(faults);
});

test("an export equals the search of the command line", async () => {
  const { page, faults } = await open(browser, { acceptDownloads: true });
  const view = await View.open(page, gateway, "#q=user%3Auser-1");
  await view.searched();
  const exported = async (format) => {
    await view.at("export").click();
    await page.locator("dialog[open]").waitFor();
    await view.at(`export-${format}`).check();
    const [download] = await Promise.all([page.waitForEvent("download"), view.at("export-start").click()]);
    await view.at("export-result").waitFor();
    await page.keyboard.press("Escape");
    return readFileSync(await download.path(), "utf8");
  };
  const lines = (text) => text.trim().split("\n");
  const own = lines(await exported("ndjson")).map((line) => JSON.parse(line));
  assert.deepEqual(own, gateway.search(["--user", "user-1"]));
  const csv = lines(await exported("csv"));
  assert.equal(csv.length, 1 + own.length);
  assertClean(faults);
});
