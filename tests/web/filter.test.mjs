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
  const moments = view.at("moment");
  assert.equal(await moments.count(), 14, "all records of the session");
  await moments.first().click();
  await until("its first record", () => /r=1(&|$)/.test(page.url()));
  await moments.last().click();
  await until("its last record", () => /r=40(&|$)/.test(page.url()));
  // Records around it.
  await drawer.getByTestId("around").click();
  await view.at("around-banner").waitFor();
  await until("42 records", async () => (await view.sequences())[0] === 42);
  await page.goBack();
  await until("the filter again", async () => (await view.at("around-banner").count()) === 0);
  await page.keyboard.press("Escape");
  assertClean(faults);
});

test("a link to a record of another log says so", async () => {
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway, "#q=&r=40&id=e-40");
  await view.at("drawer").locator('[data-testid="field"]').first().waitFor();
  assert.equal(await view.at("permalink-warning").count(), 0);
  await page.goto(`${gateway.url}/#q=&r=40&id=other%E2%80%AE`);
  await page.reload();
  await view.at("permalink-warning").waitFor();
  assert.match(await view.at("permalink-warning").textContent(), /other\\u\{202e\}.*another log/);
  await page.goto(`${gateway.url}/#q=&r=4000`);
  await until("no such record", async () => /record 4000/i.test(await view.at("drawer").getByTestId("failure").textContent()));
  assertClean(faults);
});

test("the keyboard is enough", async () => {
  const { page, faults } = await open(browser, { timezoneId: "America/New_York" });
  const view = await View.open(page, gateway);
  await view.searched();
  const zone = await view.at("zone").textContent();
  const times = () => page.$$eval('[data-testid="record"] .time', (cells) => cells.map((cell) => cell.textContent).join());
  const shown = await times();
  await page.keyboard.press("t");
  assert.notEqual(await view.at("zone").textContent(), zone);
  await until("other times", async () => (await times()) !== shown);
  await page.keyboard.press("/");
  await page.keyboard.type("user:user-3");
  await page.keyboard.press("Enter");
  await until("eight records", async () => (await view.sequences()).length === 8);
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await view.at("drawer").waitFor();
  // Who does not see the record appear is taken there, told the next one, and brought back.
  const focused = (id) => page.evaluate((name) => document.activeElement?.dataset.testid === name, id);
  await until("the record has the focus", () => focused("drawer"));
  const told = view.at("drawer").getByRole("status").first();
  assert.match(await told.textContent(), /^Record 33: user\.login, success, user-3$/);
  await page.keyboard.press("j");
  await until("the next one is told", async () => /^Record 28: /.test(await told.textContent()));
  await page.keyboard.press("Escape");
  await until("closed", async () => (await view.at("drawer").count()) === 0);
  assert.ok(await focused("list"), "the list has the focus again");
  // `s`: the session of the record.
  await page.keyboard.press("s");
  await until("its session", async () => (await view.tokens()).some((token) => token.startsWith("session:")));
  await view.searched();
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  await until("not this type", async () => (await view.tokens()).includes("-type:user.login"));
  await page.keyboard.press("?");
  await page.locator("dialog[open]").waitFor();
  await page.keyboard.press("Escape");
  await until("no dialog", async () => (await page.locator("dialog[open]").count()) === 0);
  // Letters can be kept for the list (WCAG 2.1.4).
  await page.keyboard.press("?");
  await view.at("letter-keys").check();
  await page.keyboard.press("Escape");
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press("?");
  await page.keyboard.press("/");
  assert.equal(await page.locator("dialog[open]").count(), 0);
  assert.equal(await focused("filter-input"), false);
  await view.at("list").focus();
  await page.keyboard.press("/");
  assert.ok(await focused("filter-input"));
  assertClean(faults);
});

test("an export of several pages equals the search of the command line, byte for byte", async () => {
  const own = await Gateway.start();
  own.flood(1, 2_500);
  own.emit([
    { id: "quotes", user: { name: 'a "b", c\nd' }, outcome: { error: "line\r\nbreak" }, user_login: {} },
    { id: "hidden", user: { name: "user\u202Egnp" }, user_login: {} },
    { id: "numbers", custom: { name: "numbers", data: { large: 9007199254740993, small: 1e-9 } } },
  ]);
  const { page, faults } = await open(browser, { acceptDownloads: true });
  for (const [written, flags, records] of [
    ["", [], 2_503],
    ["user:user-1", ["--user", "user-1"], 500],
  ]) {
    const view = await View.open(page, own, `#q=${encodeURIComponent(written)}`);
    await page.reload();
    await view.at("record").first().waitFor();
    const exported = async (format) => {
      await view.at("export").click();
      await page.locator("dialog[open]").waitFor();
      await view.at(`export-${format}`).check();
      const [download] = await Promise.all([page.waitForEvent("download"), view.at("export-start").click()]);
      await view.at("export-result").waitFor();
      assert.match(await view.at("export-result").textContent(), new RegExp(`Exported ${records.toLocaleString("en")} records\\.`));
      await page.keyboard.press("Escape");
      return readFileSync(await download.path(), "utf8");
    };
    for (const format of ["ndjson", "csv"]) {
      const expected = own.run(["search", "-o", format, "--limit", "100000", ...flags]);
      assert.ok((await exported(format)) === expected, `${format} of "${written}" is another text`);
    }
  }
  // What a spreadsheet would run is the one difference.
  own.emit([{ id: "formula", user: { name: "=cmd|'/c calc'!A1" }, user_login: {} }]);
  const view = await View.open(page, own, "#q=user%3A%22%3Dcmd%7C'%2Fc%20calc'!A1%22");
  await page.reload();
  await view.at("record").first().waitFor();
  await view.at("export").click();
  await view.at("export-csv").check();
  const [download] = await Promise.all([page.waitForEvent("download"), view.at("export-start").click()]);
  assert.match(readFileSync(await download.path(), "utf8"), /,'=cmd\|'\/c calc'!A1,/);
  assertClean(faults);
});
