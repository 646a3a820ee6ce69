// Proofs in the page, and the browser as a witness: a gateway that cheats is caught.

import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { assertAccessible, assertFits } from "./support/axe.mjs";
import { assertClean, launch, open } from "./support/browser.mjs";
import { Gateway, logins, run, scratch } from "./support/gateway.mjs";
import { View, until } from "./support/page.mjs";

let browser;

before(async () => {
  browser = await launch();
});

const proofState = (view, state) => view.page.waitForSelector(`[data-testid="proof"][data-state="${state}"]`);
const witnessState = (view, state) => view.page.waitForSelector(`[data-testid="witness-mark"][data-state="${state}"]`);

async function openRecord(page, gateway, sequence) {
  const view = await View.open(page, gateway);
  await view.searched();
  await witnessState(view, "good");
  await view.record(sequence);
  return view;
}

test("a record is proven in the page, and its proof holds outside of it", async () => {
  const key = join(scratch(), "log.key");
  run(["keygen", "--name", "audit.example.com/log", "--out", key]);
  const gateway = await Gateway.start(["--merkle", "--signing-key", key]);
  gateway.emit(logins(1, 40));
  const { page, faults } = await open(browser, { acceptDownloads: true });
  const view = await openRecord(page, gateway, 33);
  await view.at("proof-badge").click();
  await proofState(view, "proven");
  assert.match(await view.at("proof").textContent(), /33 of 40/);
  const [download] = await Promise.all([page.waitForEvent("download"), view.at("proof-download").click()]);
  const file = join(scratch(), "33.tlog-proof");
  writeFileSync(file, readFileSync(await download.path()));
  const verified = run(["verify", "--proof", file, "--verifier-key", `${key}.pub`]);
  assert.match(verified, /33/);
  assertClean(faults);
});

/** Changes what the gateway answers to a method. */
async function tamper(page, method, change) {
  await page.route(`**/auditgate.v1.AuditService/${method}`, async (route) => {
    const answer = await route.fetch();
    const body = Buffer.from(await answer.body());
    await route.fulfill({ response: answer, body: change(body) });
  });
}

test("a proof that was tampered with is refuted", async () => {
  const gateway = await Gateway.start(["--merkle"]);
  gateway.emit(logins(1, 20));
  const { page, faults } = await open(browser);
  // The last bytes of the message are those of a hash; the frame of trailers follows it.
  await tamper(page, "GetInclusionProof", (body) => {
    const length = body.readUInt32BE(1);
    const checkpointAt = body.indexOf("\n\n", 5);
    const place = checkpointAt > 0 ? checkpointAt - 3 : 5 + length - 1;
    body[place] = body[place] === 0x41 ? 0x42 : 0x41;
    return body;
  });
  const view = await openRecord(page, gateway, 7);
  await view.at("proof-badge").click();
  await page.waitForSelector('[data-testid="proof-badge"][data-state="refuted"]');
  await proofState(view, "refuted");
  assertClean(faults);
});

test("a log that was rolled back, and one that was replaced, raise the alarm with both checkpoints", async () => {
  const key = join(scratch(), "log.key");
  run(["keygen", "--name", "audit.example.com/log", "--out", key]);
  const folder = scratch();
  const flags = (name) => ["--data-dir", join(folder, name), "--signing-key", key];
  let gateway = await Gateway.start(flags("whole"));
  gateway.emit(logins(1, 20));
  await gateway.stop();
  cpSync(join(folder, "whole"), join(folder, "earlier"), { recursive: true });
  gateway = await Gateway.start(flags("whole"));
  gateway.emit(logins(21, 40));
  const { page, faults } = await open(browser, { acceptDownloads: true });
  let view = await View.open(page, gateway);
  await witnessState(view, "good");
  const web = gateway.web;
  // It only grew: no alarm.
  gateway.emit(logins(41, 45));
  await page.reload();
  await witnessState(view, "good");
  assert.equal(await view.at("alarm").count(), 0);
  await gateway.stop();
  gateway = await Gateway.start(flags("earlier"), { web });
  view = await View.open(page, gateway);
  await view.at("alarm").waitFor();
  assert.match(await view.at("alarm").textContent(), /rolled back/);
  for (const side of ["alarm-before", "alarm-now"]) assert.match(await view.at(side).textContent(), /audit\.example\.com/);
  // The rolled-back log grows beyond what was seen, with other records.
  gateway.emit(logins(101, 160));
  await until("a checkpoint of all", async () => (await gateway.metric("auditgate_checkpoint_records")) >= 80);
  await page.reload();
  await view.at("alarm").waitFor();
  assert.match(await view.at("alarm").textContent(), /does not begin with|two histories/);
  // On a phone, too: all of it can be reached, and its buttons are large enough.
  await page.setViewportSize({ width: 390, height: 844 });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await assertFits(page, "the alarm");
    await assertAccessible(page, `the alarm, ${colorScheme}`);
  }
  for (const part of ["alarm-save", "alarm-accept", "alarm-before", "alarm-now"]) {
    await view.at(part).scrollIntoViewIfNeeded();
    const box = await view.at(part).boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 390 && box.y >= 0 && box.y < 844, `${part} at ${JSON.stringify(box)}`);
  }
  const [download] = await Promise.all([page.waitForEvent("download"), view.at("alarm-save").click()]);
  const evidence = readFileSync(await download.path(), "utf8");
  assert.equal(evidence.match(/^audit\.example\.com\/log$/gm).length, 2, evidence);
  // Whoever replaced the log on purpose says so, and is warned again from then on.
  page.once("dialog", (dialog) => dialog.accept());
  await view.at("alarm-accept").click();
  await until("no alarm", async () => (await view.at("alarm").count()) === 0);
  await page.reload();
  await witnessState(view, "good");
  await gateway.stop();
  // Another log with another key.
  gateway = await Gateway.start(["--merkle"], { web });
  gateway.emit(logins(1, 2));
  await page.reload();
  await view.at("alarm").waitFor();
  assertClean(faults);
});
