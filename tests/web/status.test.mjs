// The status view: what somebody on call has to know, and what to do about it.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { assertAccessible, assertFits } from "./support/axe.mjs";
import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway, logins, scratch } from "./support/gateway.mjs";
import { View, until } from "./support/page.mjs";
import { destination } from "./support/servers.mjs";

let browser;

before(async () => {
  browser = await launch();
});

test("the status follows the log", async () => {
  const gateway = await Gateway.start(["--merkle"]);
  gateway.emit(logins(1, 1_234));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway, "#view=status");
  const log = view.at("card-log");
  await until("all records", async () => /1,234/.test(await log.textContent()));
  gateway.emit(logins(1_235, 1_240));
  await until("the new ones", async () => /1,240/.test(await log.textContent()));
  assert.equal(await view.at("status-problems").count(), 0);
  assert.equal(await view.at("card-deliveries").count(), 0);
  assertClean(faults);
});

test("a delivery that is refused is a problem with its cause and its remedy, until it runs again", async () => {
  const siem = await destination();
  siem.status = 401;
  const folder = scratch();
  const config = join(folder, "auditgate.toml");
  const delivery = `[[delivery]]\nname = "siem"\nstart = "earliest"\n[delivery.destination]\nkind = "http"\nurl = "http://127.0.0.1:${siem.port}/in"\n`;
  writeFileSync(config, `data_dir = ${JSON.stringify(join(folder, "log"))}\n${delivery}`, { mode: 0o600 });
  const gateway = await Gateway.start(["--config", config]);
  gateway.emit(logins(1, 5));
  const { page, faults } = await open(browser);
  const view = await View.open(page, gateway, "#view=status");
  const problems = view.at("status-problems");
  await problems.waitFor();
  assert.match(await problems.textContent(), /siem is blocked: answers 401\. .*auditgate delivery resume siem/);
  const card = view.at("card-deliveries");
  assert.match(await card.textContent(), /siem.*blocked since.*401.*none yet/);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await assertAccessible(page, `deliveries, ${colorScheme}`);
  }
  await page.setViewportSize({ width: 390, height: 844 });
  await assertFits(page, "the status");
  siem.status = 200;
  gateway.run(["delivery", "resume", "siem"]);
  await until("no problem", async () => (await problems.count()) === 0);
  await until("it runs", async () => /siemrunning/.test(await card.textContent()));
  assertClean(faults);
});

test("a log that several gateways share is shown with its lag", async () => {
  const gateway = await Gateway.start();
  const { page, faults } = await open(browser);
  // Fields that follow a message belong to it: the answer gets what a gateway on a shared log says.
  const behind = { stream: "AUDIT_main", server: "n1", replicas: 3, position: 1_000, stream_end: 1_200, lag: 200 };
  await page.route("**/auditgate.v1.AuditService/GetStatus", async (route) => {
    const answer = await route.fetch();
    const body = Buffer.from(await answer.body());
    const length = body.readUInt32BE(1);
    const shared = Buffer.concat(Object.values(behind).map((value, at) => field(at + 1, value)));
    const message = Buffer.concat([body.subarray(5, 5 + length), field(38, shared)]);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    await route.fulfill({ response: answer, body: Buffer.concat([head, message, body.subarray(5 + length)]) });
  });
  const view = await View.open(page, gateway, "#view=status");
  const card = view.at("card-shared");
  await card.waitFor();
  assert.match(await card.textContent(), /200messages behind.*AUDIT_main, 3 replicas.*n1.*1,000 of 1,200/);
  assert.match(await view.at("status-problems").textContent(), /200 messages behind/);
  await assertAccessible(page, "a shared log");
  behind.position = 1_200;
  behind.lag = 0;
  await until("it is up to date", async () => /up to date/.test(await card.textContent()));
  assert.equal(await view.at("status-problems").count(), 0);
  // It asks every two seconds, and the gateway is about to go.
  await page.unrouteAll({ behavior: "ignoreErrors" });
  assertClean(faults);
});

/** A field of protobuf: a number, or bytes. */
function field(number, value) {
  const bytes = typeof value === "number" ? undefined : Buffer.from(value);
  const parts = [varint((number << 3) | (bytes === undefined ? 0 : 2)), varint(bytes?.length ?? value)];
  return Buffer.concat(bytes === undefined ? parts : [...parts, bytes]);
}

function varint(value) {
  const bytes = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 127) | 128);
  }
}
